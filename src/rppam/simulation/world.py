"""The world: true time, a heap of things to come, hosts, one store, one database; and the production election on each.

A run is a function of its seed and options and of nothing else. Each hour ends in a calm part, in which everything is
healed: there must be a leader in time, it must stay, and it must survive what a store may do to a well-connected one.
"""

from collections.abc import Callable
from heapq import heappop, heappush
from random import Random
from typing import Any, Final, NamedTuple

from rppam.core.effects import (
    ClaimEpoch,
    Effect,
    EpochClaimed,
    EpochLearned,
    Event,
    Exchange,
    LearnEpoch,
    Promoted,
    Purpose,
    Quiesced,
    StandAgain,
    StandDown,
    SteppedDown,
    Told,
)
from rppam.core.phase import Phase
from rppam.domain.fence import Fenced
from rppam.domain.timing import PROFILES
from rppam.simulation.calm import Calm
from rppam.simulation.clocks import BootClock, WallClock
from rppam.simulation.faults import FAULTS, NO_BATTERY_MS, Storm
from rppam.simulation.host import Host, SeededEntropy
from rppam.simulation.judge import Broken, Judge, Violation
from rppam.simulation.network import Network
from rppam.simulation.places import Database, GuardedPlace, GuardedWrite
from rppam.simulation.plants import CORRECT, Plant
from rppam.simulation.transcript import Transcript

HOUR_US: Final = 3_600_000_000
SAME_INSTANT_MOST: Final = 200
"""So many polls of one node at one true microsecond are a loop that spins."""


class Setting(NamedTuple):
    """What a run is, besides its seed."""

    hours: float = 1.0
    nodes: int = 3
    profile: str = "classic"
    faults: tuple[str, ...] = tuple(FAULTS)


