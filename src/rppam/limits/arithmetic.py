"""The arithmetic of limits: the oracle that the store's script is held against, and what a process counts with alone.

A counter is one short text, the same in Redis and in a process:

* ``w<slot>:<n>,<n>,...`` for :attr:`~rppam.kernel.limit.Shape.WINDOW`: a period is cut into :data:`SLOTS` slots, and
  the events of each are counted, newest slot first. All slots that the last period touches count in full, so no stretch
  of time as long as a period ever holds more than ``events``; the price is that an event is forgotten up to a tenth of
  a period late. (The usual two counters with a weight are cheaper by nothing and let nearly twice the limit through
  when somebody waits for the end of a window.)
* ``s<us>`` for :attr:`~rppam.kernel.limit.Shape.SMOOTH`: GCRA's one point in time until which the flow is booked.

Whole microseconds and whole events throughout, so Lua's doubles count exactly. A text that is none of ours, or of
another shape, counts as no text. Decides nothing about where texts are kept. A clock that was set back makes nobody
wait longer than a period and a tenth, and forgets nothing: what was counted then counts as now, and is written down so
also when a charge is refused, or it would count as now for ever.
"""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from rppam.kernel.limit import EVENTS_MAX, PERIOD_MS_MAX, Charge, Decision, Limit, Shape

SLOTS: Final = 10
COUNTED: Final = SLOTS + 1
"""Slots that a period touches: it begins and ends inside one."""
COUNT_MAX: Final = 9_999_999
"""More events than that in one slot are not told apart."""
_US_PER_MS: Final = 1_000
_WINDOW: Final = re.compile(r"w([0-9]{1,15}):([0-9]{1,7}(?:,[0-9]{1,7}){0,10})")
_SMOOTH: Final = re.compile(r"s([0-9]{1,16})")


class Weighed(NamedTuple):
    """One charge against one counter."""

    fits: bool
    remaining: int
    """Events left; after the charge where it fits."""
    retry_us: int
    """0 where it fits; else when it fits at the earliest."""
    reset_us: int
    """Until the counter is as good as new."""
    text: str
    """The counter after the charge where it fits; else as it is, or as of now when it was ahead of the clock."""


class Taken(NamedTuple):
    """What :func:`take` decided, and the counters after it, in the order of the charges."""

    decision: Decision
    texts: tuple[str, ...]


def merged(charges: Sequence[Charge]) -> tuple[Charge, ...]:
    """``charges`` with one for each limit and subject.

    Raises ``ValueError`` for none at all, for a limit out of its bounds, and for a cost that could never be paid.
    """
    costs: dict[tuple[Limit, str], int] = {}
    for limit, subject, cost in charges:
        if not 1 <= limit.events <= EVENTS_MAX or not 1 <= limit.period_ms <= PERIOD_MS_MAX:
            raise ValueError(f"limit {limit.name}: {limit.events} events in {limit.period_ms} ms is out of bounds")
        total = costs[limit, subject] = costs.get((limit, subject), 0) + cost
        if cost < 1 or total > limit.events:
            raise ValueError(f"limit {limit.name}: a charge is from 1 to {limit.events} events, not {total}")
    if not costs:
        raise ValueError("nothing to charge")
    return tuple(Charge(limit, subject, cost) for (limit, subject), cost in costs.items())


