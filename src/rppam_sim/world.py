"""The world: true time, a heap of things to come, hosts, one store, one database; and the production election on each.

A run is a function of its seed and options and of nothing else. Each hour ends in a calm part, in which everything is
healed: there must be a leader in time, it must stay, and it must survive what a store may do to a well-connected one.
"""

from collections.abc import Callable
from heapq import heappop, heappush
from random import Random
from typing import Any, Final

from rppam.cluster.consensus.effects import EpochLearned, Phase, Tick
from rppam.cluster.consensus.membership import Membership, QuorumPolicy, VoterSet, founding
from rppam.cluster.consensus.messages import NO_CANDIDACY, PersistedVote
from rppam.cluster.consensus.timing import PROFILES
from rppam_sim.calm import Calm
from rppam_sim.clocks import BootClock, WallClock
from rppam_sim.disk import EMPTY, Disk, Disks
from rppam_sim.faults import NO_BATTERY_MS, Storm
from rppam_sim.host import Host, HostEvent, SeededEntropy
from rppam_sim.judge import Checker
from rppam_sim.links import Links
from rppam_sim.member_faults import MemberStorm
from rppam_sim.network import Network
from rppam_sim.performer import EffectRunner
from rppam_sim.places import Database, GuardedPlace
from rppam_sim.plants import CORRECT, Mutant
from rppam_sim.setting import SENTINEL, Scenario
from rppam_sim.store import SimStore
from rppam_sim.transcript import Transcript
from rppam_sim.verdict import Broken, Violation

HOUR_US: Final = 3_600_000_000
SAME_INSTANT_MOST: Final = 200
"""So many polls of one node at one true microsecond are a loop that spins."""

TICK: Final = Tick()
LINEAGE: Final = "5eed5eed5eed5eed"


