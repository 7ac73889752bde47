"""Changes of the membership, step by step: what a leader may finish, and what it has to make anew first."""

from rppam.cluster.consensus.membership import Membership, QuorumPolicy, Version, VoterSet, Wanted, next_step
from rppam.cluster.consensus.promises import STORE, Promises
from rppam.cluster.consensus.rules import MembershipRules
from rppam.kernel.instant import Instant
from rppam_sim.vote_checker import disjoint

EIGHT = tuple(f"node{number}" for number in range(1, 9))
OLD = VoterSet.of(EIGHT, QuorumPolicy.MAJORITY)
WITHOUT_6 = VoterSet.of(set(EIGHT) - {"node6"}, QuorumPolicy.MAJORITY)
WITHOUT_7 = VoterSet.of(set(EIGHT) - {"node7"}, QuorumPolicy.MAJORITY)
LINEAGE = "ab" * 8
LATE, SOON = Instant(9_000_000), Instant(1_000_000)


def ledger(membership: Membership) -> Promises:
    """Everybody has promised."""
    held = Promises(*(body.weights for body in membership.voter_sets))
    for voter in (*membership.members, STORE):
        held.add(voter, LATE)
    return held


class Changes:
    """What a leader knows of a change."""

    def __init__(self, wanted: VoterSet | None = None) -> None:
        self.wanted = Wanted(wanted)
        self.on_disk: dict[str, Version] = {}

    def heard_by(self, count: int, version: Version) -> None:
        self.on_disk.update(dict.fromkeys(EIGHT[:count], version))

    def next(self, membership: Membership, held: Promises, epoch: int, least: Instant) -> Membership | None:
        return next_step(MembershipRules(), self.wanted, membership, held, self.on_disk, epoch, least)


def test_a_leader_finishes_its_own_change_once_enough_old_members_have_it() -> None:
    changes = Changes()
    pending = Membership(LINEAGE, Version(7, 1), WITHOUT_6, OLD)
    changes.heard_by(OLD.blocking - 1, pending.version)
    assert changes.next(pending, ledger(pending), 7, SOON) is None
    changes.heard_by(OLD.blocking, pending.version)
    assert changes.next(pending, ledger(pending), 7, SOON) == Membership(LINEAGE, Version(7, 2), WITHOUT_6)


def test_nobody_becomes_a_member_before_his_own_vote_is_won() -> None:
    changes, now = Changes(OLD), Membership(LINEAGE, Version(7, 1), WITHOUT_6)
    assert not {"node6"} & set(now.members)
    held = ledger(now)
    assert changes.next(now, held, 7, SOON) is None, "node6 has promised nothing"
    held.add("node6", SOON)
    assert changes.next(now, held, 7, SOON) is None, "its promise is over too soon"
    held.add("node6", LATE)
    assert changes.next(now, held, 7, SOON) == Membership(LINEAGE, Version(7, 2), OLD, WITHOUT_6)


def test_what_an_earlier_leader_left_pending_is_made_anew_before_it_is_counted() -> None:
    changes = Changes()
    left = Membership(LINEAGE, Version(5, 3), WITHOUT_6, OLD)
    changes.heard_by(8, left.version)
    anew = changes.next(left, ledger(left), 9, SOON)
    assert anew == Membership(LINEAGE, Version(9, 1), WITHOUT_6, OLD), "all have the earlier one, and still"
    assert changes.next(anew, ledger(anew), 9, SOON) is None, "nobody has told yet that it is on disk"
    changes.heard_by(OLD.blocking, anew.version)
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
    changes, now = Changes(last), Membership(LINEAGE, Version(7, 1), OLD)
    held = Promises(OLD.weights)
    for voter in EIGHT:
        held.add(voter, Instant(LATE - 1_000) if voter == "node8" else LATE)
    assert held.longest == LATE
    assert changes.next(now, held, 7, SOON) is None, "all eight have to agree, and node8 has promised less"
    held.add("node8", LATE)
    assert changes.next(now, held, 7, SOON) == Membership(LINEAGE, Version(7, 2), last, OLD)


def test_a_change_that_shortened_something_is_in_force_only_when_that_is_over() -> None:
    """Promises for the old list may arrive while the disk writes the pending one."""
    last = VoterSet.of(EIGHT, QuorumPolicy.LAST_MAN_STANDING)
    changes, pending = Changes(), Membership(LINEAGE, Version(7, 2), last, OLD)
    held = Promises(OLD.weights)
    for voter in EIGHT[:7]:
        held.add(voter, LATE)
    held.add("node8", Instant(LATE - 1_000))
    held.reweigh(*(body.weights for body in pending.voter_sets))
    assert held.deadline == LATE - 1_000
    changes.heard_by(8, pending.version)
    assert changes.next(pending, held, 7, SOON) is None
    held.add("node8", LATE)
    assert changes.next(pending, held, 7, SOON) == Membership(LINEAGE, Version(7, 3), last)
