"""Errors of the configuration: what the administrator wrote, where, and how to put it right.

Each error carries *all* problems found, so that one run of ``rppam config check`` is enough. A problem never holds a
secret: a secret value is described by its type or place, not by its text.
"""

from collections.abc import Iterable
from typing import NamedTuple, Self

from rppam.catalogue.table import ROWS
from rppam.kernel.errors import Exit, Fault, Retry, RppamError


class Problem(NamedTuple):
    """One thing that is wrong, in four parts."""

    path: str
    """Where: a key such as ``redis.keyPrefix``, an option, or a file."""
    expected: str
    found: str
    """What stands there, never a secret."""
    fix: str
    """What to do, as an order."""

    def sentence(self) -> str:
        place = f"{self.path}: " if self.path else ""
        return f"{place}expected {self.expected}; found {self.found}. {self.fix}"

    def under(self, place: str) -> "Problem":
        """The same problem seen from outside: ``place`` comes first in its path."""
        return self._replace(path=f"{place} ({self.path})" if self.path else place)

    def as_json(self) -> dict[str, str]:
        return self._asdict()


class ConfigError(RppamError, fault=Fault.OPERATOR, retry=Retry.NO, exit=Exit.CONFIGURATION):
    """Something the administrator wrote is wrong. ``problems`` has at least one entry."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = tuple(problems)
        super().__init__("\n".join(problem.sentence() for problem in self.problems))

    @classmethod
    def of(cls, path: str, expected: str, found: str, fix: str) -> Self:
        """An error with one problem."""
        return cls([Problem(path, expected, found, fix)])


class ConfigFileError(ConfigError, code="RPPAM-1101"):
    """The configuration file cannot be read as JSON text."""

    fix = "Put right what the message names, then run `rppam config check FILE`."


class ConfigValueError(ConfigError, code="RPPAM-1201", problem=ROWS["RD-600"]):
    """One or more settings are unknown, of a wrong type, out of range, or contradict each other."""


class ConnectionStringError(ConfigError, code="RPPAM-1202"):
    """A Redis connection string is wrong."""

    fix = "Try it with `rppam config parse-connection 'STRING'` until it shows what you mean."


class SecretError(ConfigError, code="RPPAM-1301"):
    """A secret of the configuration cannot be read or decrypted."""

    fix = "Check the key file named in the message, or make the value anew with `rppam config encrypt`."
