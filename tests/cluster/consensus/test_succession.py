"""A member that could keep no promise is no successor, and leadership is not handed to nobody."""

import pytest

from rppam.cluster.consensus.effects import HandOver, SendVote, Told
from rppam.cluster.consensus.election import Election
from rppam.cluster.consensus.lease import Identity
from rppam.cluster.consensus.membership import QuorumPolicy, VoterSet, founding
from rppam.cluster.consensus.messages import (
    NO_CANDIDACY,
    Candidacy,
    PersistedVote,
    Readiness,
    Refusal,
    Vote,
    VoteRequest,
    VoteRequestKind,
)
from rppam.cluster.consensus.peers import Answer
from rppam.cluster.consensus.rules import VoteRules
from rppam.cluster.consensus.vote import Voter
from rppam.kernel.instant import Instant
from rppam_sim.host import SeededEntropy
from tests.cluster.consensus.parliament import TIMING, Parliament

FULL = "no space is left on the disk"
ME = Identity("node1", "a" * 16, TIMING)
NAMES = ("node1", "node2", "node3")
LATER = Instant(10 * TIMING.lease_us)


def vote_of(voter: Voter, now: Instant, kind: VoteRequestKind = VoteRequestKind.PROBE) -> Vote:
    assert voter.vote.membership is not None
    vote_request = VoteRequest(kind, 1, Candidacy("node2", "b" * 16, 7), voter.vote.membership, now)
    sent = [effect for effect in voter.ask(vote_request, None, now) if isinstance(effect, SendVote)]
    assert len(sent) == 1
    return sent[0].vote


def a_voter(policy: QuorumPolicy = QuorumPolicy.MAJORITY, witnesses: tuple[str, ...] = ()) -> Voter:
    kept = PersistedVote(NO_CANDIDACY, founding("0123456789abcdef", VoterSet.of(NAMES, policy, witnesses)))
    return Voter(ME, kept, VoteRules(TIMING), Instant(0))


def test_a_vote_says_whether_its_disk_takes_promises() -> None:
    voter = a_voter()
    assert vote_of(voter, LATER).readiness is Readiness.READY
    (told,) = voter.tried(FULL)
    assert isinstance(told, Told)
    assert told.is_warning
    assert FULL in told.sentence
    assert vote_of(voter, LATER).readiness is Readiness.UNABLE
    assert voter.tried(FULL) == [], "it is told once"
    (told,) = voter.tried("")
    assert isinstance(told, Told)
    assert not told.is_warning
    assert vote_of(voter, LATER).readiness is Readiness.READY


@pytest.mark.parametrize("kind", VoteRequestKind)
def test_a_member_with_the_file_of_another_grants_nothing_keeps_nothing_and_says_so(kind: VoteRequestKind) -> None:
    voter = a_voter()
    voter.vote = voter.vote._replace(strange="it is a copy")
    before = voter.vote.kept
    vote = vote_of(voter, LATER, kind)
    assert (vote.is_granted, vote.refusal, vote.readiness) == (False, Refusal.STRANGE, Readiness.UNABLE)
    newer = founding("0123456789abcdef", VoterSet.of(("node1", "node2"), QuorumPolicy.MAJORITY))
    newer = newer._replace(version=newer.version._replace(step=9))
    assert voter.adopt(newer, LATER) == []
    assert voter.vote.kept == before


def test_a_member_with_the_file_of_another_renews_not_even_what_the_file_names() -> None:
    kept = PersistedVote(Candidacy("node2", "b" * 16, 7), a_voter().vote.membership, 7)
    voter = Voter(ME, kept, VoteRules(TIMING), Instant(0), strange="it is a copy")
    assert vote_of(voter, Instant(1), VoteRequestKind.RENEW).refusal is Refusal.STRANGE


