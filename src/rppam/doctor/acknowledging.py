"""The list of acknowledged findings as the control process of a node follows it, and as a command reads it.

The setting is read from SQL every :data:`LOOK_EVERY_S`, since that process has no settings in force. While the database
does not answer, the list that was read last holds; before the first answer there is none, so everything counts.
"""

from typing import Final

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from rppam.cluster.driver.node_tasks import NodeTask
from rppam.config.settings import Settings
from rppam.db.database import Database
from rppam.db.engine import open_engine
from rppam.db.refusal import first_line
from rppam.db.url import is_not_made, parse_database_url
from rppam.doctor.acknowledged import ACKNOWLEDGED, Entry, acknowledged, day_of, entries_of
from rppam.kernel.clock import Clock
from rppam.kernel.errors import RppamError
from rppam.kernel.finding import Finding
from rppam.settings.store import SqlSettingsStore
from rppam.settings.tables import settings as table

LOOK_EVERY_S: Final = 3.0


class Acknowledging(NodeTask):
    """See the module."""

    def __init__(self, database: Database, clock: Clock, node: str) -> None:
        super().__init__("the list of acknowledged findings", LOOK_EVERY_S, self._look)
        self._store, self._clock, self._node = SqlSettingsStore(database), clock, node
        self._entries: tuple[Entry, ...] = ()

    def judge(self, findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
        """The same findings, with who has acknowledged which. Takes no time."""
        if not self._entries or not findings:
            return findings
        return acknowledged(findings, self._entries, self._node, day_of(self._clock.wall_ms()))

    async def _look(self) -> str:
        stored = await self._store.read(ACKNOWLEDGED.name)
        self._entries = entries_of(None if stored is None else stored.value)
        return ""


def entries_in(settings: Settings) -> tuple[Entry, ...] | str:
    """The list as it stands in the database of the config, or why it cannot be read. Changes nothing there."""
    try:
        url = parse_database_url(settings.database.url)
    except RppamError as error:
        return str(error)
    if is_not_made(url):
        return ()
    engine = open_engine(url, settings.database.timeout_ms, lambda _line: None)
    try:
        with engine.connect() as connection:
            return entries_of(
                connection.execute(select(table.c.value).where(table.c.name == ACKNOWLEDGED.name)).scalar()
            )
    except SQLAlchemyError as error:
        return first_line(error)
    except RppamError as error:
        return str(error)
    finally:
        engine.dispose()
