"""The leader empties the outbox: channels side by side, what goes to one of them in order.

At least once: a leader that dies between sending and writing that down leaves it to the next, which sends it again with
the same id. What was not taken waits, longer each time, and holds up no other.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from rppam.cluster.health.ports import Authority
from rppam.kernel.clock import Clock
from rppam.kernel.errors import RppamError
from rppam.notifications.errors import NotDelivered
from rppam.notifications.model import Notice
from rppam.notifications.senders import send
from rppam.notifications.store import SqlChannels

log: Final = logging.getLogger("rppam.notifications")
BATCH: Final = 100


class Delivery:
    """See the module."""

    def __init__(self, channels: SqlChannels, clock: Clock, node: str, boot_id: str) -> None:
        self._channels, self._clock, self._node, self._boot_id = channels, clock, node, boot_id

    async def run(self, epoch: int) -> int:
        """Send what is due; how much that was. Raises :class:`~rppam.http.errors.FencedError`."""
        authority = Authority(epoch, self._boot_id)
        by_channel: dict[str, list[Notice]] = {}
        due = await self._channels.due(BATCH)
        for notice in due:
            by_channel.setdefault(notice.channel_id, []).append(notice)
        await asyncio.gather(*(self._deliver(authority, ident, some) for ident, some in by_channel.items()))
        return len(due)

    async def _deliver(self, authority: Authority, ident: str, notices: Sequence[Notice]) -> None:
        channel = await self._channels.opened(ident)
        for notice in notices:
            try:
                await send(channel, notice, self._clock)
            except NotDelivered as error:
                if notice.tries == 0:
                    log.warning("Channel %s: %s", channel.name, error)
                await self._channels.failed(authority, self._node, notice, str(error))
                continue
            except RppamError as error:
                await self._channels.failed(authority, self._node, notice, str(error))
                continue
            await self._channels.sent(authority, self._node, notice.id)
