"""Changes of the electorate, step by step: what a leader may finish, and what it has to make anew first."""

from rppam.cluster.consensus.ledger import Ledger
from rppam.cluster.consensus.membership import STORE, Membership, QuorumPolicy, Version, VoterSet
from rppam.cluster.consensus.membership_change import MembershipChange
from rppam.kernel.instant import Instant
from rppam_sim.vote_checker import disjoint

EIGHT = tuple(f"node{number}" for number in range(1, 9))
OLD = VoterSet.of(EIGHT, QuorumPolicy.MAJORITY)
WITHOUT_6 = VoterSet.of(set(EIGHT) - {"node6"}, QuorumPolicy.MAJORITY)
WITHOUT_7 = VoterSet.of(set(EIGHT) - {"node7"}, QuorumPolicy.MAJORITY)
LINEAGE = "ab" * 8
LATE, SOON = Instant(9_000_000), Instant(1_000_000)


def ledger(electorate: Membership) -> Ledger:
    """Everybody has promised."""
    held = Ledger(*(body.weights for body in electorate.bodies))
    for voter in (*electorate.members, STORE):
        held.promise(voter, LATE)
    return held


def heard_by(changes: MembershipChange, count: int, version: Version) -> None:
    for name in EIGHT[:count]:
        changes.heard(name, version)


def test_a_leader_finishes_its_own_change_once_enough_old_members_have_it() -> None:
    changes = MembershipChange()
    pending = Membership(LINEAGE, Version(7, 1), WITHOUT_6, OLD)
    heard_by(changes, OLD.blocking - 1, pending.version)
    assert changes.next(pending, ledger(pending), 7, SOON) is None
    heard_by(changes, OLD.blocking, pending.version)
    assert changes.next(pending, ledger(pending), 7, SOON) == Membership(LINEAGE, Version(7, 2), WITHOUT_6)


def test_nobody_becomes_a_member_before_his_own_vote_is_won() -> None:
    changes, now = MembershipChange(), Membership(LINEAGE, Version(7, 1), WITHOUT_6)
    changes.want(OLD, (), Instant(2 * LATE))
    assert not {"node6"} & set(now.members)
    held = ledger(now)
    assert changes.next(now, held, 7, SOON) is None, "node6 has promised nothing"
    held.promise("node6", SOON)
    assert changes.next(now, held, 7, SOON) is None, "its promise is over too soon"
    held.promise("node6", LATE)
    assert changes.next(now, held, 7, SOON) == Membership(LINEAGE, Version(7, 2), OLD, WITHOUT_6)


def test_what_an_earlier_leader_left_pending_is_made_anew_before_it_is_counted() -> None:
    changes = MembershipChange()
    left = Membership(LINEAGE, Version(5, 3), WITHOUT_6, OLD)
    heard_by(changes, 8, left.version)
    anew = changes.next(left, ledger(left), 9, SOON)
    assert anew == Membership(LINEAGE, Version(9, 1), WITHOUT_6, OLD), "all have the earlier one, and still"
    assert changes.next(anew, ledger(anew), 9, SOON) is None, "nobody has told yet that it is on disk"
    heard_by(changes, OLD.blocking, anew.version)
    assert changes.next(anew, ledger(anew), 9, SOON) == Membership(LINEAGE, Version(9, 2), WITHOUT_6)


def test_why_two_changes_begun_from_one_list_could_each_gather_a_majority() -> None:
    """Epoch 5 begins to remove node6 and dies; epoch 6, which never heard of that, begins to remove node7 and is cut
    off with it; epoch 9 knows the first only. Whoever has the first on disk would still follow the second: its version
    is later. So counting the first, however many have it, does not keep the second from a majority."""
    other = Membership(LINEAGE, Version(6, 1), WITHOUT_7, OLD)
    finished = Membership(LINEAGE, Version(9, 1), WITHOUT_6)
    everybody = frozenset({*EIGHT, STORE})
    without_leader = everybody - {"node2"}
    assert disjoint(other, without_leader, finished, everybody) is not None
    have_it_anew = frozenset(EIGHT[: OLD.blocking])
    assert disjoint(other, everybody - have_it_anew, finished, everybody) is None


def test_a_change_waits_until_it_shortens_nothing_that_somebody_may_act_by() -> None:
    """Without the store the new votes need node8's promise, which ends sooner; the old ones can do without it."""
    last = VoterSet.of(EIGHT, QuorumPolicy.LAST_MAN_STANDING)
    changes, now = MembershipChange(), Membership(LINEAGE, Version(7, 1), OLD)
    changes.want(last, (), Instant(2 * LATE))
    held = Ledger(OLD.weights)
    for voter in EIGHT:
        held.promise(voter, Instant(LATE - 1_000) if voter == "node8" else LATE)
    assert held.longest == LATE
    assert changes.next(now, held, 7, SOON) is None, "all eight have to agree, and node8 has promised less"
    held.promise("node8", LATE)
    assert changes.next(now, held, 7, SOON) == Membership(LINEAGE, Version(7, 2), last, OLD)


def test_a_change_that_shortened_something_is_in_force_only_when_that_is_over() -> None:
    """Promises for the old list may arrive while the disk writes the pending one."""
    last = VoterSet.of(EIGHT, QuorumPolicy.LAST_MAN_STANDING)
    changes, pending = MembershipChange(), Membership(LINEAGE, Version(7, 2), last, OLD)
    held = Ledger(OLD.weights)
    for voter in EIGHT[:7]:
        held.promise(voter, LATE)
    held.promise("node8", Instant(LATE - 1_000))
    held.reweigh(*(body.weights for body in pending.bodies))
    assert held.deadline == LATE - 1_000
    heard_by(changes, 8, pending.version)
    assert changes.next(pending, held, 7, SOON) is None
    held.promise("node8", LATE)
    assert changes.next(pending, held, 7, SOON) == Membership(LINEAGE, Version(7, 3), last)
