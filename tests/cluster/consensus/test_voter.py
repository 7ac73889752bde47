"""A member's vote, request by request: orders of messages that a cluster rarely sees."""

from rppam.cluster.consensus.effects import SaveKept, SendVote
from rppam.cluster.consensus.lease import HEARD_MAX, LEAP_MAX, SHOWN_MAX, Identity, LeaseObserver
from rppam.cluster.consensus.membership import VOUCHED, Membership, QuorumPolicy, Version, VoterSet, founding
from rppam.cluster.consensus.messages import (
    NO_CANDIDACY,
    Candidacy,
    Freeing,
    PersistedVote,
    Refusal,
    Vote,
    VoteRequest,
    VoteRequestKind,
)
from rppam.cluster.consensus.record import EPOCH_MAX
from rppam.cluster.consensus.rules import VoteRules
from rppam.cluster.consensus.timing import PROFILES
from rppam.cluster.consensus.vote import Voter
from rppam.kernel.instant import Instant

TIMING = PROFILES["default"]
MEMBERSHIP = founding("5eed5eed5eed5eed", VoterSet.of(("a", "b", "c"), QuorumPolicy.MAJORITY))
LATER = Instant(TIMING.lease_us + 2)


def voter() -> Voter:
    """One whose wait after the start is over at ``LATER``."""
    kept = PersistedVote(NO_CANDIDACY, MEMBERSHIP)
    return Voter(Identity("c", "c" * 16, TIMING), kept, VoteRules(TIMING), Instant(0))


def asked(
    mind: Voter,
    kind: VoteRequestKind,
    candidate: str,
    epoch: int,
    now: Instant = LATER,
    members: Membership = MEMBERSHIP,
) -> Vote:
    """The answer to a vote_request; the disk is quick."""
    candidacy = Candidacy(candidate, candidate * 16, epoch)
    effects = mind.ask(VoteRequest(kind, 1, candidacy, members, now), None, now)
    for save in [effect for effect in effects if isinstance(effect, SaveKept)]:
        effects += mind.saved(save.ticket)
    return next(effect.vote for effect in effects if isinstance(effect, SendVote))


def test_a_late_question_of_the_leadership_before_does_not_make_this_one_s_promise_free() -> None:
    mind = voter()
    assert asked(mind, VoteRequestKind.VOTE, "a", 8).is_granted
    late = asked(mind, VoteRequestKind.RENEW, "a", 7)
    assert (late.is_granted, late.refusal) == (False, Refusal.OLD_EPOCH)
    mind.freed(Freeing(Candidacy("a", "a" * 16, 7)))
    other = asked(mind, VoteRequestKind.VOTE, "b", 9)
    assert (other.is_granted, other.refusal) == (False, Refusal.PROMISED)


def test_a_leader_is_granted_its_own_epoch_after_another_candidate_tried_a_higher_one() -> None:
    mind = voter()
    assert asked(mind, VoteRequestKind.VOTE, "b", 9).is_granted
    mind.freed(Freeing(Candidacy("b", "b" * 16, 9)))
    assert asked(mind, VoteRequestKind.RENEW, "a", 7).is_granted
    assert asked(mind, VoteRequestKind.VOTE, "b", 9).refusal is Refusal.RELEASED
    again = asked(mind, VoteRequestKind.VOTE, "a", 9)
    assert (again.is_granted, again.refusal) == (False, Refusal.OLD_EPOCH)


def test_a_list_of_members_that_the_disk_refused_is_not_told_as_kept_even_with_a_refusal() -> None:
    mind = voter()
    newer = MEMBERSHIP._replace(version=Version(5, 1))
    early = Instant(1)
    vote_request = VoteRequest(VoteRequestKind.RENEW, 1, Candidacy("a", "a" * 16, 5), newer, early)
    (save,) = [effect for effect in mind.ask(vote_request, None, early) if isinstance(effect, SaveKept)]
    assert not [effect for effect in mind.saved(save.ticket, "no space") if isinstance(effect, SendVote)]
    effects = mind.ask(vote_request, None, early)
    assert not [effect for effect in effects if isinstance(effect, SendVote)], "nothing is said before it is on disk"
    (save,) = [effect for effect in effects if isinstance(effect, SaveKept)]
    (vote,) = [effect.vote for effect in mind.saved(save.ticket) if isinstance(effect, SendVote)]
    assert (vote.version, vote.refusal) == (newer.version, Refusal.BOOT_WAIT)


