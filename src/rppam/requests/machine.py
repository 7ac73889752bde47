"""Requests for access, decided: an event and the time go in, the new state and the effects come out.

It has no clock, no chance and no database: whoever stores a request runs :func:`step` inside the transaction that
reads and writes it, with the standing of the people concerned as that transaction sees it. So a request is decided by
the very code that the simulation runs.

What always holds: access is granted once, and only after the number of approvals that was fixed when it was asked for;
each of them comes from another person, none from the requester, and all of them still may decide at that moment. What
has ended stays ended. What it does not decide: who may approve whom (:mod:`rppam.requests.policy`).
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NamedTuple, TypeAlias

MINUTE_MS: Final = 60_000
WARN_MINUTES: Final = (5, 1)
"""So long before its end a grant is warned about."""


class State(StrEnum):
    """Where a request stands."""

    PENDING = "pending"
    """Waits for decisions."""
    APPROVED = "approved"
    """Granted; its time has not begun to run. The last state of an extension, whose time is that of what it extends."""
    ACTIVE = "active"
    """Granted, and its time runs."""
    ENDED = "ended"
    """Its time has passed, or it was given back."""
    DENIED = "denied"
    CANCELLED = "cancelled"
    """Taken back by the requester, or overtaken: what it was to extend is over."""
    EXPIRED = "expired"
    """Not decided, or not used, in time."""
    REVOKED = "revoked"
    """Taken away while it was granted."""


class Verdict(StrEnum):
    """What an approver has decided."""

    APPROVE = "approve"
    DENY = "deny"


class CountsFrom(StrEnum):
    """What the granted time is counted from."""

    USE = "use"
    APPROVAL = "approval"


class Terms(NamedTuple):
    """What the policy said when access was asked for; later changes of it do not touch the request."""

    needed: int
    """Approvals by different people; 0: granted at once."""
    minutes: int
    """Length of the access, cut to the policy's maximum already."""
    counts_from: CountsFrom
    denials: int = 1
    """So many denials end it."""
    decide_ms: int = 24 * 60 * MINUTE_MS
    """So long it waits for decisions."""
    use_ms: int = 24 * 60 * MINUTE_MS
    """So long it waits for its first use."""

    @property
    def minutes_ms(self) -> int:
        """Length of the access in milliseconds."""
        return self.minutes * MINUTE_MS


class Approver(NamedTuple):
    """Somebody who may decide, as it was fixed when access was asked for."""

    user: str
    since: int = 0
    """From when on: those who stand in for absent ones come later."""


class Standing(NamedTuple):
    """What somebody is at the moment of a decision."""

    enabled: bool
    entitled: bool
    """Still has the role, the group or the report that made an approver of them."""


NOBODY: Final = Standing(enabled=False, entitled=False)
People: TypeAlias = Mapping[str, Standing]


class Decision(NamedTuple):
    """One approver's verdict. There is one of each."""

    approver: str
    verdict: Verdict
    at: int


class Request(NamedTuple):
    """A request and all that decides about it. Times are the database's, in milliseconds."""

    id: str
    requester: str
    terms: Terms
    approvers: tuple[Approver, ...]
    state: State
    decide_by: int
    decisions: tuple[Decision, ...] = ()
    starts_at: int | None = None
    """Not before; ``None``: as soon as it is granted."""
    use_by: int | None = None
    begins_at: int | None = None
    """When its time begins or began to run."""
    until: int | None = None
    warned: int = 0
    """How many of :data:`WARN_MINUTES` were told."""
    extends: str = ""
    """The request whose access this one makes longer."""
    emergency: bool = False
    reviewed: bool = True
    """False: an emergency that somebody else still has to look at."""

    @property
    def is_granted(self) -> bool:
        """Whether there is access by it, now or later."""
        return self.state in {State.APPROVED, State.ACTIVE} and not self.extends

    @property
    def is_final(self) -> bool:
        """Whether nothing becomes of it any more."""
        return self.state not in _OPEN or (self.state is State.APPROVED and bool(self.extends))


_OPEN: Final = frozenset({State.PENDING, State.APPROVED, State.ACTIVE})


# ---- what happens ----------------------------------------------------------------------------------------------------


class Decide(NamedTuple):
    """An approver decides. ``people``: the standing now of them and of everybody who has decided before."""

    by: str
    verdict: Verdict
    people: People
    requester_enabled: bool = True
    extended_until: int | None = None
    """For an extension: until when what it extends runs; ``None``: it does not run."""


class Cancel(NamedTuple):
    """The requester takes it back, or gives the access back."""

    by: str


class Revoke(NamedTuple):
    """Somebody who may do so takes the access away."""

    why: str


class Use(NamedTuple):
    """The access is used."""


class Prolong(NamedTuple):
    """An extension was approved."""

    minutes: int


class Review(NamedTuple):
    """Somebody has looked at an emergency."""

    by: str


class Orphan(NamedTuple):
    """What this one was to extend is over."""


class Tick(NamedTuple):
    """Time has passed."""

    requester_enabled: bool = True


Event: TypeAlias = Decide | Cancel | Revoke | Use | Prolong | Review | Orphan | Tick


