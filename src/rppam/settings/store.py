"""Hot configuration in SQL: of each setting the revision in force, and all before it.

A write is one transaction: the fence, the revision asked for, the new row, its line in the history and in the log of
changes. The fence is one row that every such transaction locks first, so two writes never judge the same revision.
Every call raises a ``DatabaseError`` when the database does not answer.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeVar

from sqlalchemy import Connection, Row, insert, select

from rppam.cache.change_log import record_change
from rppam.cache.model import CacheKey, Kind
from rppam.cluster.health.ports import Leadership
from rppam.db.database import Database, Use
from rppam.db.engine import NODE_OPTION, insert_into, now_ms
from rppam.db.fence import advance, stands
from rppam.db.store import SqlStore, reads
from rppam.http.errors import FencedError
from rppam.http.times import iso_utc
from rppam.kernel.fence import Claimed, OnOutranked, Outranked, unheard
from rppam.kernel.instant import WallMs
from rppam.ledger.model import Entity
from rppam.ledger.record import record
from rppam.settings.errors import SettingChanged
from rppam.settings.model import Setting, StoredSetting
from rppam.settings.tables import settings, settings_history

T = TypeVar("T")

FIRST_AUTHOR: Final = "rppam"
"""Who has made the first revisions of a new cluster, for people."""


class Settled(NamedTuple):
    stored: StoredSetting
    """The revision in force now."""
    is_new: bool
    """Whether this write made it; else an earlier one had set the same value."""


class SqlSettingsStore(SqlStore):
    def __init__(self, database: Database, outranked: OnOutranked = unheard) -> None:
        """``outranked`` hears of each write that the fence refuses."""
        self.database, self._outranked = database, outranked

    @reads
    def read(self, connection: Connection, name: str) -> StoredSetting | None:
        """The revision in force; ``None`` when nobody has ever set it."""
        return _in_force(connection, name)

    async def value_of(self, setting: Setting[T]) -> T:
        """The value in force, or the default. Raises :class:`SettingInvalid` or ``ValueError`` where another release
        wrote what this one cannot read."""
        stored = await self.read(setting.name)
        return setting.default if stored is None else setting.read(json.loads(stored.value))

    @reads
    def read_all(self, connection: Connection) -> list[StoredSetting]:
        """All that were ever set, also those that only another release knows, by name."""
        return [_stored(row) for row in connection.execute(select(settings).order_by(settings.c.name))]

    @reads
    def revision(self, connection: Connection, name: str, revision: int) -> StoredSetting | None:
        """An earlier revision, or the one in force."""
        past = settings_history.c
        wanted = select(settings_history).where(past.name == name, past.revision == revision)
        row = connection.execute(wanted).one_or_none()
        return None if row is None else _stored(row)

    @reads
    def history(self, connection: Connection, name: str, below: int | None, count: int) -> list[StoredSetting]:
        """At most ``count`` revisions, the newest first; those below ``below``, or from the one in force on."""
        past = settings_history.c
        wanted = select(settings_history).where(past.name == name).order_by(past.revision.desc()).limit(count)
        if below is not None:
            wanted = wanted.where(past.revision < below)
        return [_stored(row) for row in connection.execute(wanted)]

    async def write(
        self, leader: Leadership, name: str, value: str, author: str, expected: Sequence[int] | None
    ) -> Settled:
        """A new revision, if the fence lets ``leader`` write and one of ``expected`` (0: never set) is in force;
        all in one transaction with its line in the log of changes. A value that is in force already makes no revision.

        Raises :class:`FencedError`, :class:`SettingChanged`; then nothing has changed.
        """

        node, authority = leader

        def work(connection: Connection) -> Settled | Claimed:
            if not advance(connection, authority.epoch, node, authority.boot_id):
                return stands(connection)
            before = _in_force(connection, name)
            revision = before.revision if before is not None else 0
            if expected is not None and revision not in expected:
                raise SettingChanged(revision) if before is None else _changed(before)
            if before is not None and before.value == value:
                return Settled(before, is_new=False)
            after = StoredSetting(name, revision + 1, value, author, authority.epoch, node, WallMs(now_ms(connection)))
            _write(connection, after)
            facts = {"revision": after.revision, "before": before.value if before is not None else "", "after": value}
            record(connection, "setting.change", Entity("setting", name), epoch=authority.epoch, details=facts)
            return Settled(after, is_new=True)

        outcome = await self.database.write(work, use=Use.FENCE)
        if isinstance(outcome, Settled):
            return outcome
        self._outranked(Outranked(authority.epoch, outcome))
        raise FencedError(f"{node} led at epoch {authority.epoch}, but a newer leader has written since")


def begin_with(connection: Connection, values: Mapping[str, str]) -> None:
    """Give a new cluster, which has had no leader yet, its first revisions; a setting that has one keeps it."""
    node = connection.get_execution_options().get(NODE_OPTION, "")
    for name, value in values.items():
        if _in_force(connection, name) is None:
            _write(connection, StoredSetting(name, 1, value, FIRST_AUTHOR, 0, node, WallMs(now_ms(connection))))
            facts = {"revision": 1, "before": "", "after": value}
            record(connection, "setting.change", Entity("setting", name), reason="a new cluster", details=facts)


def _write(connection: Connection, new: StoredSetting) -> None:
    row = new._asdict()
    changed = {field: content for field, content in row.items() if field != "name"}
    put = insert_into(connection, settings).values(**row)
    connection.execute(put.on_conflict_do_update(index_elements=[settings.c.name], set_=changed))
    connection.execute(insert(settings_history).values(**row))
    record_change(connection, CacheKey(Kind.SETTING, new.name), new.revision)


def _changed(stored: StoredSetting) -> SettingChanged:
    return SettingChanged(stored.revision, stored.author, iso_utc(stored.changed_at))


def _in_force(connection: Connection, name: str) -> StoredSetting | None:
    row = connection.execute(select(settings).where(settings.c.name == name)).one_or_none()
    return None if row is None else _stored(row)


def _stored(row: Row[Any]) -> StoredSetting:
    return StoredSetting(**row._asdict())
