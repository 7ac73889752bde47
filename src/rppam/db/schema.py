"""Bringing the database's tables to this release, while other nodes may be doing the same.

All steps run in one transaction behind one lock (PostgreSQL: a transaction-level advisory lock; SQLite: the write lock
that ``BEGIN IMMEDIATE`` takes), and look again once they hold it: of several nodes that start at once, one does the
work and the others find it done. A crash in the middle leaves the old tables. A database that a newer release has
migrated is refused: this release cannot know what its tables mean. There is no way down; restore a backup.
"""

import logging
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, inspect, text

from rppam.db.errors import SchemaNewer
from rppam.db.tables import SCHEMA_HEAD, VERSION_TABLE

log = logging.getLogger("rppam.database")

LOCK: Final = 0x72_70_70_61_6D
"""The advisory lock's number ("rppam"). Such locks are per database, so two clusters on one server do not meet."""
UPGRADE_STATEMENT_MS: Final = 55_000


def current_revision(connection: Connection) -> str | None:
    """The revision of the database's tables; ``None`` when there are none yet."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    revision: str | None = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar_one_or_none()  # noqa: S608
    return revision


def is_current(revision: str | None) -> bool:
    """Whether nothing is left to do. Raises :class:`~rppam.db.errors.SchemaNewer`."""
    if revision is not None and (len(revision), revision) > (len(SCHEMA_HEAD), SCHEMA_HEAD):
        raise SchemaNewer(
            f"the database's tables are at revision {revision}, made by a newer release; this one knows {SCHEMA_HEAD}. "
            "Upgrade RP-PAM on this node, or restore the backup that was taken before the upgrade"
        )
    return revision == SCHEMA_HEAD


def upgrade(connection: Connection) -> None:
    """Run the missing steps in the caller's write transaction."""
    if connection.dialect.name == "postgresql":
        connection.execute(
            text("SELECT set_config('statement_timeout', :limit, true), set_config('lock_timeout', :limit, true)"),
            {"limit": str(UPGRADE_STATEMENT_MS)},
        )
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
    if is_current(current_revision(connection)):
        return
    # Imported only where there is work: a node that restarts needs neither the time nor the memory.
    from alembic.config import Config  # noqa: PLC0415
    from alembic.runtime.environment import EnvironmentContext  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    logging.getLogger("alembic").setLevel(logging.WARNING)
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "newline")
    script = ScriptDirectory.from_config(config)

    def steps(revision: Any, _context: object) -> Any:
        return script._upgrade_revs(SCHEMA_HEAD, revision)  # noqa: SLF001 - what `alembic upgrade` itself calls

    with EnvironmentContext(config, script, fn=steps, destination_rev=SCHEMA_HEAD) as environment:
        environment.configure(connection=connection, version_table=VERSION_TABLE)
        environment.run_migrations()
    log.info("Brought the database's tables to revision %s.", SCHEMA_HEAD)
