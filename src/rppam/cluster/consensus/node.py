"""The machines of one node wired together: the one object that the runtime drives.

Everything rides on one exchange with the store per heartbeat: the election's reading or writing, this node's own
heartbeat, and everybody else's, which feed the failure detector and the admission. Decided here is only who takes part:
a member that finds no store takes its place without it, the leader makes members of admitted nodes that ask for it, and
a node in maintenance does not stand. What an administrator has ordered is kept on disk and told in the heartbeats.
"""

from typing import Final, NamedTuple

from rppam.cluster.consensus.admission import Admission, AdmissionState, Right
from rppam.cluster.consensus.effects import (
    Asked,
    ChangeMembership,
    Effect,
    Event,
    Exchange,
    Found,
    Granted,
    Ordered,
    PauseFailover,
    Ready,
    StandAgain,
    StandDown,
    Tick,
    Told,
    VoteEvent,
)
from rppam.cluster.consensus.election import Election
from rppam.cluster.consensus.failure_detector import FailureDetector, MemberChanged
from rppam.cluster.consensus.heartbeat import Heartbeat, MemberStatus, Role
from rppam.cluster.consensus.membership import MEMBERS_MAX, Membership, VoterSet
from rppam.cluster.consensus.messages import Readiness
from rppam.cluster.consensus.operator_state import NO_ORDERS, OperatorState, Pause
from rppam.cluster.consensus.record import Record, RecordState
from rppam.cluster.consensus.roster import Listed, Roster
from rppam.cluster.consensus.status import Status
from rppam.cluster.consensus.timing import Timing
from rppam.kernel.instant import US_PER_S, Instant, WallMs

GREETED_MAX: Final = 256
LET_BE_US: Final = 5 * US_PER_S
PAUSE_AHEAD_MS: Final = 24 * 3_600_000
"""So far ahead of this node's wall clock may another's be that orders a pause."""
_NOT_ADMITTED_YET: Final = frozenset((AdmissionState.WATCHING, AdmissionState.PROBATION))
FULL: Final = (
    f"{{name}} asks to become a member, but there are {MEMBERS_MAX} already, and no more can be. "
    "Forget one that is off: rppam cluster forget NODE"
)


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
    displaced: str = ""
    """What the member link has met meanwhile; see :attr:`rppam.cluster.consensus.admission.Right.displaced`."""


class Maintain(NamedTuple):
    """This node goes into maintenance, or comes back: meanwhile it gives up leadership and does not stand."""

    by: str
    is_on: bool


NodeEvent = Event | VoteEvent | Exchanged | Maintain | Pause
"""A :class:`Pause` is an order to pause automatic failover, or to resume it, given here or elsewhere."""


class Admitted(NamedTuple):
    """The node takes part from now on."""


class Turned(NamedTuple):
    """The node may not take part and must end."""

    standing: AdmissionState
    sentence: str


class KeepOrders(NamedTuple):
    """Keep what the administrator has ordered over a restart."""

    orders: OperatorState


class Unregister(NamedTuple):
    """Take nodes that are no members any more, and show no life, off the store's list: all of them at once."""

    nodes: tuple[str, ...]


NodeEffect = Effect | MemberChanged | Admitted | Turned | KeepOrders | Unregister


