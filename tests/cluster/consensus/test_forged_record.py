"""What whoever may write to the store can make of the record: end a leadership, and never make a second one.

Each story asserts at every event that at most one node may lead: that is :meth:`Parliament.run`.
"""

from collections.abc import Callable
from heapq import heappop

import pytest

from rppam.cluster.consensus.effects import Connected, Exchange, HandOver, ReleaseHeard
from rppam.cluster.consensus.election import Election
from rppam.cluster.consensus.lease import SHOWN_MAX, Identity
from rppam.cluster.consensus.membership import QuorumPolicy
from rppam.cluster.consensus.record import EPOCH_MAX, Record, RecordState, commitment, parse_record, vacant
from rppam.kernel.instant import US_PER_MS, Instant
from rppam_sim.host import SeededEntropy
from tests.cluster.consensus.parliament import HOP_US, TIMING, Parliament, Seat

LEASE, BEAT = TIMING.lease_ms, TIMING.heartbeat_ms
SECRET = "5e" * 16


class Alone(Parliament):
    """Nodes without a cluster key: nobody votes, and nobody signs."""

    def start(self, name: str) -> None:
        before = self.seats[name]
        seat = self.seats[name] = Seat(name, before.disk)
        seat.life = before.life + 1
        boot_id = f"{ord(name):012x}{seat.life:04x}"
        seat.member = Election(Identity(name, boot_id, TIMING), SeededEntropy(boot_id), now=Instant(self.now))
        self._later(HOP_US, self._connect, seat, seat.life)
        self._poll_later(seat)


def alone() -> Parliament:
    return Alone("a", "b", "c")


def two_apart(policy: QuorumPolicy) -> Parliament:
    """Two members whose link is cut: each has its own vote, and whom the store's makes the leader."""
    house = Parliament("a", "b", policy=policy)
    house.run(3 * LEASE)
    house.cut |= {("a", "b"), ("b", "a")}
    return house


WHERE: dict[str, Callable[[], Parliament]] = {
    "record alone": alone,
    "majority of two": lambda: two_apart(QuorumPolicy.MAJORITY),
    "last man standing of two": lambda: two_apart(QuorumPolicy.LAST_MAN_STANDING),
}
everywhere = pytest.mark.parametrize("where", WHERE)


def led(where: str) -> tuple[Parliament, str]:
    house = WHERE[where]()
    house.run(4 * LEASE)
    before = house.text
    while house.text == before:  # it has just renewed, so it looks again only a beat later
        house.run(1)
    assert house.leader is not None
    return house, house.leader


def stands(house: Parliament) -> Record:
    record = None if house.text is None else parse_record(house.text)
    assert record is not None
    return record


def write(house: Parliament, record: Record) -> None:
    """Somebody writes it, and says so on the channel of releases. The leader hears that late."""
    house.text = record.encode()
    leader = house.leader
    for name, seat in house.seats.items():
        if seat.member is not None and name != leader:
            house.tell(name, ReleaseHeard())


@everywhere
@pytest.mark.parametrize("nonce", ["0" * 32, "cd" * 8])
def test_a_release_in_the_holders_place_makes_no_second_leader(where: str, nonce: str) -> None:
    house, _ = led(where)
    now = stands(house)
    write(house, now._replace(state=RecordState.RELEASED, seq=now.seq + 1, nonce=nonce))
    house.run(2 * LEASE)
    assert house.leader is not None


@everywhere
@pytest.mark.parametrize("wait_ms", [1, 20, BEAT, LEASE - BEAT])
@pytest.mark.parametrize("ahead", [0, 1, 1_000])
def test_nor_does_a_made_up_leadership_whose_secret_is_revealed(where: str, wait_ms: int, ahead: int) -> None:
    house, _ = led(where)
    held = Record(RecordState.HELD, "x", "5" * 16, stands(house).epoch + ahead, 7, commitment(SECRET))
    write(house, held)
    house.run(wait_ms)
    if house.text == held.encode():
        write(house, held._replace(state=RecordState.RELEASED, seq=8, nonce=SECRET))
    house.run(3 * LEASE)
    assert house.leader is not None


