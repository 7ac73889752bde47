"""What a database's error means to us: not reached, not done, perhaps done, or refused.

Only the first line of the driver's text is kept. It names host and user, never the password or a parameter.
"""

import sqlite3
from typing import Final

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError

from rppam.db.condition import DAMAGED, DENIED, FULL, INCOMPLETE, READ_ONLY
from rppam.db.errors import (
    DatabaseBusy,
    DatabaseRefused,
    DatabaseUnknown,
    DatabaseUnreachable,
    DatabaseValueRefused,
)

REASON_CHARS_MAX: Final = 300
_WAITED_TOO_LONG: Final = frozenset({"55P03", "57014", "40P01", "40001"})
"""SQLSTATE: lock not available, statement cancelled by its timeout, deadlock, serialisation. All are rolled back."""
_FINDINGS: Final[dict[str | int, str]] = {
    "25006": READ_ONLY,
    "53100": FULL,
    "XX001": DAMAGED,
    "XX002": DAMAGED,
    "42P01": INCOMPLETE,
    "42703": INCOMPLETE,
    "42501": DENIED,
    sqlite3.SQLITE_READONLY: READ_ONLY,
    sqlite3.SQLITE_FULL: FULL,
    sqlite3.SQLITE_CORRUPT: DAMAGED,
    sqlite3.SQLITE_NOTADB: DAMAGED,
    sqlite3.SQLITE_IOERR: DAMAGED,
}
"""By SQLSTATE, and by the code of SQLite without what refines it."""
_SQLITE_BUSY: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})


def translate(error: BaseException, *, begun: bool, writes: bool) -> BaseException:
    """The error to raise. ``begun``: the transaction had begun; ``writes``: it may have written something."""
    if not isinstance(error, DBAPIError):
        return error
    driver = error.orig
    reason = first_line(error)
    if _code(driver) in _WAITED_TOO_LONG or getattr(driver, "sqlite_errorcode", None) in _SQLITE_BUSY:
        return DatabaseBusy(f"the database was held by somebody else for too long; nothing was written ({reason})")
    if not begun and _finding(driver, reason) != DAMAGED:
        return DatabaseUnreachable(f"the database cannot be used: {reason}")
    if error.connection_invalidated:
        if writes:
            return DatabaseUnknown(f"the database went away during a write, which may or may not stand ({reason})")
        return DatabaseUnreachable(f"the database went away: {reason}")
    if isinstance(error, DataError | IntegrityError):
        return DatabaseValueRefused(f"the database cannot hold a value that it was given ({reason})")
    refused = DatabaseRefused(f"the database refused: {reason}")
    refused.finding = _finding(driver, reason)
    return refused


def _finding(driver: BaseException | None, reason: str) -> str:
    number = getattr(driver, "sqlite_errorcode", None)
    if number is None:
        return _FINDINGS.get(_code(driver) or "", "")
    if reason.startswith(("no such table", "no such column")):
        return INCOMPLETE
    return _FINDINGS.get(number & 0xFF, "")


def _code(driver: BaseException | None) -> str | None:
    code: str | None = getattr(driver, "sqlstate", None)
    return code


def first_line(error: BaseException) -> str:
    """What an error says, for people: of the driver's, where it has one."""
    error = getattr(error, "orig", None) or error
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    return text if len(text) <= REASON_CHARS_MAX else text[:REASON_CHARS_MAX] + "..."
