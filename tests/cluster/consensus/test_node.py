"""The machines of one node together: whose name it is, and who may still become a member."""

from typing import Any

import pytest

from rppam.cluster.consensus.admission import Admission, AdmissionState
from rppam.cluster.consensus.effects import Tick, Told
from rppam.cluster.consensus.election import Election
from rppam.cluster.consensus.failure_detector import FailureDetector
from rppam.cluster.consensus.heartbeat import Heartbeat
from rppam.cluster.consensus.lease import Identity
from rppam.cluster.consensus.membership import MEMBERS_MAX, QuorumPolicy, VoterSet, founding
from rppam.cluster.consensus.messages import NO_CANDIDACY, PersistedVote
from rppam.cluster.consensus.node import PAUSE_AHEAD_MS, Exchanged, NodeCore, NodeEffect, Turned
from rppam.cluster.consensus.record import Record, RecordState
from rppam.cluster.consensus.rules import VoteRules
from rppam.cluster.consensus.vote import Voter
from tests.cluster.consensus.beats import TIMING, WALL, at, heartbeat
from tests.cluster.consensus.stage import ME, MY_LIFE, CountingEntropy, Stage, lead, leader

NAMESAKE = "0" * 16


def _core(election: Election) -> NodeCore:
    admission = Admission(ME, MY_LIFE, TIMING, lambda _others: None)
    return NodeCore(election, FailureDetector(ME, TIMING), admission, now=at(0))


def _beat(core: NodeCore, stage: Stage, own_before: Heartbeat | None) -> list[NodeEffect]:
    """A heartbeat of time in which the store answers whatever is asked, and shows ``own_before``."""
    stage.wait(TIMING.heartbeat_ms - 1)
    request = stage.asked.request
    stage.answer()
    assert stage.stands is not None
    answer = Exchanged(request, True, False, stage.stands, own_before, (), WALL)
    return core.step(answer, stage.now)


def test_a_leader_stays_when_a_namesake_with_the_older_right_turns_up() -> None:
    stage = leader()
    core = _core(stage.election)
    for _ in range(5):
        _beat(core, stage, None)
    assert core.admission.standing is AdmissionState.ADMITTED
    turned: list[Any] = []
    for number in range(6):
        turned += [e for e in _beat(core, stage, heartbeat(ME, number, NAMESAKE)) if isinstance(e, Turned)]
    assert not turned
    assert stage.permission is not None


class Full:
    """A leader of a cluster with ``members``, of which everybody votes for it, and one more node that asks."""

    def __init__(self, members: int) -> None:
        names = (ME, *(f"other{number:03d}" for number in range(members - 1)))
        membership = founding("ab" * 8, VoterSet.of(names, QuorumPolicy.MAJORITY, ()))
        voter = Voter(Identity(ME, MY_LIFE, TIMING), PersistedVote(NO_CANDIDACY, membership), VoteRules(TIMING), at(0))
        self.election = Election(
            Identity(ME, MY_LIFE, TIMING), CountingEntropy(), now=at(0), voter=voter, electable=False
        )
        self.core = _core(self.election)
        lead(self.election, 7, names, at(100))
        assert self.election.status().permission(at(1)) == 7

    def answered(self, beats: int) -> list[NodeEffect]:
        record = Record(RecordState.HELD, ME, MY_LIFE, 7, beats + 1, "ab" * 8)
        asks = heartbeat("one-more", beats, "c" * 16, joins=True, member_address="10.0.0.9:5201")
        return self.core.step(Exchanged(beats, False, False, record, None, (("one-more", asks),), WALL), at(beats))


def test_a_cluster_that_is_full_says_so_and_goes_on() -> None:
    full = Full(MEMBERS_MAX)
    told = [effect for beats in range(1, 4) for effect in full.answered(beats) if isinstance(effect, Told)]
    assert full.election.status().wanted.voters is None
    (only,) = [word for word in told if "one-more" in word.sentence]
    assert only.is_warning
    assert "rppam cluster forget NODE" in only.sentence


def test_the_last_place_is_given() -> None:
    room = Full(MEMBERS_MAX - 1)
    room.answered(1)
    voters = room.election.status().wanted.voters
    assert voters is not None
    assert len(voters.members) == MEMBERS_MAX


class Alone:
    """A member that starts, and a store that answers it so many times and then no more."""

    def __init__(self, answers: int) -> None:
        membership = founding("ab" * 8, VoterSet.of((ME, "other"), QuorumPolicy.MAJORITY, ()))
        voter = Voter(Identity(ME, MY_LIFE, TIMING), PersistedVote(NO_CANDIDACY, membership), VoteRules(TIMING), at(0))
        self.core = _core(
            Election(Identity(ME, MY_LIFE, TIMING), CountingEntropy(), now=at(0), voter=voter, electable=False)
        )
        self.beats = 0
        for _ in range(answers):
            self.beats += 1
            free = Record(RecordState.VACANT, "-", "0" * 16, 0, 0, "ab" * 8)
            self.core.step(Exchanged(self.beats, False, False, free, None, (), WALL), at(self.beats))

    def stands_after(self, most: int) -> int | None:
        """After how many heartbeats from the last answer on it may stand."""
        for beats in range(most):
            self.core.step(Tick(), at(self.beats + beats))
            if self.core.status().electable:
                return beats
        return None


@pytest.mark.parametrize("answers", [0, 1, 3])
def test_a_member_takes_part_without_a_store_that_left_before_it_was_admitted(answers: int) -> None:
    two_leases = 2 * TIMING.lease_us // TIMING.heartbeat_us
    alone = Alone(answers)
    assert alone.core.admission.standing is not AdmissionState.ADMITTED
    assert alone.stands_after(3 * two_leases) == two_leases + 1


def test_one_that_belongs_to_no_cluster_does_not() -> None:
    core = _core(
        Election(Identity(ME, MY_LIFE, TIMING), CountingEntropy(), now=at(0), voter=_nobody(), electable=False)
    )
    for beats in range(100):
        core.step(Tick(), at(beats))
    assert not core.status().electable


def _nobody() -> Voter:
    return Voter(Identity(ME, MY_LIFE, TIMING), PersistedVote(NO_CANDIDACY, None), VoteRules(TIMING), at(0))


@pytest.mark.parametrize("ahead_ms", [2**53 - 1 - WALL, PAUSE_AHEAD_MS + 1])
def test_a_pause_ordered_in_the_far_future_is_nobody_s_order(ahead_ms: int) -> None:
    stage = leader()
    core = _core(stage.election)

    beats = iter(range(9))

    def told(stamp: int, *, is_on: bool) -> None:
        beat = heartbeat("other", next(beats), paused=is_on, pause_stamp=stamp, paused_by="eve")
        assert stage.stands is not None
        core.step(Exchanged(0, False, False, stage.stands, None, (("other", beat),), WALL), stage.now)

    told(WALL + ahead_ms, is_on=True)
    assert not core.orders.pause.is_on
    told(WALL + PAUSE_AHEAD_MS, is_on=True)
    assert core.orders.pause.is_on
    core.step(core.orders.pause.followed_by(WALL, is_on=False, by="bob"), stage.now)
    assert not core.orders.pause.is_on, "it can be resumed"
    assert core.orders.pause.stamp <= WALL + PAUSE_AHEAD_MS + 1
