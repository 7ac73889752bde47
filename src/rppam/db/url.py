"""``database.url``: what is understood, and what is refused before anything is opened.

``sqlite:////absolute/path/rppam.db`` for one machine, ``postgresql://user:password@host:5432/name?sslmode=verify-full``
for several; the query may hold libpq's connection parameters. A message never repeats the URL: it may hold a password.
"""

from pathlib import Path
from typing import Final

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from rppam.db.errors import DatabaseUrlInvalid
from rppam.kernel.secret import Secret

SQLITE: Final = "sqlite"
POSTGRESQL: Final = "postgresql"
_POSTGRESQL_NAMES: Final = frozenset({POSTGRESQL, "postgres", "postgresql+psycopg"})


def parse_database_url(url: Secret | str, password: Secret | None = None) -> URL:
    """The URL for SQLAlchemy; ``password``, when given, takes the place of the one in the URL.

    Raises :class:`~rppam.db.errors.DatabaseUrlInvalid`.
    """
    text = url.reveal() if isinstance(url, Secret) else url
    try:
        parsed = make_url(text.strip())
    except (ArgumentError, ValueError):
        raise DatabaseUrlInvalid(
            "database.url: expected sqlite:////absolute/path.db or postgresql://user:password@host:5432/name, found "
            "something else; in a password, write @ as %40, / as %2F, : as %3A, # as %23 and % as %25"
        ) from None
    if parsed.drivername in {SQLITE, "sqlite+pysqlite"}:
        return _sqlite(parsed)
    if parsed.drivername in _POSTGRESQL_NAMES:
        return _postgresql(parsed.set(password=password.reveal()) if password else parsed)
    raise DatabaseUrlInvalid(
        f"database.url: expected a URL that starts with sqlite: or postgresql:, found {parsed.drivername!r}"
    )


def is_not_made(url: URL) -> bool:
    """Whether it names a file that is not there: a witness has none, and a new node has none yet."""
    return url.drivername == SQLITE and not Path(url.database or "").exists()


def _sqlite(parsed: URL) -> URL:
    if parsed.host or parsed.query:
        raise DatabaseUrlInvalid(
            "database.url: an SQLite URL has four slashes before an absolute path (sqlite:////var/lib/rppam/rppam.db) "
            "and no host and no options"
        )
    if not parsed.database or parsed.database == ":memory:":
        raise DatabaseUrlInvalid("database.url: an SQLite database needs a file; one in memory would forget the epoch")
    if not Path(parsed.database).is_absolute():
        raise DatabaseUrlInvalid(
            f"database.url: expected an absolute path (four slashes), found the relative {parsed.database!r}, which "
            "would depend on the directory that the node is started in"
        )
    return parsed.set(drivername=SQLITE)


def _postgresql(parsed: URL) -> URL:
    if not parsed.database:
        raise DatabaseUrlInvalid("database.url: the database's name is missing after the host: postgresql://host/NAME")
    if not parsed.host and "host" not in parsed.query and "service" not in parsed.query:
        raise DatabaseUrlInvalid("database.url: the host is missing; for a Unix socket write ?host=/run/postgresql")
    from psycopg import ProgrammingError, conninfo  # noqa: PLC0415 - only where PostgreSQL is used

    for option, value in parsed.query.items():
        try:
            conninfo.make_conninfo("", **{option: value if isinstance(value, str) else ",".join(value)})
        except ProgrammingError:
            raise DatabaseUrlInvalid(f"database.url: libpq knows no connection option {option!r}") from None
    return parsed.set(drivername="postgresql+psycopg")
