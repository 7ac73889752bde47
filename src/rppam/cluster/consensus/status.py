"""What there is to know of an election at one moment: a frozen value, complete, and the only thing that others read.

Questions that depend on the time take it: a status says nothing of how long ago it was taken. So a permission is asked
for at each act, of a status that was taken for it.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from rppam.cluster.consensus.effects import Phase
from rppam.cluster.consensus.lease import Identity, LeaseObserver, Sent
from rppam.cluster.consensus.membership import RECORD_ALONE, Membership, Version, Wanted
from rppam.cluster.consensus.messages import Candidacy, Readiness
from rppam.cluster.consensus.peers import CLOCK_SOURCE, Answer
from rppam.cluster.consensus.promises import STORE, is_majority
from rppam.cluster.consensus.record import Record, RecordState
from rppam.cluster.consensus.rules import Rules
from rppam.cluster.consensus.state import State
from rppam.cluster.consensus.vote import OwnVote
from rppam.kernel.instant import Instant


class Clocks(NamedTuple):
    """What is known of the rates of clocks."""

    off: Mapping[str, int]
    """Members whose clock is certainly off, and by how many percent at least (negative: too slow)."""
    is_own_off: bool
    """Whether this host's has to be taken for the wrong one."""
    store_counts: bool
    """Whether the store's promise is worth anything to this node."""
    awaited: tuple[str, ...]
    """Members whose slow clocks make the wait for the store's vote longer; the slowest come first."""


OWN_CLOCK: Final = (
    "this host's clock does not run at the rate of that of {names}, so neither their promises nor the vote of Redis "
    f"count for it. Check the clock source of these hosts (cat {CLOCK_SOURCE}) and restart the wrong one"
)
SAME_CLOCKS: Final = Clocks({}, is_own_off=False, store_counts=True, awaited=())


class Others(NamedTuple):
    """What this node knows of the others besides their answers."""

    clocks: Clocks
    strangers: frozenset[str]
    """Members by name that turned out to belong to another cluster."""
    succession: tuple[str, ...]
    """Members in the order in which they are invited to follow this node."""
    unanswered: Mapping[str, tuple[Instant, Instant]]
    """Members that have been asked without an answer: when first, and when last."""
    paused: bool
    """Whether automatic failover is paused."""


