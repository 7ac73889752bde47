"""When a twin is one: seen for three seconds, and not merely three seconds ago."""

from typing import Any

from rppam.cluster.link.local_peer import TWIN_US, LocalPeer
from rppam.kernel.instant import Instant


class Hand:
    """A clock that is moved by hand."""

    at_us = 10_000_000

    def now(self) -> Instant:
        return Instant(self.at_us)


def party(clock: Hand) -> LocalPeer:
    unused: Any = None
    return LocalPeer(
        options=unused,
        credentials=unused,
        refusals=unused,
        clock=clock,  # type: ignore[arg-type]
        entropy=unused,
        listener=unused,
        orders=unused,
    )


def test_an_old_self_that_is_seen_for_two_seconds_is_never_a_twin() -> None:
    clock = Hand()
    node = party(clock)
    for _ in range(4):  # at 0, 0.6, 1.2 and 1.8 s
        node.saw_twin("another node2")
        clock.at_us += 600_000
    for _ in range(60):
        assert node.twin == ""
        clock.at_us += 100_000
    assert not node.twin_is_fresh


def test_whoever_is_seen_for_three_seconds_is_one_until_it_is_not_seen_any_more() -> None:
    clock = Hand()
    node = party(clock)
    for _ in range(6):
        node.saw_twin("another node2")
        clock.at_us += TWIN_US // 5
    assert node.twin == "another node2"
    clock.at_us += TWIN_US
    assert node.twin == ""
    node.saw_twin("another node2")
    assert node.twin == "", "that is another beginning"