def test_who_is_no_member_yet_takes_over_no_list_without_its_own_name() -> None:
    newcomer = Voter(Identity("d", "d" * 16, TIMING), PersistedVote(NO_CANDIDACY, None), VoteRules(TIMING), Instant(0))
    answer = asked(newcomer, VoteRequestKind.RENEW, "a", 5)
    assert answer.is_granted, "it shows that it can vote"
    assert newcomer.vote.membership is None
    wider = founding(MEMBERSHIP.lineage, VoterSet.of(("a", "b", "c", "d"), QuorumPolicy.MAJORITY))
    newcomer.adopt(wider, Instant(0))
    assert newcomer.vote.membership == wider
    newcomer.adopt(MEMBERSHIP._replace(version=Version(6, 1)), Instant(0))
    assert newcomer.vote.membership.members == ("a", "b", "c"), "a member believes that it was removed"


def test_who_learns_that_it_is_a_member_has_no_vote_for_a_lease_from_then_on() -> None:
    """Another may have been that member until then: a second host of the same name, with a data folder of its own."""
    second = Voter(Identity("c", "d" * 16, TIMING), PersistedVote(NO_CANDIDACY, None), VoteRules(TIMING), Instant(0))
    assert asked(second, VoteRequestKind.PROBE, "b", 9).refusal is Refusal.BOOT_WAIT
    assert second.vote.membership == MEMBERSHIP
    for kind in (VoteRequestKind.PROBE, VoteRequestKind.VOTE, VoteRequestKind.RENEW):
        assert asked(second, kind, "b", 9, Instant(LATER + TIMING.lease_us)).refusal is Refusal.BOOT_WAIT
    assert asked(second, VoteRequestKind.VOTE, "b", 9, Instant(LATER + TIMING.lease_us + 2)).is_granted


def test_a_newcomer_goes_on_promising_the_leader_that_takes_it_in() -> None:
    newcomer = Voter(Identity("d", "d" * 16, TIMING), PersistedVote(NO_CANDIDACY, None), VoteRules(TIMING), Instant(0))
    assert asked(newcomer, VoteRequestKind.RENEW, "a", 5).is_granted
    wider = founding(MEMBERSHIP.lineage, VoterSet.of(("a", "b", "c", "d"), QuorumPolicy.MAJORITY))
    assert asked(newcomer, VoteRequestKind.RENEW, "a", 5, members=wider).is_granted
    assert newcomer.vote.membership == wider
    assert asked(newcomer, VoteRequestKind.VOTE, "b", 6, members=wider).refusal is Refusal.BOOT_WAIT


def test_what_is_kept_is_what_the_disk_has_confirmed() -> None:
    mind = voter()
    assert mind.vote.is_kept
    vote_request = VoteRequest(VoteRequestKind.VOTE, 1, Candidacy("a", "a" * 16, 8), MEMBERSHIP, LATER)
    (save,) = [effect for effect in mind.ask(vote_request, None, LATER) if isinstance(effect, SaveKept)]
    assert not mind.vote.is_kept
    mind.saved(save.ticket, "no space")
    assert not mind.vote.is_kept
    assert asked(mind, VoteRequestKind.VOTE, "a", 8).is_granted
    assert mind.vote.is_kept


# ---- whose list of members is believed ------------------------------------------------------------------------------

SPREAD = MEMBERSHIP._replace(body=VoterSet.of(("a", "b", "c", "w"), QuorumPolicy.MAJORITY, ("w",)))


def member_c() -> Voter:
    return Voter(Identity("c", "c" * 16, TIMING), PersistedVote(NO_CANDIDACY, SPREAD), VoteRules(TIMING), Instant(0))


def list_of(*names: str, epoch: int = 9, step: int = 1) -> Membership:
    return SPREAD._replace(version=Version(epoch, step), body=VoterSet.of(names, QuorumPolicy.MAJORITY))


