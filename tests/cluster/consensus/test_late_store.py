"""A candidate that the store answers late: what happened meanwhile counts, not what it knew when it fixed its epoch."""

from rppam.cluster.consensus.effects import Exchange, HandOver, Phase
from rppam.cluster.consensus.membership import QuorumPolicy
from tests.cluster.consensus.parliament import HOP_US, TIMING, Parliament, Seat

LEASE = TIMING.lease_ms


class SlowStore(Parliament):
    """What the seats in ``slow`` ask of the store arrives when the test says so."""

    def __init__(self, *names: str, policy: QuorumPolicy) -> None:
        self.slow: set[str] = set()
        self._waiting: list[tuple[Seat, int, Exchange]] = []
        super().__init__(*names, policy=policy)

    def _serve(self, seat: Seat, life: int, effect: Exchange) -> None:
        if seat.name in self.slow:
            self._waiting.append((seat, life, effect))
        else:
            super()._serve(seat, life, effect)

    def go_on(self) -> None:
        self.slow.clear()
        for words in self._waiting:
            self._later(HOP_US, self._serve, *words)


def test_the_store_s_vote_is_not_asked_for_at_an_epoch_that_somebody_has_led_meanwhile() -> None:
    house = SlowStore("a", "b", "c", policy=QuorumPolicy.LAST_MAN_STANDING)
    house.run(2 * LEASE)
    dead = house.leader
    assert dead is not None
    late, quick = sorted({"a", "b", "c"} - {dead})
    house.kill(dead)
    house.cut |= {(late, quick), (quick, late)}
    house.run(LEASE - TIMING.heartbeat_ms - 50)
    house.slow.add(late)
    for _ in range(3_000):
        if house.seats[late].status.phase is Phase.VOTING and house.leader == quick:
            break
        house.run(1)
    assert house.seats[late].status.phase is Phase.VOTING, "its epoch is fixed"
    house.tell(quick, HandOver("", "asked to"))
    house.run(10)
    assert house.text is not None
    assert f" released {quick} " in house.text
    house.go_on()
    house.run(50)
    assert house.leader is None
    house.run(3 * LEASE)
    assert house.leader is not None
    epochs = [epoch for _, _, epoch in house.leaders]
    assert epochs == sorted(set(epochs))
