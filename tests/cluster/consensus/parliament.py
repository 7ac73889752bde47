"""Several members on one virtual clock, a network that obeys the test, a store that may be away, and their disks."""

from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from itertools import count
from typing import Any

from rppam.cluster.consensus.effects import (
    Ask,
    Asked,
    ClaimEpoch,
    ConfirmEpoch,
    Connected,
    Disconnected,
    EpochClaimed,
    EpochLearned,
    Event,
    Exchange,
    FenceRefused,
    Found,
    Free,
    Freed,
    Granted,
    Invite,
    Invited,
    LearnEpoch,
    NotVoted,
    Promoted,
    Quiesced,
    Ready,
    RecordRefuted,
    Saved,
    SaveKept,
    SendVote,
    SteppedDown,
    Tick,
    Told,
    Voted,
    VoteEvent,
)
from rppam.cluster.consensus.election import Election
from rppam.cluster.consensus.exchange import exchange
from rppam.cluster.consensus.lease import Identity
from rppam.cluster.consensus.membership import VOUCHED, Membership, QuorumPolicy, VoterSet, founding
from rppam.cluster.consensus.messages import NO_CANDIDACY, PersistedVote, Readiness
from rppam.cluster.consensus.node import NodeCore, NodeEffect
from rppam.cluster.consensus.record import parse_record
from rppam.cluster.consensus.rules import VoteRules
from rppam.cluster.consensus.state import State
from rppam.cluster.consensus.status import Status
from rppam.cluster.consensus.timing import PROFILES
from rppam.cluster.consensus.vote import Voter
from rppam.kernel.fence import Fenced, admits
from rppam.kernel.instant import US_PER_MS, Instant, WallMs
from rppam_sim.host import SeededEntropy, SimSeal

TIMING = PROFILES["default"]
LINEAGE = "ab" * 8
HOP_US = 500


class Seat:
    """One host: a disk, and a member while its process runs."""

    def __init__(self, name: str, kept: PersistedVote) -> None:
        self.name = name
        self.disk = kept
        self.life = 0
        self.member: Election | NodeCore | None = None
        self.wake = 0

    @property
    def status(self) -> Status:
        assert self.member is not None, f"{self.name} does not run"
        return self.member.status()

    @property
    def state(self) -> State:
        """What the election itself goes by, to be changed by a story."""
        election = self.member if isinstance(self.member, Election) else getattr(self.member, "_election", None)
        assert isinstance(election, Election), f"{self.name} does not run"
        election._status = None
        return election._state


