"""Forged, late and repeated heartbeats against the machines of a node, at random; and the bug that they look for."""

from random import Random

import pytest

from rppam.cluster.consensus.admission import Admission, AdmissionState, Right
from rppam.cluster.consensus.election import Election
from rppam.cluster.consensus.failure_detector import NAMES_MAX, FailureDetector, MemberChanged
from rppam.cluster.consensus.heartbeat import Heartbeat, MemberStatus
from rppam.cluster.consensus.lease import Identity
from rppam.cluster.consensus.membership import QuorumPolicy, VoterSet, founding
from rppam.cluster.consensus.messages import NO_CANDIDACY, PersistedVote
from rppam.cluster.consensus.node import Exchanged, NodeCore, NodeEffect, Turned, Unregister
from rppam.cluster.consensus.operator_state import Pause
from rppam.cluster.consensus.record import Record, RecordState
from rppam.cluster.consensus.roster import SILENT_MAX
from rppam.cluster.consensus.rules import VoteRules
from rppam.cluster.consensus.vote import Voter
from tests.cluster.consensus.beats import TIMING, WALL, at, heartbeat
from tests.cluster.consensus.stage import ME, MY_LIFE, CountingEntropy, lead

NAMES = (ME, "two", "three")
RUNS = 60


class GivesWayToRedis(Admission):
    """The planted bug: a namesake that only the store shows makes a member give way."""

    def believes_store_alone(self, right: Right) -> bool:
        return True


def _core(admission: type[Admission] = Admission, *, leads: bool = False) -> NodeCore:
    membership = founding("ab" * 8, VoterSet.of(NAMES, QuorumPolicy.MAJORITY, ()))
    me = Identity(ME, MY_LIFE, TIMING)
    voter = Voter(me, PersistedVote(NO_CANDIDACY, membership), VoteRules(TIMING), at(0))
    election = Election(me, CountingEntropy(), now=at(0), voter=voter, electable=False)
    core = NodeCore(election, FailureDetector(ME, TIMING), admission(ME, MY_LIFE, TIMING, lambda _: None), now=at(0))
    if leads:
        lead(election, 7, NAMES, at(1_000))
    return core


def _story(seed: int) -> tuple[list[Heartbeat | None], list[Record]]:
    """What stands under the own name, and in the record, at each of a hundred beats."""
    chance = Random(seed)
    lives = [f"{chance.getrandbits(64):016x}" for _ in range(3)]
    own: list[Heartbeat | None] = []
    records = []
    for i in range(100):
        kind = chance.random()
        life = lives[int(chance.random() * 3)] if chance.random() < 0.2 else lives[0]
        beat = i if kind < 0.8 else int(chance.random() * i)
        forged = heartbeat(
            ME, beat, life, admitted=chance.random() < 0.7, joins=chance.random() < 0.1, leaving=chance.random() < 0.02
        )
        own.append(None if kind > 0.95 else forged)
        holder = ME if chance.random() < 0.3 else "two"
        records.append(Record(RecordState.HELD, holder, life, 7 + i, i + 1, "ab" * 8))
    return own, records


def _ended(core: NodeCore, seed: int) -> list[NodeEffect]:
    own, records = _story(seed)
    turned: list[NodeEffect] = []
    for i, (before, record) in enumerate(zip(own, records, strict=True)):
        beats = (("two", heartbeat("two", i)), ("three", heartbeat("three", i)))
        effects = core.step(Exchanged(i, False, False, record, before, beats, WALL), at(i))
        turned += [effect for effect in effects if isinstance(effect, Turned)]
    return turned


@pytest.mark.parametrize("leads", [False, True])
def test_no_heartbeats_under_its_name_end_a_member(*, leads: bool) -> None:
    for seed in range(RUNS):
        core = _core(leads=leads)
        assert _ended(core, seed) == [], seed
        assert core.admission.standing is AdmissionState.ADMITTED, seed


def test_the_bug_that_believes_the_store_alone_is_found() -> None:
    assert any(_ended(_core(GivesWayToRedis), seed) for seed in range(RUNS))


