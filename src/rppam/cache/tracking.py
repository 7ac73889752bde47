"""Invalidations of one prefix over one link: switched on with each connection, and proven while there are reads.

Redis is asked to push the names of all keys below the prefix that change (CLIENT TRACKING in broadcast mode, RESP3). A
question over the same connection whether that is still so proves two things at once: that it is, and, since replies and
pushes come in order, that everything which was pushed before has arrived. Nobody is asked whether it *will* stay so;
that is why the proof holds for a bounded time only (:data:`rppam.cache.coherence.PROVEN_NS`). Where no read has missed
for :data:`IDLE_NS`, nothing is asked: an idle node costs Redis nothing. Changes are pushed all the same; the next read
goes to Redis, and has the proof asked for at once.

NOLOOP is not used. Redis remembers one writer for each key and turn, the first; another's change in the same turn would
then be kept from the first.

What it does not promise: that every Redis allows it. Where CLIENT TRACKING is denied, or off again as soon as it is on,
nothing is ever proven, and so nothing is served from memory; it is tried again every :data:`AGAIN_S`.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

from rppam.cache.coherence import COMPLAIN_EVERY_NS, PROVE_EVERY_NS, Coherence
from rppam.redis.connection import Connection
from rppam.redis.errors import StoreError, StoreReplyError
from rppam.redis.link import Link

log: Final = logging.getLogger("rppam.cache")

AGAIN_S: Final = 15.0
STAYS_OFF: Final = "they are off as soon as they are on"
IDLE_NS: Final = 15_000_000_000
"""Reads that hit are not counted, as that would cost each of them: of constant ones, one in this time misses."""
_EVERY_S: Final = PROVE_EVERY_NS / 1_000_000_000


class Tracking:
    """Tells a :class:`~rppam.cache.coherence.Coherence` what the link says."""

    def __init__(
        self,
        link: Link,
        prefix: str,
        coherence: Coherence,
        now_ns: Callable[[], int],
        *,
        on_name: Callable[[bytes], object],
        on_all: Callable[[], object],
    ) -> None:
        """``on_name`` gets each name that has changed; ``on_all`` is called when anything may have."""
        self._link, self._prefix, self._coherence, self._now_ns = link, prefix, coherence, now_ns
        self._on_name, self._on_all = on_name, on_all
        self._keeper: asyncio.Task[None] | None = None
        self._wanted_at = now_ns()
        self._wanted = asyncio.Event()
        self._denied = ""
        self._complains_from = now_ns()
        link.on_up(self._up)
        link.on_down(self._down)
        link.on_push(self._pushed)

    @property
    def denied(self) -> str:
        """Why Redis does not push invalidations, in its words; empty while it does or nobody knows."""
        return self._denied

    def want(self) -> None:
        """A read has missed: a proof is wanted, at once where none holds."""
        self._wanted_at = self._now_ns()
        self._wanted.set()

    def stop(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()

    def _up(self, connection: Connection) -> None:
        self.stop()
        self._keeper = asyncio.create_task(self._keep(connection), name="cache tracking")

    def _down(self, _error: StoreError) -> None:
        self.stop()
        self._lost()

    def _lost(self) -> None:
        self._coherence.link_down()
        self._on_all()

    def _pushed(self, push: list[Any]) -> None:
        if push[0] != b"invalidate":
            return
        if push[1] is None:  # FLUSHALL, FLUSHDB
            self._coherence.flushed()
            self._on_all()
            return
        for name in push[1]:
            self._on_name(name)

    async def _keep(self, connection: Connection) -> None:
        """As long as this connection lives."""
        while connection.lost is None:
            try:
                await self._switch_on(connection)
                if await self._prove_on(connection):
                    self._complain(connection)
                    continue
                why = STAYS_OFF
            except StoreReplyError as error:
                why = error.raw
            except StoreError:
                # No answer in time; if the connection is over, somebody else says so. Nothing is proven meanwhile.
                await asyncio.sleep(_EVERY_S)
                continue
            if connection.lost is None:
                self._deny(connection, why)
                await asyncio.sleep(AGAIN_S)

    async def _switch_on(self, connection: Connection) -> None:
        timeout_ms = self._link.options.command_timeout_ms
        # An attempt that was not answered may have been carried out, and a second "on" is refused.
        await connection.command("CLIENT", "TRACKING", "OFF", timeout_ms=timeout_ms)
        asked = self._now_ns()
        words = ("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", self._prefix)
        await connection.command(*words, timeout_ms=timeout_ms)
        if self._link.connection is connection:
            self._coherence.link_up(asked)
            self._on_all()

    async def _prove_on(self, connection: Connection) -> bool:
        """Prove it again and again, until it is not so any more; whether it was so once, or nobody could say."""
        was_on = False
        while connection.lost is None:
            if not await self._prove(connection):
                self._lost()
                return was_on
            was_on = True
            await asyncio.sleep(_EVERY_S)
            if self._now_ns() - self._wanted_at > IDLE_NS:
                self._wanted.clear()
                await self._wanted.wait()
        return True

    async def _prove(self, connection: Connection) -> bool:
        """Whether invalidations are on. An answer that does not come proves nothing, and is asked for again."""
        asked = self._now_ns()
        try:
            answer = await connection.command(
                "CLIENT", "TRACKINGINFO", timeout_ms=self._link.options.command_timeout_ms
            )
        except StoreReplyError:
            raise
        except StoreError:
            return True
        if not _is_on(answer, self._prefix.encode()):
            return False
        if self._link.connection is connection:
            self._denied = ""
            self._coherence.proven(asked)
        return True

    def _complain(self, connection: Connection) -> None:
        """Once a minute at most: what switches them off may do so each time."""
        now = self._now_ns()
        if connection.lost is None and now >= self._complains_from:
            self._complains_from = now + COMPLAIN_EVERY_NS
            log.warning("Redis at %s has switched invalidations off; switching on again", connection.target.address)

    def _deny(self, connection: Connection, why: str) -> None:
        if self._denied != why:
            log.warning(
                "Redis at %s does not tell of changes (%s): every read goes to Redis. Allow the node's user "
                "CLIENT TRACKING and CLIENT TRACKINGINFO; 'rppam redis setup' does",
                connection.target.address,
                why,
            )
        self._denied = why
        self._coherence.link_down()


def _is_on(answer: Any, prefix: bytes) -> bool:
    """Whether CLIENT TRACKINGINFO says that changes below ``prefix`` are pushed here."""
    if not isinstance(answer, dict):
        return False
    flags, prefixes = answer.get(b"flags") or (), answer.get(b"prefixes") or ()
    return b"on" in flags and b"bcast" in flags and b"noloop" not in flags and prefix in prefixes
