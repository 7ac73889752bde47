"""The database as the processes of one node see it, put together for health, the log and the history.

Each process looks over its own connections. A worker says on the node's page what it found; the control process puts
all of it together, so that every process tells the same, whichever of them is asked.
"""

import logging
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from msgspec.structs import replace

from rppam.cluster.driver.node_tasks import told_of
from rppam.cluster.health.agreement import NOT_KNOWN
from rppam.cluster.history.recorder import HistoryEvent, noted
from rppam.db.clock import clocks_apart
from rppam.db.condition import WORKER, Condition, DatabaseState, from_text, sentence_of, state_of, to_text
from rppam.db.database import Database
from rppam.db.errors import DatabaseClockApart
from rppam.db.watch import DatabaseWatch
from rppam.kernel.clock import Clock
from rppam.kernel.instant import US_PER_MS, US_PER_S, Instant
from rppam.process.shared_state import SharedState

log: Final = logging.getLogger("rppam.database")

EVIDENCE_CHARS_MAX: Final = 200
"""So that what a worker tells fits into its place on the page, whatever the characters are."""

APART_US: Final = 5 * US_PER_S // 2
"""Each process looks every second, and waits for an answer."""


class WorkerDatabase:
    """What one worker or gateway finds, for the page and for its log."""

    def __init__(self, database: Database, clock: Clock, page: SharedState, place: int) -> None:
        self._watch, self._page, self._place = DatabaseWatch(database, clock), page, place
        self._is_file = database.is_file
        self._logged = ""
        page.tell_database(place, b"")

    async def run(self) -> None:
        """Never returns."""
        await self._watch.run(self._tell)

    def _tell(self, seen: Condition) -> None:
        self._page.tell_database(self._place, to_text(replace(seen, evidence=seen.evidence[:EVIDENCE_CHARS_MAX])))
        if seen.code and seen.code != self._logged:
            log.error("%s", sentence_of(seen, is_file=self._is_file))
        elif self._logged and not seen.code:
            log.info("%s is no longer found: this process can work with the database", self._logged)
        self._logged = seen.code


def workers_on(page: SharedState, now_us: Callable[[], int]) -> Callable[[], Mapping[str, Condition]]:
    """What living workers and gateways say of their databases on ``page``."""
    return lambda: {name: from_text(text) for name, text in page.databases(now_us()).items()}


class NodeDatabase:
    """What the control process finds, and the workers with it. Runs as a ``NodeTask`` does."""

    name: Final = "the watch over the database"
    unfit: Final = ""
    """Who leads without a database is the core's affair."""
    master_keys: Final = NOT_KNOWN
    keeps: Final[Mapping[str, str]] = MappingProxyType({})
    gauges: Final = ()

    def __init__(self, database: Database, clock: Clock, workers: Callable[[], Mapping[str, Condition]] = dict) -> None:
        self._watch, self._workers = DatabaseWatch(database, clock, writes_to_disk=True), workers
        self._clock, self._is_file = clock, database.is_file
        self._lost_at: Instant | None = None
        self._apart_since: Instant | None = None
        """Since when a worker or gateway alone is in trouble."""
        self._logged = ""
        self._is_apart = False
        """The log has it that the clocks differ."""

    def state(self) -> DatabaseState:
        """As of the last looks. Takes no time.

        One process alone is told only once that lasts: when a database comes or goes, processes notice it one by one.
        """
        workers, now = self._workers(), self._clock.now()
        state = state_of(self._watch.condition, workers, is_file=self._is_file)
        if not any(one.code == WORKER for one in state.findings):
            self._apart_since = None
            return state
        self._apart_since = now if self._apart_since is None else self._apart_since
        if now - self._apart_since >= APART_US:
            return state
        well = {name: one for name, one in workers.items() if one.is_well}
        return state_of(self._watch.condition, well, is_file=self._is_file)

    @property
    def trouble(self) -> DatabaseClockApart | str:
        """Its clock; for all else health has fields and findings."""
        told = clocks_apart(self._watch.clock_offset_ms)
        return DatabaseClockApart(told) if told else ""

    async def run(self) -> None:
        """Never returns."""
        await self._watch.run(self._tell)

    def _tell(self, _own: Condition) -> None:
        self._tell_clock()
        state = self.state()
        code = next((one.code for one in state.findings), "")
        if code and code != self._logged:
            self._lost_at = self._clock.now() if self._lost_at is None else self._lost_at
            one = state.findings[0]
            log.error(
                "%s: %s Seen: %s. Fix: %s",
                one.code,
                one.what,
                state.reason,
                one.advice,
                extra=noted(HistoryEvent.DATABASE_LOST, code=one.code),
            )
        elif self._logged and not code and self._lost_at is not None:
            away_ms = (self._clock.now() - self._lost_at) // US_PER_MS
            self._lost_at = None
            log.info(
                "this node can work with its database again, after %d ms",
                away_ms,
                extra=noted(HistoryEvent.DATABASE_BACK, awayMs=away_ms),
            )
        self._logged = code

    def _tell_clock(self) -> None:
        trouble = self.trouble
        if trouble and not self._is_apart:
            log.warning("%s", told_of(trouble))
        elif self._is_apart and not trouble:
            log.info("the database's clock and this host's agree again")
        self._is_apart = bool(trouble)
