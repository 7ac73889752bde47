"""Channels, and the outbox as the leader empties it, in SQL."""

import json
from collections.abc import Collection, Mapping
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Row, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from rppam.cluster.health.ports import Authority
from rppam.crypto.data_keys import DataKeys
from rppam.db.database import Database
from rppam.db.engine import NowMs
from rppam.db.fence import require_leadership
from rppam.kernel.secret import Secret
from rppam.ledger.model import Entity
from rppam.ledger.precondition import check_if_match
from rppam.ledger.record import record
from rppam.notifications.errors import ChannelTaken, ChannelUnknown
from rppam.notifications.model import Channel, ChannelKind, Notice, options_of
from rppam.notifications.tables import notification_channels, notifications

_C, _N = notification_channels.c, notifications.c
RETRY_S: Final = (5, 15, 60, 300, 900, 3600)
TRIES_MAX: Final = 80
"""About three days; then it is given up."""
KEPT_MS: Final = 30 * 24 * 3_600_000
PROBLEM_CHARS: Final = 500
_GIVEN_UP: Final = _N.sent_at.is_(None) & _N.next_try_at.is_(None)
_MAKE_REVISIONS: Final = ("channel.create", "channel.change")


class Queue(NamedTuple):
    """What has not arrived at a channel."""

    waiting: int = 0
    """How many are sent again."""
    given_up: int = 0
    """How many nobody gets, unless the channel is changed."""
    problem: str = ""
    """Why the last one was not taken."""


class SqlChannels:
    """See the module."""

    def __init__(self, database: Database, data_keys: DataKeys) -> None:
        self._database, self._data_keys = database, data_keys

    async def all(self) -> list[Channel]:
        """Every channel by name, without its secret."""
        wanted = select(notification_channels).order_by(_C.name)
        return await self._database.read(lambda connection: [_channel(row) for row in connection.execute(wanted)])

    async def get(self, ident: str) -> Channel:
        """One channel, without its secret. Raises :class:`ChannelUnknown`."""
        return await self._database.read(lambda connection: _channel(_row(connection, ident)))

    async def opened(self, ident: str) -> Channel:
        """One channel with its secret. Raises :class:`ChannelUnknown`, what a sealed value raises."""
        row = await self._database.read(lambda connection: _row(connection, ident))
        secret = None if row.secret is None else await self._data_keys.unseal(row.secret, _place(ident))
        return _channel(row)._replace(secret=secret)

    async def create(self, channel: Channel) -> Channel:
        """Make a channel. Raises :class:`ChannelTaken`."""
        sealed = await self._sealed(channel)

        def work(connection: Connection) -> Channel:
            _written(connection, insert(notification_channels).values(**_columns(channel), secret=sealed))
            record(connection, "channel.create", _entity(channel), details=_facts(channel))
            return _channel(_row(connection, channel.id))

        return await self._database.write(work)

    async def change(self, channel: Channel, seen: int | None, if_match: Collection[int] | None = None) -> Channel:
        """Replace a channel; a secret of ``None`` stays. What was given up is sent as well.

        Raises as :meth:`create`, :class:`ChannelUnknown`, :class:`~rppam.http.errors.PreconditionFailedError`.
        """
        sealed = await self._sealed(channel)

        def work(connection: Connection) -> Channel:
            before = _locked(connection, channel.id, if_match)
            if seen is not None and seen != before.revision:
                raise ChannelTaken(f"it has revision {before.revision}, and revision {seen} was sent")
            columns = _columns(channel) | {"revision": before.revision + 1}
            if sealed is not None:
                columns["secret"] = sealed
            _written(connection, update(notification_channels).where(_C.id == channel.id).values(**columns))
            again = update(notifications).where(_GIVEN_UP & (_N.channel_id == channel.id))
            connection.execute(again.values(next_try_at=NowMs(), tries=0))
            record(connection, "channel.change", _entity(channel), details=_facts(channel))
            return _channel(_row(connection, channel.id))

        return await self._database.write(work)

    async def remove(self, ident: str, if_match: Collection[int] | None = None) -> None:
        """Delete a channel and what waits for it. Raises :class:`ChannelUnknown`,
        :class:`~rppam.http.errors.PreconditionFailedError`."""

        def work(connection: Connection) -> None:
            channel = _channel(_locked(connection, ident, if_match))
            connection.execute(delete(notifications).where(_N.channel_id == ident))
            connection.execute(delete(notification_channels).where(_C.id == ident))
            record(connection, "channel.delete", _entity(channel))

        await self._database.write(work)

    # ---- the outbox --------------------------------------------------------------------------------------------------

    async def due(self, limit: int, busy: Collection[str] = ()) -> list[Notice]:
        """What is to be sent now, the oldest first; so many of each channel that is enabled and not ``busy``."""
        order = (_N.created_at, _N.id)
        place = func.row_number().over(partition_by=_N.channel_id, order_by=order).label("place")
        enabled = _N.channel_id.in_(select(_C.id).where(_C.enabled))
        is_due = (_N.next_try_at <= NowMs()) & enabled & _N.channel_id.not_in(busy)
        ranked = select(notifications, place).where(is_due).subquery()
        wanted = select(ranked).where(ranked.c.place <= limit).order_by(ranked.c.created_at, ranked.c.id)
        return await self._database.read(lambda connection: [_notice(row) for row in connection.execute(wanted)])

    async def outbox(self) -> Mapping[str, Queue]:
        """By channel, what has not arrived."""
        columns = (_N.channel_id, _N.problem, _N.next_try_at)
        wanted = select(*columns).where(_N.sent_at.is_(None)).order_by(_N.created_at)

        def work(connection: Connection) -> Mapping[str, Queue]:
            found: dict[str, Queue] = {}
            for row in connection.execute(wanted):
                waiting, given_up, problem = found.get(row.channel_id, Queue())
                is_over = row.next_try_at is None
                found[row.channel_id] = Queue(waiting + (not is_over), given_up + is_over, row.problem or problem)
            return found

        return await self._database.read(work)

    async def sent(self, authority: Authority, node: str, ident: str) -> None:
        """It has arrived. Raises :class:`~rppam.http.errors.FencedError`."""

        def work(connection: Connection) -> None:
            require_leadership(connection, authority.epoch, node, authority.boot_id)
            done = update(notifications).where(_N.id == ident)
            connection.execute(done.values(sent_at=NowMs(), next_try_at=None, problem=""))
            connection.execute(delete(notifications).where(_N.sent_at < NowMs() - KEPT_MS))
            connection.execute(delete(notifications).where(_GIVEN_UP & (_N.created_at < NowMs() - KEPT_MS)))

        await self._database.write(work)

    async def failed(self, authority: Authority, node: str, notice: Notice, problem: str) -> None:
        """It was not taken, and is sent again later. Raises :class:`~rppam.http.errors.FencedError`."""
        tries = notice.tries + 1
        pause_ms = RETRY_S[min(notice.tries, len(RETRY_S) - 1)] * 1000
        again = None if tries >= TRIES_MAX else NowMs() + pause_ms

        def work(connection: Connection) -> None:
            require_leadership(connection, authority.epoch, node, authority.boot_id)
            values = {"tries": tries, "next_try_at": again, "problem": problem[:PROBLEM_CHARS]}
            connection.execute(update(notifications).where(_N.id == notice.id).values(**values))

        await self._database.write(work)

    async def _sealed(self, channel: Channel) -> str | None:
        return None if channel.secret is None else await self._data_keys.seal(channel.secret, _place(channel.id))


