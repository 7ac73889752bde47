"""Which database a command could not work with, and what to do about it.

A node says so in health and log; a command has one sentence, and its exit code is the same whether it asks the database
itself or a node does. The sentence holds no password of the URL.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from rppam.kernel.errors import Exit

if TYPE_CHECKING:
    from rppam.config.settings import Settings
    from rppam.db.errors import DatabaseError

_REFUSING: Final = frozenset({"RPPAM-2905", "RPPAM-2908"})
"""The database works and refuses: an error for whoever asks, also by way of a node, which then answers 503."""


def exit_of(code: str, otherwise: Exit) -> Exit:
    """The exit code of a command that a node has answered with this code of an error."""
    return Exit.ERRORS if code in _REFUSING else otherwise


@contextmanager
def database_named(settings: "Settings") -> Iterator[None]:
    """Have errors of the database name it and the fix, where they do not."""
    from rppam.db.errors import DatabaseError

    try:
        yield
    except DatabaseError as error:
        error.args = (_whole(error, settings),)
        raise


def _whole(error: "DatabaseError", settings: "Settings") -> str:
    from rppam.config.database import show_database_url
    from rppam.db.condition import LOST, found
    from rppam.db.errors import DatabaseRefused, DatabaseUnreachable
    from rppam.db.url import SQLITE, parse_database_url

    said, shown = str(error).rstrip("."), show_database_url(settings.database.url)
    url = parse_database_url(settings.database.url)
    is_file = url.drivername == SQLITE
    place = str(url.database) if is_file else shown
    if place in said:  # a file that is not there is named with its fix
        return said
    code = LOST if isinstance(error, DatabaseUnreachable) else ""
    if isinstance(error, DatabaseRefused):
        code = error.finding
    fix = found(code, "", is_file=is_file).advice if code else error.row.remedy
    return f"{said}. The database is {place} (database.url). {fix}"
