"""Who may act, as the page says it: permission, its end, and its withdrawal."""

import os
from collections.abc import Iterator

import pytest

from rppam.cluster.health.ports import Authority
from rppam.process.shared_state import (
    ALIVE_US,
    CONTROL,
    SUPERVISOR,
    Permission,
    Picture,
    SharedState,
    worker_place,
)

LEADS = Authority(1_795_000_000_000, "0123456789abcdef")


@pytest.fixture
def page() -> Iterator[SharedState]:
    descriptor = SharedState.make()
    yield SharedState(descriptor)
    os.close(descriptor)


def test_nobody_may_act_before_anybody_said_so(page: SharedState) -> None:
    assert page.authority(0) is None
    assert page.permission() is None
    assert page.picture_newer(0) == (0, None)


def test_permission_ends_by_itself_at_its_deadline(page: SharedState) -> None:
    page.permit(Permission(1, LEADS, 1_000))
    assert page.authority(999) == LEADS
    assert page.authority(1_000) is None
    page.permit(Permission(1, LEADS, 2_000))
    assert page.authority(1_000) == LEADS
    page.permit(None)
    assert page.authority(1_000) is None


def test_what_is_withdrawn_stays_withdrawn_whatever_the_dead_process_wrote(page: SharedState) -> None:
    page.permit(Permission(3, LEADS, 1_000_000))
    page.withdraw(3)
    assert page.authority(0) is None
    page.permit(Permission(3, LEADS, 9_000_000))  # a write that was under way when it died
    assert page.authority(0) is None
    page.withdraw(1)
    assert page.withdrawn == 3, "never taken back"
    page.permit(Permission(4, LEADS, 1_000_000))
    assert page.authority(0) == LEADS, "its successor starts anew"


def test_the_next_start_is_told_in_one_number_beside_the_rest(page: SharedState) -> None:
    assert page.planned_start() == (0, 0)
    page.withdraw(3)
    page.plan_start(8, 2**50)
    assert page.planned_start() == (8, 2**50 // 1_000 * 1_000)
    page.plan_start(70_000, 5_000)
    assert page.planned_start() == (65_535, 5_000)
    page.stamp(SUPERVISOR, 7)
    assert (page.withdrawn, page.stamped_us(SUPERVISOR), page.planned_start()) == (3, 7, (65_535, 5_000))


def test_another_mapping_of_the_same_page_sees_the_same(page: SharedState) -> None:
    descriptor = SharedState.make()
    one, other = SharedState(descriptor), SharedState(descriptor)
    os.close(descriptor)
    one.permit(Permission(1, LEADS, 10))
    one.show(Picture(1, 5, b"{}"))
    one.stamp(worker_place(63), 7)
    assert other.authority(9) == LEADS
    assert other.picture_newer(0) == (1, Picture(1, 5, b"{}"))
    assert other.stamped_us(worker_place(63)) == 7
    assert other.stamped_us(CONTROL) == 0
    other.withdraw(1)
    assert one.authority(9) is None


def test_signs_of_life_do_not_touch_the_rest(page: SharedState) -> None:
    page.permit(Permission(1, LEADS, 10))
    page.show(Picture(1, 5, b"text"))
    for place in range(66):
        page.stamp(place, 2**60 + place)
        page.obeys(place, 2**50 + place)
    assert [page.stamped_us(place) for place in range(66)] == [2**60 + place for place in range(66)]
    assert page.authority(0) == LEADS
    assert page.withdrawn == 0


def test_a_node_obeys_the_settings_that_its_last_living_worker_obeys(page: SharedState) -> None:
    first, second = worker_place(0), worker_place(1)
    assert page.settings_revision(1) is None, "no worker lives"
    page.stamp(first, 1)
    assert page.settings_revision(2) is None, "it has not said what it obeys"
    page.obeys(first, 0)
    assert page.settings_revision(2) == 0
    page.obeys(first, 7)
    page.stamp(second, ALIVE_US)
    assert page.settings_revision(ALIVE_US) is None
    page.obeys(second, 6)
    assert page.settings_revision(ALIVE_US) == 6
    page.stamp(first, ALIVE_US)
    assert page.settings_revision(2 * ALIVE_US - 1) == 6
    page.obeys(second, 9)
    assert page.settings_revision(2 * ALIVE_US - 1) == 7
    page.stamp(first, 2 * ALIVE_US)
    assert page.settings_revision(2 * ALIVE_US) == 7, "the second is dead; the first lives on"
    page.obeys(first, None)
    assert page.settings_revision(2 * ALIVE_US) is None