# ---- what follows ----------------------------------------------------------------------------------------------------


class Effect(StrEnum):
    """What whoever stores the request has to do in the same transaction."""

    APPROVED = "approved"
    """A verdict counts, and more are needed."""
    GRANT = "grant"
    """Make the one grant."""
    PROLONG = "prolong"
    """Have what it extends last longer: :class:`Prolong` on that one."""
    RUN = "run"
    """The time of the grant runs: tell its ends."""
    END = "end"
    """End the grant, and whatever goes on by it."""
    OVER = "over"
    """It has reached its last state."""
    WARN = "warn"
    """Tell the requester that it ends soon."""
    REVIEWED = "reviewed"


class Outcome(NamedTuple):
    """The request afterwards, and what follows."""

    request: Request
    effects: tuple[Effect, ...] = ()


class Refusal(StrEnum):
    """Why an event changes nothing."""

    OVER = "over"
    """It is decided, or at its end."""
    OWN = "own"
    """Nobody decides about their own."""
    NOT_AN_APPROVER = "not-an-approver"
    TOO_EARLY = "too-early"
    """Stands in for others, whose time to decide has not passed."""
    DISABLED = "disabled"
    NO_LONGER = "no-longer"
    """Was an approver when it was asked for, and is none now."""
    TWICE = "twice"
    """Has decided already."""
    REQUESTER_DISABLED = "requester-disabled"
    NOT_THE_REQUESTER = "not-the-requester"
    NOT_GRANTED = "not-granted"
    NOT_BEGUN = "not-begun"
    NOTHING_TO_REVIEW = "nothing-to-review"


class RefusedError(Exception):
    """The event changes nothing."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.value)
        self.refusal = refusal


# ---- the machine -----------------------------------------------------------------------------------------------------


def begin(request: Request, now: int) -> Outcome:
    """The request as it begins: pending, or granted where its terms need nobody's approval."""
    if request.terms.needed > 0:
        return Outcome(request)
    return _granted(request, now)


def step(request: Request, event: Event, now: int) -> Outcome:
    """What ``event`` makes of it at ``now``. Raises :class:`RefusedError`; nothing has changed then.

    What time alone has done meanwhile is done first, so an event never meets a state that has run out.
    """
    if isinstance(event, Tick):
        return _aged(request, event, now)
    if isinstance(event, Review):
        return _reviewed(request, event)
    aged = _aged(request, Tick(), now).request
    if aged.is_final:
        raise RefusedError(Refusal.OVER)
    request = request._replace(state=aged.state)
    if isinstance(event, Decide):
        return _decided(request, event, now)
    if isinstance(event, Cancel):
        return _cancelled(request, event)
    if isinstance(event, Revoke):
        return _revoked(request)
    if isinstance(event, Use):
        return _used(request, now)
    if isinstance(event, Prolong):
        return _prolonged(request, event)
    return Outcome(request._replace(state=State.CANCELLED), (Effect.OVER,))


def allows(request: Request, now: int) -> bool:
    """Whether there is access by it at ``now``."""
    begun = request.begins_at if request.begins_at is not None else request.starts_at
    return (
        request.is_granted
        and (begun is None or begun <= now)
        and (request.until is None or now < request.until)
        and (request.until is not None or request.use_by is None or now < request.use_by)
    )


def running_until(request: Request, now: int) -> int | None:
    """Until when its access runs at ``now``; ``None`` where it does not run."""
    return request.until if request.begins_at is not None and allows(request, now) else None


def due(request: Request) -> int | None:
    """When time alone does something to it next; ``None``: never."""
    if request.is_final:
        return None
    if request.state is State.PENDING:
        return request.decide_by
    if request.state is State.APPROVED:
        return request.begins_at if request.begins_at is not None else request.use_by
    assert request.until is not None  # as it is active
    if request.warned < len(WARN_MINUTES):
        return request.until - WARN_MINUTES[request.warned] * MINUTE_MS
    return request.until


def refusal_of(request: Request, by: str, people: People, now: int) -> Refusal | None:
    """Why ``by`` may not decide at ``now``; ``None`` where they may."""
    if by == request.requester:
        return Refusal.OWN
    since = next((one.since for one in request.approvers if one.user == by), None)
    if since is None:
        return Refusal.NOT_AN_APPROVER
    if now < since:
        return Refusal.TOO_EARLY
    standing = people.get(by, NOBODY)
    if not standing.enabled:
        return Refusal.DISABLED
    if not standing.entitled:
        return Refusal.NO_LONGER
    if any(one.approver == by for one in request.decisions):
        return Refusal.TWICE
    return None


def valid_approvals(decisions: tuple[Decision, ...], people: People) -> int:
    """How many approvals count by what their authors are now."""
    return sum(
        1
        for one in decisions
        if one.verdict is Verdict.APPROVE
        and (standing := people.get(one.approver, NOBODY)).enabled
        and standing.entitled
    )


