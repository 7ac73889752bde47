"""The machines of one node wired together: the one object that the runtime drives.

Everything rides on one exchange with the store per heartbeat: the election's reading or writing, this node's own
heartbeat, and everybody else's, which feed the failure detector and the admission. Decided here is only who takes part:
a member that finds no store takes its place without it, the leader makes members of admitted nodes that ask for it, and
a node in maintenance does not stand. What an administrator has ordered is kept on disk and told in the heartbeats.
"""

from typing import Final, NamedTuple

from rppam.cluster.consensus.admission import Admission, AdmissionState, Right
from rppam.cluster.consensus.effects import (
    ChangeMembership,
    Event,
    Found,
    Granted,
    PauseFailover,
    StandAgain,
    StandDown,
    Told,
)
from rppam.cluster.consensus.election import Election
from rppam.cluster.consensus.failure_detector import FailureDetector, MemberChanged
from rppam.cluster.consensus.heartbeat import Heartbeat, MemberStatus, Role
from rppam.cluster.consensus.member import Member, MemberEffect
from rppam.cluster.consensus.membership import MEMBERS_MAX, Membership, VoterSet
from rppam.cluster.consensus.messages import Freeing, Readiness, VoteRequest
from rppam.cluster.consensus.operator_state import NO_ORDERS, OperatorState, Pause
from rppam.cluster.consensus.record import Record, RecordState
from rppam.cluster.consensus.roster import Listed, Roster
from rppam.cluster.consensus.voter import Voter
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


NodeEffect = MemberEffect | MemberChanged | Admitted | Turned | KeepOrders | Unregister


