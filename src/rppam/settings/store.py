"""Hot configuration in SQL (:class:`rppam.settings.ports.SettingsStore`): the revision in force, and all before it.

A write is one transaction: the fence, the revision asked for, the new row, its line in the history and in the log of
changes. The fence is one row that every such transaction locks first, so two writes never judge the same revision.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, insert, select
from sqlalchemy.dialects import postgresql, sqlite

from rppam.cache.change_log import record_change
from rppam.cache.model import CacheKey, Kind
from rppam.cluster.health.ports import Authority
from rppam.db.database import Database, Use
from rppam.db.engine import NowMs
from rppam.db.fence import advance, stands
from rppam.http.errors import FencedError
from rppam.kernel.fence import Claimed, OnOutranked, Outranked, unheard
from rppam.kernel.instant import WallMs
from rppam.ledger.model import Entity
from rppam.ledger.record import record
from rppam.settings.errors import SettingChanged
from rppam.settings.model import StoredSetting
from rppam.settings.ports import Settled
from rppam.settings.tables import settings, settings_history


class SqlSettingsStore:
    """See the module."""

    def __init__(self, database: Database, outranked: OnOutranked = unheard) -> None:
        """``outranked`` hears of each write that the fence refuses."""
        self._database, self._outranked = database, outranked

    async def read(self, name: str) -> StoredSetting | None:
        """See the port."""
        return await self._database.read(lambda connection: _in_force(connection, name))

    async def read_all(self) -> list[StoredSetting]:
        """See the port."""

        def work(connection: Connection) -> list[StoredSetting]:
            return [_stored(row) for row in connection.execute(select(settings).order_by(settings.c.name))]

        return await self._database.read(work)

    async def revision(self, name: str, revision: int) -> StoredSetting | None:
        """See the port."""

        def work(connection: Connection) -> StoredSetting | None:
            past = settings_history.c
            wanted = select(settings_history).where(past.name == name, past.revision == revision)
            row = connection.execute(wanted).one_or_none()
            return None if row is None else _stored(row)

        return await self._database.read(work)

    async def history(self, name: str, below: int | None, count: int) -> list[StoredSetting]:
        """See the port."""

        def work(connection: Connection) -> list[StoredSetting]:
            past = settings_history.c
            wanted = select(settings_history).where(past.name == name).order_by(past.revision.desc()).limit(count)
            if below is not None:
                wanted = wanted.where(past.revision < below)
            return [_stored(row) for row in connection.execute(wanted)]

        return await self._database.read(work)

    async def write(
        self, authority: Authority, node: str, name: str, value: str, author: str, expected: Sequence[int] | None
    ) -> Settled:
        """See the port."""

        def work(connection: Connection) -> Settled | Claimed:
            if not advance(connection, authority.epoch, node, authority.boot_id):
                return stands(connection)
            before = _in_force(connection, name)
            revision = before.revision if before is not None else 0
            if expected is not None and revision not in expected:
                raise SettingChanged(revision)
            if before is not None and before.value == value:
                return Settled(before, is_new=False)
            after = StoredSetting(name, revision + 1, value, author, authority.epoch, node, _now(connection))
            _write(connection, after)
            facts = {"revision": after.revision, "before": before.value if before is not None else "", "after": value}
            record(connection, "setting.change", Entity("setting", name), epoch=authority.epoch, details=facts)
            return Settled(after, is_new=True)

        outcome = await self._database.write(work, use=Use.FENCE)
        if isinstance(outcome, Settled):
            return outcome
        self._outranked(Outranked(authority.epoch, outcome))
        raise FencedError(f"{node} led at epoch {authority.epoch}, but a newer leader has written since")


def _write(connection: Connection, new: StoredSetting) -> None:
    replace = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    row: dict[str, Any] = new._asdict()
    connection.execute(
        replace(settings)
        .values(**row)
        .on_conflict_do_update(
            index_elements=[settings.c.name], set_={field: content for field, content in row.items() if field != "name"}
        )
    )
    connection.execute(insert(settings_history).values(**row))
    record_change(connection, CacheKey(Kind.SETTING, new.name), new.revision)


def _in_force(connection: Connection, name: str) -> StoredSetting | None:
    row = connection.execute(select(settings).where(settings.c.name == name)).one_or_none()
    return None if row is None else _stored(row)


def _now(connection: Connection) -> WallMs:
    return WallMs(connection.execute(select(NowMs())).scalar_one())


def _stored(row: Row[Any]) -> StoredSetting:
    return StoredSetting(
        row.name, row.revision, row.value, row.author, row.epoch, row.node, WallMs(row.changed_at)
    )  # fmt: skip