def _written(connection: Connection, statement: Any) -> None:
    try:
        with connection.begin_nested():
            connection.execute(statement)
    except IntegrityError:
        raise ChannelTaken("a channel of this name exists already") from None


def _place(ident: str) -> str:
    return f"the secret of the channel of notifications {ident}"


def _entity(channel: Channel) -> Entity:
    return Entity("notification-channel", channel.id, channel.name)


def _facts(channel: Channel) -> dict[str, Any]:
    return {"kind": channel.kind.value, "url": channel.url, "enabled": channel.enabled}


def _columns(channel: Channel) -> dict[str, Any]:
    return {
        "id": channel.id,
        "name": channel.name,
        "kind": channel.kind.value,
        "url": channel.url,
        "options": json.dumps(channel.options._asdict()),
        "enabled": channel.enabled,
        "revision": channel.revision,
    }


def _row(connection: Connection, ident: str) -> Row[Any]:
    row = connection.execute(select(notification_channels).where(_C.id == ident)).one_or_none()
    if row is None:
        raise ChannelUnknown("no channel of notifications has this id")
    return row


def _locked(connection: Connection, ident: str, if_match: Collection[int] | None) -> Row[Any]:
    """The channel's row for a change by somebody who has seen these revisions."""
    connection.execute(select(_C.id).where(_C.id == ident).with_for_update())
    row = _row(connection, ident)
    check_if_match(connection, if_match, row.revision, _entity(_channel(row)), _MAKE_REVISIONS)
    return row


def _channel(row: Row[Any]) -> Channel:
    secret = None if row.secret is None else Secret("")
    options = options_of(json.loads(row.options))
    return Channel(row.id, row.name, ChannelKind(row.kind), row.url, options, secret, row.enabled, row.revision)


def _notice(row: Row[Any]) -> Notice:
    return Notice(row.id, row.channel_id, row.kind, json.loads(row.body), row.created_at, row.tries)
