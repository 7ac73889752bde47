"""The oracle of limits: what it promises, over any sequence of events, clocks set back included."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings, strategies as st

from rppam.kernel.limit import EVENTS_MAX, PERIOD_MS_MAX, Charge, Limit, Shape
from rppam.limits.arithmetic import SLOTS, merged, reset_us, step_us, take, to_ms, weigh

START = 1_795_000_000_000_000
LIMITS = st.builds(
    Limit, st.just("test"), st.sampled_from(Shape), st.integers(1, 30), st.sampled_from([1, 7, 100, 1_000, 900_000])
)
WINDOWS = LIMITS.map(lambda limit: limit._replace(shape=Shape.WINDOW))
SMOOTH = LIMITS.map(lambda limit: limit._replace(shape=Shape.SMOOTH))
TEXTS = st.one_of(
    st.none(),
    st.text(max_size=30),
    st.text("ws0123456789:,", max_size=60),
    st.builds(
        lambda at, counts: f"w{at}:{','.join(map(str, counts))}",
        st.integers(0, 10**15),
        st.lists(st.integers(0, 10**7)),
    ),
)

patient = settings(deadline=None)
"""A loaded machine is no failure."""


@dataclass
class Run:
    """One counter and the moments of what it let through."""

    limit: Limit
    now_us: int = START
    text: str | None = None
    admitted: list[int] = field(default_factory=list)

    def pass_time(self, tenths: int, us: int) -> None:
        self.now_us += self.limit.period_ms * 100 * tenths + us

    def charge(self, cost: int) -> bool:
        weighed = weigh(self.limit, self.text, self.now_us, cost)
        if weighed.fits:
            self.text = weighed.text
            self.admitted += [self.now_us] * cost
        return weighed.fits

    def most_in_a_period(self) -> int:
        period_us = self.limit.period_ms * 1_000
        moments = sorted(self.admitted)
        return max((sum(1 for one in moments if 0 <= one - start <= period_us) for start in moments), default=0)


STEPS = st.lists(
    st.tuples(st.integers(0, 12), st.integers(0, 99), st.integers(1, 3), st.integers(1, 4)),
    max_size=60,
)


@patient
@given(WINDOWS, STEPS)
def test_no_stretch_as_long_as_a_period_holds_more_than_the_limit(limit: Limit, steps: list[tuple[int, ...]]) -> None:
    run = Run(limit)
    for tenths, us, cost, times in steps:
        run.pass_time(tenths, us)
        for _ in range(times):
            run.charge(min(cost, limit.events))
    assert run.most_in_a_period() <= limit.events


@patient
@given(SMOOTH, STEPS)
def test_the_smooth_form_holds_its_rate_and_its_burst(limit: Limit, steps: list[tuple[int, ...]]) -> None:
    run = Run(limit)
    for tenths, us, cost, times in steps:
        run.pass_time(tenths, us)
        for _ in range(times):
            run.charge(min(cost, limit.events))
    elapsed_us = run.now_us - START
    assert len(run.admitted) <= limit.events + elapsed_us / (limit.period_ms * 1_000) * limit.events
    assert run.most_in_a_period() <= 2 * limit.events


@patient
@given(LIMITS, STEPS, st.integers(1, 30))
def test_the_wait_is_true_to_the_microsecond(limit: Limit, steps: list[tuple[int, ...]], cost: int) -> None:
    run = Run(limit)
    cost = min(cost, limit.events)
    for tenths, us, size, times in steps:
        run.pass_time(tenths, us)
        for _ in range(times):
            run.charge(min(size, limit.events))
    weighed = weigh(limit, run.text, run.now_us, cost)
    assert weighed.fits == (weighed.retry_us == 0)
    if not weighed.fits:
        longest_us = limit.period_ms * 1_000 + step_us(limit) + limit.events
        assert 0 < weighed.retry_us <= longest_us
        assert weigh(limit, run.text, run.now_us + weighed.retry_us, cost).fits
        assert not weigh(limit, run.text, run.now_us + weighed.retry_us - 1, cost).fits


@patient
@given(LIMITS, STEPS)
def test_waits_and_what_is_left_move_one_way_while_nothing_happens(limit: Limit, steps: list[tuple[int, ...]]) -> None:
    run = Run(limit)
    while run.charge(1):
        pass
    retry_us, remaining = None, -1
    for tenths, us, *_ in steps:
        weighed = weigh(limit, run.text, run.now_us, 1)
        if retry_us is not None:
            assert weighed.retry_us <= retry_us
            assert weighed.remaining >= remaining - 1  # what fits has been charged in that answer
        retry_us, remaining = weighed.retry_us, weighed.remaining
        run.pass_time(tenths, us)


@patient
@given(LIMITS)
def test_exactly_the_limit_fits_at_one_moment(limit: Limit) -> None:
    run = Run(limit)
    assert sum(run.charge(1) for _ in range(limit.events + 5)) == limit.events
    assert Run(limit).charge(limit.events)


@patient
@given(LIMITS, STEPS)
def test_after_its_reset_a_counter_is_as_good_as_new(limit: Limit, steps: list[tuple[int, ...]]) -> None:
    run = Run(limit)
    for tenths, us, cost, times in steps:
        run.pass_time(tenths, us)
        for _ in range(times):
            run.charge(min(cost, limit.events))
    later = run.now_us + reset_us(limit, run.text, run.now_us)
    assert weigh(limit, run.text, later, limit.events).fits
    if run.admitted:
        assert reset_us(limit, run.text, later) == 0


@patient
@given(LIMITS, st.integers(1, 30), st.integers(0, 5), st.integers(0, 3))
def test_a_clock_set_back_makes_nobody_wait_longer_than_a_period_and_a_tenth(
    limit: Limit, events: int, hours: int, refused: int
) -> None:
    run = Run(limit)
    for _ in range(events):
        run.charge(1)
    earlier = run.now_us - hours * 3_600_000_000
    (charge,) = merged([Charge(limit, "x", limit.events)])
    texts: tuple[str | None, ...] = (run.text,)
    longest_us = limit.period_ms * 1_000 * (SLOTS + 1) // SLOTS + limit.events + step_us(limit)
    for at in range(1 + refused):
        taken = take([charge], texts, earlier + at)
        assert not taken.decision.allowed
        assert taken.decision.retry_after_ms <= to_ms(longest_us)
        texts = taken.texts
    assert take([charge], texts, earlier + longest_us).decision.allowed, "whoever was refused is let in in time"


@patient
@given(LIMITS, TEXTS, st.integers(0, 4 * 10**15))
def test_any_text_can_be_weighed_and_never_lets_more_through_than_an_empty_one(
    limit: Limit, text: str | None, now_us: int
) -> None:
    weighed = weigh(limit, text, now_us, 1)
    assert weighed.remaining <= weigh(limit, None, now_us, 1).remaining


@patient
@given(st.lists(LIMITS, min_size=1, max_size=4, unique_by=lambda limit: limit.events), st.integers(0, 40))
def test_several_are_charged_at_once_or_none(limits: list[Limit], rounds: int) -> None:
    charges = merged([Charge(limit._replace(name=f"l{at}"), "all") for at, limit in enumerate(limits)])
    texts: tuple[str | None, ...] = (None,) * len(charges)
    least = min(limit.events for limit in limits)
    for done in range(rounds):
        taken = take(charges, texts, START)
        assert taken.decision.allowed == (done < least)
        if taken.decision.allowed:
            assert taken.decision.remaining == least - done - 1
            assert taken.decision.retry_after_ms == 0
        else:
            assert taken.texts == texts
            waits = [weigh(one.limit, text, START, 1).retry_us for one, text in zip(charges, texts, strict=True)]
            assert taken.decision.retry_after_ms == to_ms(max(waits))
        texts = taken.texts


def test_charges_for_one_counter_are_added_up() -> None:
    limit = Limit("login", Shape.WINDOW, 5, 1_000)
    assert merged([Charge(limit, "a"), Charge(limit, "b"), Charge(limit, "a", 3)]) == (
        Charge(limit, "a", 4),
        Charge(limit, "b", 1),
    )


@pytest.mark.parametrize(
    "charges",
    [
        [],
        [Charge(Limit("l", Shape.WINDOW, 5, 1_000), "a", 6)],
        [Charge(Limit("l", Shape.WINDOW, 5, 1_000), "a", 3)] * 2,
        [Charge(Limit("l", Shape.SMOOTH, 5, 1_000), "a", 0)],
        [Charge(Limit("l", Shape.SMOOTH, 0, 1_000), "a")],
        [Charge(Limit("l", Shape.SMOOTH, EVENTS_MAX + 1, 1_000), "a")],
        [Charge(Limit("l", Shape.WINDOW, 1, 0), "a")],
        [Charge(Limit("l", Shape.WINDOW, 1, PERIOD_MS_MAX + 1), "a")],
    ],
)
def test_what_could_never_be_paid_is_a_mistake(charges: list[Charge]) -> None:
    with pytest.raises(ValueError, match=r"limit|nothing"):
        merged(charges)