class NodeCore:
    """Election, vote, failure detector and admission of one node."""

    def __init__(
        self,
        election: Election,
        detector: FailureDetector,
        admission: Admission,
        *,
        now: Instant,
        orders: OperatorState = NO_ORDERS,
    ) -> None:
        self.election = election
        self.member = Member(election)
        self.detector = detector
        self.admission = admission
        self.roster = Roster()
        self.orders = orders
        self._started = now
        self._answered_at: Instant | None = None
        """When the store answered last."""
        self.read_at: Instant | None = None
        """When the store was asked for what it answered last."""
        self._is_let_in = False
        """Whether it takes part although the store did not answer for long enough to be admitted by it."""
        self._stood_down = ""
        self._taken_off: dict[str, Instant] = {}
        """When names were taken off the store's list, for a while."""
        self._newcomer = ""
        """Whose vote was sought last."""
        self._greeted: set[tuple[str, str]] = set()
        """Lives of nodes whose wish to become a member was told."""
        election.electable = False
        election.paused = orders.pause.is_on

    @property
    def voter(self) -> Voter | None:
        """This node's own vote; ``None`` where the record alone decides."""
        return self.member.voter

    # ---- what comes in ----------------------------------------------------------------------------------------------

    def answered(self, answer: Exchanged, now: Instant) -> list[NodeEffect]:
        """An exchange was answered."""
        effects: list[NodeEffect] = []
        self._answered_at = now
        sent = self.election.pen.sent
        if sent is not None and sent.request == answer.request:
            self.read_at = sent.at
        electorate = self.election.electorate
        listed = answer.heartbeats
        members = electorate.members if electorate else ()
        counted = self.roster.read(listed, members, self.detector.heard)
        answer = answer._replace(heartbeats=counted)
        before = self.admission.standing
        self.admission.observed(answer.own_before, answer.heartbeats, now, self._right(answer, now))
        if self.admission.standing is not before:
            self._admission_changed(now, effects)
        changes = self.detector.observed(answer.heartbeats, now, answer.wall_ms)
        effects.extend(self.roster.to_tell(changes, members, self.detector.watched))
        names = {*(name for name, _ in answer.heartbeats), *members}
        if electorate is not None:
            self.detector.keep(names)
        else:
            self.detector.thin(names)
        answer = answer._replace(heartbeats=self.detector.heeded(answer.heartbeats))
        self._heed(answer, now, effects)
        reply: Event = (
            Granted(answer.request) if answer.granted else Found(answer.request, answer.record, answer.was_absent)
        )
        effects.extend(self.member.receive(reply, now))
        if self.election.electorate is not None and self.election.permission(now) is not None:
            self._take_off_the_list(listed, self.election.electorate, now, effects)
            self._look_for_newcomers(answer, self.election.electorate, effects, now)
        return effects

    @property
    def known(self) -> tuple[str, ...]:
        """Whose heartbeats are to be read whatever the store lists: the members, or whom this node has heard."""
        electorate = self.election.electorate
        return self.detector.heard[:MEMBERS_MAX] if electorate is None else tuple(electorate.members)

    def receive(self, event: Event, now: Instant) -> list[NodeEffect]:
        """Anything that concerns the election alone."""
        if isinstance(event, StandDown):
            self._stood_down = event.why
        elif isinstance(event, StandAgain):
            self._stood_down = ""
            if not self._may_stand:
                return []
        return list(self.member.receive(event, now))

    def asked(self, ballot: VoteRequest, handle: object, now: Instant) -> list[NodeEffect]:
        """Another member asks for this one's vote."""
        if self.voter is not None:
            self.voter.stance = self._stance
        return list(self.member.asked(ballot, handle, now))

    def freed(self, freeing: Freeing, now: Instant) -> list[NodeEffect]:
        """Another member gives a promise back."""
        return list(self.member.freed(freeing, now))

    def saved(self, ticket: int, why_not: str, now: Instant) -> list[NodeEffect]:
        """The disk has kept what it should, or why not."""
        return list(self.member.saved(ticket, why_not, now))

    def tried(self, why_not: str, now: Instant) -> list[NodeEffect]:
        """The disk was tried: whether it would keep a promise, or why not."""
        return list(self.member.tried(why_not, now))

    def poll(self, now: Instant) -> list[NodeEffect]:
        """Time passed."""
        effects: list[NodeEffect] = []
        self._admit_without_store(now, effects)
        effects.extend(self.member.poll(now))
        return effects

    def deadline(self) -> Instant:
        """When to be polled next, at the latest."""
        return self.member.deadline()

    # ---- what an administrator orders -------------------------------------------------------------------------------

    def maintain(self, by: str, now: Instant, *, is_on: bool) -> list[NodeEffect]:
        """This node goes into maintenance: it gives up leadership and does not stand until it comes back."""
        self.orders = self.orders._replace(maintenance=is_on, maintenance_by=by if is_on else "")
        effects: list[NodeEffect] = [KeepOrders(self.orders)]
        if is_on:
            effects.extend(self.member.receive(StandDown(f"{by} has put this node into maintenance"), now))
        elif self._may_stand:
            effects.extend(self.member.receive(StandAgain(), now))
        return effects

    def pause(self, pause: Pause, now: Instant) -> list[NodeEffect]:
        """Automatic failover is paused or resumed, here or elsewhere; an order that is not newer changes nothing."""
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
            *self.member.receive(PauseFailover(pause.is_on), now),
        ]

    def _heed(self, answer: Exchanged, now: Instant, effects: list[NodeEffect]) -> None:
        """What others tell of orders: who is in maintenance, and the newest pause.

        A pause that was ordered tomorrow is nobody's order: it would be newer than every order that can be given. Who
        tells nothing of its maintenance, as nobody who may order it wrote that, is what it last said, as is who is
        silent; and of whom nobody knows any more is nothing to remember.
        """
        beats = [beat for _, beat in answer.heartbeats if beat is not None]
        known = 0 if self.voter is None else self.voter.highest
        latest = max(answer.wall_ms, self.election.watch.highest, known) + PAUSE_AHEAD_MS  # epochs are times, too
        aside = {beat.node for beat in beats if beat.maintenance}
        back = {beat.node for beat in beats if beat.maintenance is False}
        members = self.election.electorate.members if self.election.electorate else ()
        remembered = {*self.detector.watched, *members, self.election.node}
        self.election.unwilling = ((self.election.unwilling | aside) - back) & remembered
        pauses = (Pause(beat.pause_stamp, beat.paused, beat.paused_by) for beat in beats if beat.pause_stamp <= latest)
        newest = max(pauses, default=Pause())
        effects.extend(self.pause(newest, now))

    # ---- who takes part ---------------------------------------------------------------------------------------------

    @property
    def _may_stand(self) -> bool:
        if self._stood_down or self.orders.maintenance or not self._has_own_file:
            return False
        standing = self.admission.standing
        return standing is AdmissionState.ADMITTED or (self._is_let_in and standing in _NOT_ADMITTED_YET)

    @property
    def _has_own_file(self) -> bool:
        """Where members vote, a node with the file of another one takes part as somebody who is no member."""
        return self.voter is None or self.voter.has_vote()

    @property
    def _stance(self) -> Readiness:
        if self._stood_down or self.orders.maintenance:
            return Readiness.ASIDE
        return Readiness.READY if self._may_stand else Readiness.WAITS

    def _right(self, answer: Exchanged, now: Instant) -> Right:
        electorate = self.election.electorate
        joins = self.voter is not None and electorate is None
        known = None
        if self.voter is not None:
            known = frozenset((*self.detector.heard, *(electorate.members if electorate else ())))
        return Right(self._leading_life(answer.record, now), self._is_member, joins, answer.displaced, known)

    def _leading_life(self, record: Record, now: Instant) -> str:
        """Which process life leads under this node's name, or led last; empty when none did."""
        if self.election.permission(now) is not None:
            return self.election.boot_id
        is_mine = record.state is RecordState.HELD and record.holder == self.election.node
        return record.boot_id if is_mine else ""

    @property
    def _is_member(self) -> bool:
        electorate = self.election.electorate
        return electorate is not None and self.election.node in electorate.members

    def _admission_changed(self, now: Instant, effects: list[NodeEffect]) -> None:
        standing = self.admission.standing
        if standing is AdmissionState.ADMITTED:
            effects.append(Admitted())
            if self._may_stand:
                effects.extend(self.member.receive(StandAgain(), now))
        elif standing in {AdmissionState.NAME_TAKEN, AdmissionState.NO_SEAT}:
            effects.append(Turned(standing, self.admission.reason))
            effects.extend(self.member.receive(StandDown(self.admission.reason), now))

    def _admit_without_store(self, now: Instant, effects: list[NodeEffect]) -> None:
        """A member that starts while the store is away has its place already: its name stands on its own disk.

        So has one that the store left before it was admitted.
        """
        if self._is_let_in or not self._is_member or self.admission.standing not in _NOT_ADMITTED_YET:
            return
        silent_us = now - (self._started if self._answered_at is None else self._answered_at)
        if silent_us > 2 * self.election.timing.lease_us:
            self._is_let_in = True
            effects.append(Told("the store does not answer; this node is a member and takes part without it"))
            if self._may_stand:
                effects.extend(self.member.receive(StandAgain(), now))

    def _take_off_the_list(
        self, listed: Listed, electorate: Membership, now: Instant, effects: list[NodeEffect]
    ) -> None:
        """Who is no member and shows no life is not listed for ever; a living one lists itself again.

        So does one that nobody here believes, at each of its heartbeats: it is let be for a while then.
        """
        dead = {name for name, seen in self.detector.members(now).items() if seen.status is MemberStatus.UNREACHABLE}
        self._taken_off = {name: at for name, at in self._taken_off.items() if now - at < LET_BE_US}
        stay = {*electorate.members, self.election.node, *self._taken_off}
        gone = tuple(name for name, beat in listed if (beat is None or name in dead) and name not in stay)
        if gone:
            self._taken_off.update(dict.fromkeys(gone, now))
            effects.append(Unregister(gone))

    def _look_for_newcomers(
        self, answer: Exchanged, electorate: Membership, effects: list[NodeEffect], now: Instant
    ) -> None:
        """The leader makes members of those who ask for it, one after another, and knows the order of succession."""
        present = {name: beat for name, beat in answer.heartbeats if beat is not None and not beat.leaving}
        self.election.succession = tuple(sorted(present, key=lambda name: (-present[name].priority, name)))
        if electorate.old is not None or self.election.changes.wanted is not None:
            return
        asking = [
            (name <= self._newcomer, name, beat)
            for name, beat in present.items()
            if beat.joins and beat.admitted and beat.member_address and name not in electorate.members
        ]
        if not asking:
            return
        is_full = len(electorate.members) >= MEMBERS_MAX
        _, name, beat = min(asking)  # one whose vote cannot be won holds up nobody: the next has its turn
        body = electorate.body
        witnesses = (*body.witnesses, name) if beat.role is Role.WITNESS else body.witnesses
        wanted = VoterSet.of((*body.members, name), body.policy, witnesses)
        self._newcomer = name
        if (name, beat.boot_id) not in self._greeted:
            if len(self._greeted) >= GREETED_MAX:
                self._greeted.clear()
            self._greeted.add((name, beat.boot_id))
            told = FULL.format(name=name) if is_full else f"{name} asks to become a member; its vote is being won"
            effects.append(Told(told, is_warning=is_full))
        if not is_full:
            effects.extend(self.member.receive(ChangeMembership(wanted), now))
