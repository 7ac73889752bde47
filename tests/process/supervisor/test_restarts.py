"""A storm of restarts is damped, and forgotten after a calm minute."""

from rppam.process.supervisor.children import CALM_US, STORM_WAITS_MS, WAITS_MS, Restarts


def test_an_accident_is_mended_at_once() -> None:
    answer = Restarts().died(5_000_000)
    assert (answer.wait_ms, answer.deaths, answer.is_storm) == (0, 1, False)


def test_the_fifth_death_in_a_row_is_a_storm_whose_waits_grow_and_stay_long() -> None:
    restarts = Restarts()
    now, answers = 1_000_000_000, []
    for _ in range(20):
        answers.append(restarts.died(now))
        now += answers[-1].wait_ms * 1_000 + 100_000  # it lives for a tenth of a second each time
    assert [answer.wait_ms for answer in answers[:8]] == [*WAITS_MS, *STORM_WAITS_MS]
    assert [answer.is_storm for answer in answers[:6]] == [False] * 4 + [True] * 2
    assert {answer.wait_ms for answer in answers[8:]} == {STORM_WAITS_MS[-1]}
    assert answers[-1].deaths == 20


def test_deaths_after_a_calm_minute_are_accidents_each() -> None:
    restarts = Restarts()
    assert [restarts.died(61_000_000 * number).wait_ms for number in range(1, 20)] == [0] * 19


def test_a_calm_minute_ends_a_storm() -> None:
    restarts = Restarts()
    now = 1_000_000_000
    for _ in range(6):
        now += restarts.died(now).wait_ms * 1_000
    assert restarts.died(now + CALM_US + 1).deaths == 1


def test_who_was_slow_at_its_start_is_given_longer_the_next_time_and_only_then() -> None:
    restarts = Restarts()
    assert restarts.patience(5_000_000) == 1
    at = 100_000_000
    for expected in (2, 3, 4, 5, 6, 6):
        restarts.died(at)
        assert restarts.patience(at + 10_000_000) == expected
        at += 30_000_000
    assert restarts.patience(at + 2 * CALM_US) == 1, "one that has lived for a minute hangs after ten seconds again"