@everywhere
def test_nor_does_an_old_release_put_back_that_all_have_seen_overtaken(where: str) -> None:
    house, leader = led(where)
    texts: list[Record] = []
    house.tell(leader, HandOver("", "test"))
    for _ in range(400):
        house.run(5)
        if stands(house).state is RecordState.RELEASED:
            texts.append(stands(house))
    assert texts, "it was released"
    house.run(4 * LEASE)
    assert house.leader is not None
    write(house, texts[0])
    house.run(2 * LEASE)
    assert house.leader is not None


@everywhere
@pytest.mark.parametrize("which", ["held", "vacant", "stranger's"])
def test_what_is_put_back_again_and_again_passes_for_silence_with_nobody(
    where: str, which: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    house, leader = led(where)
    now = stands(house)
    others = {
        "held": now,
        "vacant": Record(RecordState.VACANT, "-", "0" * 16, now.epoch, 0, "ab" * 8),
        "stranger's": Record(RecordState.HELD, "x", "5" * 16, max(0, now.epoch - 1), 3, "ab" * 16),
    }
    text = others[which].encode()
    house.text = text
    serve = house._serve

    def put_back(seat: Seat, life: int, effect: Exchange) -> None:
        serve(seat, life, effect)
        if effect.swap is not None and house.text == effect.swap.proposed.encode() and seat.name == leader:
            house.text = text  # before anybody else reads

    monkeypatch.setattr(house, "_serve", put_back)
    house.run(4 * LEASE)
    assert any("somebody put back" in line for line in house.told), house.told


@pytest.mark.parametrize("where", list(WHERE)[1:])
@pytest.mark.parametrize("epoch", [0, 1, EPOCH_MAX])
@pytest.mark.parametrize("state", list(RecordState))
def test_with_a_key_no_record_that_nobody_signed_ends_a_leadership(where: str, state: RecordState, epoch: int) -> None:
    house, leader = led(where)
    promotions = len(house.leaders)
    record = Record(state, "x", "5" * 16, max(epoch, stands(house).epoch if epoch == 1 else 0), 7, "ab" * 16)
    write(house, record)
    house.run(2 * BEAT)
    assert f" held {leader} " in (house.text or ""), "it is written over within the promise"
    house.run(3 * LEASE)
    assert (house.leader, len(house.leaders)) == (leader, promotions)
    assert house.seats[leader].status.lease.epochs.known <= SHOWN_MAX
    is_told = any("the cluster key did not sign it" in line and "names x at" in line for line in house.told)
    assert is_told is (state is not RecordState.VACANT)


@pytest.mark.parametrize("epoch", [0, EPOCH_MAX])
def test_with_a_key_who_stands_next_stands_above_it_all_the_same(epoch: int) -> None:
    house, leader = led("last man standing of two")
    house.kill(leader)
    house.text = Record(RecordState.HELD, "x", "5" * 16, epoch, 7, "ab" * 16).encode()
    house.run(2 * LEASE)
    assert house.leader not in {None, leader}
    assert house.leaders[-1][2] <= SHOWN_MAX + 100


@pytest.mark.parametrize("where", list(WHERE))
def test_a_vacant_mark_at_the_highest_epoch_stops_nobody_with_a_key_or_without(where: str) -> None:
    house, leader = led(where)
    write(house, vacant(EPOCH_MAX, "5e" * 16))
    house.run(2 * LEASE)
    assert house.leader == leader, "it is written over"
    house.kill(leader)
    write(house, vacant(EPOCH_MAX, "6e" * 16))
    house.run(4 * LEASE)
    if where == "majority of two":  # cut off from each other, and the store's vote is one of three
        house.cut.clear()
        house.run(4 * LEASE)
    assert house.leader not in {None, leader}
    assert house.leaders[-1][2] <= SHOWN_MAX + 100
    assert all(seat.status.lease.epochs.led < EPOCH_MAX for seat in house.seats.values() if seat.member is not None)


def test_without_a_key_a_forged_leadership_at_the_highest_epoch_is_told_with_what_to_do() -> None:
    house, _ = led("record alone")
    write(house, Record(RecordState.HELD, "x", "5" * 16, EPOCH_MAX, 7, "ab" * 16))
    house.run(6 * LEASE)
    assert house.leader is None
    assert any("Stop rppam on all nodes" in line for line in house.told)
    house.text = None  # deleted under running nodes: each still knows that epoch
    house.run(4 * LEASE)
    assert house.leader is None
    for name in house.seats:
        house.kill(name)
    house.text = None
    for name in house.seats:
        house.start(name)
    house.run(4 * LEASE)
    assert house.leader is not None


def released_after(house: Parliament, leader: str) -> int:
    """How many ms nobody leads after the leader hands over and has stopped."""
    begun = house.now
    house.tell(leader, HandOver("", "test"))
    is_said = False
    while house.leader in {None, leader}:
        house.run(1)
        if not is_said and stands(house).state is RecordState.RELEASED:
            is_said = True
            write(house, stands(house))  # the script publishes it
        assert house.now - begun < 2 * LEASE * US_PER_MS, "nobody follows"
    return (house.now - begun) // US_PER_MS


def test_a_switchover_is_as_quick_as_ever_once_the_leadership_is_a_lease_old() -> None:
    house, leader = led("record alone")
    assert released_after(house, leader) < 100


def ms_of_two(house: Parliament, ms: int, then: Callable[[], None]) -> int:
    """Let time pass without the judgement of :meth:`Parliament.run`; for how long two led."""
    two_us, until = 0, house.now + ms * US_PER_MS
    while house._heap and house._heap[0][0] <= until:
        before = house.now
        may = [seat for seat in house.seats.values() if seat.member and seat.status.permission(house._at) is not None]
        house.now, _, what, words = heappop(house._heap)
        two_us += (house.now - before) * (len(may) > 1)
        what(*words)
        then()
    house.now = until
    return two_us // US_PER_MS


@everywhere
def test_a_release_put_back_in_the_moment_after_it_was_taken_over_makes_two_for_a_heartbeat_at_most(where: str) -> None:
    """What is left where Redis is the arbiter: see docs/safety-levels.md. Nobody is shown the takeover before."""
    house, leader = led(where)
    seen: list[str] = []
    put_back: list[str] = []

    def watch() -> None:
        if house.text is None or (house.text in seen[-1:]):
            return
        if put_back == [] and seen and " released " in seen[-1] and " held " in house.text:
            put_back.append(house.text)
            house.text = seen[-1]
        else:
            seen.append(house.text)

    if where == "record alone":
        house.tell(leader, HandOver("", "test"))
        two_ms = ms_of_two(house, 3 * LEASE, watch)
        print("two led for", two_ms, "ms")
        assert two_ms <= BEAT + 50
        assert put_back, "it was taken over"
    else:  # only who holds the key makes a genuine one, and there is no third node that the link hides it from
        assert ms_of_two(house, LEASE, watch) == 0
    house.run(3 * LEASE)
    assert house.leader is not None


def test_without_a_key_a_younger_one_costs_the_rest_of_the_lease_and_no_more() -> None:
    house = alone()
    while house.leader is None:
        house.run(1)
    house.run(BEAT)
    age_ms = house.now // US_PER_MS - house.leaders[-1][0]
    took_ms = released_after(house, house.leader)
    assert 100 < took_ms <= LEASE - age_ms + BEAT + 100


def test_with_a_key_a_younger_one_costs_nothing_more() -> None:
    house = two_apart(QuorumPolicy.LAST_MAN_STANDING)
    house.cut.clear()
    house.run(4 * LEASE)
    for _ in range(3):
        leader = house.leader
        assert leader is not None
        assert released_after(house, leader) < 100
        house.run(BEAT)


def test_a_leader_that_finds_its_older_record_after_a_failover_keeps_leading() -> None:
    house, leader = led("last man standing of two")
    old = house.text
    house.run(BEAT)
    house.store_away()
    house.text = old
    house.store_up = True
    house.run(10)
    for seat in house.seats.values():
        house._later(HOP_US, _connect_elsewhere, house, seat)
    house.run(2 * LEASE)
    assert house.leader == leader
    assert not any("put back" in line for line in house.told)


def _connect_elsewhere(house: Parliament, seat: Seat) -> None:
    house.tell(seat.name, Connected(next(house._connections), "run2"))