class World:
    """One run."""

    def __init__(self, seed: int, setting: Setting, plant: Plant = CORRECT, *, tracing: bool = False) -> None:
        self.setting = setting
        self.plant = plant
        self.tracing = tracing
        self.transcript = Transcript()
        self.timing = PROFILES[setting.profile]
        self.now = 0
        self._seed = f"{seed}/{setting.nodes}/{setting.profile}"
        self.heap: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._pushed = 0
        self.chance = Random(self._seed)  # noqa: S311  # must be repeatable
        self.random = self.chance.random
        kinds = frozenset(setting.faults)
        self.store = plant.store(self.timing.lease_ms * (4 if "store-wall-step" in kinds else 10_000))
        self.database = Database()
        self.guarded = GuardedPlace(plant.admits)
        self._no_battery = "wall-step" in kinds and self.random() < 0.15
        self.hosts = [self._host(index, kinds) for index in range(setting.nodes)]
        self.judge = Judge(self.hosts, self.timing)
        self.network = Network(self, Random(self._seed + "/network"))  # noqa: S311
        self.storm = Storm(self, kinds, Random(self._seed + "/storm"))  # noqa: S311
        self.calm = Calm(self)
        self.exchanges = 0
        self._polls_now = 0
        self._polled_at = -1

    def _host(self, index: int, kinds: frozenset[str]) -> Host:
        limit = self.timing.rate_error_ppm
        rate = (-limit, limit, 0, int((self.random() * 2 - 1) * limit))[int(self.random() * 4)]
        boot = BootClock(int(self.random() * 10**12), rate if "clock-rate" in kinds else 0)
        return self.plant.host(index, boot, WallClock(NO_BATTERY_MS if self._no_battery else int(self.random() * 10)))

    # ---- time -------------------------------------------------------------------------------------------------------

    def push(self, at_us: int, what: Callable[..., None], *arguments: Any) -> None:
        """Let something happen at a true time."""
        self._pushed += 1
        heappush(self.heap, (at_us, self._pushed, what, arguments))

    def say(self, sentence: str) -> None:
        """A line for the transcript."""
        if self.tracing:
            self.transcript.add(self.now, sentence)

    def run(self) -> Violation | None:
        """The whole run; the first violation ends it."""
        for host in self.hosts:
            self.push(int(self.random() * self.timing.heartbeat_us), self.start, host, 1)
        until = int(self.setting.hours * HOUR_US)
        begin = 0
        while begin < until:
            end = min(begin + HOUR_US, until)
            self.push(begin, self.storm.begin)
            self.push(max(begin + (end - begin) // 2, end - self.calm.length_us), self.calm.begin, end)
            begin = end
        try:
            self._advance(until)
        except Broken as broken:
            return broken.violation
        return None

    def _advance(self, until: int) -> None:
        heap = self.heap
        while heap and heap[0][0] < until:
            self.now, _, what, arguments = heappop(heap)
            what(*arguments)
        self.now = until

    # ---- one node ---------------------------------------------------------------------------------------------------

    def hand(self, host: Host, event: Event) -> None:
        """An event for a node; a stopped process gets it when it goes on."""
        if host.election is not None:
            if host.paused_until:
                host.inbox.append(event)
            else:
                self._step(host, event)

    def _step(self, host: Host, event: Event | None) -> None:
        election = host.election
        if election is None:
            return
        local = host.now(self.now)
        led = election.phase is Phase.LEADER
        had = election.permission(local) if led else None
        effects = election.poll(local) if event is None else election.receive(event, local)
        if effects:
            if self.storm.pause_between and self.storm.rages and self.random() < self.storm.pause_between:
                host.held.extend(effects)
                self.pause(host, int(self.random() * 2.2 * self.timing.lease_us))
            else:
                for effect in effects:
                    self._perform(host, effect)
        if led or election.phase is Phase.LEADER:
            self.judge.stepped(host, had, self.now)
            if host.election is election and self.random() < 0.2:
                self._write_guarded(host)
        self._schedule(host)

    def _schedule(self, host: Host) -> None:
        if host.election is None:
            return
        due = host.true_at(host.election.deadline(), self.now)
        if due <= self.now:  # a planted bug may ask for it again and again
            due = self.now if self.plant is CORRECT else self.now + 1000
        if host.wake_at < 0 or due < host.wake_at:
            host.wake_at = due
            self.push(due, self.wake, host, host.life, due)

    def wake(self, host: Host, life: int, due: int) -> None:
        if host.life != life or host.wake_at != due or host.election is None:
            return
        host.wake_at = -1
        if host.paused_until:
            return
        if host.true_at(host.election.deadline(), self.now) > self.now:
            self._schedule(host)
            return
        if self._polled_at != self.now:
            self._polled_at, self._polls_now = self.now, 0
        self._polls_now += 1
        if self._polls_now > SAME_INSTANT_MOST and self.plant is CORRECT:
            raise Broken(Violation("spin", self.now, f"{host.name} asks to be polled again and again at one instant"))
        self._step(host, None)

    # ---- what the core wants done -----------------------------------------------------------------------------------

    def _perform(self, host: Host, effect: Effect) -> None:
        if isinstance(effect, Exchange):
            self.exchanges += 1
            if effect.swap is not None and effect.swap.purpose is Purpose.ACQUIRE:
                host.took_over_epoch = effect.swap.expected.epoch
            self.network.send(host, effect)
        elif isinstance(effect, LearnEpoch):
            self._learn(host, effect.attempt)
        elif isinstance(effect, ClaimEpoch):
            self._claim(host, effect)
        elif isinstance(effect, Promoted | Told):
            self.say(f"{host.name}: {effect.sentence}")
        elif isinstance(effect, SteppedDown):
            self.say(f"{host.name}: {effect.sentence}")
            took_us = int(self.random() * self.judge.drop_us)
            self.push(self.now + took_us, self.stopped_acting, host, host.life, effect.epoch)

    def stopped_acting(self, host: Host, life: int, epoch: int) -> None:
        if host.life != life:
            return
        if host.paused_until:
            self.push(host.paused_until + 1, self.stopped_acting, host, life, epoch)
            return
        host.acts_until = min(host.acts_until, self.now)
        self.say(f"{host.name}: everything that acted has stopped")
        self.hand(host, Quiesced(epoch))

    def _database_delay_us(self) -> int:
        slow = self.now < self.database.slow_until
        return int(500 + self.random() * (self.timing.request_timeout_us if slow else 3000))

    def _learn(self, host: Host, attempt: int) -> None:
        delay_us, bound_us = self._database_delay_us(), self.timing.request_timeout_us // 4
        answers = delay_us < bound_us and self.now + delay_us >= self.database.away_until
        self.push(self.now + min(delay_us, bound_us), self.learned, host, host.life, attempt, answers)

    def learned(self, host: Host, life: int, attempt: int, answers: bool) -> None:
        if host.life == life:
            highest = self.database.highest if answers else None
            wall_ms = host.wall.read_ms(self.now)
            if host.election is not None and host.election.phase is Phase.LEARNING and not host.paused_until:
                host.learned = (highest, wall_ms)
            self.hand(host, EpochLearned(attempt, highest, wall_ms))

    def _claim(self, host: Host, effect: ClaimEpoch) -> None:
        if host.election is None:
            return
        delay_us, bound_us = self._database_delay_us(), self.timing.request_timeout_us // 4
        reaches = self.now + delay_us >= self.database.away_until or self.random() < 0.3
        known = reaches and delay_us < bound_us
        if reaches:
            self.push(self.now + delay_us // 2, self.claimed, host, host.life, effect, host.election.boot_id, known)
        if not known:
            unknown = EpochClaimed(effect.attempt, Fenced.UNKNOWN)
            self.push(self.now + bound_us, self.tell, host, host.life, unknown)

    def claimed(self, host: Host, life: int, effect: ClaimEpoch, boot_id: str, known: bool) -> None:
        outcome = self.database.claim(effect.epoch, boot_id)
        if known:
            self.push(self.now + 500, self.tell, host, life, EpochClaimed(effect.attempt, outcome))

    def tell(self, host: Host, life: int, event: Event) -> None:
        if host.life == life:
            self.hand(host, event)

    def _write_guarded(self, host: Host) -> None:
        election = host.election
        epoch = None if election is None else election.permission(host.now(self.now))
        if election is None or epoch is None:
            return
        write = GuardedWrite(host.name, epoch, election.boot_id, self.now)
        delay_us = int(self.random() * 4000)
        if self.network.rough and self.random() < 0.05:
            delay_us = int(self.random() * 3 * self.timing.lease_us)
        self.push(max(self.now, host.paused_until) + delay_us, self.guarded_write, write)

    def guarded_write(self, write: GuardedWrite) -> None:
        if self.guarded.accepts(write):
            self.judge.accepted_write(write, self.now)

    # ---- what faults do ---------------------------------------------------------------------------------------------

    def start(self, host: Host, life: int) -> None:
        if host.life != life or host.election is not None:
            return
        boot_id = f"{host.name[-1]:0>4}{host.life:012x}"
        host.paused_until = 0
        host.election = self.plant.elect(
            host, boot_id, self.timing, SeededEntropy(f"{self._seed}/{boot_id}"), host.now(self.now)
        )
        host.wake_at = -1
        host.connecting = False
        self.say(f"{host.name} starts, life {boot_id[-4:]}")
        self.network.connect_later(host)
        self._schedule(host)

    def crash(self, host: Host, back_us: int) -> None:
        """Kill the process; its supervisor starts it again, with a new life and no memory."""
        if host.election is None:
            return
        self.say(f"fault: the process of {host.name} is killed")
        self.network.break_connection(host, 0, late=self.random() < 0.5)
        host.life += 1
        host.connection = None
        host.election = None
        host.acts_until = min(host.acts_until, self.now)
        host.paused_until = 0
        host.inbox.clear()
        host.held.clear()
        self.push(self.now + 1000 + back_us, self.start, host, host.life)

    def ask_to_stop(self, host: Host, back_us: int) -> None:
        """Stop the node as an administrator does, and start it again after a while."""
        if host.election is None or host.paused_until or not host.election.electable:
            return
        self.say(f"{host.name} is asked to stop")
        self._step(host, StandDown("asked to stop"))
        last_us = int((0.5 + self.random()) * 2 * self.timing.request_timeout_us)
        self.push(self.now + last_us, self._stop, host, host.life, back_us)

    def _stop(self, host: Host, life: int, back_us: int) -> None:
        if host.life == life:
            self.crash(host, back_us)

    def ask_to_stand_aside(self, host: Host, back_us: int) -> None:
        """The node stops leading when asked, and may stand again after a while."""
        if host.election is None or host.paused_until or not host.election.electable:
            return
        self.say(f"{host.name} is asked to stand aside")
        self._step(host, StandDown("asked to stand aside"))
        self.push(self.now + back_us, self.tell, host, host.life, StandAgain())

    def pause(self, host: Host, span_us: int) -> None:
        """Stop the process; everything for it waits."""
        if host.election is None or host.paused_until:
            return
        self.say(f"fault: the process of {host.name} stands still for {span_us // 1000} ms")
        self._write_guarded(host)
        host.paused_until = self.now + span_us + 1
        self.push(host.paused_until, self.go_on, host, host.life, host.paused_until)
        self._write_guarded(host)

    def go_on(self, host: Host, life: int, until: int) -> None:
        if host.life != life or host.paused_until != until or host.election is None:
            return
        host.paused_until = 0
        self.say(f"{host.name} goes on")
        held, inbox = host.held, host.inbox
        host.held, host.inbox = [], []
        for effect in held:
            self._perform(host, effect)
        if self.random() < 0.3:
            self._step(host, None)
        for event in inbox:
            self.hand(host, event)
        if not host.paused_until:
            self._step(host, None)

    def cut(self, host: Host, span_us: int, *, holds: bool, requests: bool, replies: bool) -> None:
        """Cut a host off from the store."""
        way = "both ways" if requests and replies else "one way"
        self.say(f"fault: {host.name} is cut off from the store ({way}) for {span_us // 1000} ms")
        host.cut_until = max(host.cut_until, self.now + span_us)
        host.cut_holds, host.cut_requests, host.cut_replies = holds, requests, replies

    def restart_store(self, span_us: int, lost_us: int, how: str) -> None:
        """The store's process ends and another one takes its place, without the last writes."""
        if self.store.down:
            return
        self.say(f"fault: the store {how}, without the writes of the last {lost_us / 1e6:.1f} s")
        self.store.die(self.now, lost_us)
        for host in self.hosts:
            self.network.break_connection(host, int(self.random() ** 4 * self.timing.request_timeout_us), late=False)
        self.push(self.now + 1000 + span_us, self._store_starts)

    def _store_starts(self) -> None:
        if self.store.down:
            self.store.start(self.now)
            self.say(f"the store serves again as {self.store.identity}")

    def overwrite(self, text: str | None, why: str) -> None:
        """Somebody changes the record behind everybody's back."""
        self.say(f"fault: {why}")
        if not self.store.down:
            self.store.write(text, self.now)