def step_us(limit: Limit) -> int:
    """Microseconds of a slot (window), or between two events (smooth; rounded up, never in the caller's favour)."""
    if limit.shape is Shape.WINDOW:
        return limit.period_ms * _US_PER_MS // SLOTS
    return -(-limit.period_ms * _US_PER_MS // limit.events)


def weigh(limit: Limit, text: str | None, now_us: int, cost: int) -> Weighed:
    """What charging ``cost`` would do to the counter ``text`` now."""
    how = _weigh_window if limit.shape is Shape.WINDOW else _weigh_smooth
    return how(limit, text, now_us, cost)


def take(charges: Sequence[Charge], texts: Sequence[str | None], now_us: int) -> Taken:
    """Charge all of them, or none. ``charges`` come from :func:`merged`."""
    weighed = [weigh(one.limit, text, now_us, one.cost) for one, text in zip(charges, texts, strict=True)]
    refused = [at for at, one in enumerate(weighed) if not one.fits]
    if refused:
        # The longest wait is the one that is true for all of them.
        shown = max(refused, key=lambda at: weighed[at].retry_us)
    else:
        shown = min(range(len(weighed)), key=lambda at: weighed[at].remaining)
    one = weighed[shown]
    charge = charges[shown]
    decision = Decision(
        not refused, charge.limit, charge.subject, one.remaining, to_ms(one.retry_us), to_ms(one.reset_us)
    )
    if refused:
        kept = (text or "" if one.fits else one.text for one, text in zip(weighed, texts, strict=True))
        return Taken(decision, tuple(kept))
    return Taken(decision, tuple(one.text for one in weighed))


def counted_now(limit: Limit, text: str | None, now_us: int) -> tuple[int, str]:
    """How many events a window holds now, and its text: as it is, or as of now when it was ahead of the clock."""
    counts = _counts(limit, text, now_us)
    used = sum(counts)
    if used and _is_ahead(limit, text, now_us):
        return used, _window_text(limit, now_us, counts)
    return used, text or ""


def booked_at(limit: Limit, text: str | None, now_us: int, ages_us: Sequence[int]) -> str:
    """A window with events of these ages, whether they fit or not; what is over counts nowhere."""
    counts = _counts(limit, text, now_us)
    newest = now_us // step_us(limit)
    for age in ages_us:
        at = newest - (now_us - max(0, age)) // step_us(limit)
        if at < COUNTED:
            counts[at] = min(counts[at] + 1, COUNT_MAX)
    return _window_text(limit, now_us, counts) if any(counts) else ""


def reset_us(limit: Limit, text: str | None, now_us: int) -> int:
    """Until the counter is as good as new; 0 when it is."""
    if limit.shape is Shape.SMOOTH:
        return _booked(limit, text, now_us) - now_us
    newest = next((at for at, count in enumerate(_counts(limit, text, now_us)) if count), None)
    return 0 if newest is None else _forgotten_us(limit, now_us, newest)


def to_ms(us: int) -> int:
    """Whole milliseconds, never too few."""
    return -(-us // _US_PER_MS)


def _weigh_window(limit: Limit, text: str | None, now_us: int, cost: int) -> Weighed:
    counts = _counts(limit, text, now_us)
    used = sum(counts)
    excess = used + cost - limit.events
    if excess > 0:
        return Weighed(
            fits=False,
            remaining=max(0, limit.events - used),
            retry_us=_wait_us(limit, now_us, counts, excess),
            reset_us=reset_us(limit, text, now_us),
            text=_window_text(limit, now_us, counts) if _is_ahead(limit, text, now_us) else text or "",
        )
    counts[0] += cost
    return Weighed(
        fits=True,
        remaining=-excess,
        retry_us=0,
        reset_us=_forgotten_us(limit, now_us, 0),
        text=_window_text(limit, now_us, counts),
    )


def _weigh_smooth(limit: Limit, text: str | None, now_us: int, cost: int) -> Weighed:
    step = step_us(limit)
    full = step * limit.events
    booked = _booked(limit, text, now_us) - now_us
    after = booked + cost * step
    if after > full:
        kept = f"s{now_us + booked}" if _is_ahead(limit, text, now_us) else text or ""
        return Weighed(fits=False, remaining=(full - booked) // step, retry_us=after - full, reset_us=booked, text=kept)
    return Weighed(fits=True, remaining=(full - after) // step, retry_us=0, reset_us=after, text=f"s{now_us + after}")


def _is_ahead(limit: Limit, text: str | None, now_us: int) -> bool:
    """Whether the counter was written by a clock that was set back since."""
    if limit.shape is Shape.SMOOTH:
        booked = _SMOOTH.fullmatch(text or "")
        return booked is not None and int(booked[1]) > now_us + step_us(limit) * limit.events
    found = _WINDOW.fullmatch(text or "")
    return found is not None and int(found[1]) > now_us // step_us(limit)


def _counts(limit: Limit, text: str | None, now_us: int) -> list[int]:
    """Events of each slot that counts now, newest first."""
    found = _WINDOW.fullmatch(text or "")
    if found is None:
        return [0] * COUNTED
    # A newer slot than now's: the clock was set back. What was counted then counts as now.
    passed = min(COUNTED, max(0, now_us // step_us(limit) - int(found[1])))
    counts = [0] * passed + [int(count) for count in found[2].split(",")]
    return (counts + [0] * COUNTED)[:COUNTED]


def _window_text(limit: Limit, now_us: int, counts: Sequence[int]) -> str:
    last = max(at for at, count in enumerate(counts) if count)
    return f"w{now_us // step_us(limit)}:{','.join(str(count) for count in counts[: last + 1])}"


def _wait_us(limit: Limit, now_us: int, counts: Sequence[int], excess: int) -> int:
    """Until the oldest slots that hold ``excess`` events are forgotten."""
    for at in range(COUNTED - 1, -1, -1):
        excess -= counts[at]
        if excess <= 0:
            return _forgotten_us(limit, now_us, at)
    raise AssertionError("a charge that fits into an empty counter is never refused by one")


def _forgotten_us(limit: Limit, now_us: int, at: int) -> int:
    """Until the slot that is ``at`` before now's counts no more."""
    step = step_us(limit)
    return (now_us // step - at + COUNTED) * step - now_us


def _booked(limit: Limit, text: str | None, now_us: int) -> int:
    """The point in time until which the flow is booked: not before now, not further ahead than is ever booked."""
    found = _SMOOTH.fullmatch(text or "")
    booked = int(found[1]) if found else now_us
    return min(max(booked, now_us), now_us + step_us(limit) * limit.events)
