"""Looks every second whether this process can work with its database, and why not.

It asks over the connections that everything else uses, so that it sees what everything else meets: an answer in time,
tables of this release and all of them, the right to write, room to write. A call of others that was refused for one of
these reasons counts, too, for a while. What it does not see: damage in a part that nobody reads.
"""

import asyncio
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DBAPIError

from rppam.db.clock import clock_offset_ms
from rppam.db.condition import DAMAGED, FULL, INCOMPLETE, LOST, OTHER_RELEASE, READ_ONLY, Condition
from rppam.db.database import Database
from rppam.db.errors import DatabaseBusy, DatabaseError, DatabaseRefused, SchemaNewer
from rppam.db.schema import is_current, read_schema
from rppam.db.steps import STEPS
from rppam.db.tables import VERSION_TABLE, metadata
from rppam.kernel.clock import Clock
from rppam.kernel.instant import US_PER_MS, US_PER_S, Instant

log: Final = logging.getLogger("rppam.database")

EVERY_S: Final = 1.0
TIMEOUT_MS: Final = 2_000
BUSY_US: Final = 3 * US_PER_S
"""For so long all connections may be busy before that counts as no answer."""
OPENING_US: Final = 10 * US_PER_S
"""For so long a database may be opened, its tables made at the very first start, before that counts as no answer."""
REMEMBERED_US: Final = 30 * US_PER_S
"""For so long a refusal that others met counts, since the look may not meet it itself."""
SQLITE_BYTES_MIN: Final = 64 * 1024
TEMP_FILE_LIMIT: Final = "53400"
"""The role may write no temporary files (temp_file_limit), so this cannot be seen."""
SPILLED_ROWS: Final = 6_000
"""More than fit into the least memory that a query may have: the server writes them to its disk, and drops them."""