def test_what_the_link_has_met_ends_the_newcomer() -> None:
    core = _core()
    record = Record(RecordState.HELD, "two", "c" * 16, 7, 1, "ab" * 8)
    effects = core.step(Exchanged(0, False, False, record, None, (), WALL, "two refuses it"), at(0))
    [turned] = [effect for effect in effects if isinstance(effect, Turned)]
    assert (turned.standing, turned.sentence) == (AdmissionState.NAME_TAKEN, "two refuses it")


def _read(
    core: NodeCore, i: int, *, ghosts: int, more: tuple[tuple[str, Heartbeat | None], ...] = ()
) -> list[NodeEffect]:
    listed = (
        *((f"g{number}", None) for number in range(ghosts)),
        ("two", heartbeat("two", i)),
        ("three", heartbeat("three", i)),
        *more,
    )
    record = Record(RecordState.HELD, ME, MY_LIFE, 7, i + 1, "ab" * 8)
    return core.step(Exchanged(i, False, False, record, None, listed, WALL), at(i))


def test_many_names_that_show_nothing_are_nobody_s_and_the_leader_takes_them_off_at_once() -> None:
    core = _core(leads=True)
    effects = _read(core, 0, ghosts=200)
    assert set(core.detector.members(at(0))) == {"two", "three"}
    assert len(core.roster.passed_over) == 200
    [order] = [effect for effect in effects if isinstance(effect, Unregister)]
    assert len(order.nodes) == 200, "in one step"
    joins = ("new", heartbeat("new", 1, "d" * 16, joins=True, member_address="10.0.0.9:5201"))
    _read(core, 1, ghosts=200, more=(joins,))
    wanted = core.status().wanted.voters
    assert wanted is not None, "a real newcomer is taken in meanwhile"
    assert "new" in wanted.members


def test_a_few_that_died_before_this_node_came_are_shown_as_before() -> None:
    core = _core()
    _read(core, 0, ghosts=SILENT_MAX)
    seen = core.detector.members(at(0))
    assert len(seen) == SILENT_MAX + 2
    assert seen["g0"].status is MemberStatus.UNREACHABLE
    assert core.roster.passed_over == ()


def test_orders_that_were_written_before_are_not_heeded_when_they_are_put_back() -> None:
    core = _core()
    aside = heartbeat("two", 1, maintenance=True)
    record = Record(RecordState.HELD, "three", "c" * 16, 7, 1, "ab" * 8)
    for i, beat in enumerate((aside, heartbeat("two", 2), aside, aside)):
        core.step(Exchanged(i, False, False, record, None, (("two", beat),), WALL), at(i))
        assert ("two" in core.in_maintenance) == (i == 0)


def test_of_whom_nobody_says_who_may_it_stays_known_whether_it_is_in_maintenance() -> None:
    core = _core()
    record = Record(RecordState.HELD, "three", "c" * 16, 7, 1, "ab" * 8)
    for i, (said, is_aside) in enumerate(((None, False), (True, True), (None, True), (False, False), (None, False))):
        beat = heartbeat("two", i, maintenance=said)
        core.step(Exchanged(i, False, False, record, None, (("two", beat),), WALL), at(i))
        assert ("two" in core.in_maintenance) is is_aside, i
    assert core.orders.pause == Pause()


def _alone() -> NodeCore:
    """Where the record alone decides."""
    election = Election(Identity(ME, MY_LIFE, TIMING), CountingEntropy(), now=at(0), electable=False)
    return NodeCore(election, FailureDetector(ME, TIMING), Admission(ME, MY_LIFE, TIMING, lambda _: None), now=at(0))


def _flood(core: NodeCore, i: int, names: int, *, alive: bool = True) -> list[NodeEffect]:
    """One beat of two real nodes and of many names that were never there before."""
    fresh = tuple((f"g{i}x{n}", heartbeat(f"g{i}x{n}", 1, maintenance=True)) for n in range(names))
    real = (("two", heartbeat("two", i)), ("three", heartbeat("three", i)))
    record = Record(RecordState.HELD, "two", "c" * 16, 7, i + 1, "ab" * 8)
    heard = (*real, *(fresh if alive else ()))
    return core.step(Exchanged(i, False, False, record, None, heard, WALL), at(i))


