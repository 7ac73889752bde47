"""Forged, late and repeated heartbeats against the machines of a node, at random; and the bug that they look for."""

from random import Random

import pytest

from rppam.core.admission import Admission, Right, Standing
from rppam.core.detector import Detector
from rppam.core.election import Election
from rppam.core.node import Exchanged, NodeCore, NodeEffect, Turned, Unregister
from rppam.core.phase import Phase
from rppam.core.roster import SILENT_MAX
from rppam.core.voter import Voter
from rppam.domain.ballot import NO_CLAIM, Kept
from rppam.domain.electorate import Body, QuorumPolicy, founding
from rppam.domain.member import Heartbeat, MemberStatus
from rppam.domain.record import Record, RecordState
from tests.unit.core.beats import TIMING, WALL, at, heartbeat
from tests.unit.core.stage import ME, MY_LIFE, CountingEntropy

NAMES = (ME, "two", "three")
RUNS = 60


class GivesWayToRedis(Admission):
    """The planted bug: a namesake that only the store shows makes a member give way."""

    def believes_store_alone(self, right: Right) -> bool:
        return True


def _core(admission: type[Admission] = Admission, *, leads: bool = False) -> NodeCore:
    electorate = founding("ab" * 8, Body.of(NAMES, QuorumPolicy.MAJORITY, ()))
    voter = Voter(ME, MY_LIFE, TIMING, Kept(NO_CLAIM, electorate), now=at(0))
    election = Election(ME, MY_LIFE, TIMING, CountingEntropy(), now=at(0), voter=voter)
    core = NodeCore(election, Detector(ME, TIMING), admission(ME, MY_LIFE, TIMING, lambda _: None), now=at(0))
    if leads:
        election.phase, election.epoch = Phase.LEADER, 7
        for name in NAMES:
            election.ledger.promise(name, at(1_000))
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
        effects = core.answered(Exchanged(i, False, False, record, before, beats, WALL), at(i))
        turned += [effect for effect in effects if isinstance(effect, Turned)]
    return turned


@pytest.mark.parametrize("leads", [False, True])
def test_no_heartbeats_under_its_name_end_a_member(*, leads: bool) -> None:
    for seed in range(RUNS):
        core = _core(leads=leads)
        assert _ended(core, seed) == [], seed
        assert core.admission.standing is Standing.ADMITTED, seed


def test_the_bug_that_believes_the_store_alone_is_found() -> None:
    assert any(_ended(_core(GivesWayToRedis), seed) for seed in range(RUNS))


def test_what_the_link_has_met_ends_the_newcomer() -> None:
    core = _core()
    record = Record(RecordState.HELD, "two", "c" * 16, 7, 1, "ab" * 8)
    effects = core.answered(Exchanged(0, False, False, record, None, (), WALL, "two refuses it"), at(0))
    [turned] = [effect for effect in effects if isinstance(effect, Turned)]
    assert (turned.standing, turned.sentence) == (Standing.NAME_TAKEN, "two refuses it")


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
    return core.answered(Exchanged(i, False, False, record, None, listed, WALL), at(i))


def test_many_names_that_show_nothing_are_nobody_s_and_the_leader_takes_them_off_at_once() -> None:
    core = _core(leads=True)
    effects = _read(core, 0, ghosts=200)
    assert set(core.detector.members(at(0))) == {"two", "three"}
    assert len(core.roster.passed_over) == 200
    [order] = [effect for effect in effects if isinstance(effect, Unregister)]
    assert len(order.nodes) == 200, "in one step"
    joins = ("new", heartbeat("new", 1, "d" * 16, joins=True, member_address="10.0.0.9:5201"))
    _read(core, 1, ghosts=200, more=(joins,))
    wanted = core.election.changes.wanted
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
        core.answered(Exchanged(i, False, False, record, None, (("two", beat),), WALL), at(i))
        assert ("two" in core.election.unwilling) == (i == 0)
