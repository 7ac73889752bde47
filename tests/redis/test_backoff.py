"""Waits between attempts: they double, they are spread, and they never pass the cap."""

from typing import NamedTuple

import pytest
from hypothesis import given, strategies as st

from rppam.redis.errors import (
    StoreDown,
    StoreError,
    StoreFull,
    StoreProtocol,
    StorePushFlood,
    StoreRefused,
    StoreReplyTooLarge,
    StoreUnknown,
)
from rppam.redis.reconnect import CAP_MS, HOSTILE_STEADY_MS, STEADY_MS, Backoff


class Dice:
    """Chance that always falls on the same share of its range."""

    def __init__(self, share: float) -> None:
        self.share = share

    def nonce(self) -> str:
        return "0" * 16

    def below(self, bound: int) -> int:
        return min(bound - 1, int(bound * self.share))


def waits(share: float, count: int) -> list[int]:
    backoff = Backoff(Dice(share))
    return [backoff.next_ms() for _ in range(count)]


def test_the_longest_waits_double_up_to_two_seconds() -> None:
    assert waits(0.999999, 8) == [50, 100, 200, 400, 800, 1600, 2000, 2000]


def test_the_shortest_waits_are_half_of_that() -> None:
    assert waits(0.0, 8) == [25, 50, 100, 200, 400, 800, 1000, 1000]


@given(share=st.floats(0, 1), count=st.integers(1, 200))
def test_no_wait_is_zero_or_beyond_the_cap(share: float, count: int) -> None:
    assert all(0 < wait <= CAP_MS for wait in waits(share, count))


def test_only_a_connection_that_held_starts_the_series_anew() -> None:
    backoff = Backoff(Dice(0.0))
    for _ in range(5):
        backoff.next_ms()
    backoff.succeeded(STEADY_MS - 1)
    assert backoff.next_ms() == 800
    backoff.succeeded(STEADY_MS)
    assert backoff.next_ms() == 25


class Refusing(NamedTuple):
    """A failure, and the first and the longest wait after it."""

    failure: Exception
    first: int
    longest: int


def caused(error: StoreError, by: StoreError) -> StoreError:
    error.__cause__ = by
    return error


@pytest.mark.parametrize(
    "case",
    [
        Refusing(StoreReplyTooLarge("x"), 500, 5_000),
        Refusing(StorePushFlood("x"), 500, 5_000),
        Refusing(StoreFull("x"), 200, 2_000),
        Refusing(StoreProtocol("x"), 100, 2_000),
        Refusing(caused(StoreUnknown("x"), StoreReplyTooLarge("x")), 500, 5_000),
        Refusing(StoreDown("x"), 50, 100),
        Refusing(StoreRefused("x"), 50, 100),
    ],
)
def test_after_what_a_hostile_or_full_server_did_a_quick_link_is_slow(case: Refusing) -> None:
    backoff = Backoff(Dice(0.999999), cap_ms=100)
    waited = [backoff.next_ms(case.failure) for _ in range(10)]
    assert (waited[0], waited[-1]) == (case.first, case.longest)


def test_a_server_that_lies_again_after_some_seconds_of_truth_does_not_start_the_series_anew() -> None:
    backoff = Backoff(Dice(0.999999), cap_ms=100)
    first = backoff.next_ms(StoreReplyTooLarge("x"))
    backoff.succeeded(HOSTILE_STEADY_MS - 1)
    assert backoff.next_ms(StoreReplyTooLarge("x")) == 2 * first
    backoff.succeeded(HOSTILE_STEADY_MS)
    assert backoff.next_ms(StoreRefused("x")) == 50
    backoff.succeeded(STEADY_MS)
    assert backoff.next_ms(StoreRefused("x")) == 50
