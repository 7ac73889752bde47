"""The failure detector, told as stories of heartbeats read."""

from rppam.cluster.consensus.failure_detector import LIVES_MAX, NAMES_MAX, FailureDetector, MemberChanged
from rppam.cluster.consensus.heartbeat import MemberStatus
from tests.cluster.consensus.beats import TIMING, WALL, at, heartbeat


def _reads(detector: FailureDetector, start: int, stop: int, beat_of=None) -> list[MemberChanged]:
    """``detector`` reads once per period; ``beat_of(i)`` is what node2 shows, or a standstill."""
    changes: list[MemberChanged] = []
    for i in range(start, stop):
        shown = heartbeat("node2", beat_of(i) if beat_of else start)
        changes += detector.observed((("node1", heartbeat("node1", i)), ("node2", shown)), at(i), WALL)
    return changes


def _status(detector: FailureDetector, now: float) -> MemberStatus:
    return detector.members(at(now))["node2"].status


def test_a_member_whose_heartbeats_change_is_healthy_and_reported_once() -> None:
    detector = FailureDetector("node1", TIMING)
    changes = _reads(detector, 0, 40, lambda i: i)
    assert [(c.node, c.status) for c in changes] == [("node2", MemberStatus.HEALTHY)]
    assert _status(detector, 39) is MemberStatus.HEALTHY


def test_three_missed_heartbeats_make_suspect_and_a_whole_lease_makes_unreachable() -> None:
    detector = FailureDetector("node1", TIMING)
    _reads(detector, 0, 5, lambda i: i)
    changes = _reads(detector, 5, 8, lambda _: 4)
    assert changes == []  # 3 periods without news are not yet more than three missed heartbeats
    changes = _reads(detector, 8, 20, lambda _: 4)
    assert [c.status for c in changes] == [MemberStatus.SUSPECT, MemberStatus.UNREACHABLE]
    assert changes[1].sentence == "Heartbeat timeout for node node2"
    changes = _reads(detector, 20, 22, lambda i: i)
    assert [c.status for c in changes] == [MemberStatus.HEALTHY]


def test_an_own_stall_accuses_nobody() -> None:
    detector = FailureDetector("node1", TIMING)
    _reads(detector, 0, 5, lambda i: i)
    changes = detector.observed((("node2", heartbeat("node2", 4)),), at(500), WALL)
    assert changes == []
    assert _status(detector, 500) is MemberStatus.HEALTHY


def test_while_this_node_cannot_read_everybody_is_unknown() -> None:
    detector = FailureDetector("node1", TIMING)
    _reads(detector, 0, 5, lambda i: i)
    assert _status(detector, 10) is MemberStatus.UNKNOWN


def test_a_clean_leave_removes_the_member_at_once() -> None:
    detector = FailureDetector("node1", TIMING)
    _reads(detector, 0, 3, lambda i: i)
    changes = detector.observed((("node2", heartbeat("node2", 3, leaving=True)),), at(3), WALL)
    assert [(c.node, c.status) for c in changes] == [("node2", None)]
    assert detector.members(at(3)) == {}


def test_a_member_missing_from_a_flushed_store_stays_known_and_ages() -> None:
    detector = FailureDetector("node1", TIMING)
    _reads(detector, 0, 3, lambda i: i)
    for i in range(3, 15):
        detector.observed((), at(i), WALL)
    assert _status(detector, 14) is MemberStatus.UNREACHABLE


def test_a_restart_is_told_and_is_not_a_failure() -> None:
    detector = FailureDetector("node1", TIMING)
    _reads(detector, 0, 3, lambda i: i)
    changes = detector.observed((("node2", heartbeat("node2", 1, boot_id="b" * 16)),), at(3), WALL)
    assert [c.sentence for c in changes] == ["node node2 was started anew"]


def test_a_member_that_died_before_this_node_came_is_shown_and_comes_back() -> None:
    detector = FailureDetector("node1", TIMING)
    [change] = detector.observed((("node1", heartbeat("node1", 0)), ("node2", None)), at(0), WALL)
    assert (change.node, change.status, change.sentence) == (
        "node2",
        MemberStatus.UNREACHABLE,
        "Heartbeat timeout for node node2",
    )
    assert detector.members(at(0))["node2"].last_heartbeat is None
    [change] = detector.observed((("node2", heartbeat("node2", 1)),), at(1), WALL)
    assert change.status is MemberStatus.HEALTHY
    assert detector.members(at(1))["node2"].last_heartbeat == WALL


def test_beats_that_were_there_before_bring_nobody_back() -> None:
    """Somebody puts back, again and again, what a dead member wrote: also in turns."""
    detector = FailureDetector("node1", TIMING)
    _reads(detector, 0, 10, lambda i: i)
    changes = _reads(detector, 10, 40, lambda i: i % 10)
    assert [c.status for c in changes] == [MemberStatus.SUSPECT, MemberStatus.UNREACHABLE]


def test_a_goodbye_of_before_ends_no_later_life_and_no_former_life_comes_back() -> None:
    detector = FailureDetector("node1", TIMING)
    old, new = "a" * 16, "b" * 16
    shown = [heartbeat("node2", 1, old), heartbeat("node2", 1, new), heartbeat("node2", 2, old, leaving=True)]
    for i, beat in enumerate((*shown, heartbeat("node2", 2, new), shown[0])):
        detector.observed((("node2", beat),), at(i), WALL)
        assert detector.members(at(i))["node2"].heartbeat.boot_id == (old if i == 0 else new)
    assert detector.heeded((("node2", shown[0]),)) == (("node2", heartbeat("node2", 2, new)),)


def test_what_is_remembered_of_names_and_lives_is_bounded() -> None:
    detector = FailureDetector("node1", TIMING)
    for i in range(3_000):
        detector.is_news(f"g{i}", heartbeat(f"g{i}", 1))
        detector.is_news("node2", heartbeat("node2", 1, f"{i:016x}"))
    assert len(detector._beats) <= NAMES_MAX
    assert max(map(len, detector._beats.values())) <= LIVES_MAX