class DatabaseWatch:
    """See the module."""

    def __init__(self, database: Database, clock: Clock, *, writes_to_disk: bool = False) -> None:
        """``writes_to_disk``: let PostgreSQL show that it has room; one process of a node does."""
        self._database, self._clock = database, clock
        self._writes_to_disk = writes_to_disk
        self._begun = clock.now()
        self._busy_since: Instant | None = None
        self._refused: tuple[int, Instant] = (0, self._begun)
        """The refusal of others that counts, and when it was seen first."""
        self.condition: Condition | None = None
        """What was seen last; ``None``: nothing yet."""
        self.clock_offset_ms: int | None = None
        """How far the database's clock was ahead of this host's when it answered last; ``None``: not known; a file."""

    async def run(self, changed: Callable[[Condition], None] = lambda _: None) -> None:
        """Look for ever; ``changed`` hears of each look."""
        while True:
            try:
                condition = await self.look()
            except Exception as error:  # what nobody foresaw is no answer either
                log.exception("a look at the database failed")
                condition = Condition(
                    LOST, f"a look at it failed: {type(error).__name__}", errors=self._database.errors
                )
            if condition is not None:
                self.condition = condition
                changed(condition)
            await asyncio.sleep(EVERY_S)

    async def look(self) -> Condition | None:
        """Look once; ``None``: it is too early to tell. Raises nothing."""
        begun, database = self._clock.now(), self._database
        if not database.is_ready:
            why = self._why_not_open(begun)
            code, evidence = self._refused_lately(begun)
            return Condition(code or LOST, evidence or why, errors=database.errors) if why else None
        timeout_ms = min(TIMEOUT_MS, database.timeout_ms)
        try:
            code, evidence, offset_ms = await database.read(self._examine, timeout_ms=timeout_ms)
        except DatabaseBusy as error:
            return self._busy(str(error), begun)
        except SchemaNewer as error:
            code, evidence = OTHER_RELEASE, str(error)
        except DatabaseRefused as error:
            code, evidence = error.finding or LOST, str(error)
        except DatabaseError as error:
            self._busy_since = None
            return Condition(LOST, str(error), errors=database.errors)
        else:
            self.clock_offset_ms = offset_ms
        self._busy_since = None
        now = self._clock.now()
        if not code:
            code, evidence = self._refused_lately(now)
        return Condition(code, evidence, (now - begun) // US_PER_MS, database.errors)

    def _refused_lately(self, now: Instant) -> tuple[str, str]:
        """What others were refused lately, as code and sentence; empty texts for nothing."""
        if self._database.refused is None:
            return "", ""
        number, code, sentence = self._database.refused
        if number != self._refused[0]:
            self._refused = (number, now)
        return (code, sentence) if now - self._refused[1] < REMEMBERED_US else ("", "")

    def _why_not_open(self, now: Instant) -> str:
        if self._database.has_failed:
            return self._database.reason
        return "the database is still being opened" if now - self._begun >= OPENING_US else ""

    def _busy(self, why: str, now: Instant) -> Condition | None:
        """Busy for a moment is nothing; for long it is as good as lost."""
        self._busy_since = now if self._busy_since is None else self._busy_since
        if now - self._busy_since >= BUSY_US:
            return Condition(LOST, why, errors=self._database.errors)
        return self.condition

    def _examine(self, connection: Connection) -> tuple[str, str, int | None]:
        """Return the code and evidence of what is wrong, empty where nothing is, and how far its clock is ahead.

        Runs on a thread of the database.
        """
        offset_ms = clock_offset_ms(connection, self._clock.wall_ms)
        code, evidence = _tables(connection) or _writable(connection) or self._room(connection) or ("", "")
        return code, evidence, offset_ms

    def _room(self, connection: Connection) -> tuple[str, str] | None:
        if connection.dialect.name == "sqlite":
            return _room_of_a_file(Path(connection.engine.url.database or ""))
        if self._writes_to_disk:
            _spill(connection)
        return None


def _tables(connection: Connection) -> tuple[str, str] | None:
    """Whether they are of this release, and all there."""
    schema = read_schema(connection)
    if schema.revision is None:
        return INCOMPLETE, f"there is no table {VERSION_TABLE}, or no row in it: the database is empty or half restored"
    if not is_current(schema):  # raises SchemaNewer
        return OTHER_RELEASE, (
            f"the tables are at revision {schema.revision}, of an earlier release or an earlier backup; this release "
            f"needs {STEPS.needed}"
        )
    missing = sorted(metadata.tables.keys() - set(inspect(connection).get_table_names()))
    if missing:
        return INCOMPLETE, f"these tables are missing: {', '.join(missing)}"
    return None


def _writable(connection: Connection) -> tuple[str, str] | None:
    if connection.dialect.name == "sqlite":
        path = Path(connection.engine.url.database or "")
        if not path.is_file():
            return LOST, f"the file {path} is not there any more"
        if not os.access(path, os.W_OK):
            return READ_ONLY, f"the file {path} may not be written by this account"
        return None
    recovers, read_only = connection.execute(
        text("SELECT pg_is_in_recovery(), current_setting('transaction_read_only') = 'on'")
    ).one()
    if recovers:
        return READ_ONLY, "the server is a standby of another PostgreSQL (pg_is_in_recovery), which takes no writes"
    return (READ_ONLY, "the server takes no writes (default_transaction_read_only is on)") if read_only else None


def _spill(connection: Connection) -> None:
    """Have the server write something to its disk, of which nothing stays. Raises what it meets there."""
    connection.execute(text("SET LOCAL work_mem = '64kB'"))
    try:
        connection.execute(text("SELECT count(*) FROM generate_series(1, :rows)"), {"rows": SPILLED_ROWS})
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != TEMP_FILE_LIMIT:
            raise


def _room_of_a_file(path: Path) -> tuple[str, str] | None:
    """SQLite writes beside its file as well."""
    if not hasattr(os, "statvfs"):
        return None
    try:
        found = os.statvfs(path)
    except OSError as error:
        return DAMAGED, f"the file {path} cannot be looked at: {error.strerror}"
    free = found.f_bavail * found.f_frsize
    if free < SQLITE_BYTES_MIN:
        return FULL, f"{free // 1024} KiB are left on the disk of {path}"
    return None
