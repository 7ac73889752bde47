"""Whether a heartbeat is that of a node that runs now depends on how far apart heartbeats are."""

import pytest

from rppam.cluster.consensus.timing import PROFILES, Timing
from rppam.doctor.check_redis import is_fresh

FAR_APART = Timing(2_000_000, 600_000, 10_000, 2_000, 5_000).check()


@pytest.mark.parametrize(("name", "ttl_ms"), [("default", 30_000), ("lan", 30_000), ("classic", 30_000)])
def test_the_profiles_keep_the_product_s_own_age_of_a_heartbeat(name: str, ttl_ms: int) -> None:
    assert PROFILES[name].heartbeat_ttl_ms == ttl_ms


def test_a_heartbeat_outlives_the_next_ones_however_far_apart_they_are() -> None:
    assert FAR_APART.heartbeat_ttl_ms == 5 * 600_000


@pytest.mark.parametrize(
    ("timing", "age_ms", "is_of_now"),
    [
        (PROFILES["default"], 4_900, True),
        (PROFILES["default"], 5_100, False),
        (PROFILES["lan"], 4_900, True),
        (PROFILES["lan"], 5_100, False),
        (PROFILES["classic"], 5_100, True),
        (PROFILES["classic"], 10_500, True),
        (PROFILES["classic"], 15_100, False),
        (FAR_APART, 1_300_000, True),
        (FAR_APART, 1_900_000, False),
    ],
)
def test_a_node_runs_that_missed_no_more_than_two_heartbeats(timing: Timing, age_ms: int, is_of_now: bool) -> None:
    assert is_fresh(timing.heartbeat_ttl_ms - age_ms, timing) == is_of_now


def test_a_heartbeat_that_does_not_expire_or_is_gone_proves_nothing() -> None:
    assert not is_fresh(-1, PROFILES["default"])
    assert not is_fresh(0, PROFILES["default"])