class NodeCore:
    """Election, failure detector and admission of one node. Drive it as an :class:`Election` is driven."""

    def __init__(
        self,
        election: Election,
        detector: FailureDetector,
        admission: Admission,
        *,
        now: Instant,
        orders: OperatorState = NO_ORDERS,
    ) -> None:
        """``election``: made not electable, as it is not admitted yet, and paused as ``orders`` say."""
        self._election = election
        self._me = election.status().me
        self.detector = detector
        self.admission = admission
        self.roster = Roster()
        self.orders = orders
        self.in_maintenance: frozenset[str] = frozenset()
        """Members in maintenance, as far as their heartbeats tell; whether one is invited its own last vote says."""
        self.read_at: Instant | None = None
        """When the store was asked for what it answered last."""
        self._sent = 0, now
        """The last request to the store, and when it left."""
        self._started = now
        self._answered_at: Instant | None = None
        """When the store answered last."""
        self._is_let_in = False
        """Whether it takes part although the store did not answer for long enough to be admitted by it."""
        self._stood_down = ""
        self._newcomers = Newcomers()

    # ---- one way in, one way out, one view --------------------------------------------------------------------------

    def step(self, event: NodeEvent, now: Instant) -> list[NodeEffect]:
        """Something happened, or time passed."""
        match event:
            case Tick():
                return [*self._admit_without_store(now), *self._elect(event, now)]
            case Exchanged():
                return self._answered(event, now)
            case Asked():
                self._election.step(Ready(self._readiness), now)
                return self._elect(event, now)
            case Maintain(by, is_on):
                return self._maintain(by, now, is_on=is_on)
            case Pause():
                return self._pause(event, now)
            case StandDown(why):
                self._stood_down = why
                return self._elect(event, now)
            case StandAgain():
                self._stood_down = ""
                return self._elect(event, now) if self._may_stand else []
            case _:
                return self._elect(event, now)

    def deadline(self) -> Instant:
        """When to be told of the time next, at the latest."""
        return self._election.deadline()

    def status(self) -> Status:
        """What there is to know of the election now."""
        return self._election.status()

    @property
    def node(self) -> str:
        """The name of this node."""
        return self._me.node

    @property
    def boot_id(self) -> str:
        """This life of its process."""
        return self._me.boot_id

    @property
    def timing(self) -> Timing:
        """The times of its cluster."""
        return self._me.timing

    def mark(self) -> Record:
        """See :meth:`Election.mark`."""
        return self._election.mark()

    def released(self, record: Record, seq: int) -> Record:
        """See :meth:`Election.released`."""
        return self._election.released(record, seq)

    @property
    def known(self) -> tuple[str, ...]:
        """Whose heartbeats are to be read whatever the store lists: the members, or whom this node has heard."""
        membership = self.status().known_membership
        return self.detector.heard[:MEMBERS_MAX] if membership is None else membership.members

    def _elect(self, event: Event | VoteEvent, now: Instant) -> list[NodeEffect]:
        effects = self._election.step(event, now)
        for effect in effects:
            if isinstance(effect, Exchange):
                self._sent = effect.request, now
        return list(effects)

    def _answered(self, answer: Exchanged, now: Instant) -> list[NodeEffect]:
        effects: list[NodeEffect] = []
        self._answered_at = now
        status, (request, asked_at) = self.status(), self._sent
        if request == answer.request:
            self.read_at = asked_at
        listed = answer.heartbeats
        members = status.membership.members
        counted = self.roster.read(listed, members, self.detector.heard)
        answer = answer._replace(heartbeats=counted)
        before = self.admission.standing
        self.admission.observed(answer.own_before, answer.heartbeats, now, self._right(answer, now))
        if self.admission.standing is not before:
            self._admission_changed(now, effects)
        changes = self.detector.observed(answer.heartbeats, now, answer.wall_ms)
        effects.extend(self.roster.to_tell(changes, members, self.detector.watched))
        names = {*(name for name, _ in answer.heartbeats), *members}
        if members:
            self.detector.keep(names)
        else:
            self.detector.thin(names)
        answer = answer._replace(heartbeats=self.detector.heeded(answer.heartbeats))
        self._obey(answer, now, effects)
        reply: Event = (
            Granted(answer.request) if answer.granted else Found(answer.request, answer.record, answer.was_absent)
        )
        effects.extend(self._elect(reply, now))
        status = self.status()
        if status.membership.members and status.permission(now) is not None:
            seen = self.detector.members(now)
            dead = {name for name, one in seen.items() if one.status is MemberStatus.UNREACHABLE}
            effects.extend(self._newcomers.take_off(listed, status.membership, dead, self.node, now))
            self._look_for_newcomers(answer, status, now, effects)
        return effects

    def _look_for_newcomers(self, answer: Exchanged, status: Status, now: Instant, effects: list[NodeEffect]) -> None:
        """The leader makes members of those that ask for it, one after another, and knows the order of succession."""
        present = {name: beat for name, beat in answer.heartbeats if beat is not None and not beat.leaving}
        succession = tuple(sorted(present, key=lambda name: (-present[name].priority, name)))
        if succession != status.others.succession:
            effects.extend(self._elect(Ordered(succession), now))
            status = self.status()
        if status.membership.old is not None or status.wanted.voters is not None:
            return
        wanted = self._newcomers.next(present, status.membership, effects)
        if wanted is not None:
            effects.extend(self._elect(ChangeMembership(wanted), now))

    # ---- what an administrator orders -------------------------------------------------------------------------------

    def _maintain(self, by: str, now: Instant, *, is_on: bool) -> list[NodeEffect]:
        self.orders = self.orders._replace(maintenance=is_on, maintenance_by=by if is_on else "")
        effects: list[NodeEffect] = [KeepOrders(self.orders)]
        if is_on:
            effects.extend(self._elect(StandDown(f"{by} has put this node into maintenance"), now))
        elif self._may_stand:
            effects.extend(self._elect(StandAgain(), now))
        return effects

    def _pause(self, pause: Pause, now: Instant) -> list[NodeEffect]:
        """An order that is not newer changes nothing."""
        if pause <= self.orders.pause:
            return []
        self.orders = self.orders._replace(pause=pause)
        sentence = (
            f"automatic failover is paused by {pause.by}: nobody takes over by itself until it is resumed"
            if pause.is_on
            else f"automatic failover is resumed by {pause.by}"
        )
        return [
            KeepOrders(self.orders),
            Told(sentence, is_warning=pause.is_on),
            *self._elect(PauseFailover(pause.is_on), now),
        ]

    def _obey(self, answer: Exchanged, now: Instant, effects: list[NodeEffect]) -> None:
        """What others tell of orders: who is in maintenance, and the newest pause.

        A pause that was ordered tomorrow is nobody's order: it would be newer than every order that can be given. A
        node that tells nothing of its maintenance, as nobody who may order it wrote that, is what it last said, as is
        one that is silent; and of one of which nobody knows any more nothing is remembered.
        """
        status = self.status()
        beats = [beat for _, beat in answer.heartbeats if beat is not None]
        latest = max(answer.wall_ms, status.lease.epochs.led, status.vote.highest) + PAUSE_AHEAD_MS  # epochs are times
        goes = {beat.node for beat in beats if beat.maintenance}
        back = {beat.node for beat in beats if beat.maintenance is False}
        remembered = {*self.detector.watched, *status.membership.members, self.node}
        self.in_maintenance = ((self.in_maintenance | goes) - back) & remembered
        pauses = (Pause(beat.pause_stamp, beat.paused, beat.paused_by) for beat in beats if beat.pause_stamp <= latest)
        newest = max(pauses, default=Pause())
        effects.extend(self._pause(newest, now))

    # ---- who takes part ---------------------------------------------------------------------------------------------

    @property
    def _may_stand(self) -> bool:
        if self._stood_down or self.orders.maintenance or self.status().vote.strange:
            return False  # a node with the file of another one takes part as one that is no member
        standing = self.admission.standing
        return standing is AdmissionState.ADMITTED or (self._is_let_in and standing in _NOT_ADMITTED_YET)

    @property
    def _readiness(self) -> Readiness:
        if self._stood_down or self.orders.maintenance:
            return Readiness.ASIDE
        return Readiness.READY if self._may_stand else Readiness.WAITS

    def _right(self, answer: Exchanged, now: Instant) -> Right:
        status = self.status()
        joins = status.members_vote and not status.membership.members
        known = frozenset((*self.detector.heard, *status.membership.members)) if status.members_vote else None
        return Right(self._leading_life(answer.record, now), self._is_member, joins, answer.displaced, known)

    def _leading_life(self, record: Record, now: Instant) -> str:
        """Which process life leads under this node's name, or led last; empty when none did."""
        if self.status().permission(now) is not None:
            return self.boot_id
        is_mine = record.state is RecordState.HELD and record.holder == self.node
        return record.boot_id if is_mine else ""

    @property
    def _is_member(self) -> bool:
        return self.node in self.status().membership.members

    def _admission_changed(self, now: Instant, effects: list[NodeEffect]) -> None:
        standing = self.admission.standing
        if standing is AdmissionState.ADMITTED:
            effects.append(Admitted())
            if self._may_stand:
                effects.extend(self._elect(StandAgain(), now))
        elif standing in {AdmissionState.NAME_TAKEN, AdmissionState.NO_SEAT}:
            effects.append(Turned(standing, self.admission.reason))
            effects.extend(self._elect(StandDown(self.admission.reason), now))

    def _admit_without_store(self, now: Instant) -> list[NodeEffect]:
        """A member that starts while the store is away has its place already: its name stands on its own disk.

        So has one that the store left before it was admitted.
        """
        if self._is_let_in or not self._is_member or self.admission.standing not in _NOT_ADMITTED_YET:
            return []
        silent_us = now - (self._started if self._answered_at is None else self._answered_at)
        if silent_us <= 2 * self.timing.lease_us:
            return []
        self._is_let_in = True
        told = Told("the store does not answer; this node is a member and takes part without it")
        return [told, *(self._elect(StandAgain(), now) if self._may_stand else [])]


