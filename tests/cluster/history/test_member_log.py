"""What is told of members whose heartbeats stay away: the same as health shows, which also hears the member link."""

import logging
from typing import Any

import pytest

from rppam.cluster.consensus.failure_detector import FailureDetector
from rppam.cluster.consensus.heartbeat import Heartbeat, Role
from rppam.cluster.consensus.timing import PROFILES
from rppam.cluster.history.node_log import MemberLog
from rppam.cluster.history.recorder import EVENT
from rppam.cluster.link.local_peer import PeerState
from rppam.kernel.instant import Instant, WallMs

TIMING = PROFILES["default"]
HEARD, SILENT = PeerState("", True, "", 100, 500), PeerState("", True, "", 2_100, 500)
GONE = PeerState("", False, "refused", None, None)


class Node:
    """One node that reads heartbeats of node2 and tells of it."""

    def __init__(self, link: PeerState | None) -> None:
        self.peers = {} if link is None else {"node2": link}
        self._detector = FailureDetector("node1", TIMING)
        self._news = MemberLog(self._detector, lambda: self.peers)
        self._now = self._beat = 0

    def reads(self, times: int, *, beats: bool, leaves: bool = False) -> None:
        for _ in range(times):
            self._now += TIMING.heartbeat_us
            self._beat += beats
            beat = Heartbeat("node2", "a" * 16, self._beat, Role.STANDBY, 7, "1", "h", "", 0, 0, 0, leaving=leaves)
            for change in self._detector.observed((("node2", beat),), Instant(self._now), WallMs(1)):
                self._news.changed(change)
            self._news.look(Instant(self._now))

    def waits_blind(self) -> None:
        self._now += 10 * TIMING.heartbeat_us
        self._news.look(Instant(self._now))

    def forgets(self) -> None:
        self._detector.keep(())


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Any:
    caplog.set_level(logging.INFO)

    def since_last() -> list[tuple[str, str]]:
        found = [(record.levelname, record.getMessage()) for record in caplog.records]
        caplog.clear()
        return found

    return since_last


TIMEOUT, HEALTHY = ("WARNING", "Heartbeat timeout for node node2"), ("INFO", "node node2 is healthy again")
MISSED = ("WARNING", "node node2 missed 3 heartbeats")


@pytest.mark.parametrize("link", [None, SILENT, GONE])
def test_a_member_that_is_heard_nowhere_is_told_as_before(link: PeerState | None, told: Any) -> None:
    node = Node(link)
    node.reads(3, beats=True)
    node.reads(20, beats=False)
    node.reads(3, beats=True)
    assert told() == [("INFO", "node node2 is here"), MISSED, TIMEOUT, HEALTHY]


def test_of_a_member_that_is_heard_on_the_link_no_ill_is_told(told: Any) -> None:
    node = Node(HEARD)
    node.reads(3, beats=True)
    told()
    node.reads(20, beats=False)
    node.reads(3, beats=True)
    assert told() == []


def test_what_was_held_back_is_told_once_the_link_is_silent_too_and_taken_back_when_it_is_heard(told: Any) -> None:
    node = Node(HEARD)
    node.reads(3, beats=True)
    node.reads(20, beats=False)
    told()
    node.peers["node2"] = GONE
    node.reads(3, beats=False)
    assert told() == [TIMEOUT]
    node.peers["node2"] = HEARD
    node.reads(3, beats=False)
    assert told() == [HEALTHY]
    node.reads(3, beats=True)
    assert told() == []


def test_who_cannot_read_heartbeats_accuses_nobody(told: Any) -> None:
    node = Node(HEARD)
    node.reads(3, beats=True)
    node.reads(20, beats=False)
    told()
    node.peers["node2"] = GONE
    node.waits_blind()
    assert told() == []
    node.reads(1, beats=False)
    assert told() == [TIMEOUT]


def test_a_goodbye_is_told_and_one_that_is_forgotten_is_not_accused(told: Any) -> None:
    node = Node(HEARD)
    node.reads(3, beats=True)
    node.reads(20, beats=False)
    told()
    node.reads(1, beats=True, leaves=True)
    assert told() == [("INFO", "node node2 left the cluster")]
    node.reads(3, beats=True)
    node.reads(20, beats=False)
    told()
    node.peers["node2"] = GONE
    node.forgets()
    node.waits_blind()
    assert told() == []


def test_a_line_carries_its_event_and_facts(caplog: pytest.LogCaptureFixture) -> None:
    node = Node(None)
    node.reads(3, beats=True)
    node.reads(20, beats=False)
    facts = [vars(record)["rppam_facts"] for record in caplog.records][-1]
    assert facts == {EVENT: "member", "epoch": 7, "member": "node2", "status": "unreachable"}


def test_one_look_asks_the_link_once_however_many_are_away(told: Any) -> None:
    names, asked = [f"node{number}" for number in range(2, 40)], 0

    def peers() -> dict[str, PeerState]:
        nonlocal asked
        asked += 1
        return dict.fromkeys(names, GONE)

    detector = FailureDetector("node1", TIMING)
    news = MemberLog(detector, peers)
    last = tuple((name, Heartbeat(name, "a" * 16, 1, Role.STANDBY, 7, "1", "h", "", 0, 0, 0)) for name in names)
    now = 0
    for _ in range(20):
        now += TIMING.heartbeat_us
        for change in detector.observed(last, Instant(now), WallMs(1)):
            news.changed(change)
    assert told().count(("WARNING", "Heartbeat timeout for node node2")) == 1
    asked = 0
    news.look(Instant(now))
    assert asked == 1
