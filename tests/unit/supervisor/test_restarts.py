"""A storm of restarts is damped, and forgotten after a calm minute."""

from rppam.supervisor.restarts import STORM_WAITS_MS, WAITS_MS, Restarts


def test_an_accident_is_mended_at_once() -> None:
    answer = Restarts().died(5_000_000)
    assert (answer.wait_ms, answer.deaths, answer.is_storm) == (0, 1, False)


def test_the_fifth_death_within_a_minute_is_a_storm_that_waits_longer_and_longer() -> None:
    restarts = Restarts()
    answers = [restarts.died(1_000_000 * number) for number in range(1, 15)]
    assert [answer.wait_ms for answer in answers[:8]] == [*WAITS_MS, *STORM_WAITS_MS]
    assert [answer.is_storm for answer in answers[:6]] == [False] * 4 + [True] * 2
    assert {answer.wait_ms for answer in answers[8:]} == {STORM_WAITS_MS[-1]}


def test_deaths_a_minute_apart_are_accidents_each() -> None:
    restarts = Restarts()
    assert [restarts.died(61_000_000 * number).wait_ms for number in range(1, 20)] == [0] * 19


def test_old_deaths_are_forgotten_one_by_one() -> None:
    restarts = Restarts()
    for second in (0, 10, 20, 30):
        restarts.died(second * 1_000_000)
    assert restarts.died(75_000_000).deaths == 3, "those of second 20 and 30, and this one"