class Parliament:
    """All seats."""

    def __init__(
        self,
        *names: str,
        policy: QuorumPolicy = QuorumPolicy.LAST_MAN_STANDING,
        witnesses: tuple[str, ...] = (),
        store: bool = True,
    ) -> None:
        self.now = 0
        self._heap: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._order = count()
        self.text: str | None = None
        self.store_up = store
        self.witnesses = {*witnesses}
        self.nodes_vouch = True
        """Whether nodes know what other nodes vouched for."""
        self.fence = 0
        """The highest epoch that the database knows."""
        self._fence_of = (0, "")
        """Who claimed which epoch last: its boot id."""
        self.database_up = True
        self.cut: set[tuple[str, str]] = set()
        """Directed pairs of seats between which nothing passes."""
        self.full: set[str] = set()
        """Seats whose disk takes nothing."""
        self.leaders: list[tuple[int, str, int]] = []
        """(ms, name, epoch) of each promotion."""
        self.told: list[str] = []
        self._connections = count(1)
        membership = founding(LINEAGE, VoterSet.of(names, policy, witnesses))
        self.seats = {name: Seat(name, PersistedVote(NO_CANDIDACY, membership)) for name in names}
        for name in names:
            self.start(name)

    # ---- verbs ------------------------------------------------------------------------------------------------------

    def add(self, name: str) -> None:
        """A host that belongs to no cluster yet."""
        self.seats[name] = Seat(name, PersistedVote(NO_CANDIDACY, None))
        self.start(name)

    def start(self, name: str) -> None:
        seat = self.seats[name]
        seat.life += 1
        boot_id = f"{len(name):x}{sum(map(ord, name)):x}".rjust(12, "0") + f"{seat.life:04x}"
        now = Instant(self.now)
        me = Identity(name, boot_id, TIMING)
        voter = Voter(me, seat.disk, VoteRules(TIMING), now)
        seat.member = Election(me, SeededEntropy(boot_id), now=now, voter=voter, seal=SimSeal())
        if self.store_up:
            self._later(HOP_US, self._connect, seat, seat.life)
        self._poll_later(seat)

    def kill(self, name: str) -> None:
        self.seats[name].member = None
        self.seats[name].life += 1

    def store_away(self) -> None:
        self.store_up = False
        for seat in self.seats.values():
            if seat.member is not None and seat.status.lease.connection is not None:
                self.tell(seat.name, Disconnected(seat.status.lease.connection))

    def store_back(self, *, empty: bool) -> None:
        self.store_up = True
        if empty:
            self.text = None
        for seat in self.seats.values():
            self._later(HOP_US, self._connect, seat, seat.life)

    def tell(self, name: str, event: Event | VoteEvent) -> None:
        seat = self.seats[name]
        assert seat.member is not None
        self._perform(seat, seat.member.step(event, Instant(self.now)))

    def stand(self, name: str, readiness: Readiness) -> None:
        """What the seat's votes say it would do if it were invited."""
        self.tell(name, Ready(readiness))

    def run(self, ms: int) -> None:
        until = self.now + ms * US_PER_MS
        while self._heap and self._heap[0][0] <= until:
            self.now, _, what, words = heappop(self._heap)
            what(*words)
            may = [seat.name for seat in self.seats.values() if seat.member and seat.status.permission(self._at)]
            assert len(may) <= 1, f"two leaders: {may}"
        self.now = until

    # ---- what is seen -----------------------------------------------------------------------------------------------

    @property
    def _at(self) -> Instant:
        return Instant(self.now)

    @property
    def leader(self) -> str | None:
        for seat in self.seats.values():
            if seat.member is not None and seat.status.permission(self._at) is not None:
                return seat.name
        return None

    def membership(self, name: str) -> Membership:
        found = self.seats[name].status.known_membership
        assert found is not None
        return found

    # ---- the world --------------------------------------------------------------------------------------------------

    def _later(self, us: int, what: Callable[..., None], *words: Any) -> None:
        heappush(self._heap, (self.now + us, next(self._order), what, words))

    def _connect(self, seat: Seat, life: int) -> None:
        if seat.life == life and seat.member is not None and self.store_up:
            self.tell(seat.name, Connected(next(self._connections), "run1"))

    def _poll_later(self, seat: Seat) -> None:
        if seat.member is not None:
            due = max(self.now, seat.member.deadline())
            if not self.now < seat.wake <= due:
                seat.wake = due
                self._later(due - self.now, self._poll, seat, seat.life, due)

    def _poll(self, seat: Seat, life: int, due: int) -> None:
        if seat.life == life and seat.member is not None and seat.wake == due:
            seat.wake = 0
            self._perform(seat, seat.member.step(Tick(), self._at))

    def _perform(self, seat: Seat, effects: Sequence[NodeEffect]) -> None:
        for effect in effects:
            self._one(seat, effect)
        self._poll_later(seat)

    def _one(self, seat: Seat, effect: NodeEffect) -> None:
        life = seat.life
        match effect:
            case Exchange():
                self._later(HOP_US, self._serve, seat, life, effect)
            case Ask(to, vote_request):
                if self._reaches(seat.name, to):
                    said = vote_request._replace(membership=self._passed_on(seat.name, to, vote_request.membership))
                    self._later(HOP_US, self._asked, to, said, (seat.name, life))
                elif to not in self.seats or self.seats[to].member is None:
                    self._later(1, self._event, seat, life, NotVoted(to, vote_request.request))
            case SendVote(handle, vote):
                to, asker_life = handle
                if self._reaches(seat.name, to):
                    if vote.membership is not None:
                        vote = vote._replace(membership=self._passed_on(seat.name, to, vote.membership))
                    self._later(HOP_US, self._event, self.seats[to], asker_life, Voted(vote))
            case Free(to, freeing):
                if self._reaches(seat.name, to):
                    self._later(HOP_US, self._freed, to, freeing)
            case Invite(to, _):
                self._later(HOP_US, self._event, self.seats[to], self.seats[to].life, Invited())
            case SaveKept(ticket, kept):
                self._later(300, self._saved, seat, life, ticket, kept)
            case LearnEpoch(attempt):
                known = self.fence if self.database_up else None
                self._later(100, self._event, seat, life, EpochLearned(attempt, known, WallMs(1_000)))
            case ClaimEpoch(attempt, epoch):
                outcome = self._claimed(epoch, seat.status.me.boot_id)
                self._later(100, self._event, seat, life, EpochClaimed(attempt, outcome))
            case ConfirmEpoch(epoch):
                if self._claimed(epoch, seat.status.me.boot_id) is Fenced.REFUSED:
                    self._later(100, self._event, seat, life, FenceRefused(epoch, self.fence, "x"))
            case SteppedDown(epoch, _, sentence):
                self.told.append(f"{seat.name}: {sentence}")
                self._later(5_000, self._event, seat, life, Quiesced(epoch))
            case Told(sentence) | RecordRefuted(sentence):
                self.told.append(f"{seat.name}: {sentence}")
            case Promoted(epoch):
                self.leaders.append((self.now // US_PER_MS, seat.name, epoch))
            case _:
                raise AssertionError(f"{seat.name} asks for {effect}")

    def _passed_on(self, sender: str, to: str, membership: Membership) -> Membership:
        """A list as it comes: a node vouches for it, a witness passes a node's word on."""
        word = membership.vouch if sender in self.witnesses else "of a node"
        heard = VOUCHED if word and self.nodes_vouch else ""
        return membership._replace(vouch=word if to in self.witnesses else heard)

    def _claimed(self, epoch: int, boot_id: str) -> Fenced:
        if not self.database_up:
            return Fenced.UNKNOWN
        life = self._fence_of[1] if self._fence_of[0] == self.fence else boot_id
        if not admits(self.fence, life, epoch, boot_id):
            return Fenced.REFUSED
        self.fence, self._fence_of = epoch, (epoch, boot_id)
        return Fenced.ACCEPTED

    def _reaches(self, one: str, other: str) -> bool:
        there = self.seats.get(other)
        return (one, other) not in self.cut and there is not None and there.member is not None

    def _serve(self, seat: Seat, life: int, effect: Exchange) -> None:
        if not self.store_up:
            return
        swap = effect.swap
        expected = swap.expected.encode() if swap else None
        done = exchange(self.text, expected, swap.proposed.encode() if swap else None, effect.mark.encode(), "0" * 13)
        self.text = done.stands
        record = parse_record(done.stands)
        assert record is not None
        answer = Granted(effect.request) if done.granted else Found(effect.request, record, done.was_absent)
        self._later(HOP_US, self._event, seat, life, answer)

    def _event(self, seat: Seat, life: int, event: Event) -> None:
        if seat.life == life and seat.member is not None:
            self.tell(seat.name, event)

    def _asked(self, to: str, vote_request: Any, handle: object) -> None:
        seat = self.seats[to]
        if seat.member is not None:
            self._perform(seat, seat.member.step(Asked(vote_request, handle), self._at))

    def _freed(self, to: str, freeing: Any) -> None:
        seat = self.seats[to]
        if seat.member is not None:
            self._perform(seat, seat.member.step(Freed(freeing), self._at))

    def _saved(self, seat: Seat, life: int, ticket: int, kept: PersistedVote) -> None:
        if seat.life == life and seat.member is not None:
            is_full = seat.name in self.full
            seat.disk = seat.disk if is_full else kept
            self._perform(seat, seat.member.step(Saved(ticket, "No space left" if is_full else ""), self._at))
