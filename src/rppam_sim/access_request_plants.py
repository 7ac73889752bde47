"""Planted bugs of requests for access: each is a rule left out, which the simulation has to find."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from rppam.requests import machine
from rppam.requests.machine import (
    Approver,
    CountsFrom,
    Decision,
    Effect,
    Outcome,
    People,
    Refusal,
    RefusedError,
    Request,
    Standing,
    State,
    Verdict,
)

_GENUINE: Final = {name: getattr(machine, name) for name in dir(machine) if not name.startswith("__")}


def _genuine(name: str, *given: Any) -> Outcome:
    """What the machine does without the bug."""
    outcome: Outcome = _GENUINE[name](*given)
    return outcome


class Plant(NamedTuple):
    """A bug, and the function of the machine that it replaces."""

    name: str
    meaning: str
    functions: Mapping[str, Callable[..., Any]]
    checks_version: bool = True


def _without(*passed: Refusal) -> Callable[..., Refusal | None]:
    """Who may decide, without some of the reasons against it."""

    def refusal_of(request: Request, by: str, people: People, now: int) -> Refusal | None:
        found: Refusal | None = _GENUINE["refusal_of"](request, by, people, now)
        if found not in passed:
            return found
        if found is Refusal.OWN:  # the later reasons still hold
            other = request._replace(requester="")
            return refusal_of(other, by, people, now)
        if found is Refusal.NOT_AN_APPROVER:
            return refusal_of(request._replace(approvers=(Approver(by),)), by, people, now)
        if found in {Refusal.DISABLED, Refusal.NO_LONGER}:
            return refusal_of(request, by, {**people, by: Standing(enabled=True, entitled=True)}, now)
        if found is Refusal.TOO_EARLY:
            return refusal_of(request._replace(approvers=(Approver(by),)), by, people, now)
        return None

    return refusal_of


def _all_count(decisions: tuple[Decision, ...], _people: People) -> int:
    return sum(1 for one in decisions if one.verdict is Verdict.APPROVE)


def _one_too_few(decisions: tuple[Decision, ...], people: People) -> int:
    count: int = _GENUINE["valid_approvals"](decisions, people)
    return count + 1


def _one_too_many(decisions: tuple[Decision, ...], people: People) -> int:
    count: int = _GENUINE["valid_approvals"](decisions, people)
    return count - 1


def _timeless(request: Request, event: machine.Tick, now: int) -> Outcome:
    """Time passes for the sweep alone; what a sweep has not seen has not run out."""
    return Outcome(request) if event == machine.Tick() else _genuine("_aged", request, event, now)


def _whatever_the_requester(request: Request, event: machine.Tick, now: int) -> Outcome:
    return _genuine("_aged", request, event._replace(requester_enabled=True), now)


def _denied_later(request: Request, event: machine.Decide, now: int) -> Outcome:
    if event.verdict is Verdict.DENY:
        request = request._replace(terms=request.terms._replace(denials=99))
    return _genuine("_decided", request, event, now)


def _for_the_disabled(request: Request, event: machine.Decide, now: int) -> Outcome:
    return _genuine("_decided", request, event._replace(requester_enabled=True), now)


def _any_extension(request: Request, event: machine.Decide, now: int) -> Outcome:
    return _genuine("_decided", request, event._replace(extended_until=now + 1), now)


def _from_the_request(request: Request, _now: int) -> Outcome:
    return _genuine("_granted", request, request.decide_by - request.terms.decide_ms)


def _scheduled_now(request: Request, now: int) -> Outcome:
    return _genuine("_granted", request._replace(starts_at=None), now)


def _always_from_use(request: Request, now: int) -> Outcome:
    terms = request.terms._replace(counts_from=CountsFrom.USE)
    return _genuine("_granted", request._replace(terms=terms), now)


def _each_use_restarts(request: Request, now: int) -> Outcome:
    outcome: Outcome = _genuine("_used", request, now)
    return Outcome(outcome.request._replace(until=now + request.terms.minutes_ms), outcome.effects)


def _revoked_in_name(request: Request) -> Outcome:
    if not request.is_granted:
        raise RefusedError(Refusal.NOT_GRANTED)
    return Outcome(request, (Effect.END, Effect.OVER))


def _cancelled_by_anybody(request: Request, event: machine.Cancel) -> Outcome:
    return _genuine("_cancelled", request, event._replace(by=request.requester))


def _back_to_pending(request: Request, event: machine.Cancel) -> Outcome:
    if request.state is State.PENDING:
        return Outcome(request)
    return _genuine("_cancelled", request, event)


def _own_review(request: Request, event: machine.Review) -> Outcome:
    return _genuine("_reviewed", request, event._replace(by=""))


def _doubled(request: Request, event: machine.Prolong) -> Outcome:
    return _genuine("_prolonged", request, event._replace(minutes=2 * event.minutes))


def _ended_is_prolonged(request: Request, event: machine.Prolong) -> Outcome:
    return Outcome(request._replace(until=(request.until or 0) + event.minutes), (Effect.RUN,))


def _not_told(request: Request, now: int) -> Outcome:
    """A grant without the effect that makes it: an approval that leads nowhere."""
    outcome: Outcome = _genuine("_granted", request, now)
    return Outcome(request, (Effect.APPROVED,)) if request.terms.needed > 1 else outcome


def _plant(name: str, meaning: str, **functions: Callable[..., Any]) -> Plant:
    return Plant(name, meaning, functions)


PLANTS: Final = (
    _plant("own", "Requesters approve their own.", refusal_of=_without(Refusal.OWN)),
    _plant("anybody", "People approve who were never asked.", refusal_of=_without(Refusal.NOT_AN_APPROVER)),
    _plant("twice", "One approver counts twice.", refusal_of=_without(Refusal.TWICE)),
    _plant("disabled", "A disabled account approves.", refusal_of=_without(Refusal.DISABLED)),
    _plant("no-role", "Somebody approves who has lost the role.", refusal_of=_without(Refusal.NO_LONGER)),
    _plant("early", "Stand-ins decide before their time.", refusal_of=_without(Refusal.TOO_EARLY)),
    _plant("stale-approvals", "Approvals of people count who are disabled since.", valid_approvals=_all_count),
    _plant("one-less", "One approval fewer is enough.", valid_approvals=_one_too_few),
    _plant("one-more", "One approval more is needed.", valid_approvals=_one_too_many),
    _plant("timeless", "What no sweep has seen has not expired.", _aged=_timeless),
    _plant("gone-requester", "Access outlives its holder's account.", _aged=_whatever_the_requester),
    _plant("denial", "A denial does not end it.", _decided=_denied_later),
    _plant("to-disabled", "A disabled account is granted access.", _decided=_for_the_disabled),
    _plant("late-extension", "Access that has ended is extended.", _decided=_any_extension),
    _plant("from-request", "Time is counted from the request.", _granted=_from_the_request),
    _plant("not-scheduled", "A scheduled start is passed over.", _granted=_scheduled_now),
    _plant("from-use", "Time is always counted from use.", _granted=_always_from_use),
    _plant("not-granted", "Enough approvals grant nothing.", _granted=_not_told),
    _plant("restart", "Each use restarts the time.", _used=_each_use_restarts),
    _plant("revoked-in-name", "What is revoked goes on.", _revoked=_revoked_in_name),
    _plant("others-cancel", "Anybody cancels.", _cancelled=_cancelled_by_anybody),
    _plant("no-cancel", "What was cancelled waits on.", _cancelled=_back_to_pending),
    _plant("own-review", "Emergencies are reviewed by who had them.", _reviewed=_own_review),
    _plant("double", "An extension counts twice.", _prolonged=_doubled),
    _plant("prolonged-by-ms", "Minutes are taken for milliseconds.", _prolonged=_ended_is_prolonged),
    Plant("lost-update", "The store decides by what it read before.", {}, checks_version=False),
)


@contextmanager
def planted(plant: Plant) -> Iterator[None]:
    """The machine with the bug in it."""
    try:
        for name, function in plant.functions.items():
            setattr(machine, name, function)
        yield
    finally:
        for name in plant.functions:
            setattr(machine, name, _GENUINE[name])
