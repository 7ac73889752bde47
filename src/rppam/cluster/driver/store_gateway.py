"""The store gateway: carries exchanges from the core to the store, and answers and word of the connection back.

It publishes this node's heartbeats with them. It decides nothing, and knows no Redis.
"""

import logging
from collections.abc import Callable
from typing import Final, NamedTuple

from rppam.cluster.consensus.admission import AdmissionState
from rppam.cluster.consensus.effects import Connected, Disconnected, Exchange, ReleaseHeard, Unknown
from rppam.cluster.consensus.heartbeat import Heartbeat
from rppam.cluster.consensus.node import Exchanged, NodeCore, NodeEffect
from rppam.cluster.link.link import TlsMemberLink
from rppam.cluster.store.ports import ExchangeAnswer, ExchangeOrder, LeadershipStore, StoreListener
from rppam.cluster.store.store_warnings import StoreWarnings
from rppam.kernel.clock import Clock
from rppam.kernel.errors import RppamError
from rppam.kernel.instant import US_PER_MS, Instant

log: Final = logging.getLogger("rppam.node")

KNOWN_MAX: Final = 192
"""How many names are read first at most; fewer than the store lists in all."""
NAMES_SHOWN: Final = 3

MakeHeartbeat = Callable[[int, int, int], Heartbeat]
"""(its number, loop lag in ms, ms since the store answered) to what this node says of itself."""


class StoreView(NamedTuple):
    """What the driver knows of the store."""

    connected: bool
    reason: str
    """Empty while connected; else why not, and what to do."""
    answered_at: Instant | None
    offset_ms: int | None
    """The store's wall clock minus this host's."""


class StoreGateway:
    """Between one node's core and the store."""

    def __init__(
        self,
        core: NodeCore,
        store: LeadershipStore,
        clock: Clock,
        heartbeat: MakeHeartbeat,
        feed: Callable[[list[NodeEffect]], None],
        link: TlsMemberLink | None,
        identity_wait_us: int,
    ) -> None:
        """``feed`` carries out what the core decides; ``identity_wait_us``: see ``Connected.extra_wait_us``."""
        self.view = StoreView(connected=False, reason="not connected yet", answered_at=None, offset_ms=None)
        self.warnings = StoreWarnings(core.node)
        self.namesake: Heartbeat | None = None
        """The last heartbeat under this node's name that was not this life's."""
        self.loop_lag_ms = 0
        self.leaving = False
        """The next heartbeat says goodbye, and none is published with an exchange any more."""
        self._core = core
        self._store = store
        self._clock = clock
        self._heartbeat = heartbeat
        self._feed = feed
        self._link = link
        self._identity_wait_us = identity_wait_us
        self._beat = 0
        self._lag_ms = 0

    async def start(self) -> None:
        await self._store.start(StoreListener(self._on_up, self._on_down, self._on_release))

    async def stop(self) -> None:
        await self._store.stop()

    def lagged(self, late_ms: int) -> None:
        """The loop ran late; the next heartbeat says by how much at most."""
        self._lag_ms = max(self._lag_ms, late_ms)

    async def deregister(self) -> None:
        """Say with a last heartbeat that this node leaves, and take it off the list of members. Raises RppamError."""
        standing = self._core.admission.standing
        if not self.view.connected or standing in {AdmissionState.WATCHING, AdmissionState.NAME_TAKEN}:
            return  # nothing of this life was published, or what stands there is another's
        self.leaving = True
        order = ExchangeOrder(None, None, self._core.mark(), self._next_heartbeat())
        await self._store.exchange(order, self._core.timing.request_timeout_ms)

    async def exchange(self, effect: Exchange) -> None:
        """Make the exchange that the core asked for, and feed it the answer."""
        publish = self._core.admission.standing.publishes and not self.leaving
        callers = () if self._link is None else self._link.callers
        order = ExchangeOrder(
            effect.swap.expected if effect.swap else None,
            effect.swap.proposed if effect.swap else None,
            effect.mark,
            self._next_heartbeat() if publish else None,
            tuple(dict.fromkeys((*self._core.known, *callers)))[:KNOWN_MAX],
        )
        try:
            answer = await self._store.exchange(order, self._core.timing.request_timeout_ms)
        except RppamError as error:
            if self.view.connected:  # else the reason why not says more
                if str(error) != self.view.reason:
                    log.warning("the store did not answer: %s", error)
                self.view = self.view._replace(reason=str(error))
            self._feed(self._core.step(Unknown(effect.request, str(error)), self._clock.now()))
            return
        self._answered(effect.request, answer)

    def _answered(self, request: int, answer: ExchangeAnswer) -> None:
        now, wall_ms, core = self._clock.now(), self._clock.wall_ms(), self._core
        self.warnings.answered(answer, now)
        if answer.own_before is not None and answer.own_before.boot_id != core.boot_id:
            self.namesake = answer.own_before
        offset_ms = answer.store_wall_ms - wall_ms
        self.view = StoreView(connected=True, reason="", answered_at=now, offset_ms=offset_ms)
        exchanged = Exchanged(
            request,
            answer.granted,
            answer.was_absent,
            answer.record,
            answer.own_before,
            answer.heartbeats,
            wall_ms,
            "" if self._link is None else self._link.displaced,
        )
        self._feed(core.step(exchanged, now))
        self.warnings.heartbeats(
            now,
            unauthenticated=answer.unauthenticated,
            passed_over=core.roster.passed_over,
            unsealed=answer.unsealed,
            crowd=core.roster.crowd,
            namesake=core.admission.namesake(now),
        )

    def _next_heartbeat(self) -> Heartbeat:
        self._beat += 1
        self.loop_lag_ms, self._lag_ms = self._lag_ms, 0
        answered = self.view.answered_at
        renewed_ms_ago = 0 if answered is None else (self._clock.now() - answered) // US_PER_MS
        return self._heartbeat(self._beat, self.loop_lag_ms, renewed_ms_ago)._replace(leaving=self.leaving)

    async def unregister(self, nodes: tuple[str, ...]) -> None:
        more = len(nodes) - NAMES_SHOWN
        who = ", ".join(nodes[:NAMES_SHOWN]) + (f" and {more} others" if more > 0 else "")
        try:
            await self._store.unregister(nodes, self._core.timing.request_timeout_ms)
        except RppamError as error:
            log.debug("still listed in the store: %s: %s", who, error)
        else:
            log.info("taken off the store's list, as they are no members and show no life: %s", who)

    def _on_up(self, number: int, identity: str) -> None:
        self.view = self.view._replace(connected=True, reason="")
        log.debug("connected to the store (%s)", identity)  # the connection reports itself
        self._feed(self._core.step(Connected(number, identity, self._identity_wait_us), self._clock.now()))

    def _on_down(self, number: int, reason: str) -> None:
        self.view = self.view._replace(connected=False, reason=reason)
        self._feed(self._core.step(Disconnected(number), self._clock.now()))

    def _on_release(self) -> None:
        self._feed(self._core.step(ReleaseHeard(), self._clock.now()))