def _answers(voter: Voter, stances: dict[str, Readiness]) -> dict[str, Answer]:
    said = vote_of(voter, LATER)
    return {name: Answer(said._replace(voter=name, readiness=ready), LATER, LATER) for name, ready in stances.items()}


@pytest.mark.parametrize(
    ("policy", "witnesses", "unable", "own", "has_store", "left"),
    [
        ("majority", (), (), "", True, True),
        ("majority", (), ("node2",), "", True, True),
        ("majority", (), ("node2", "node3"), "", True, False),
        ("majority", (), ("node2",), FULL, True, False),  # node3 could stand, and has its own vote alone
        ("majority", ("node3",), ("node2",), "", True, False),  # who is left is a witness
        ("last-man-standing", (), ("node2",), FULL, True, True),  # the store's votes and its own
        ("last-man-standing", (), ("node2",), "", False, False),  # without the store all are needed
        ("last-man-standing", (), ("node2", "node3"), "", True, False),
    ],
)
def test_who_is_left_needs_votes_that_are_kept(
    policy: str, witnesses: tuple[str, ...], unable: tuple[str, ...], own: str, has_store: bool, left: bool
) -> None:
    voter = a_voter(QuorumPolicy(policy), witnesses)
    stances = {name: Readiness.UNABLE if name in unable else Readiness.READY for name in ("node2", "node3")}
    answers = _answers(voter, stances)
    voter.tried(own)
    election = Election(ME, SeededEntropy(""), now=LATER, voter=voter)
    lease = election.status().lease._replace(connection=1 if has_store else None)
    assert election.status()._replace(answers=answers, lease=lease).is_left_in_hands() is left


def test_a_leader_stays_when_it_is_told_to_hand_over_to_nobody() -> None:
    parliament = Parliament(*NAMES, policy=QuorumPolicy.MAJORITY)
    parliament.run(4 * TIMING.lease_ms)
    leader = parliament.leader
    assert leader is not None
    for name in NAMES:
        voter = parliament.seats[name].state.voter
        if name != leader:
            voter.tried(FULL)
            parliament.full.add(name)
    parliament.run(2 * TIMING.heartbeat_ms)
    parliament.tell(leader, HandOver("", "anna ordered a switchover"))
    parliament.run(4 * TIMING.lease_ms)
    assert parliament.leader == leader
    assert len(parliament.leaders) == 1, "leadership was never given up"
    assert any("anna ordered a switchover, and leadership is kept" in told for told in parliament.told)


def test_a_node_with_the_file_of_another_does_not_stand_however_many_would_vote_for_it() -> None:
    parliament = Parliament(*NAMES, policy=QuorumPolicy.MAJORITY)
    for name in ("node2", "node3"):
        parliament.seats[name].state.standing.electable = False
    voter = parliament.seats["node1"].state.voter
    voter.vote = voter.vote._replace(strange="it is a copy")
    parliament.run(6 * TIMING.lease_ms)
    assert parliament.leaders == []
    parliament.seats["node2"].state.standing.electable = True
    parliament.run(4 * TIMING.lease_ms)
    assert parliament.leader == "node2"


@pytest.mark.parametrize("how", ["it hands over", "it is killed"])
@pytest.mark.parametrize("position", [0, 1])
def test_a_member_that_keeps_no_promise_stands_last(position: int, how: str) -> None:
    parliament = Parliament(*NAMES, policy=QuorumPolicy.MAJORITY)
    parliament.run(4 * TIMING.lease_ms)
    leader = parliament.leader
    assert leader is not None
    others = sorted(set(NAMES) - {leader})
    unable = others.pop(position)
    parliament.seats[unable].state.voter.tried(FULL)
    parliament.run(2 * TIMING.heartbeat_ms)
    if how == "it is killed":
        parliament.kill(leader)
    else:
        parliament.tell(leader, HandOver("", "anna ordered a switchover"))
    parliament.run(3 * TIMING.lease_ms)
    assert [name for _, name, _ in parliament.leaders[1:]] == others
