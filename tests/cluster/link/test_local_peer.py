"""When a twin is one: seen for three seconds, and not merely three seconds ago."""

from rppam.cluster.link.local_peer import DUPLICATE_US, Sighting
from rppam.kernel.instant import Instant


class Hand:
    """A clock that is moved by hand."""

    at_us = 10_000_000

    def now(self) -> Instant:
        return Instant(self.at_us)


def sighting(clock: Hand) -> Sighting:
    return Sighting(clock)  # type: ignore[arg-type]


def test_an_old_self_that_is_seen_for_two_seconds_is_never_a_twin() -> None:
    clock = Hand()
    seen = sighting(clock)
    for _ in range(4):  # at 0, 0.6, 1.2 and 1.8 s
        seen.see("another node2")
        clock.at_us += 600_000
    for _ in range(60):
        assert seen.lasting() == ""
        clock.at_us += 100_000
    assert not seen.is_fresh


def test_whoever_is_seen_for_three_seconds_is_one_until_it_is_not_seen_any_more() -> None:
    clock = Hand()
    seen = sighting(clock)
    for _ in range(6):
        seen.see("another node2")
        clock.at_us += DUPLICATE_US // 5
    assert seen.lasting() == "another node2"
    clock.at_us += DUPLICATE_US
    assert seen.lasting() == ""
    seen.see("another node2")
    assert seen.lasting() == "", "that is another beginning"
