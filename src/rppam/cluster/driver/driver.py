"""The driver: runs one node's machines in real time and carries out their effects.

One asyncio task polls the core no later than it asks to be; replies and word of the connection are fed to it in the
same loop, so the core needs no lock. Every effect that waits for the world runs in a task of its own and comes back as
an event. The driver decides nothing; it knows no Redis and no SQL.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final, NamedTuple

from rppam.cluster.consensus.admission import AdmissionState
from rppam.cluster.consensus.effects import (
    ClaimEpoch,
    ConfirmEpoch,
    Connected,
    Disconnected,
    EpochClaimed,
    EpochLearned,
    Exchange,
    FenceRefused,
    LearnEpoch,
    Promoted,
    Quiesced,
    RecordRefuted,
    ReleaseHeard,
    StandDown,
    SteppedDown,
    Told,
    Unknown,
)
from rppam.cluster.consensus.failure_detector import MemberChanged
from rppam.cluster.consensus.heartbeat import Heartbeat
from rppam.cluster.consensus.node import Admitted, Exchanged, KeepOrders, NodeCore, NodeEffect, Turned, Unregister
from rppam.cluster.consensus.phase import Phase
from rppam.cluster.driver.fence_news import FenceNews
from rppam.cluster.driver.leader_tasks import LeaderTasks
from rppam.cluster.driver.member_gateway import MemberGateway, MemberWays
from rppam.cluster.driver.operator_state import OperatorStateKeeper
from rppam.cluster.health.heartbeat_doubts import HeartbeatDoubts
from rppam.cluster.history.leadership_log import LeadershipLog, last_sign
from rppam.cluster.history.member_log import MemberLog
from rppam.cluster.history.model import HistoryEvent
from rppam.cluster.history.recorder import noted
from rppam.cluster.store.keyspace_monitor import StoreKeys
from rppam.cluster.store.ports import ExchangeAnswer, ExchangeOrder, LeadershipStore, StoreListener
from rppam.cluster.store.register_port import EpochRegister
from rppam.kernel.clock import Clock
from rppam.kernel.errors import RppamError
from rppam.kernel.fence import Fenced, Outranked
from rppam.kernel.instant import US_PER_MS, Instant

log = logging.getLogger("rppam.node")

MAX_SLEEP_S: Final = 1.0
KNOWN_MAX: Final = 192
"""So many names are read first at most; fewer than the store lists in all."""
NAMES_TOLD: Final = 3
CONFIRM_TIMEOUT_MS: Final = 2_000  # nobody waits for the answer
STOP_AGAIN_S: Final = 0.05
"""Between two attempts to stop what only a leader does."""


class StoreView(NamedTuple):
    """What the driver knows of the store."""

    connected: bool
    reason: str
    """Empty while connected; else why not, and what to do."""
    answered_at: Instant | None
    offset_ms: int | None
    """The store's wall clock minus this host's."""


class Driver:
    """Runs a :class:`NodeCore` on a store and an epoch register."""

    def __init__(
        self,
        core: NodeCore,
        store: LeadershipStore,
        register: EpochRegister,
        clock: Clock,
        duties: LeaderTasks,
        heartbeat: Callable[[int, int, int], Heartbeat],
        *,
        identity_wait_us: int = 0,
        on_turn: Callable[[], None] = lambda: None,
        members: MemberWays | None = None,
        orders: OperatorStateKeeper | None = None,
        why_no_leader: Callable[[], str] = str,
    ) -> None:
        """``identity_wait_us``: see :attr:`rppam.cluster.consensus.effects.Connected.extra_wait_us`.

        ``on_turn`` is called whenever the core may have changed, before anything that follows from it is done: so a
        permission that ended is withdrawn everywhere before the release is sent.
        """
        self.core = core
        self.store_view = StoreView(connected=False, reason="not connected yet", answered_at=None, offset_ms=None)
        self.turned: asyncio.Future[Turned] = asyncio.get_running_loop().create_future()
        """Set when the node may not take part; the process then ends."""
        self.broken: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        """Set when a part of the driver that must not fail has failed."""
        self.admitted = asyncio.Event()
        self.polled_at: Instant = clock.now()
        self.loop_lag_ms = 0
        self.store_keys = StoreKeys()
        """What is wrong with our keys in the store."""
        self.doubts = HeartbeatDoubts(core.election.node)
        """What is odd about the heartbeats in the store."""
        self.fence_news = FenceNews()
        """Whether the database knows a newer epoch than this node led at."""
        self.namesake: Heartbeat | None = None
        """The last heartbeat under this node's name that was not this life's."""
        self._store = store
        self._register = register
        self._clock = clock
        self._duties = duties
        self._heartbeat = heartbeat
        self._identity_wait_us = identity_wait_us
        self._on_turn = on_turn
        self.desk = None if members is None else MemberGateway(core, members, clock, self._feed, self._ended)
        """The way to the other members; ``None`` where the record alone decides."""
        self._orders = orders
        self._chronicle = LeadershipLog(core.election.node, core.election.timing, why_no_leader, clock.now())
        self._news = MemberLog(core.detector, lambda: {} if self.desk is None else self.desk.link.peers)
        self._beat = 0
        self._lag_ms = 0
        self._leaving = self._confirms = False
        self._released = asyncio.Event()
        self._wake = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop_task: asyncio.Task[None] | None = None

    # ---- life -------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Listen to the members, connect to the store and begin to turn."""
        if self.desk is not None:
            await self.desk.start()
        await self._store.start(StoreListener(self._on_up, self._on_down, self._on_release))
        self._loop_task = asyncio.create_task(self._turn(), name="driver")
        self._loop_task.add_done_callback(self._ended)

    async def stop(self, why: str, timeout_ms: int = 1_000) -> None:
        """Step down, release, say goodbye; each bounded. Safe to call when nothing was started."""
        self._feed(self.core.receive(StandDown(why), self._clock.now()))
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                await self._released_or_never_held()
                await self._say_goodbye()
        except (TimeoutError, RppamError) as error:
            log.warning("could not say goodbye to the store: %s", str(error) or "no answer in time")
        for task in (self._loop_task, *self._tasks):
            if task is not None:
                task.cancel()
        await asyncio.gather(*(t for t in (self._loop_task, *self._tasks) if t), return_exceptions=True)
        if self.desk is not None:
            await self.desk.stop()
        if self._orders is not None:
            await self._orders.stop()
        await self._store.stop()

    async def _released_or_never_held(self) -> None:
        """Wait until everything was given back: promises, and the record as far as this node reaches it."""
        while True:
            election = self.core.election
            record = election.watch.record if self.store_view.connected else None
            mine = record is not None and record.state == "held" and record.boot_id == election.boot_id
            if mine and record is not None:  # one that falls silent by itself is not waited for
                mine = election.rules.is_release_worth_it(election.watch, record, self._clock.now())
            if election.phase is Phase.STANDBY and not mine:
                return
            self._released.clear()
            await self._released.wait()

    async def _say_goodbye(self) -> None:
        """The last heartbeat says that this node leaves, and takes it off the list of members."""
        standing = self.core.admission.standing
        if not self.store_view.connected or standing in {AdmissionState.WATCHING, AdmissionState.NAME_TAKEN}:
            return  # nothing of this life was published, or what stands there is another's
        self._leaving = True
        order = ExchangeOrder(None, None, self.core.election.mark(), self._next_heartbeat())
        await self._store.exchange(order, self.core.election.timing.request_timeout_ms)

    async def _turn(self) -> None:
        while True:
            now = self._clock.now()
            self.polled_at = now
            self._feed(self.core.poll(now))
            self._tell(now)
            self._wake.clear()  # feeding set it; only what happens from here on shall cut the wait short
            wait_s = min(MAX_SLEEP_S, max(0.0, (self.core.deadline() - self._clock.now()) / 1e6))
            due = now + wait_s * 1e6
            try:
                async with asyncio.timeout(wait_s):
                    await self._wake.wait()
            except TimeoutError:
                self._lag_ms = max(self._lag_ms, int((self._clock.now() - due) / US_PER_MS))

    # ---- events in --------------------------------------------------------------------------------------------------

    def _on_up(self, number: int, identity: str) -> None:
        self.store_view = self.store_view._replace(connected=True, reason="")
        log.debug("connected to the store (%s)", identity)  # the connection tells of itself
        self._feed(self.core.receive(Connected(number, identity, self._identity_wait_us), self._clock.now()))

    def _on_down(self, number: int, reason: str) -> None:
        self.store_view = self.store_view._replace(connected=False, reason=reason)
        self._feed(self.core.receive(Disconnected(number), self._clock.now()))

    def _on_release(self) -> None:
        self._feed(self.core.receive(ReleaseHeard(), self._clock.now()))

    # ---- effects out ------------------------------------------------------------------------------------------------

    def feed(self, effects: list[NodeEffect]) -> None:
        """Carry out what the core decided when it was told something from outside the driver."""
        self._feed(effects)

    def _feed(self, effects: list[NodeEffect]) -> None:
        self._on_turn()
        for effect in effects:
            if self.desk is None or not self.desk.perform(effect):
                self._perform(effect)
        if self.desk is not None:
            self.desk.look()
        self._wake.set()
        self._released.set()

    def _perform(self, effect: NodeEffect) -> None:
        match effect:
            case Exchange():
                self._spawn(self._exchange(effect), "exchange")
            case LearnEpoch(attempt):
                self._spawn(self._learn(attempt), "learn epoch")
            case ClaimEpoch(attempt, epoch):
                self._spawn(self._claim(attempt, epoch), "claim epoch")
            case ConfirmEpoch(epoch):
                if not self._confirms:  # one at a time, however slow the database is
                    self._confirms = True
                    self._spawn(self._confirm(epoch), "confirm epoch")
            case Promoted(epoch, sentence):
                without_ms = self._chronicle.without_leader_ms(self._clock.now())
                log.info(sentence, extra=noted(HistoryEvent.ELECTED, epoch=epoch, withoutLeaderMs=without_ms))
                self._duties.start(epoch)
            case SteppedDown(epoch, reason, sentence):
                log.warning(sentence, extra=noted(HistoryEvent.STEPPED_DOWN, epoch=epoch, reason=str(reason)))
                self._spawn(self._quiesce(epoch), "quiesce")
            case RecordRefuted(sentence):
                self.store_keys.found_foreign(sentence, self._clock.now())
            case Told(sentence, is_warning):
                log.log(logging.WARNING if is_warning else logging.INFO, sentence, extra=noted(HistoryEvent.NOTICE))
            case MemberChanged():
                self._news.changed(effect)
            case KeepOrders(orders):
                if self._orders is not None:
                    self._orders.keep(orders)
            case Unregister(nodes):
                self._spawn(self._unregister(nodes), "unregister")
            case Admitted():
                self.admitted.set()
                log.info("this node takes part in the cluster", extra=noted(HistoryEvent.STARTED))
            case Turned(_, sentence):
                log.error(sentence, extra=noted(HistoryEvent.STOPPING))
                if not self.turned.done():
                    self.turned.set_result(effect)

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("'%s' failed", task.get_name(), exc_info=error)
            if not self.broken.done():
                self.broken.set_result(f"'{task.get_name()}' failed: {error!r}")

    async def _exchange(self, effect: Exchange) -> None:
        publish = self.core.admission.standing.publishes and not self._leaving
        order = ExchangeOrder(
            effect.swap.expected if effect.swap else None,
            effect.swap.proposed if effect.swap else None,
            effect.mark,
            self._next_heartbeat() if publish else None,
            self._known(),
        )
        try:
            answer = await self._store.exchange(order, self.core.election.timing.request_timeout_ms)
        except RppamError as error:
            if self.store_view.connected:  # else the reason why not says more
                if str(error) != self.store_view.reason:
                    log.warning("the store did not answer: %s", error)
                self.store_view = self.store_view._replace(reason=str(error))
            self._feed(self.core.receive(Unknown(effect.request, str(error)), self._clock.now()))
            return
        self._answered(effect.request, answer)

    def _answered(self, request: int, answer: ExchangeAnswer) -> None:
        now, wall_ms = self._clock.now(), self._clock.wall_ms()
        self.store_keys.look(answer, now)
        if answer.own_before is not None and answer.own_before.boot_id != self.core.election.boot_id:
            self.namesake = answer.own_before
        self.store_view = StoreView(
            connected=True, reason="", answered_at=now, offset_ms=answer.store_wall_ms - wall_ms
        )
        exchanged = Exchanged(
            request,
            answer.granted,
            answer.was_absent,
            answer.record,
            answer.own_before,
            answer.heartbeats,
            wall_ms,
            "" if self.desk is None else self.desk.link.displaced,
        )
        self._feed(self.core.answered(exchanged, now))
        self.doubts.look_at(answer, self.core, now)
        self._tell(now)

    def _tell(self, now: Instant) -> None:
        """Let the log and the history know what changed."""
        election = self.core.election
        self._chronicle.look(election.leader(now), now, last_sign(election, now))
        self._news.look(now)
        view = self.store_view
        self._chronicle.look_at_store(answers=view.connected and not view.reason, reason=view.reason, now=now)

    def _next_heartbeat(self) -> Heartbeat:
        self._beat += 1
        self.loop_lag_ms, self._lag_ms = self._lag_ms, 0
        answered = self.store_view.answered_at
        renewed_ms_ago = 0 if answered is None else (self._clock.now() - answered) // US_PER_MS
        return self._heartbeat(self._beat, self.loop_lag_ms, renewed_ms_ago)._replace(leaving=self._leaving)

    async def _learn(self, attempt: int) -> None:
        highest = await self._register.highest(self._database_timeout_ms)
        self._feed(self.core.receive(EpochLearned(attempt, highest, self._clock.wall_ms()), self._clock.now()))

    async def _claim(self, attempt: int, epoch: int) -> None:
        election = self.core.election
        outcome = await self._register.claim(epoch, election.node, election.boot_id, self._database_timeout_ms)
        self._feed(self.core.receive(EpochClaimed(attempt, outcome), self._clock.now()))

    def _known(self) -> tuple[str, ...]:
        """Whose heartbeats are read whatever names the store lists: members, and who is connected to ask to be one."""
        callers = () if self.desk is None else self.desk.link.callers
        return tuple(dict.fromkeys((*self.core.known, *callers)))[:KNOWN_MAX]

    async def _confirm(self, epoch: int) -> None:
        """Look at the fence, off the way of everything that leadership waits for; no answer changes nothing."""
        election, timing = self.core.election, self.core.election.timing
        timeout_ms = max(CONFIRM_TIMEOUT_MS, timing.heartbeat_ms)
        try:
            newest = await self._register.newest(timeout_ms)
            if newest is None or (newest.epoch, newest.boot_id) == (epoch, election.boot_id):
                return
            refused = newest.epoch >= epoch
            if not refused and election.permission(self._clock.now()) == epoch:  # it has not been heard there yet
                refused = (
                    await self._register.claim(epoch, election.node, election.boot_id, timeout_ms) is Fenced.REFUSED
                )
                newest = (refused and await self._register.newest(timeout_ms)) or newest
            if refused:
                self.outranked(Outranked(epoch, newest))
        finally:
            self._confirms = False

    def outranked(self, news: Outranked) -> None:
        """A guarded write was refused, in whichever process of this node: the fence is above what it led at."""
        now = self._clock.now()
        if news.epoch == self.core.election.epoch:
            self.fence_news.outranked(news, now)
        self._feed(self.core.receive(FenceRefused(news.epoch, news.by.epoch, news.by.node), now))

    async def _unregister(self, nodes: tuple[str, ...]) -> None:
        who = ", ".join(nodes[:NAMES_TOLD]) + (f" and {len(nodes) - NAMES_TOLD} others" if nodes[NAMES_TOLD:] else "")
        try:
            await self._store.unregister(nodes, self.core.election.timing.request_timeout_ms)
        except RppamError as error:
            log.debug("still listed in the store: %s: %s", who, error)
        else:
            log.info("taken off the store's list, as they are no members and show no life: %s", who)

    async def _quiesce(self, epoch: int) -> None:
        """Stop what only a leader does, then let the core release. What cannot be stopped costs the lease: once that is
        over the others need no release, and an address ends by itself."""
        until = self._clock.now() + self.core.election.timing.lease_ms * US_PER_MS
        while not await self._duties.stop(epoch) and self._clock.now() < until:  # noqa: ASYNC110  # no event tells of it
            await asyncio.sleep(STOP_AGAIN_S)
        self._feed(self.core.receive(Quiesced(epoch), self._clock.now()))

    @property
    def _database_timeout_ms(self) -> int:
        return max(50, self.core.election.timing.request_timeout_ms // 4)
