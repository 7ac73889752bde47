"""What no process may ever serve, whatever Redis, the links and the log of changes do. Knows the truth.

1. *bound*: no answer is older than :data:`BOUND_NS`, counted from when it was asked for.
2. *told*: no answer is below a revision that this process was told of before it was asked, by a push, by the log or by
   itself, or that Redis took before invalidations were on again after a reconnect. What Redis alone has told is
   excused when Redis itself loses data: then the bound holds.
3. *silence*: no near copy is served :data:`~rppam.cache.coherence.PROVEN_NS` after Redis took a newer one, whether the
   word of it arrived or not. Excused are pushes that something between swallowed: then the bound holds.
4. *end*: no near copy is served :data:`LATE_NS` after the end of the fact: so long a copy may be on its way to Redis.
"""

from typing import Final, NamedTuple

from rppam.cache.coherence import PROVEN_NS
from rppam_sim.coherence_store import MS

BOUND_NS: Final = 5_000 * MS
LATE_NS: Final = 500 * MS


class Row(NamedTuple):
    """A revision of a fact in SQL."""

    committed: int
    revision: int
    end: int


class Asked(NamedTuple):
    """Somebody asked."""

    at: int
    told: int
    """The revision that this process knew of then."""


class ServedWrongly(Exception):
    """A law was broken."""

    def __init__(self, law: str, sentence: str) -> None:
        super().__init__(sentence)
        self.law = law


class Judge:
    """See the module."""

    def __init__(self) -> None:
        self.rows: dict[str, list[Row]] = {}
        self.served = 0
        self._known: dict[tuple[int, str], int] = {}
        self._pushed: dict[tuple[int, str], int] = {}
        self._taken: dict[tuple[int, str], list[tuple[int, int]]] = {}

    def told(self, process: int, ident: str) -> int:
        """The highest revision that this process was told of."""
        return max(self._known.get((process, ident), 0), self._pushed.get((process, ident), 0))

    def knows(self, process: int, ident: str, revision: int) -> None:
        """It was told by the log, or by itself."""
        self._known[process, ident] = max(revision, self._known.get((process, ident), 0))

    def pushed(self, process: int, ident: str, revision: int) -> None:
        """A push told it."""
        self._pushed[process, ident] = max(revision, self._pushed.get((process, ident), 0))

    def caught_up(self, process: int, since: int) -> None:
        """Since then invalidations are on again over a new connection: nothing from before may be served."""
        for (number, ident), taken in self._taken.items():
            if number == process:
                self.pushed(process, ident, max((revision for at, revision in taken if at <= since), default=0))

    def taken(self, process: int, ident: str, revision: int, now: int) -> None:
        """Redis took this revision, and nothing swallows the word of it to that process."""
        self._taken.setdefault((process, ident), []).append((now, revision))

    def lost_data(self) -> None:
        """Redis was flushed, or its replica took over."""
        self._pushed.clear()
        self._taken.clear()

    def restarted(self, process: int) -> None:
        """It knows nothing any more."""
        for known in (self._known, self._pushed):
            for place in [place for place in known if place[0] == process]:
                del known[place]

    def serve(self, process: int, ident: str, revision: int, asked: Asked, now: int, *, near: bool) -> None:
        """An answer leaves."""
        self.served += 1
        least = max((row.revision for row in self.rows[ident] if row.committed <= asked.at - BOUND_NS), default=0)
        self._hold("bound", revision >= least, process, ident, revision, f"{least} is older than the bound", now)
        told = min(asked.told, self.told(process, ident))
        self._hold("told", revision >= told, process, ident, revision, f"it was told of {told}", now)
        if not near:
            return
        taken = self._taken.get((process, ident), ())
        least = max((known for at, known in taken if at <= now - PROVEN_NS), default=0)
        self._hold("silence", revision >= least, process, ident, revision, f"Redis has had {least} for long", now)
        end = next(row.end for row in self.rows[ident] if row.revision == revision)
        self._hold("end", now <= end + LATE_NS, process, ident, revision, f"it ended {(now - end) // MS} ms ago", now)

    @staticmethod
    def _hold(law: str, holds: bool, process: int, ident: str, revision: int, why: str, now: int) -> None:
        if not holds:
            at = f"{now / 1000 / MS:.3f} s: process {process} serves revision {revision} of {ident}, but {why}"
            raise ServedWrongly(law, at)
