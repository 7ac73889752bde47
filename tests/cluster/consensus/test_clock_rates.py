"""Clocks that run at another rate are found by what travels anyway."""

from random import Random

import pytest

from rppam.cluster.consensus.clock_rates import Rates
from rppam.cluster.consensus.timing import PROFILES
from rppam.kernel.instant import US_PER_S, Instant

TIMING = PROFILES["default"]


def run(rate: float, seconds: int, *, slowest_us: int = 400_000, seed: int = 1) -> tuple[Rates, float | None]:
    """A member asked twice a second over a network that takes up to ``slowest_us`` each way; when it was found off."""
    chance = Random(seed)
    rates, at = Rates(TIMING), 0.0
    found: float | None = None
    for beat in range(seconds * 2):
        at = beat * US_PER_S / 2
        there = at + chance.random() * slowest_us
        back = there + chance.random() * slowest_us
        rates.observe("b", "1" * 16, Instant(int(at)), Instant(int(back)), Instant(int(7e9 + rate * there)))
        if rates.off and found is None:
            found = at / US_PER_S
    return rates, found


@pytest.mark.parametrize("rate", [1.1, 0.9])
def test_ten_percent_is_found_within_a_minute_and_told_as_at_least_so_much(rate: float) -> None:
    rates, found = run(rate, 60)
    assert found is not None
    assert found <= 60
    assert (rates.off["b"] > 0) == (rate > 1)
    assert 3 <= abs(rates.off["b"]) <= 10


@pytest.mark.parametrize("rate", [1.019, 0.981, 1.0])
def test_what_the_margin_allows_is_never_blamed_however_bad_the_network(rate: float) -> None:
    for seed in range(5):
        assert run(rate, 300, slowest_us=3_000_000, seed=seed)[1] is None


def test_a_restart_of_its_host_is_no_rate() -> None:
    rates = Rates(TIMING)
    for beat in range(60):
        now = Instant(beat * US_PER_S)
        life, theirs = ("1" * 16, beat * US_PER_S) if beat < 30 else ("2" * 16, (beat - 30) * US_PER_S)
        rates.observe("b", life, now, now, Instant(theirs))
        assert not rates.off


def test_a_clock_that_runs_right_again_is_trusted_again_after_a_minute() -> None:
    rates, theirs = Rates(TIMING), 0.0
    for beat in range(600):
        now = Instant(beat * US_PER_S // 2)
        theirs += US_PER_S / 2 * (1.1 if beat < 120 else 1.0)
        rates.observe("b", "1" * 16, now, now, Instant(int(theirs)))
        if beat == 119:
            assert rates.off
    assert not rates.off


def _found_off(lives_on_s: int) -> tuple[Rates, float]:
    """A member that was found off in its first life, asked until ``lives_on_s``; and what its clock said at the end."""
    rates, theirs = Rates(TIMING), 0.0
    for second in range(lives_on_s):
        theirs += US_PER_S * 1.1
        now = Instant(second * US_PER_S)
        rates.observe("b", "1" * 16, now, now, Instant(int(theirs)))
    assert rates.off
    return rates, theirs


def test_what_was_found_of_a_former_life_long_ago_costs_the_next_one_nothing() -> None:
    rates, _ = _found_off(60)
    later = Instant(1_000 * US_PER_S)
    assert rates.observe("b", "2" * 16, later, later, Instant(5)), "it is told"
    assert not rates.off


def test_a_clock_that_is_off_is_not_trusted_again_by_restarts_while_it_is_being_asked() -> None:
    rates, theirs = _found_off(60)
    for second in range(60, 120):
        now = Instant(second * US_PER_S)
        rates.observe("b", f"{second // 5:016x}", now, now, Instant(int(theirs)))
        assert rates.off


def _seen(**rates: float) -> Rates:
    """Members asked for a minute over a quick network; each by its clock's rate to this host's."""
    known = Rates(TIMING)
    for beat in range(120):
        at = beat * US_PER_S // 2
        for name, rate in rates.items():
            known.observe(name, "1" * 16, Instant(at), Instant(at + 2_000), Instant(int(rate * (at + 1_000))))
    return known


def test_one_wrong_clock_of_three_is_not_this_hosts() -> None:
    for rate in (1.1, 0.9):
        assert not _seen(b=1.0, c=rate).is_own_off("bc", "bc")


def test_two_that_disagree_with_this_host_but_not_with_each_other_show_that_its_own_is_wrong() -> None:
    for rate in (1.1, 0.9):
        assert _seen(b=rate, c=rate).is_own_off("bc", "bc")
        assert _seen(b=rate, c=rate).is_own_off("bc", "")


def test_of_two_the_slower_does_not_count_the_store() -> None:
    assert _seen(b=1.1).is_own_off("b", "b")
    assert not _seen(b=0.9).is_own_off("b", "b")
    assert not _seen(b=1.1).is_own_off("b", ""), "a witness takes nothing too soon"


def test_whoever_was_not_compared_yet_is_no_evidence() -> None:
    assert _seen(c=1.1).is_own_off("bc", "bc")
    assert not _seen(b=1.0, c=1.1).is_own_off("bc", "bc")


def test_who_is_no_member_any_more_counts_for_nothing() -> None:
    assert not _seen(b=1.1, c=1.1).is_own_off("d", "d")
    assert _seen(b=0.5).slowest("d") == 1


def test_how_slow_another_clock_may_be_is_known_closely_and_never_too_low() -> None:
    known = _seen(b=0.9, c=1.0)
    assert 0.89 < known.slowest("bc") <= 0.9
