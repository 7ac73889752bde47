"""Who is frozen and who is not, by the signs of life on the page."""

import os
from collections.abc import Iterator

import pytest

from rppam.cluster.health.ports import Authority
from rppam.process.shared_state import CONTROL, Permission, SharedState, worker_place
from rppam.process.supervisor.watchdog import HUNG_US, OWN_PAUSE_US, WAKE_GRACE_US, Watchdog

START = 1_000_000_000
DEADLINE = START + 800_000


@pytest.fixture
def page() -> Iterator[SharedState]:
    descriptor = SharedState.make()
    made = SharedState(descriptor)
    made.stamp(CONTROL, START)
    made.permit(Permission(2, Authority(7, "0" * 16), DEADLINE))
    yield made
    os.close(descriptor)


def test_a_leader_that_did_not_turn_at_the_end_of_its_permission_is_frozen(page: SharedState) -> None:
    watchman = Watchdog(page)
    assert watchman.why_frozen(2, DEADLINE - 1) == ""
    assert watchman.why_frozen(2, DEADLINE + WAKE_GRACE_US) == "", "it may just be waking up"
    assert "frozen for 821 ms" in watchman.why_frozen(2, DEADLINE + WAKE_GRACE_US + 1_000)


def test_one_that_turned_after_its_permission_is_not(page: SharedState) -> None:
    page.stamp(CONTROL, DEADLINE + 5)
    assert Watchdog(page).why_frozen(2, DEADLINE + 1_000_000) == ""


def test_the_permission_of_a_predecessor_accuses_nobody(page: SharedState) -> None:
    assert Watchdog(page).why_frozen(3, DEADLINE + 1_000_000) == ""


def test_a_standby_is_given_ten_seconds(page: SharedState) -> None:
    page.permit(None)
    watchman = Watchdog(page)
    assert watchman.why_frozen(2, START + HUNG_US - 1) == ""
    assert "10000 ms" in watchman.why_frozen(2, START + HUNG_US)


def test_a_worker_too(page: SharedState) -> None:
    place = worker_place(1)
    page.stamp(place, START)
    assert Watchdog(page).why_hung(place, START + HUNG_US - 1) == ""
    assert Watchdog(page).why_hung(place, START + HUNG_US)
    assert Watchdog(page).why_hung(place, START + 3 * HUNG_US - 1, 3) == "", "those before it were slow at their start"
    assert Watchdog(page).why_hung(place, START + 3 * HUNG_US, 3)


def test_whoever_slept_himself_accuses_nobody_until_all_had_time_to_turn(page: SharedState) -> None:
    watchman = Watchdog(page)
    watchman.turned(START)
    late = START + 60_000_000
    watchman.turned(late)
    assert watchman.why_frozen(2, late) == ""
    assert watchman.look_again_us(2, late) == late + OWN_PAUSE_US + 1_000
    assert watchman.why_frozen(2, late + OWN_PAUSE_US)


def test_it_looks_again_right_after_the_permission(page: SharedState) -> None:
    watchman = Watchdog(page)
    assert watchman.look_again_us(2, START) == DEADLINE + WAKE_GRACE_US + 1_000
    assert watchman.look_again_us(2, DEADLINE + 1_000_000) is None
    assert watchman.look_again_us(1, START) is None
