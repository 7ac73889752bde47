"""Bringing the database's tables to this release, while other nodes may be doing the same.

All steps run in one transaction behind one lock (PostgreSQL: a transaction-level advisory lock; SQLite: the write lock
that ``BEGIN IMMEDIATE`` takes), and look again once they hold it: of several nodes that start at once, one does the
work and the others find it done. A crash in the middle leaves the old tables. There is no way down; restore a backup.

Each step says what it does to nodes of the release before. One that only adds (``step = "expand"``) runs when a node
starts. One that takes away or tightens (``step = "contract"``) names by ``compatible_from`` the oldest head with whose
code the tables still work. The last ones of a release wait for :func:`upgrade` with ``contract=True``; the next release
makes up for them. A database keeps ``compatible_from`` in a row: a release older than that is refused, one that is not
works on the newer tables and says so.
"""

import logging
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, delete, insert, inspect, select, text

from rppam.db.errors import SchemaNewer
from rppam.db.steps import STEPS
from rppam.db.tables import VERSION_TABLE, cluster_settings

log = logging.getLogger("rppam.database")

LOCK: Final = 0x72_70_70_61_6D
"""The advisory lock's number ("rppam"). Such locks are per database, so two clusters on one server do not meet."""
UPGRADE_STATEMENT_MS: Final = 55_000


COMPATIBLE_FROM: Final = "schema_compatible_from"
"""Name of the row: the revision that it was written for, and the oldest head that may work on that."""


class Schema(NamedTuple):
    """At what the tables of a database stand."""

    revision: str | None
    """``None``: there are none yet."""
    compatible_from: str | None = None
    """The oldest head of a release that may work on them; ``None``: not told, so no older one than made them."""

    @property
    def is_newer(self) -> bool:
        """Whether a later release has made them."""
        return self.revision is not None and _order(self.revision) > _order(STEPS.head)


def read_schema(connection: Connection) -> Schema:
    """At what this database's tables stand."""
    tables = inspect(connection)
    if not tables.has_table(VERSION_TABLE):
        return Schema(None)
    revision: str | None = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar_one_or_none()  # noqa: S608
    if not Schema(revision).is_newer or not tables.has_table(cluster_settings.name):
        return Schema(revision)
    row = select(cluster_settings.c.value).where(cluster_settings.c.name == COMPATIBLE_FROM)
    made, _, oldest = (connection.execute(row).scalar_one_or_none() or "").partition(" ")
    return Schema(revision, oldest if made == revision else None)


def is_current(schema: Schema) -> bool:
    """Whether nothing is left to do. Raises :class:`~rppam.db.errors.SchemaNewer`."""
    if schema.revision is None:
        return False
    if schema.is_newer and _order(schema.compatible_from or schema.revision) > _order(STEPS.head):
        raise SchemaNewer(
            f"the database's tables are at revision {schema.revision}, made by a newer release; this one knows "
            f"{STEPS.head}. Upgrade RP-PAM on this node, or restore the backup that was taken before the upgrade"
        )
    return _order(schema.revision) >= _order(STEPS.needed)


def upgrade(connection: Connection, *, contract: bool = False) -> str:
    """Run the missing steps in the caller's write transaction; the revision that the tables have then.

    ``contract``: those too that nodes of the release before may not survive.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(
            text("SELECT set_config('statement_timeout', :limit, true), set_config('lock_timeout', :limit, true)"),
            {"limit": str(UPGRADE_STATEMENT_MS)},
        )
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
    found = read_schema(connection)
    is_done = is_current(found)
    target = STEPS.head if contract or found.revision is None else STEPS.needed
    if found.revision is not None and is_done and _order(found.revision) >= _order(target):
        return found.revision
    # Imported only where there is work: a node that restarts needs neither the time nor the memory.
    from alembic.config import Config  # noqa: PLC0415
    from alembic.runtime.environment import EnvironmentContext  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    logging.getLogger("alembic").setLevel(logging.WARNING)
    config = Config()
    folders = [str(folder).replace("%", "%%") for folder in STEPS.folders]
    config.set_main_option("script_location", folders[0])
    config.set_main_option("path_separator", "newline")
    config.set_main_option("version_locations", "\n".join(folders))
    script = ScriptDirectory.from_config(config)

    def steps(revision: Any, _context: object) -> Any:
        return script._upgrade_revs(target, revision)  # noqa: SLF001 - what `alembic upgrade` itself calls

    with EnvironmentContext(config, script, fn=steps, destination_rev=target) as environment:
        environment.configure(connection=connection, version_table=VERSION_TABLE)
        environment.run_migrations()
    made = [step.module for step in script.iterate_revisions(target, "base")]
    oldest = next(module.compatible_from for module in made if module.step == "contract")
    connection.execute(delete(cluster_settings).where(cluster_settings.c.name == COMPATIBLE_FROM))
    connection.execute(insert(cluster_settings).values(name=COMPATIBLE_FROM, value=f"{target} {oldest}"))
    log.info("Brought the database's tables to revision %s, for releases from revision %s on.", target, oldest)
    return target


def _order(revision: str) -> tuple[int, str]:
    return len(revision), revision
