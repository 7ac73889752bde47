"""One simulated host: its clocks, its process, its connection. It decides nothing; the production core does."""

import hashlib
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from rppam.cluster.consensus.effects import Effect, Event, Phase, VoteEvent
from rppam.cluster.consensus.election import Election
from rppam.cluster.consensus.lease import LeaseObserver
from rppam.cluster.consensus.membership import Membership
from rppam.cluster.consensus.messages import Candidacy
from rppam.cluster.consensus.record import SEAL_DIGITS
from rppam.cluster.consensus.rules import LeadershipRules
from rppam.kernel.instant import Instant
from rppam_sim.clocks import BootClock, WallClock

if TYPE_CHECKING:
    from rppam_sim.disk import Disk


class Asker(NamedTuple):
    """Who asked, in which life of its process: an answer goes nowhere else."""

    host: "Host"
    life: int


HostEvent = Event | VoteEvent


class SeededEntropy:
    """Chance for one life of one node, from the seed of the run."""

    __slots__ = ("_random",)

    def __init__(self, seed: str) -> None:
        self._random = Random(seed)  # noqa: S311  # must be repeatable

    def nonce(self) -> str:
        """16 hexadecimal digits."""
        return f"{self._random.getrandbits(64):016x}"

    def below(self, bound: int) -> int:
        """A whole number from 0 to ``bound - 1``."""
        return int(self._random.random() * bound)


class SimSeal:
    """The members' key: only they can seal. Whoever writes to the store as a stranger has none."""

    def of(self, text: str) -> str:
        """See :class:`rppam.cluster.consensus.record.Seal`."""
        return hashlib.sha256(f"the members' key {text}".encode()).hexdigest()[:SEAL_DIGITS]

    def is_genuine(self, text: str, digits: str) -> bool:
        """See :class:`rppam.cluster.consensus.record.Seal`."""
        return digits == self.of(text)


class QuestionsOfBefore(LeadershipRules):
    """A life tries no epoch again that it has asked for, also where the simulation alone knows that it has."""

    asked_before: Callable[[], int]

    def pick_epoch(self, lease: LeaseObserver, tried: int, database: int | None, wall_ms: int) -> int:
        """See :meth:`LeadershipRules.pick_epoch`."""
        return super().pick_epoch(lease, max(tried, self.asked_before()), database, wall_ms)


class Connection:
    """One TCP connection: requests and replies keep their order, until it breaks."""

    __slots__ = ("broken", "incarnation", "late_after_break", "number", "replies_free", "requests_free")

    def __init__(self, number: int, incarnation: int) -> None:
        self.number = number
        self.incarnation = incarnation
        self.broken = False
        self.late_after_break = False
        """Whether requests that were under way when it broke are still carried out."""
        self.requests_free = 0
        self.replies_free = 0


class Host:
    """One host and the one node process on it."""

    disk: "Disk"
    """Where members vote."""

    def __init__(self, index: int, boot: BootClock, wall: WallClock, name: str = "") -> None:
        self.index = index
        self.name = name or f"node{index + 1}"
        self.boot = boot
        self.wall = wall
        self.life = 1
        self.election: Election | None = None
        """``None`` while no process runs."""
        self.is_witness = False
        self.is_gone = False
        """Switched off for good."""
        self.connection: Connection | None = None
        self.connections = 0
        self.reconnects = 0
        self.connecting = False
        self.wake_at = -1
        self.paused_until = 0
        self.inbox: list[HostEvent] = []
        self.held: list[Effect] = []
        """Effects decided on, but the process was stopped before it could carry them out."""
        self.cut_until = 0
        self.cut_holds = False
        """Whether messages are held back by the cut, or lost in it."""
        self.cut_requests = False
        self.cut_replies = False
        self.acts_until = 0
        """True time at which everything that acted for this node has stopped, if nothing else happens."""
        self.last_now = 0
        self.reads_since = self.reads = 0
        """How often the record was read for nothing but news, within a heartbeat from then on."""
        self.learning = 0
        """The attempt that last asked what it should know."""
        self.learned: tuple[int | None, int] = (0, 0)
        """What it was told, once the process has heard it: the database's epoch, the wall clock."""
        self.took_over_epoch = 0
        """The epoch of the record that the last attempt was written over."""
        self.shown_before = 0
        """The highest epoch that was shown when the last attempt was written."""
        self.led = (0, 0)
        """Life and epoch of the last leadership."""
        self.asked_before = 0
        """An epoch that this life asked for long ago, as a question of it that comes late shows."""
        self.under_way: dict[str, int] = {}
        """Vote requests that wait for an answer: their numbers by voter."""
        self.sees_deposed = False
        """It reaches the primary that was replaced, not its successor."""
        self.supported = ("", 0, 0)
        """Whom a promise of this host was told to, in any life, at the highest epoch: name, life, epoch."""
        self.supported_before = 0
        """The highest epoch before that."""
        self.oath: tuple[Candidacy, int] | None = None
        """What this host has promised, and the true time until which it must hold."""
        self.oath_told: tuple[Candidacy, int] | None = None
        """The last of them that it has told."""
        self.noted: tuple[int, Candidacy, Instant | None] | None = None
        """What the judge last saw of its voter: life, promise, until when."""
        self.membership: Membership | None = None
        """What the judge last saw it take for the membership."""

    def now(self, true_us: int) -> Instant:
        """What this node takes for the time."""
        return self.boot.read(true_us)

    def true_at(self, instant: Instant, true_us: int) -> int:  # noqa: ARG002  # a plant needs it
        """When this node will think it is ``instant``."""
        return self.boot.true_at(instant)

    @property
    def leads(self) -> bool:
        """Whether the process is in the leader's phase; permission is another question."""
        return self.election is not None and self.election.status().phase is Phase.LEADER

    def shown(self) -> int:
        """The highest epoch that it was shown, by whoever it does not believe."""
        return 0 if self.election is None else self.election.status().lease.epochs.shown

    @property
    def votes(self) -> bool:
        """Whether a process runs that has a vote as a member."""
        return self.election is not None and self.election.status().members_vote

    def has_permission(self, true_us: int) -> bool:
        """Whether the node, asked at this true time, would say that it may act."""
        return self.election is not None and self.election.status().permission(self.now(true_us)) is not None
