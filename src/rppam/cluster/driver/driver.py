"""The driver: runs one node's machines in real time and carries out their effects.

One asyncio task polls the core no later than it asks to be; replies and word of the connections are fed to it in the
same loop, so the core needs no lock. Every effect that waits for the world runs in a task of its own and comes back as
an event. The driver decides nothing; it knows no Redis and no SQL.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final

from rppam.cluster.consensus.effects import (
    ClaimEpoch,
    ConfirmEpoch,
    EpochClaimed,
    EpochLearned,
    Exchange,
    FenceRefused,
    LearnEpoch,
    Phase,
    Promoted,
    Quiesced,
    RecordRefuted,
    StandAgain,
    StandDown,
    SteppedDown,
    Tick,
    Told,
)
from rppam.cluster.consensus.failure_detector import MemberChanged
from rppam.cluster.consensus.node import Admitted, KeepOrders, NodeCore, NodeEffect, Turned, Unregister
from rppam.cluster.driver.leader_tasks import LeaderTasks
from rppam.cluster.driver.member_gateway import MemberGateway, MemberWays
from rppam.cluster.driver.operator_state import OperatorStateKeeper
from rppam.cluster.driver.store_gateway import MakeHeartbeat, StoreGateway
from rppam.cluster.history.node_log import LeadershipLog, MemberLog, last_sign
from rppam.cluster.history.recorder import HistoryEvent, noted
from rppam.cluster.store.ports import EpochRegister, LeadershipStore
from rppam.kernel.clock import Clock
from rppam.kernel.errors import RppamError
from rppam.kernel.fence import Fenced, Outranked
from rppam.kernel.instant import US_PER_MS, Instant

log = logging.getLogger("rppam.node")

MAX_SLEEP_S: Final = 1.0
CONFIRM_TIMEOUT_MS: Final = 2_000  # nobody waits for the answer
STOP_AGAIN_S: Final = 0.05
"""Between two attempts to stop what only a leader does."""


class Tasks:
    """Tasks that must not fail, each until its end."""

    def __init__(self) -> None:
        self.broken: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        """Set when one has failed."""
        self._running: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._running.add(task)
        task.add_done_callback(self.ended)

    def ended(self, task: "asyncio.Task[None]") -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("'%s' failed", task.get_name(), exc_info=error)
            if not self.broken.done():
                self.broken.set_result(f"'{task.get_name()}' failed: {error!r}")

    async def stop(self) -> None:
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


class DatabaseGateway:
    """Between one node's core and the epoch register."""

    def __init__(
        self, core: NodeCore, register: EpochRegister, clock: Clock, feed: Callable[[list[NodeEffect]], None]
    ) -> None:
        self._core, self._register, self._clock, self._feed = core, register, clock, feed
        self._timeout_ms = max(50, core.timing.request_timeout_ms // 4)
        self._confirms = False

    async def learn(self, attempt: int) -> None:
        newest = await self._register.newest(self._timeout_ms)
        highest = None if newest is None else newest.epoch
        self._feed(self._core.step(EpochLearned(attempt, highest, self._clock.wall_ms()), self._clock.now()))

    async def claim(self, attempt: int, epoch: int) -> None:
        outcome = await self._register.claim(epoch, self._core.node, self._core.boot_id, self._timeout_ms)
        self._feed(self._core.step(EpochClaimed(attempt, outcome), self._clock.now()))

    async def confirm(self, epoch: int, outranked: Callable[[Outranked], None]) -> None:
        """Look at the fence, off the way of everything that leadership waits for; no answer changes nothing.

        One look at a time, however slow the database is.
        """
        if self._confirms:
            return
        self._confirms = True
        core = self._core
        timeout_ms = max(CONFIRM_TIMEOUT_MS, core.timing.heartbeat_ms)
        try:
            newest = await self._register.newest(timeout_ms)
            if newest is None or (newest.epoch, newest.boot_id) == (epoch, core.boot_id):
                return
            refused = newest.epoch >= epoch
            if not refused and core.status().permission(self._clock.now()) == epoch:  # it has not been heard there yet
                claimed = await self._register.claim(epoch, core.node, core.boot_id, timeout_ms)
                refused = claimed is Fenced.REFUSED
                newest = (refused and await self._register.newest(timeout_ms)) or newest
            if refused:
                outranked(Outranked(epoch, newest))
        finally:
            self._confirms = False


class Moved:
    """Set whenever the core may have changed."""

    def __init__(self) -> None:
        self.wake, self.released = asyncio.Event(), asyncio.Event()


class Fitness:
    """Whether this node should lead, for reasons that the core knows nothing of."""

    def __init__(self, why_unfit: Callable[[], str]) -> None:
        """``why_unfit``: why not, now; empty where it may."""
        self._why_unfit, self._is_unfit, self._is_over = why_unfit, False, False

    def ends(self) -> None:
        """This node stands down for good."""
        self._is_over = True

    def judged(self) -> StandDown | StandAgain | None:
        """What the core is to be told now; ``None``: nothing new."""
        why = self._why_unfit()
        if self._is_over or bool(why) is self._is_unfit:
            return None
        self._is_unfit = bool(why)
        if why:
            log.error("this node does not lead: %s", why, extra=noted(HistoryEvent.NOTICE))
            return StandDown(why)
        log.info("this node may lead again: what kept it from that is over", extra=noted(HistoryEvent.NOTICE))
        return StandAgain()


class Driver:
    """Runs a NodeCore on a store and an epoch register."""

    def __init__(
        self,
        core: NodeCore,
        store: LeadershipStore,
        register: EpochRegister,
        clock: Clock,
        leader_tasks: LeaderTasks,
        heartbeat: MakeHeartbeat,
        *,
        identity_wait_us: int = 0,
        on_turn: Callable[[], None] = lambda: None,
        members: MemberWays | None = None,
        orders: OperatorStateKeeper | None = None,
        why_no_leader: Callable[[], str] = str,
        why_unfit: Callable[[], str] = str,
    ) -> None:
        """``identity_wait_us``: see ``Connected.extra_wait_us``.

        ``on_turn`` is called whenever the core may have changed, before anything that follows from it is done: so a
        permission that ended is withdrawn everywhere before the release is sent.

        ``why_unfit``: why this node should not lead now, for reasons that the core knows nothing of.
        """
        self.core = core
        self.turned: asyncio.Future[Turned] = asyncio.get_running_loop().create_future()
        """Set when the node may not take part; the process then ends."""
        self.admitted = asyncio.Event()
        self.polled_at: Instant = clock.now()
        self._clock = clock
        self._leader_tasks = leader_tasks
        self._on_turn = on_turn
        self._orders = orders
        self._fitness = Fitness(why_unfit)
        self._tasks = Tasks()
        self.members = None if members is None else MemberGateway(core, members, clock, self.feed, self._tasks.ended)
        """The way to the other members; ``None`` where the record alone decides."""
        link = None if self.members is None else self.members.link
        self.store = StoreGateway(core, store, clock, heartbeat, self.feed, link, identity_wait_us)
        self._database = DatabaseGateway(core, register, clock, self.feed)
        self._logs = (
            LeadershipLog(core.node, core.timing, why_no_leader, clock.now()),
            MemberLog(core.detector, lambda: {} if link is None else link.peers),
        )
        self._moved = Moved()

    @property
    def broken(self) -> "asyncio.Future[str]":
        """Set when a part of the driver that must not fail has failed."""
        return self._tasks.broken

    # ---- life -------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Listen to the members, connect to the store and begin to turn."""
        if self.members is not None:
            await self.members.start()
        await self.store.start()
        self._tasks.spawn(self._turn(), "driver")

    async def stop(self, why: str, timeout_ms: int = 1_000) -> None:
        """Step down, release, deregister; each bounded. Safe to call when nothing was started."""
        self._fitness.ends()
        self.feed(self.core.step(StandDown(why), self._clock.now()))
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                await self._released_or_never_held()
                await self.store.deregister()
        except (TimeoutError, RppamError) as error:
            log.warning("could not deregister from the store: %s", str(error) or "no answer in time")
        await self._tasks.stop()
        if self.members is not None:
            await self.members.stop()
        if self._orders is not None:
            await self._orders.stop()
        await self.store.stop()

    async def _released_or_never_held(self) -> None:
        """Wait until everything was given back: promises, and the record as far as this node reaches it."""
        while True:
            status = self.core.status()
            left = status.to_release(self._clock.now()) if self.store.view.connected else None
            if status.phase is Phase.STANDBY and left is None:
                return
            self._moved.released.clear()
            await self._moved.released.wait()

    async def _turn(self) -> None:
        leadership_log, member_log = self._logs
        while True:
            now = self._clock.now()
            self.polled_at = now
            if (judged := self._fitness.judged()) is not None:
                self.feed(self.core.step(judged, now))
            self.feed(self.core.step(Tick(), now))
            status, view = self.core.status(), self.store.view
            leadership_log.look(status.leader(now), now, last_sign(status, now))
            leadership_log.look_at_store(answers=view.connected and not view.reason, reason=view.reason, now=now)
            member_log.look(now)
            self._moved.wake.clear()  # feeding set it; only what happens from here on shall cut the wait short
            wait_s = min(MAX_SLEEP_S, max(0.0, (self.core.deadline() - self._clock.now()) / 1e6))
            due = now + wait_s * 1e6
            try:
                async with asyncio.timeout(wait_s):
                    await self._moved.wake.wait()
            except TimeoutError:
                self.store.lagged(int((self._clock.now() - due) / US_PER_MS))

    # ---- effects ----------------------------------------------------------------------------------------------------

    def feed(self, effects: list[NodeEffect]) -> None:
        """Carry out what the core decided."""
        self._on_turn()
        for effect in effects:
            if self.members is None or not self.members.perform(effect):
                self._perform(effect)
        if self.members is not None:
            self.members.look()
        self._moved.wake.set()
        self._moved.released.set()

    def _perform(self, effect: NodeEffect) -> None:
        spawn, now = self._tasks.spawn, self._clock.now()
        match effect:
            case Exchange():
                spawn(self.store.exchange(effect), "exchange")
            case LearnEpoch(attempt):
                spawn(self._database.learn(attempt), "learn epoch")
            case ClaimEpoch(attempt, epoch):
                spawn(self._database.claim(attempt, epoch), "claim epoch")
            case ConfirmEpoch(epoch):
                spawn(self._database.confirm(epoch, self.outranked), "confirm epoch")
            case Promoted(epoch, sentence):
                without_ms = self._logs[0].without_leader_ms(now)
                log.info(sentence, extra=noted(HistoryEvent.ELECTED, epoch=epoch, withoutLeaderMs=without_ms))
                self._leader_tasks.start(epoch)
            case SteppedDown(epoch, reason, sentence):
                log.warning(sentence, extra=noted(HistoryEvent.STEPPED_DOWN, epoch=epoch, reason=str(reason)))
                spawn(self._quiesce(epoch), "quiesce")
            case RecordRefuted(sentence):
                self.store.warnings.found_foreign(sentence, now)
            case Told(sentence, is_warning):
                log.log(logging.WARNING if is_warning else logging.INFO, sentence, extra=noted(HistoryEvent.NOTICE))
            case MemberChanged():
                self._logs[1].changed(effect)
            case KeepOrders(orders):
                if self._orders is not None:
                    self._orders.keep(orders)
            case Unregister(nodes):
                spawn(self.store.unregister(nodes), "unregister")
            case Admitted():
                self.admitted.set()
                log.info("this node takes part in the cluster", extra=noted(HistoryEvent.STARTED))
            case Turned(_, sentence):
                log.error(sentence, extra=noted(HistoryEvent.STOPPING))
                if not self.turned.done():
                    self.turned.set_result(effect)

    def outranked(self, news: Outranked) -> None:
        """A guarded write was refused, in whichever process of this node: the fence is above what it led at."""
        now = self._clock.now()
        if news.epoch == self.core.status().epoch:
            self.store.warnings.outranked(news, now)
        self.feed(self.core.step(FenceRefused(news.epoch, news.by.epoch, news.by.node), now))

    async def _quiesce(self, epoch: int) -> None:
        """Stop what only a leader does, then let the core release. What cannot be stopped costs the lease: once that is
        over the others need no release, and an address ends by itself."""
        until = self._clock.now() + self.core.timing.lease_ms * US_PER_MS
        while not await self._leader_tasks.stop(epoch) and self._clock.now() < until:  # noqa: ASYNC110  # no event
            await asyncio.sleep(STOP_AGAIN_S)
        self.feed(self.core.step(Quiesced(epoch), self._clock.now()))
