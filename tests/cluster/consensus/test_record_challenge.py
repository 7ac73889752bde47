"""A record that somebody made up: what it does where the store has no vote, and where it has."""

from typing import Any

import pytest

from rppam.cluster.consensus.effects import ChangeMembership, HandOver, ReleaseHeard
from rppam.cluster.consensus.lease import SHOWN_MAX
from rppam.cluster.consensus.membership import QuorumPolicy, VoterSet
from rppam.cluster.consensus.messages import NO_CANDIDACY, PersistedVote, Refusal, VoteRequest
from rppam.cluster.consensus.record import EPOCH_MAX, Record, RecordState, sealed
from rppam.kernel.instant import Instant
from rppam_sim.host import SimSeal
from tests.cluster.consensus.parliament import TIMING, Parliament

LEASE, BEAT = TIMING.lease_ms, TIMING.heartbeat_ms
ODD = QuorumPolicy.MAJORITY


def led(names: str = "abc", policy: QuorumPolicy = ODD) -> tuple[Parliament, str]:
    house = Parliament(*names, policy=policy)
    house.run(3 * LEASE)
    assert house.leader is not None
    return house, house.leader


def forge(house: Parliament, ahead: int = 1, state: RecordState = RecordState.HELD, holder: str = "x") -> Record:
    """Somebody who holds the cluster key makes one up."""
    epoch = min(EPOCH_MAX, house.leaders[-1][2] + ahead)
    record = sealed(Record(state, holder, "5" * 16, epoch, 7, "ab" * 8), SimSeal())
    house.text = record.encode()
    return record


@pytest.mark.parametrize("state", [RecordState.HELD, RecordState.RELEASED])
@pytest.mark.parametrize("ahead", [0, 1, EPOCH_MAX])
def test_no_record_stops_a_leader_that_most_members_confirm(ahead: int, state: RecordState) -> None:
    house, leader = led()
    record = forge(house, ahead, state)
    house.run(2 * BEAT)
    assert house.leader == leader
    (told,) = [line for line in house.told if "It names x at epoch" in line]
    assert f"at epoch {record.epoch}" in told
    house.run(3 * LEASE)
    assert house.leader == leader
    assert house.text is not None
    assert f"held {leader} " in house.text, "it is written again, once the other fell silent"
    assert len(house.leaders) == 1


def test_one_that_is_made_up_again_and_again_stops_nobody_either_and_is_told_each_time() -> None:
    house, leader = led()
    for ahead in range(40):
        forge(house, 1_000 * ahead + 1)
        house.run(BEAT // 2 + 50)
    house.run(BEAT)
    assert [leads for _, leads, _ in house.leaders] == [leader]
    assert len([line for line in house.told if "It names x at epoch" in line]) >= 10


def test_no_record_uses_the_epochs_up() -> None:
    house, leader = led()
    forge(house, EPOCH_MAX)
    house.run(2 * BEAT)
    house.kill(leader)
    house.run(LEASE + 1_500)
    assert house.leader not in {None, leader}
    assert SHOWN_MAX < house.leaders[-1][2] < SHOWN_MAX + 100


def test_what_the_record_shows_is_a_reason_to_go_above_where_nobody_else_remembers() -> None:
    """Who led is dead, or has lost its promise, or was cut off; neither database nor wall clock knows."""
    house, leader = led()
    cut_off = next(name for name in "abc" if name != leader)
    for name in "abc":
        house.cut |= {(name, cut_off), (cut_off, name)}
    for _ in range(3):
        assert house.leader is not None
        house.tell(house.leader, HandOver("", "asked"))
        house.run(2 * LEASE)
    last = house.leader
    forgetful = next(name for name in "abc" if name not in {last, cut_off})
    assert last is not None
    for name in (last, forgetful):
        house.kill(name)
    seat = house.seats[forgetful]
    seat.disk = PersistedVote(NO_CANDIDACY, seat.disk.membership)
    house.cut.clear()
    house.start(forgetful)
    house.run(6 * LEASE)
    epochs = [epoch for _, _, epoch in house.leaders]
    assert len(epochs) == 5
    assert epochs == sorted(set(epochs))


@pytest.mark.parametrize("becomes", ["abcd", "ac"])
def test_no_change_of_the_members_begins_that_would_have_the_record_believed(becomes: str) -> None:
    house, leader = led()
    house.add("d")
    house.run(2 * LEASE)
    forge(house, EPOCH_MAX)
    house.run(2 * BEAT)
    stays = "".join(sorted({*becomes, leader}))[-len(becomes) :] if leader not in becomes else becomes
    house.tell(leader, ChangeMembership(VoterSet.of(tuple(stays), ODD)))
    house.run(3 * BEAT)
    assert house.membership(leader).body.members == tuple("abc"), "it waits"
    house.run(3 * LEASE)
    assert house.membership(leader).body.members == tuple(stays)
    assert [name for _, name, _ in house.leaders] == [leader]


def test_nobody_takes_a_stranger_for_the_leader() -> None:
    house, leader = led()
    forge(house)
    house.kill(leader)
    house.run(LEASE - 1_000)
    assert {house.seats[name].status.leader(Instant(house.now)) for name in "abc" if name != leader} <= {
        None,
        (leader, house.leaders[-1][2]),
    }


@pytest.mark.parametrize(("names", "policy"), [("abcd", ODD), ("abc", QuorumPolicy.LAST_MAN_STANDING)])
def test_where_the_store_has_a_vote_its_record_is_that_vote(names: str, policy: QuorumPolicy) -> None:
    house, _ = led(names, policy)
    forge(house)
    house.run(BEAT + 50)
    assert any("the record shows x at epoch" in line for line in house.told)
    assert house.leader is None or len(house.leaders) == 2, "the members may follow somebody else at once"


def deny(house: Parliament, leader: str, monkeypatch: pytest.MonkeyPatch, refusal: Refusal) -> None:
    """From now on no other member grants this leader anything."""
    for name in house.seats:
        voter = house.seats[name].state.voter
        if name == leader:
            continue

        def refuse(_vote_request: VoteRequest, _now: Any) -> Refusal:
            return refusal

        monkeypatch.setattr(voter, "_refusal", refuse)


def test_a_leader_that_was_replaced_while_its_clock_stood_still_stops_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a hypervisor stopped its host: by its own clock its promises run, but they are others' by now."""
    house, leader = led()
    deny(house, leader, monkeypatch, Refusal.PROMISED)
    forge(house, holder="b" if leader != "b" else "c")
    house.run(BEAT + 20)
    assert house.leader is None
    assert any("the record shows" in line for line in house.told)


def test_it_stops_as_well_when_the_members_do_not_say_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    house, leader = led()
    deny(house, leader, monkeypatch, Refusal.BOOT_WAIT)  # which says nothing of who leads
    forge(house)
    house.run(BEAT // 2)
    assert house.leader == leader
    house.run(BEAT + 2 * TIMING.request_timeout_ms)
    assert house.leader is None
    assert any("the record shows x at epoch" in line for line in house.told), "and not for want of promises"


@pytest.mark.parametrize("policy", list(QuorumPolicy))
def test_no_flood_of_words_of_releases_stops_an_election(policy: QuorumPolicy) -> None:
    house, leader = led("abc", policy)
    house.kill(leader)
    for _ in range((LEASE + 3_000) // 5):
        for name in "abc":
            if name != leader:
                house.tell(name, ReleaseHeard())
        house.run(5)
    assert house.leader not in {None, leader}