class Newcomers:
    """What a leader makes of names that are no members."""

    def __init__(self) -> None:
        self._taken_off: dict[str, Instant] = {}
        """When names were taken off the store's list, for a while."""
        self._sought = ""
        """Whose vote was sought last."""
        self._greeted: set[tuple[str, str]] = set()
        """Lives of nodes whose wish to become a member was told."""

    def take_off(
        self, listed: Listed, membership: Membership, dead: set[str], node: str, now: Instant
    ) -> list[NodeEffect]:
        """A node that is no member and shows no life is not listed for ever; a living one lists itself again.

        So does one that nobody here believes, at each of its heartbeats: it is let be for a while then.
        """
        self._taken_off = {name: at for name, at in self._taken_off.items() if now - at < LET_BE_US}
        stay = {*membership.members, node, *self._taken_off}
        gone = tuple(name for name, beat in listed if (beat is None or name in dead) and name not in stay)
        self._taken_off.update(dict.fromkeys(gone, now))
        return [Unregister(gone)] if gone else []

    def next(self, present: dict[str, Heartbeat], membership: Membership, effects: list[NodeEffect]) -> VoterSet | None:
        """The members with the next newcomer among them; ``None`` when there is none, or no room."""
        asking = [
            (name <= self._sought, name, beat)
            for name, beat in present.items()
            if beat.joins and beat.admitted and beat.member_address and name not in membership.members
        ]
        if not asking:
            return None
        is_full = len(membership.members) >= MEMBERS_MAX
        _, name, beat = min(asking)  # one whose vote cannot be won holds up nobody: the next has its turn
        voters = membership.body
        witnesses = (*voters.witnesses, name) if beat.role is Role.WITNESS else voters.witnesses
        self._sought = name
        if (name, beat.boot_id) not in self._greeted:
            if len(self._greeted) >= GREETED_MAX:
                self._greeted.clear()
            self._greeted.add((name, beat.boot_id))
            told = FULL.format(name=name) if is_full else f"{name} asks to become a member; its vote is being won"
            effects.append(Told(told, is_warning=is_full))
        return None if is_full else VoterSet.of((*voters.members, name), voters.policy, witnesses)
