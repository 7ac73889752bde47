"""The machine by itself: the states that a request passes, and the times between them."""

from typing import Any

import pytest

from rppam.requests.machine import (
    MINUTE_MS,
    Approver,
    Cancel,
    CountsFrom,
    Decide,
    Effect,
    Event,
    Prolong,
    Refusal,
    RefusedError,
    Request,
    Review,
    Revoke,
    Standing,
    State,
    Terms,
    Tick,
    Use,
    Verdict,
    allows,
    begin,
    due,
    step,
)

GOOD = Standing(enabled=True, entitled=True)
DAY = 24 * 60 * MINUTE_MS


def request(needed: int = 1, minutes: int = 60, counts_from: CountsFrom = CountsFrom.USE, **changes: Any) -> Request:
    terms = Terms(needed, minutes, counts_from)
    made = Request("r", "ann", terms, (Approver("bob"), Approver("cyd")), State.PENDING, decide_by=DAY)
    return made._replace(**changes)


def decide(by: str, verdict: Verdict = Verdict.APPROVE, **people: Standing) -> Decide:
    return Decide(by, verdict, {"bob": GOOD, "cyd": GOOD, **people})


def test_time_from_use_begins_with_the_first_use_and_not_with_the_second() -> None:
    granted, effects = step(request(), decide("bob"), 1)
    assert (granted.state, effects) == (State.APPROVED, (Effect.GRANT,))
    assert allows(granted, 5)
    assert due(granted) == 1 + DAY
    running, effects = step(granted, Use(), 1_000)
    assert (running.until, effects) == (1_000 + 60 * MINUTE_MS, (Effect.RUN,))
    assert step(running, Use(), 2_000) == (running, ())
    assert not allows(running, running.until or 0)


def test_it_is_warned_about_twice_and_then_ends() -> None:
    running = step(begin(request(0), 0).request, Use(), 0).request
    seen = []
    now = 0
    while (at := due(running)) is not None:
        now = at
        running, effects = step(running, Tick(), now)
        seen.append((now // MINUTE_MS, effects))
    assert seen == [(55, (Effect.WARN,)), (59, (Effect.WARN,)), (60, (Effect.END, Effect.OVER))]
    assert running.state is State.ENDED


def test_access_as_short_as_a_warning_is_not_warned_about() -> None:
    running = step(begin(request(0, minutes=3), 0).request, Use(), 0).request
    assert due(running) == 2 * MINUTE_MS


def test_a_scheduled_start_is_waited_for() -> None:
    later = request(counts_from=CountsFrom.APPROVAL, starts_at=50 * MINUTE_MS)
    granted, effects = step(later, decide("bob"), MINUTE_MS)
    assert (granted.state, effects) == (State.APPROVED, (Effect.GRANT, Effect.RUN))
    assert not allows(granted, 49 * MINUTE_MS)
    assert allows(granted, 50 * MINUTE_MS)
    assert step(granted, Tick(), 50 * MINUTE_MS).request.state is State.ACTIVE
    assert granted.until == 110 * MINUTE_MS
    with pytest.raises(RefusedError) as refused:
        step(step(later._replace(terms=Terms(1, 60, CountsFrom.USE)), decide("bob"), 1).request, Use(), 2)
    assert refused.value.refusal is Refusal.NOT_BEGUN


@pytest.mark.parametrize(
    ("event", "refusal"),
    [
        (decide("ann"), Refusal.OWN),
        (decide("eve"), Refusal.NOT_AN_APPROVER),
        (decide("bob", bob=Standing(enabled=False, entitled=True)), Refusal.DISABLED),
        (decide("bob", bob=Standing(enabled=True, entitled=False)), Refusal.NO_LONGER),
        (decide("bob")._replace(requester_enabled=False), Refusal.REQUESTER_DISABLED),
        (Cancel("bob"), Refusal.NOT_THE_REQUESTER),
        (Revoke("x"), Refusal.NOT_GRANTED),
        (Use(), Refusal.NOT_GRANTED),
        (Prolong(5), Refusal.NOT_GRANTED),
        (Review("bob"), Refusal.NOTHING_TO_REVIEW),
    ],
)
def test_what_may_not_be_is_refused(event: Event, refusal: Refusal) -> None:
    with pytest.raises(RefusedError) as refused:
        step(request(), event, 1)
    assert refused.value.refusal is refusal


@pytest.mark.parametrize("state", [State.ENDED, State.DENIED, State.CANCELLED, State.EXPIRED, State.REVOKED])
def test_what_has_ended_stays_ended(state: State) -> None:
    over = request(state=state, until=5, begins_at=1)
    assert due(over) is None
    assert not allows(over, 2)
    assert step(over, Tick(), DAY) == (over, ())
    for event in (decide("bob"), Cancel("ann"), Revoke("x"), Use(), Prolong(5)):
        with pytest.raises(RefusedError):
            step(over, event, 2)


def test_two_denials_where_two_are_needed() -> None:
    made = request()._replace(terms=Terms(2, 60, CountsFrom.USE, denials=2))
    once, effects = step(made, decide("bob", Verdict.DENY), 1)
    assert (once.state, effects) == (State.PENDING, ())
    assert step(once, decide("cyd", Verdict.DENY), 2).request.state is State.DENIED
