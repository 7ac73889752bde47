"""A stage for stories about one node's election: the test plays the store, the database and the clock."""

from collections.abc import Iterable
from typing import Any

from rppam.cluster.consensus.effects import (
    ClaimEpoch,
    Connected,
    Effect,
    EpochClaimed,
    EpochLearned,
    Event,
    Exchange,
    Found,
    Granted,
    LearnEpoch,
    Phase,
    Promoted,
    Quiesced,
    SteppedDown,
    Tick,
    Told,
)
from rppam.cluster.consensus.election import Election
from rppam.cluster.consensus.holder import Leading
from rppam.cluster.consensus.lease import Identity
from rppam.cluster.consensus.promises import Promises
from rppam.cluster.consensus.record import Record, RecordState, commitment
from rppam.cluster.consensus.timing import PROFILES
from rppam.kernel.fence import Fenced
from rppam.kernel.instant import US_PER_MS, Instant, WallMs

TIMING = PROFILES["default"]
LEASE, PROMISE, BEAT = TIMING.lease_ms, TIMING.promise_ms, TIMING.heartbeat_ms
ME, MY_LIFE = "node1", "1" * 16
OTHER, OTHER_LIFE = "node2", "2" * 16
WALL_MS = 1_000
SECRET = "5e" * 16
"""What a release of another node reveals."""


class CountingEntropy:
    """Nonces that count, and back-offs that are always the longest."""

    def __init__(self) -> None:
        self.drawn = 0

    def nonce(self) -> str:
        self.drawn += 1
        return f"{self.drawn:016x}"

    def below(self, bound: int) -> int:
        return bound - 1


def held(holder: str = OTHER, life: str = OTHER_LIFE, epoch: int = 7, seq: int = 3) -> Record:
    return Record(RecordState.HELD, holder, life, epoch, seq, commitment(SECRET))


def released(epoch: int = 7, seq: int = 4) -> Record:
    return Record(RecordState.RELEASED, OTHER, OTHER_LIFE, epoch, seq, SECRET)


class Stage:
    """One election and what it wants done."""

    def __init__(self, start_ms: int = 0) -> None:
        self.now = Instant(start_ms * US_PER_MS)
        self.election = Election(Identity(ME, MY_LIFE, TIMING), CountingEntropy(), now=self.now)
        self.effects: list[Effect] = []
        self.stands: Record | None = None
        """The record in the store."""

    def tell(self, event: Event, after_ms: int = 0) -> list[Effect]:
        self.now = Instant(self.now + after_ms * US_PER_MS)
        return self._note(self.election.step(event, self.now))

    def wait(self, ms: int) -> None:
        """Let time pass; the node is polled exactly when it asks to be; nobody answers it."""
        until = self.now + ms * US_PER_MS
        while self.election.deadline() <= until:
            self.now = Instant(max(self.now, self.election.deadline()))
            before = len(self.effects)
            self._note(self.election.step(Tick(), self.now))
            assert self.election.deadline() > self.now or len(self.effects) > before, "it asks again and again"
        self.now = Instant(until)

    def sleep_through(self, ms: int) -> list[Effect]:
        """Let time pass while the process stands still, then poll once."""
        self.now = Instant(self.now + ms * US_PER_MS)
        return self._note(self.election.step(Tick(), self.now))

    def _note(self, effects: list[Effect]) -> list[Effect]:
        self.effects.extend(effects)
        return effects

    # ---- what it wants ----------------------------------------------------------------------------------------------

    def of(self, kind: type[Any]) -> list[Any]:
        return [effect for effect in self.effects if isinstance(effect, kind)]

    @property
    def asked(self) -> Exchange:
        return self.of(Exchange)[-1]

    @property
    def told(self) -> str:
        return " / ".join(told.sentence for told in self.of(Told))

    @property
    def phase(self) -> Phase:
        return self.election.status().phase

    @property
    def permission(self) -> int | None:
        return self.election.status().permission(self.now)

    # ---- the store's and the database's part ------------------------------------------------------------------------

    def connect(self, number: int = 1, identity: str = "run1") -> None:
        self.tell(Connected(number, identity))

    def answer(self, after_ms: int = 1) -> list[Effect]:
        """The store answers the last exchange as the script would."""
        asked = self.asked
        if self.stands is None:
            self.stands = asked.mark
            return self.tell(Found(asked.request, self.stands, was_absent=True), after_ms)
        if asked.swap is not None and asked.swap.expected == self.stands:
            self.stands = asked.swap.proposed
            return self.tell(Granted(asked.request), after_ms)
        return self.tell(Found(asked.request, self.stands, was_absent=False), after_ms)

    def live(self, ms: int) -> None:
        """Let time pass with a store that answers each exchange after a millisecond."""
        until = self.now + ms * US_PER_MS
        answered = self.asked.request if self.of(Exchange) and self.election.status().under_way is None else 0
        while True:
            if self.election.status().under_way is not None and self.asked.request != answered:
                answered = self.asked.request
                self.answer()
            elif self.election.deadline() > until:
                break
            else:
                self.now = Instant(max(self.now, self.election.deadline()))
                self._note(self.election.step(Tick(), self.now))
            if self.phase in {Phase.LEARNING, Phase.CLAIMING}:
                break
        self.now = Instant(max(self.now, until)) if self.phase not in {Phase.LEARNING, Phase.CLAIMING} else self.now

    def learn(self, highest: int | None = 0, wall_ms: int = WALL_MS) -> list[Effect]:
        return self.tell(EpochLearned(self.of(LearnEpoch)[-1].attempt, highest, WallMs(wall_ms)), 1)

    def claim(self, outcome: Fenced = Fenced.ACCEPTED) -> list[Effect]:
        return self.tell(EpochClaimed(self.of(ClaimEpoch)[-1].attempt, outcome), 1)

    def stop_acting(self) -> list[Effect]:
        return self.tell(Quiesced(self.of(SteppedDown)[-1].epoch), 10)


def candidate(stands: Record | None = None) -> Stage:
    """A node that has watched the record for the whole lease and asks the database."""
    stage = Stage()
    stage.stands = stands
    stage.connect()
    stage.live(TIMING.lease_ms + 1_000)
    assert stage.phase is Phase.LEARNING
    return stage


def asking(stands: Record | None = None) -> Stage:
    """A candidate that has asked for the store's vote."""
    stage = candidate(stands)
    stage.learn()
    assert stage.phase is Phase.VOTING
    return stage


def leader(stands: Record | None = None) -> Stage:
    """A node that leads."""
    stage = asking(stands)
    stage.answer()
    assert stage.phase is Phase.CLAIMING
    stage.claim()
    assert stage.of(Promoted)
    assert stage.permission == stage.election.status().epoch
    return stage


def lead(election: Election, epoch: int, names: Iterable[str], until: Instant) -> None:
    """This node leads, by what these have promised."""
    state = election._state
    promises = Promises(*state.weights)
    for name in names:
        promises.add(name, until)
    state.epoch = epoch
    state.phase = Leading(state, promises, state.pace.polled)
    state.out.clear()
    election._status = None