def _decided(request: Request, event: Decide, now: int) -> Outcome:
    if request.state is not State.PENDING:
        raise RefusedError(Refusal.OVER)
    refusal = refusal_of(request, event.by, event.people, now)
    if refusal is not None:
        raise RefusedError(refusal)
    decisions = (*request.decisions, Decision(event.by, event.verdict, now))
    request = request._replace(decisions=decisions)
    if event.verdict is Verdict.DENY:
        denials = sum(1 for one in decisions if one.verdict is Verdict.DENY)
        if denials < request.terms.denials:
            return Outcome(request)
        return Outcome(request._replace(state=State.DENIED), (Effect.OVER,))
    if not event.requester_enabled:
        raise RefusedError(Refusal.REQUESTER_DISABLED)
    if request.extends and (event.extended_until is None or event.extended_until <= now):
        raise RefusedError(Refusal.OVER)
    if valid_approvals(decisions, event.people) < request.terms.needed:
        return Outcome(request, (Effect.APPROVED,))
    return _granted(request, now)


def _granted(request: Request, now: int) -> Outcome:
    if request.extends:
        return Outcome(request._replace(state=State.APPROVED), (Effect.PROLONG, Effect.OVER))
    starts = max(now, request.starts_at or now)
    if request.terms.counts_from is CountsFrom.USE:
        granted = request._replace(state=State.APPROVED, use_by=starts + request.terms.use_ms)
        return Outcome(granted, (Effect.GRANT,))
    running = request._replace(
        state=State.ACTIVE if starts <= now else State.APPROVED,
        begins_at=starts,
        until=starts + request.terms.minutes_ms,
        warned=_warned_already(request.terms.minutes),
    )
    return Outcome(running, (Effect.GRANT, Effect.RUN))


def _warned_already(minutes: int) -> int:
    """Warnings that access as short as this never gets: it would be warned about from its beginning."""
    return sum(1 for one in WARN_MINUTES if minutes <= one)


def _cancelled(request: Request, event: Cancel) -> Outcome:
    if event.by != request.requester:
        raise RefusedError(Refusal.NOT_THE_REQUESTER)
    if request.state is State.ACTIVE:
        return Outcome(request._replace(state=State.ENDED), (Effect.END, Effect.OVER))
    effects = (Effect.END, Effect.OVER) if request.is_granted else (Effect.OVER,)
    return Outcome(request._replace(state=State.CANCELLED), effects)


def _revoked(request: Request) -> Outcome:
    if not request.is_granted:
        raise RefusedError(Refusal.NOT_GRANTED)
    return Outcome(request._replace(state=State.REVOKED), (Effect.END, Effect.OVER))


def _used(request: Request, now: int) -> Outcome:
    if not request.is_granted:
        raise RefusedError(Refusal.NOT_GRANTED)
    if not allows(request, now):
        raise RefusedError(Refusal.NOT_BEGUN)
    if request.begins_at is not None:
        return Outcome(request)
    running = request._replace(
        state=State.ACTIVE,
        begins_at=now,
        until=now + request.terms.minutes_ms,
        warned=_warned_already(request.terms.minutes),
    )
    return Outcome(running, (Effect.RUN,))


def _prolonged(request: Request, event: Prolong) -> Outcome:
    if request.state is not State.ACTIVE or request.until is None:
        raise RefusedError(Refusal.NOT_GRANTED)
    longer = request._replace(until=request.until + event.minutes * MINUTE_MS, warned=_warned_already(event.minutes))
    return Outcome(longer, (Effect.RUN,))


def _reviewed(request: Request, event: Review) -> Outcome:
    if not request.emergency or request.reviewed:
        raise RefusedError(Refusal.NOTHING_TO_REVIEW)
    if event.by == request.requester:
        raise RefusedError(Refusal.OWN)
    return Outcome(request._replace(reviewed=True), (Effect.REVIEWED,))


def _aged(request: Request, event: Tick, now: int) -> Outcome:
    """What time alone, or the requester's end, makes of it."""
    if request.is_final:
        return Outcome(request)
    if request.state is State.PENDING:
        is_over = now >= request.decide_by
        if not is_over and event.requester_enabled:
            return Outcome(request)
        return Outcome(request._replace(state=State.EXPIRED if is_over else State.CANCELLED), (Effect.OVER,))
    if request.until is not None and now >= request.until:
        return Outcome(request._replace(state=State.ENDED), (Effect.END, Effect.OVER))
    if request.until is None and request.use_by is not None and now >= request.use_by:
        return Outcome(request._replace(state=State.EXPIRED), (Effect.END, Effect.OVER))
    if not event.requester_enabled:
        return Outcome(request._replace(state=State.REVOKED), (Effect.END, Effect.OVER))
    if request.state is State.APPROVED:
        if request.begins_at is None or now < request.begins_at:
            return Outcome(request)
        return Outcome(request._replace(state=State.ACTIVE))
    return _warned(request, now)


def _warned(request: Request, now: int) -> Outcome:
    assert request.until is not None  # as it is active
    left = request.until - now
    told = sum(1 for minutes in WARN_MINUTES if left <= minutes * MINUTE_MS)
    if told <= request.warned:
        return Outcome(request)
    return Outcome(request._replace(warned=told), (Effect.WARN,))