def test_a_list_of_members_is_taken_over_from_a_member_that_may_lead_and_from_nobody_else() -> None:
    for sender in ("stranger", "w"):
        mind = member_c()
        answer = asked(mind, VoteRequestKind.RENEW, sender, 9, members=list_of(sender))
        assert (answer.is_granted, answer.refusal) == (False, Refusal.NOT_A_CANDIDATE)
        assert mind.vote.membership == SPREAD
        assert sender in mind.vote.offered(LATER)
        mind.adopt(list_of(sender), LATER, sender)
        assert mind.vote.membership == SPREAD, "nor with a vote"
    mind = member_c()
    assert asked(mind, VoteRequestKind.RENEW, "a", 9, members=list_of("a", "c")).is_granted
    assert mind.vote.membership == list_of("a", "c")
    assert mind.vote.offered(LATER) == ""


def test_who_joined_while_a_member_was_away_is_believed_once_a_witness_says_the_same() -> None:
    wider = SPREAD._replace(
        version=Version(9, 2), body=VoterSet.of(("b", "c", "d", "w"), QuorumPolicy.MAJORITY, ("w",))
    )
    mind = member_c()
    assert not asked(mind, VoteRequestKind.RENEW, "d", 9, members=wider).is_granted
    mind.adopt(wider._replace(version=Version(9, 3)), LATER, "w")
    assert mind.vote.membership == SPREAD, "the witness says something else"
    mind.adopt(wider, LATER, "w")
    assert mind.vote.membership == wider
    again = member_c()
    again.adopt(wider, LATER, "w")
    assert asked(again, VoteRequestKind.RENEW, "d", 9, members=wider).is_granted, "in whatever order they come"


def test_a_list_that_a_node_vouched_for_is_believed_whoever_passes_it_on() -> None:
    """The leader that made it may have told nobody but a witness."""
    for sender in ("w", "stranger"):
        mind = member_c()
        mind.adopt(list_of("c", "d")._replace(vouch="0f" * 16), LATER, sender)
        assert mind.vote.membership == SPREAD, "a word that nobody here has checked"
        mind.adopt(list_of("c", "d")._replace(vouch=VOUCHED), LATER, sender)
        assert mind.vote.membership is not None
        assert mind.vote.membership.body == list_of("c", "d").body
    newcomer = Voter(Identity("d", "d" * 16, TIMING), PersistedVote(NO_CANDIDACY, None), VoteRules(TIMING), Instant(0))
    newcomer.adopt(list_of("c", "d")._replace(vouch=VOUCHED), LATER, "w")
    assert newcomer.vote.membership is not None


def test_no_version_and_no_epoch_is_believed_that_leaves_later_ones_no_room() -> None:
    mind = member_c()
    for epoch, step in ((EPOCH_MAX, 1), (SHOWN_MAX + LEAP_MAX + 1, 1), (9, 10**14)):
        for vouch in ("", VOUCHED):
            members = list_of("a", "c", epoch=epoch, step=step)._replace(vouch=vouch)
            asked(mind, VoteRequestKind.RENEW, "a", 9, members=members)
            assert mind.vote.membership == SPREAD, (epoch, step)
    for kind in (VoteRequestKind.VOTE, VoteRequestKind.RENEW):
        assert not asked(mind, kind, "a", EPOCH_MAX, members=SPREAD).is_granted
    assert mind.vote.highest == 0
    assert asked(mind, VoteRequestKind.VOTE, "a", SHOWN_MAX + 1, members=SPREAD).is_granted


def test_a_member_s_word_of_an_epoch_uses_none_up() -> None:
    watch = LeaseObserver(voter().vote.me)
    for _ in range(100):
        watch = watch.hear(EPOCH_MAX, 0)
    assert watch.epochs.known == SHOWN_MAX + HEARD_MAX, "and what was heard is no reason to believe more"
    watch = watch.hear(EPOCH_MAX, SHOWN_MAX + 5)
    assert watch.epochs.known == SHOWN_MAX + 5 + HEARD_MAX, "whoever is above that itself follows on"
    assert 100 * HEARD_MAX < LEAP_MAX, "so whoever was away finds it plausible all the same"