class World:
    """One run."""

    def __init__(self, seed: int, setting: Scenario, plant: Mutant = CORRECT, *, tracing: bool = False) -> None:
        self.setting = setting
        self.plant = plant
        self.tracing = tracing
        self.transcript = Transcript()
        self.timing = PROFILES[setting.profile]
        self.now = 0
        self._seed = _words_of(seed, setting)
        self.heap: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._pushed = 0
        self.chance = Random(self._seed)  # noqa: S311  # must be repeatable
        self.random = self.chance.random
        self.kinds = kinds = frozenset(setting.faults)
        self.store: SimStore = plant.store(self.timing.lease_ms * (4 if "store-wall-step" in kinds else 10_000))
        self.store.is_replicated = setting.store == SENTINEL and plant.waits_for_replicas
        self.deposed: SimStore | None = None
        """Behind a failover: the primary before, while it goes on serving somebody."""
        self._incarnations = 1
        self.database = Database()
        self.guarded = GuardedPlace(plant.admits)
        self._no_battery = "wall-step" in kinds and self.random() < 0.15
        self.hosts: list[Host] = []
        self.named: dict[str, Host] = {}
        for _ in range(setting.nodes):
            self.add_host()
        for number in range(setting.witnesses):
            self.add_host(f"witness{number + 1}").is_witness = True
        self.off = self._put_off(seed) if setting.votes and "clock-off" in kinds else None
        """The member whose clock runs at a rate that no rule allows, and which members can find out."""
        self.founding = _founding(self.hosts, setting) if setting.votes else None
        for host in self.hosts:
            host.disk = Disk(PersistedVote(NO_CANDIDACY, self.founding))
        self.performer = EffectRunner(self)
        self.judge = Checker(self.hosts, self.timing)
        self.network = Network(self, Random(self._seed + "/network"))  # noqa: S311
        self.links = Links(self, Random(self._seed + "/links"))  # noqa: S311
        self.disks = Disks(self, Random(self._seed + "/disks"))  # noqa: S311
        self.is_steady = seed % 4 == 0
        """In such a run members neither come nor go, but files may be lost: never both."""
        self.writes_guarded = seed % 2 == 0
        """In such a run the leader makes guarded writes; in the others only it itself can notice the fence."""
        self.repoints_late = self.is_steady and setting.policy == "majority" and len(self.hosts) % 2 == 1
        """Replicas may go on confirming a primary that was replaced: only where the store has no vote."""
        self.storm = Storm(self, kinds, Random(self._seed + "/storm"))  # noqa: S311
        self.member_storm = MemberStorm(self, kinds, Random(self._seed + "/members"))  # noqa: S311
        self.calm = Calm(self)
        self.exchanges = 0
        self._polls_now = 0
        self._polled_at = -1

    def add_host(self, name: str = "") -> Host:
        """One more host, on which nothing runs yet."""
        limit = self.timing.rate_error_ppm
        rate = (-limit, limit, 0, int((self.random() * 2 - 1) * limit))[int(self.random() * 4)]
        boot = BootClock(int(self.random() * 10**12), rate if "clock-rate" in self.kinds else 0)
        wall = WallClock(NO_BATTERY_MS if self._no_battery else int(self.random() * 10))
        host = self.plant.host(len(self.hosts), boot, wall, name)
        host.disk = Disk(EMPTY)
        self.hosts.append(host)
        self.named[host.name] = host
        return host

    def _put_off(self, seed: int) -> Host | None:
        """In some of the runs in which the members stay the same."""
        if seed % 12 != 4:  # any that is a multiple of four
            return None
        chance = Random(self._seed + "/clocks")  # noqa: S311
        host = self.hosts[int(chance.random() * self.setting.nodes)]
        percent = (5 + 25 * chance.random()) * (1 if chance.random() < 0.5 else -1)
        host.boot = BootClock(int(chance.random() * 10**12), int(percent * 10_000))
        return host

    def next_incarnation(self) -> int:
        """Counts the store's processes."""
        self._incarnations += 1
        return self._incarnations

    def server(self, incarnation: int) -> SimStore | None:
        """The store's process that a connection leads to, while it lives."""
        if incarnation == self.store.incarnation:
            return None if self.store.down else self.store
        deposed = self.deposed
        return deposed if deposed is not None and incarnation == deposed.incarnation else None

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
            self.push(begin, self.member_storm.begin)
            self.push(max(begin + (end - begin) // 2, end - self.calm.length_us), self.calm.begin, end)
            begin = end
        try:
            self.advance(until)
        except Broken as broken:
            return broken.violation
        return None

    def advance(self, until: int) -> None:
        """Let everything happen up to a true time."""
        heap = self.heap
        while heap and heap[0][0] < until:
            self.now, _, what, arguments = heappop(heap)
            what(*arguments)
        self.now = until

    # ---- one node ---------------------------------------------------------------------------------------------------

    def hand(self, host: Host, event: HostEvent) -> None:
        """An event for a node; a stopped process gets it when it goes on."""
        if host.election is not None:
            if host.paused_until:
                host.inbox.append(event)
            else:
                self.step(host, event)

    def step(self, host: Host, event: HostEvent | None) -> None:
        """A node handles an event, or that time passed; what it wants done is done."""
        election = host.election
        if election is None:
            return
        local, before = host.now(self.now), election.status()
        led = before.phase is Phase.LEADER
        had = before.permission(local) if led else None
        if isinstance(event, EpochLearned) and before.phase is Phase.LEARNING and event.attempt == host.learning:
            host.learned = (event.highest, event.wall_ms)
        effects = election.step(TICK if event is None else event, local)
        if effects:
            self.judge.decided(host, effects, had, self.now)
            if self.storm.pause_between and self.storm.rages and self.random() < self.storm.pause_between:
                host.held.extend(effects)
                self.pause(host, int(self.random() * 2.2 * self.timing.lease_us))
            else:
                for effect in effects:
                    self.performer.perform(host, effect)
        if self.setting.votes:
            self.judge.voted(host, event, self.now)
        if led or election.status().phase is Phase.LEADER:
            self.judge.stepped(host, had, self.now)
            if host.election is election and self.random() < 0.2:
                self.performer.write_guarded(host)
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
        """A node asked to be polled now."""
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
        self.step(host, None)

    # ---- processes --------------------------------------------------------------------------------------------------

    def start(self, host: Host, life: int) -> None:
        """A process begins its life, with what its disk has kept."""
        if host.life != life or host.election is not None or host.is_gone:
            return
        boot_id = f"{host.index + 1:04x}{host.life:012x}"
        host.paused_until = 0
        kept = host.disk.kept if self.setting.votes else None
        entropy = SeededEntropy(f"{self._seed}/{boot_id}")
        host.asked_before = 0
        host.election = self.plant.elect(host, boot_id, self.timing, entropy, host.now(self.now), kept)
        host.took_over_epoch = host.shown_before = 0
        host.wake_at = -1
        host.connecting = False
        self.say(f"{host.name} starts, life {boot_id[-4:]}")
        self.network.connect_later(host)
        self._schedule(host)

    def crash(self, host: Host, back_us: int) -> None:
        """Kill the process; its supervisor starts it again, with a new life and no memory but its disk."""
        if host.election is None:
            return
        self.say(f"fault: the process of {host.name} is killed")
        self.network.break_connection(host, 0, late=self.random() < 0.5)
        host.life += 1
        host.connection = None
        host.election = None
        self.judge.vote_checker.died(host)
        host.acts_until = min(host.acts_until, self.now)
        host.paused_until = 0
        host.inbox.clear()
        host.held.clear()
        back_at = self.now + 1000 + back_us
        if self.setting.votes:
            self.links.break_all(host)
            back_at = max(back_at, self.disks.crash(host))
        self.push(back_at, self.start, host, host.life)

    def pause(self, host: Host, span_us: int) -> None:
        """Stop the process; everything for it waits."""
        if host.election is None or host.paused_until:
            return
        self.say(f"fault: the process of {host.name} stands still for {span_us // 1000} ms")
        self.performer.write_guarded(host)
        host.paused_until = self.now + span_us + 1
        self.push(host.paused_until, self.go_on, host, host.life, host.paused_until)
        self.performer.write_guarded(host)

    def go_on(self, host: Host, life: int, until: int) -> None:
        """A stopped process goes on, with all that waits for it."""
        if host.life != life or host.paused_until != until or host.election is None:
            return
        host.paused_until = 0
        self.say(f"{host.name} goes on")
        held, inbox = host.held, host.inbox
        host.held, host.inbox = [], []
        for effect in held:
            self.performer.perform(host, effect)
        if self.random() < 0.3:
            self.step(host, None)
        for event in inbox:
            self.hand(host, event)
        if not host.paused_until:
            self.step(host, None)


def _words_of(seed: int, setting: Scenario) -> str:
    """What the chances of a run come from."""
    words = f"{seed}/{setting.nodes}/{setting.profile}"
    if setting.votes or setting.store == SENTINEL:
        words += f"/{setting.policy}/{setting.witnesses}/{setting.store}"
    return words


def _founding(hosts: list[Host], setting: Scenario) -> Membership:
    names = tuple(host.name for host in hosts)
    witnesses = tuple(host.name for host in hosts if host.is_witness)
    return founding(LINEAGE, VoterSet.of(names, QuorumPolicy(setting.policy), witnesses))