@pytest.mark.slow
def test_fresh_names_with_each_heartbeat_fill_no_memory_and_no_log_where_the_record_alone_decides() -> None:
    core = _alone()
    told = 0
    for i in range(100):  # 25,000 names
        effects = _flood(core, i, 250)
        told += sum(isinstance(effect, MemberChanged) for effect in effects)
        assert len(core.detector.members(at(i))) <= NAMES_MAX
        assert len(core.in_maintenance) <= NAMES_MAX + 1
        assert len(core.roster.crowd) >= 250
    assert told == 0, "one sentence tells of all: see cluster/health/heartbeat_doubts.py"
    seen = core.detector.members(at(99))
    assert {seen[name].status for name in ("two", "three")} == {MemberStatus.HEALTHY}


def test_when_the_flood_is_over_it_is_forgotten_and_real_nodes_are_told_of_again() -> None:
    core = _alone()
    for i in range(50):
        _flood(core, i, 250)
    for i in range(50, 200):
        _flood(core, i, 250, alive=False)
    assert set(core.detector.members(at(199))) == {"two", "three"}
    assert core.in_maintenance == frozenset()
    record = Record(RecordState.HELD, "two", "c" * 16, 7, 201, "ab" * 8)
    new = (("new", heartbeat("new", 1)), ("two", heartbeat("two", 200)), ("three", heartbeat("three", 200)))
    effects = core.step(Exchanged(200, False, False, record, None, new, WALL), at(200))
    assert [effect.node for effect in effects if isinstance(effect, MemberChanged)] == ["new"]


def test_a_crowd_of_strangers_hides_no_member_s_news() -> None:
    core = _core()
    for i in range(3):
        effects = _flood(core, i, 250)
        told = [effect.node for effect in effects if isinstance(effect, MemberChanged)]
        assert told == (["two", "three"] if i == 0 else [])


def _newcomer(seats: int) -> NodeCore:
    """Of a cluster in which members vote; under a licence of so many seats."""
    voter = Voter(Identity("new", MY_LIFE, TIMING), PersistedVote(NO_CANDIDACY, None), VoteRules(TIMING), at(0))
    election = Election(Identity("new", MY_LIFE, TIMING), CountingEntropy(), now=at(0), voter=voter, electable=False)

    def check(others: int) -> str | None:
        return None if others < seats else f"{others} seats are taken"

    return NodeCore(election, FailureDetector("new", TIMING), Admission("new", MY_LIFE, TIMING, check), now=at(0))


def _read_by(core: NodeCore, i: int, *listed: tuple[str, Heartbeat | None]) -> AdmissionState:
    record = Record(RecordState.HELD, "two", "c" * 16, 7, i + 1, "ab" * 8)
    core.step(Exchanged(i, False, False, record, None, listed, WALL), at(i))
    return core.admission.standing


def test_names_without_a_heartbeat_that_can_be_believed_take_no_seat_from_a_newcomer() -> None:
    core = _newcomer(seats=3)
    fakes = tuple((f"fake{n}", None) for n in range(3))
    for i in range(6):
        _read_by(core, i, ("two", heartbeat("two", i)), ("three", heartbeat("three", i)), *fakes)
    assert core.admission.standing is AdmissionState.ADMITTED


def test_a_node_that_was_heard_keeps_its_seat_while_it_is_silent() -> None:
    core = _newcomer(seats=2)
    early = heartbeat("three", 1, "f" * 16, admitted=False)  # a later newcomer: it takes no seat from this one yet
    assert _read_by(core, 0, ("two", heartbeat("two", 0)), ("three", early)) is AdmissionState.PROBATION
    assert _read_by(core, 1, ("two", heartbeat("two", 1)), ("three", None)) is AdmissionState.NO_SEAT


def test_where_the_record_alone_decides_every_listed_name_takes_a_seat() -> None:
    admission = Admission(ME, MY_LIFE, TIMING, lambda others: None if others < 3 else "full")
    core = NodeCore(
        Election(Identity(ME, MY_LIFE, TIMING), CountingEntropy(), now=at(0), electable=False),
        FailureDetector(ME, TIMING),
        admission,
        now=at(0),
    )
    assert _read_by(core, 0, *((f"fake{n}", None) for n in range(3))) is AdmissionState.NO_SEAT


def test_a_name_that_lists_itself_again_and_again_is_taken_off_once_in_a_while() -> None:
    core = _core(leads=True)
    effects = [effect for i in range(4) for effect in _read(core, i, ghosts=2)]
    assert len([effect for effect in effects if isinstance(effect, Unregister)]) == 1
