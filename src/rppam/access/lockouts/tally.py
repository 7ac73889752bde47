"""What one process has itself seen of tries to sign in: whoever deletes what Redis has counted does not delete this.

Decides two things. A process never checks more tries of one suspect than its limit allows, those under way and the
wrong ones of the window together, whatever Redis says. And of every :data:`TOLD_AT` wrong ones it says that the
database shall hear. So with all that Redis counts deleted after each try, a lockout stands after at most
``TOLD_AT - 1`` wrong ones a process more than the limit.

What was counted ends with a lockout and with an unlock: each is seen by its row in the database. Suspects are bounded
in number; the one that was not seen for longest gives way, and what it had left to report is reported.
"""

from collections.abc import Sequence
from typing import Final

from rppam.access.lockouts.tries import Booked, Watched
from rppam.kernel.clock import Clock
from rppam.kernel.instant import US_PER_MS
from rppam.kernel.limit import Limit
from rppam.limits.arithmetic import booked_at, counted_now

TOLD_AT: Final = 3
SUBJECTS_MAX: Final = 10_000
Mark = tuple[int, int, int]
"""What tells one lockout or unlock of a suspect from the next; zeros: there is none."""
NO_MARK: Final[Mark] = (0, 0, 0)


def proof(limit: Limit) -> int:
    """How many wrong ones SQL or a process must have seen before the word of Redis that all are used up may lock."""
    return (limit.events + 1) // 2


class _Seen:
    __slots__ = ("mark", "running", "untold", "watched", "wrong")

    def __init__(self, watched: Watched) -> None:
        self.watched = watched
        self.mark = NO_MARK
        self.running = 0
        self.wrong = ""
        self.untold: list[int] = []
        """When each wrong one was that the database has not heard of, in microseconds."""

    def forget(self) -> None:
        self.wrong, self.untold = "", []


class Tally:
    """See the module. One for each process."""

    def __init__(self, clock: Clock, subjects_max: int = SUBJECTS_MAX) -> None:
        self._clock, self._max = clock, subjects_max
        self._origin = clock.now()
        self._seen: dict[str, _Seen] = {}
        self._left: list[Booked] = []

    def __len__(self) -> int:
        return len(self._seen)

    def enter(self, watched: Sequence[Watched]) -> Watched | None:
        """Begin a try, or nothing at all: the suspect that has no room for it."""
        for one in watched:
            seen = self._of(one)
            if self.wrong(one) + seen.running >= one.limit.events:
                return one
        for one in watched:
            self._of(one).running += 1
        return None

    def leave(self, watched: Sequence[Watched]) -> None:
        """A try has ended that costs nothing."""
        for one in watched:
            seen = self._of(one)
            seen.running = max(0, seen.running - 1)

    def fail(self, watched: Sequence[Watched], *, told: bool) -> list[Booked]:
        """A try has ended that was wrong; ``told``: the database has heard of it. What else it shall hear now."""
        self.leave(watched)
        shall, self._left = self._left, []
        for one in watched:
            seen, now_us = self._of(one), self._now_us()
            seen.wrong = booked_at(one.limit, seen.wrong, now_us, (0,))
            if not told:
                seen.untold.append(now_us)
            if seen.untold and (told or len(seen.untold) >= TOLD_AT):
                shall.append(self._booked(seen))
                seen.untold = []
        return shall

    def tell(self, watched: Sequence[Watched]) -> list[Booked]:
        """What the database has not heard of these yet: it shall hear it now."""
        owing = [seen for seen in map(self._of, watched) if seen.untold]
        shall = [self._booked(seen) for seen in owing]
        for seen in owing:
            seen.untold = []
        return shall

    def not_told(self, booked: Sequence[Booked]) -> None:
        """The database has not heard of these after all: it shall hear of them the next time."""
        now_us = self._now_us()
        for one in booked:
            seen = self._of(one.watched)
            seen.untold = [now_us - age * US_PER_MS for age in one.ages_ms] + seen.untold

    def wrong(self, one: Watched) -> int:
        """Wrong ones of a suspect in this process within the window."""
        return counted_now(one.limit, self._of(one).wrong, self._now_us())[0]

    def heard(self, one: Watched, mark: Mark) -> None:
        """How the suspect's row in the database is marked now: by another mark than before, counting begins again."""
        seen = self._of(one)
        if seen.mark != mark:
            seen.mark = mark
            seen.forget()

    def forget(self, subject: str) -> None:
        if subject in self._seen:
            self._seen[subject].forget()

    def _of(self, one: Watched) -> _Seen:
        seen = self._seen.pop(one.subject, None) or _Seen(one)
        if seen.watched.limit.period_ms != one.limit.period_ms:
            seen.wrong = ""  # a text of other slots
        seen.watched = one
        if len(self._seen) >= self._max:
            gone = self._seen.pop(next(iter(self._seen)))
            if gone.untold:
                self._left.append(self._booked(gone))
        self._seen[one.subject] = seen
        return seen

    def _booked(self, seen: _Seen) -> Booked:
        now_us = self._now_us()
        return Booked(seen.watched, tuple((now_us - at) // US_PER_MS for at in seen.untold))

    def _now_us(self) -> int:
        return self._clock.now() - self._origin
