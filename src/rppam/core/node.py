"""The machines of one node wired together: the one object that the runtime drives.

Everything rides on one exchange with the store per heartbeat: the election's reading or writing, this node's own
heartbeat, and everybody else's, which feed the failure detector and the admission. No decision is made here that one of
the three machines does not make.
"""

from typing import NamedTuple

from rppam.core.admission import Admission, Standing
from rppam.core.detector import Detector, MemberChanged
from rppam.core.effects import Effect, Event, Found, Granted, StandAgain, StandDown
from rppam.core.election import Election
from rppam.domain.instant import Instant, WallMs
from rppam.domain.member import Heartbeat
from rppam.domain.record import Record


class Exchanged(NamedTuple):
    """The store's answer to one exchange, whole."""

    request: int
    granted: bool
    was_absent: bool
    record: Record
    own_before: Heartbeat | None
    heartbeats: tuple[tuple[str, Heartbeat | None], ...]
    wall_ms: WallMs
    """This node's wall clock at the arrival, for people."""


class Admitted(NamedTuple):
    """The node takes part from now on."""


class Turned(NamedTuple):
    """The node may not take part and must end."""

    standing: Standing
    sentence: str


NodeEffect = Effect | MemberChanged | Admitted | Turned


class NodeCore:
    """Election, failure detector and admission of one node."""

    def __init__(self, election: Election, detector: Detector, admission: Admission) -> None:
        self.election = election
        self.detector = detector
        self.admission = admission
        election.electable = False

    def answered(self, answer: Exchanged, now: Instant) -> list[NodeEffect]:
        """An exchange was answered."""
        effects: list[NodeEffect] = []
        before = self.admission.standing
        self.admission.observed(answer.own_before, answer.heartbeats, now)
        if self.admission.standing is not before:
            self._admission_changed(now, effects)
        effects.extend(self.detector.observed(answer.heartbeats, now, answer.wall_ms))
        reply: Event = (
            Granted(answer.request) if answer.granted else Found(answer.request, answer.record, answer.was_absent)
        )
        effects.extend(self.election.receive(reply, now))
        return effects

    def receive(self, event: Event, now: Instant) -> list[NodeEffect]:
        """Anything that concerns the election alone."""
        return list(self.election.receive(event, now))

    def poll(self, now: Instant) -> list[NodeEffect]:
        """Time passed."""
        return list(self.election.poll(now))

    def deadline(self) -> Instant:
        """When to be polled next, at the latest."""
        return self.election.deadline()

    def _admission_changed(self, now: Instant, effects: list[NodeEffect]) -> None:
        standing = self.admission.standing
        if standing is Standing.ADMITTED:
            effects.append(Admitted())
            effects.extend(self.election.receive(StandAgain(), now))
        elif standing in {Standing.NAME_TAKEN, Standing.NO_SEAT}:
            effects.append(Turned(standing, self.admission.reason))
            effects.extend(self.election.receive(StandDown(self.admission.reason), now))
