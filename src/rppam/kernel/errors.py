"""The error tree: one row per leaf says whose fault it is, whether to retry, and what to do.

Every leaf class has a ``row``. A test walks all subclasses, so a leaf without a row, or with a code used twice, fails
the gate; ``docs/reference/errors.md`` is generated from the rows. Leaves live in one module per area beside this one.
"""

from enum import StrEnum
from typing import ClassVar, NamedTuple

from rppam.kernel.exits import Exit


class Fault(StrEnum):
    """Who can do something about it."""

    OPERATOR = "operator"
    SURROUNDINGS = "surroundings"
    PEER = "peer"
    CALLER = "caller"
    PLATFORM = "platform"
    US = "us"


class Retry(StrEnum):
    """Whether trying again can help."""

    NO = "no"
    YES = "yes"
    SLOWLY = "slowly"
    IF_IDEMPOTENT = "if idempotent"
    CALLER_DECIDES = "caller decides"


class ErrorRow(NamedTuple):
    """One line of the error table."""

    code: str
    """Stable code, such as ``RPPAM-1203``."""
    fault: Fault
    retry: Retry
    meaning: str
    """One sentence for the administrator: what this class of error means."""
    remedy: str
    """One sentence: what to do next."""
    exit: Exit | None = None
    """Exit code when it ends a command, else ``None``."""
    status: int | None = None
    """HTTP status when it answers a request, else ``None``."""
    level: str = "error"
    """Log level: debug, info, warning, error."""


class RppamError(Exception):
    """Base of all errors of ours. ``str(error)`` is one or more sentences that name the place and the fix."""

    row: ClassVar[ErrorRow]


def leaves(base: type[RppamError] = RppamError) -> list[type[RppamError]]:
    """All classes of the tree below ``base`` that have no subclasses, in definition order."""
    found: list[type[RppamError]] = []
    for child in base.__subclasses__():
        found.extend(leaves(child) or [child])
    return found
