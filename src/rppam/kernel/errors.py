"""The error tree: each class says whose fault it is, whether to retry, and what to do; and the exit codes.

A class with a code of its own is declared in one line of class keywords; its docstring is the sentence that people
read, and ``fix`` what they do next::

    class StoreRefused(StoreUnreachable, code="RPPAM-2102", fault=Fault.OPERATOR):
        \"""Nothing listens there.\"""

        fix = "Start it."

Keywords that are left out are those of the class above. Where the doctor has a finding for the same situation, the
class takes both sentences from it: ``problem=ROWS["RD-101"]``. ``docs/reference/errors.md`` is generated from the rows.
"""

from collections.abc import Mapping
from enum import IntEnum, StrEnum
from typing import Any, ClassVar, NamedTuple, Protocol, TypedDict, Unpack


class Exit(IntEnum):
    """What the exit code of a command or process means; numbers from sysexits.h where one fits."""

    DONE = 0
    """Done."""
    NO = 1
    """A warning, or a negative answer (a violation found, not healthy)."""
    ERRORS = 2
    """Errors found, or wrong usage."""
    REDIS_UNREACHABLE = 69
    """Redis unreachable with ``abortConnect=true`` (EX_UNAVAILABLE)."""
    IN_USE = 73
    """Another process of this host runs on this data directory (EX_CANTCREAT)."""
    TURNED_AWAY = 75
    """What stands in Redis, or other members say, keeps this node from taking part; that may pass (EX_TEMPFAIL)."""
    LICENCE = 77
    """The licence does not allow it (EX_NOPERM)."""
    CONFIGURATION = 78
    """The configuration is wrong (EX_CONFIG)."""


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
    """What to do next."""
    exit: Exit | None = None
    """Exit code when it ends a command, else ``None``."""
    status: int | None = None
    """HTTP status when it answers a request, else ``None``."""
    level: str = "error"
    """Log level: debug, info, warning, error."""
    finding: str = ""
    """The doctor's code for the same situation, such as ``RD-101``."""


class Problem(Protocol):
    """What an error and a finding about one situation share: a row of :mod:`rppam.catalogue.table`."""

    @property
    def code(self) -> str: ...
    @property
    def what(self) -> str: ...
    @property
    def advice(self) -> str: ...


class Traits(TypedDict, total=False):
    """What a class says of itself by class keywords, and hands down to the classes below it."""

    fault: Fault
    retry: Retry
    exit: Exit | None
    status: int | None
    level: str


class RppamError(Exception):
    """Base of all errors of ours. ``str(error)`` is one or more sentences that name the place and the fix."""

    row: ClassVar[ErrorRow]
    fix: ClassVar[str] = ""
    _traits: ClassVar[Mapping[str, Any]] = {}

    def __init_subclass__(cls, code: str = "", problem: Problem | None = None, **traits: Unpack[Traits]) -> None:
        super().__init_subclass__()
        cls._traits = {**cls._traits, **traits}
        if not code:
            return
        sentence = " ".join((cls.__doc__ or "").partition("\n\n")[0].split())
        meaning, remedy, finding = sentence, cls.__dict__.get("fix", ""), ""
        if problem is not None:
            meaning, remedy, finding = problem.what, problem.advice, problem.code
        cls.row = ErrorRow(code=code, meaning=meaning, remedy=remedy, finding=finding, **cls._traits)

    @property
    def exit_code(self) -> Exit:
        """What a process of ours ends with when this error ends it."""
        return Exit.ERRORS if self.row.exit is None else self.row.exit

    def line(self) -> str:
        """What a process of ours writes to stderr when this error ends it."""
        return f"rppam: {self.row.code}: {self}"


def coded(base: type[RppamError] = RppamError) -> list[type[RppamError]]:
    """All classes below ``base`` that have a code of their own, in definition order."""
    found: list[type[RppamError]] = []
    for child in base.__subclasses__():
        found += [child] if "row" in child.__dict__ else []
        found += coded(child)
    return found
