"""The leader empties the outbox: channels side by side, what goes to one of them in order.

At least once: a leader that dies between sending and writing that down leaves it to the next, which sends it again with
the same id. What was not taken waits, longer each time. A channel that takes long, or answers nothing, is left at work
while the others go on, so it holds up none of them.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from rppam.cluster.driver.leader_tasks import RepeatedTask
from rppam.cluster.health.ports import Authority
from rppam.db.errors import DatabaseError
from rppam.kernel.clock import Clock
from rppam.kernel.errors import RppamError
from rppam.notifications.errors import ChannelUnknown
from rppam.notifications.model import Channel, Notice
from rppam.notifications.senders import send
from rppam.notifications.store import TRIES_MAX, SqlChannels

log: Final = logging.getLogger("rppam.notifications")
BATCH: Final = 20
"""So many for each channel in one go: its settings are read anew for each."""
ROUND_S: Final = 1.0
"""So long a round waits for channels; who has not ended then goes on beside the next rounds."""
SEND_EVERY_S: Final = 1.0


class Delivery:
    """See the module."""

    def __init__(self, channels: SqlChannels, clock: Clock, node: str, boot_id: str) -> None:
        self._channels, self._clock, self._node, self._boot_id = channels, clock, node, boot_id
        self._under_way: dict[str, asyncio.Task[None]] = {}
        """By channel."""

    async def run(self, epoch: int) -> int:
        """Begin to send what is due; how much that was. Raises :class:`~rppam.http.errors.FencedError`, a
        ``DatabaseError``; also of a channel that an earlier round began."""
        authority = Authority(epoch, self._boot_id)
        by_channel: dict[str, list[Notice]] = {}
        for notice in await self._channels.due(BATCH, tuple(self._under_way)):
            by_channel.setdefault(notice.channel_id, []).append(notice)
        for ident, notices in by_channel.items():
            work = self._deliver(authority, ident, notices)
            self._under_way[ident] = asyncio.create_task(work, name=f"notifications of {ident}")
        if self._under_way:
            await asyncio.wait(self._under_way.values(), timeout=ROUND_S)
        ended = [self._under_way.pop(ident) for ident, task in tuple(self._under_way.items()) if task.done()]
        for error in [task.exception() for task in ended if not task.cancelled()]:
            if error is not None:
                raise error
        return sum(map(len, by_channel.values()))

    async def close(self) -> None:
        """Break off what is under way: when this returns, nothing is sent any more."""
        for task in self._under_way.values():
            task.cancel()
        if self._under_way:
            await asyncio.wait(self._under_way.values())
        self._under_way.clear()

    async def _deliver(self, authority: Authority, ident: str, notices: Sequence[Notice]) -> None:
        try:
            channel = await self._channels.opened(ident)
        except ChannelUnknown:
            return  # it was deleted meanwhile, with what waited
        except DatabaseError:
            raise
        except RppamError as error:  # its secret does not open
            for notice in notices:
                await self._failed(authority, ident, notice, error)
            return
        for notice in notices:
            if not await self._is_sent(authority, channel, notice):
                return  # the next one is tried in a moment; who answers nothing costs one timeout at a time

    async def _is_sent(self, authority: Authority, channel: Channel, notice: Notice) -> bool:
        try:
            await send(channel, notice, self._clock)
        except RppamError as error:
            await self._failed(authority, channel.name, notice, error)
            return False
        await self._channels.sent(authority, self._node, notice.id)
        return True

    async def _failed(self, authority: Authority, name: str, notice: Notice, error: RppamError) -> None:
        if notice.tries == 0:
            log.warning("Channel %s: %s", name, error)
        if notice.tries + 1 >= TRIES_MAX:
            log.error("Channel %s: a notification is given up, and nobody gets it: %s", name, error)
        await self._channels.failed(authority, self._node, notice, str(error))


class Sending(RepeatedTask):
    """The delivery while this node leads."""

    def __init__(self, delivery: Delivery) -> None:
        super().__init__("the delivery of notifications", SEND_EVERY_S, delivery.run)
        self._delivery = delivery

    async def stop(self) -> None:
        """End it, with what is under way."""
        await super().stop()
        await self._delivery.close()