class Status(NamedTuple):
    """One node's part in the election, as it is now."""

    me: Identity
    rules: Rules
    phase: Phase
    epoch: int
    """At which this node leads, stands, or led last."""
    deadline: Instant | None
    """Until when promises worth more than half of all votes hold; ``None`` without a majority."""
    promises: Mapping[str, Instant]
    """Who promised this node until when."""
    membership: Membership
    wanted: Wanted
    """What the members shall become, if this node leads and somebody asked for it."""
    vote: OwnVote
    lease: LeaseObserver
    under_way: Sent | None
    """The request to the store that waits for its answer."""
    answers: Mapping[str, Answer]
    """What each member last answered."""
    others: Others
    electable: bool
    no_epoch: str
    """Why no epoch could be picked when this node stood last, in a sentence; empty when one could."""

    # ---- who leads --------------------------------------------------------------------------------------------------

    def permission(self, now: Instant) -> int | None:
        """The epoch at which this node may act at this very moment, or ``None``. Ask again for each act."""
        may = self.phase is Phase.LEADER and self.rules.leadership.has_permission(self.deadline, now)
        return self.epoch if may else None

    def leader(self, now: Instant) -> tuple[str, int] | None:
        """Name and epoch of the leader as far as this node knows; ``None`` when there is none or it is not known."""
        if self.permission(now) is not None:
            return self.me.node, self.epoch
        promised = self.vote.leader(now)
        if promised is not None and promised.boot_id != self.me.boot_id:
            return promised.candidate, promised.epoch
        lease = self.lease
        record = lease.record
        if record is None or record.state is not RecordState.HELD or record.boot_id == self.me.boot_id:
            return None
        if not self.membership.may_lead(record.holder) or lease.is_unsigned:
            return None
        return (record.holder, record.epoch) if lease.silent_us(now) <= self.me.timing.lease_us else None

    @property
    def candidacy(self) -> Candidacy:
        """What this node asks promises for."""
        return Candidacy(self.me.node, self.me.boot_id, self.epoch)

    def holds(self, voter: str, now: Instant) -> bool:
        """Return whether ``voter``'s promise to this node still runs."""
        until = self.promises.get(voter)
        return until is not None and now < until

    # ---- the members ------------------------------------------------------------------------------------------------

    @property
    def members_vote(self) -> bool:
        """Whether members vote here; else the record alone decides."""
        return self.membership is not RECORD_ALONE

    @property
    def known_membership(self) -> Membership | None:
        """The list of members; ``None`` where none vote, and on a node that belongs to no cluster yet."""
        return self.membership if self.membership.members else None

    @property
    def asked_members(self) -> tuple[str, ...]:
        """Everybody whose promise is sought: the members, and those who shall be."""
        return self.wanted.asked_too(self.membership)

    def is_heard(self, name: str, now: Instant) -> bool:
        """Return whether a member answered a request within the last lease."""
        answer = self.answers.get(name)
        return answer is not None and now - answer.at <= self.me.timing.lease_us

    def could_follow(self, name: str, now: Instant) -> bool:
        """Return whether a member answers, and may lead."""
        return self.membership.may_stand(name) and name != self.me.node and self.is_heard(name, now)

    def successors(self, now: Instant) -> tuple[str, ...]:
        """Members that answer and could follow this node as the leader, in the order of succession.

        Each says with its vote whether it would; a member that has just started waits, and would fail.
        """
        able = (
            name
            for name in self.membership.members
            if self.could_follow(name, now) and self.answers[name].vote.readiness is Readiness.READY
        )
        order = {name: place for place, name in enumerate(self.others.succession)}
        return tuple(sorted(able, key=lambda name: (order.get(name, len(order)), name)))

    def successor(self, now: Instant) -> str:
        """The member to invite if this process dies; empty while failover is paused, or when nobody answers."""
        return "" if self.others.paused else "".join(self.successors(now)[:1])

    def is_left_in_hands(self) -> bool:
        """Return whether a member besides this node could lead by votes that are kept, as far as disks tell.

        A vote is worth something only while its member's disk takes promises, and each says with its votes whether that
        is so. A leader that went all the same would leave the cluster without one for as long as the disks stay full.
        Of a member of which nothing was heard the best is assumed: whether it answers at all is judged by the
        administrator who asks for a switchover. It does not promise that the one who is left wins: disks fill up
        between one trial and the next.
        """
        if not self.membership.members:
            return True
        unable = {name for name, answer in self.answers.items() if answer.vote.readiness is Readiness.UNABLE}
        if self.vote.why_unable:
            unable.add(self.me.node)
        able = set(self.membership.members) - unable
        followers = any(name != self.me.node and self.membership.may_stand(name) for name in able)
        sets = (voters.weights for voters in self.rules.membership.voter_sets(self.membership))
        return followers and is_majority(able if self.lease.connection is None else able | {STORE}, *sets)

    def has_on_disk(self, name: str, version: Version) -> bool:
        """Return whether a member need not be waited for: it has that list on disk, or is stated to be off."""
        answer = self.answers.get(name)
        return name in self.wanted.stated_off or (answer is not None and answer.vote.version >= version)

    def unanswered_us(self, name: str, now: Instant) -> int:
        """For how long this node has been asking the member again and again without any answer, good or bad."""
        first, last = self.others.unanswered.get(name, (now, now))
        return 0 if now - last > self.me.timing.lease_us else now - first

    # ---- the store --------------------------------------------------------------------------------------------------

    @property
    def connected(self) -> bool:
        """Whether this node is connected to the store."""
        return self.lease.connection is not None

    @property
    def take_at(self) -> Instant | None:
        """The earliest instant at which the store's vote can be had without further news; ``None``: not so."""
        return self.rules.lease.take_at(self.lease)

    def to_release(self, now: Instant) -> Record | None:
        """The record of this life that still has to be released. One that falls silent by itself is not waited for."""
        record = self.lease.record
        if record is None or record.state is not RecordState.HELD or record.boot_id != self.me.boot_id:
            return None
        return record if self.rules.lease.is_release_worth_it(self.lease, record, now) else None


def status_of(state: State) -> Status:
    """The status of this state."""
    phase, peers, standing = state.phase, state.peers, state.standing
    return Status(
        state.me,
        state.rules,
        phase.name,
        state.epoch,
        phase.promises.deadline,
        phase.promises.held,
        state.membership,
        phase.wanted,
        state.voter.vote,
        state.lease,
        state.writer.sent,
        peers.answers,
        Others(
            _clocks(state) if peers.rates.off or state.lease.longer_us else SAME_CLOCKS,
            peers.strangers,
            peers.succession,
            peers.unanswered,
            standing.paused,
        ),
        standing.electable,
        standing.no_epoch,
    )


def _clocks(state: State) -> Clocks:
    rates, others = state.peers.rates, state.others
    rivals = [name for name in others if state.membership.may_stand(name)]
    slow = {name: rates.slowest((name,)) for name in state.rivals}
    awaited = sorted((name for name in slow if slow[name] < 1), key=lambda name: (slow[name], name))
    return Clocks(rates.off, rates.is_own_off(others, rivals), state.store_counts, tuple(awaited))
