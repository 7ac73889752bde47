"""What every node does again and again beside leadership, in the process that leadership runs in.

A task says in one sentence what an administrator should know; health shows it as a warning, or as a finding where its
error is one. A database that does not answer is no warning of the task: health says that already. A task that gets
nothing from a database that all others can work with says so after a minute: see ``Waiting``.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final, Protocol

from rppam.catalogue.table import finding
from rppam.cluster.driver.waiting import StillWaits, Waiting
from rppam.cluster.health.agreement import NOT_KNOWN, HeldKeys
from rppam.cluster.health.model import GaugeView
from rppam.db.errors import DatabaseError
from rppam.kernel.errors import RppamError
from rppam.kernel.finding import Finding

log: Final = logging.getLogger("rppam.node")
STEPS: Final = (
    (86_400_000, "a day"),
    (21_600_000, "6 hours"),
    (3_600_000, "an hour"),
    (900_000, "15 minutes"),
    (300_000, "5 minutes"),
)


class SideTask(Protocol):
    """What a node runs beside leadership."""

    @property
    def name(self) -> str:
        """What it is called in the log."""
        ...

    @property
    def trouble(self) -> RppamError | str:
        """What health says of it now, an error or a sentence; empty for nothing."""
        ...

    @property
    def unfit(self) -> str:
        """Why this node should not lead now; empty where it may."""
        ...

    @property
    def master_keys(self) -> HeldKeys:
        """Which master keys of the vault this node has, for others; nothing where it is another's affair."""
        ...

    @property
    def keeps(self) -> Mapping[str, str]:
        """What must be the same on all nodes and may change while it runs, by the names that people know."""
        ...

    @property
    def gauges(self) -> tuple[GaugeView, ...]:
        """Numbers for monitoring."""
        ...

    async def run(self) -> None:
        """Never returns."""
        ...


class NodeTask:
    """See the module. Implements ``SideTask``."""

    def __init__(
        self,
        name: str,
        every_s: float,
        work: Callable[[], Awaitable[str]],
        numbers: Callable[[], tuple[GaugeView, ...]] | None = None,
    ) -> None:
        """``work`` answers with a warning, or with nothing; it may raise an ``RppamError`` instead. ``numbers``: what
        monitoring sees after each round that could tell; after another one it sees nothing, which is no old value."""
        self.name: Final = name
        self._every_s, self._work, self._numbers = every_s, work, numbers
        self.trouble: RppamError | str = ""
        """As of the last round that could tell."""
        self.unfit = ""
        self.master_keys = NOT_KNOWN
        self.keeps: Mapping[str, str] = {}
        self.gauges: tuple[GaugeView, ...] = ()
        self._waiting = Waiting(name)

    async def run(self) -> None:
        """Never returns."""
        while True:
            known = True
            try:
                self._set(await self._work())
                self._waiting.over()
            except DatabaseError as error:
                log.debug("%s waits for the database: %s", self.name, error)
                known = False
                self._still_waits(self._waiting.told(error, asyncio.get_running_loop().time()))
            except RppamError as error:
                self._set(error)
            except Exception as error:
                log.exception("%s failed", self.name)
                known = False
                self.trouble = f"{self.name} failed: {type(error).__name__}; look at this node's log"
            if self._numbers is not None:
                self.gauges = self._numbers() if known else ()
            await asyncio.sleep(self._every_s)

    def _still_waits(self, told: StillWaits | None) -> None:
        """What was wrong before is still so, and matters more."""
        if told is None or (self.trouble and not isinstance(self.trouble, StillWaits)):
            return
        if not self.trouble:
            log.warning("%s", told)
        self.trouble = told

    def _set(self, trouble: RppamError | str) -> None:
        before, now = told_of(self.trouble), told_of(trouble)
        if now and now != before:
            log.error("%s: %s", self.name, now)
        elif before and not now:
            log.info("%s: what was wrong is over", self.name)
        self.trouble = trouble


def step_of(ms: int) -> str:
    """How long something lasts, in words for a warning that is to stay the same while nothing changes for worse, so
    that the log has it once; monitoring has the numbers."""
    return next((words for least, words in STEPS if ms >= least), "30 s")


def told_of(trouble: RppamError | str) -> str:
    """What is wrong in one sentence, with the fix; empty for nothing."""
    if isinstance(trouble, RppamError):
        said = f"{trouble}".rstrip(".")
        return f"{trouble.row.code}: {said}{'' if said.endswith('?') else '.'} {trouble.row.remedy}"
    return trouble


def warnings_of(troubles: Iterable[RppamError | str]) -> tuple[str, ...]:
    """The sentences for health: of what is no finding."""
    return tuple(told_of(one) for one in troubles if one and not _code(one))


def findings_of(troubles: Iterable[RppamError | str]) -> tuple[Finding, ...]:
    """The findings for health, each once."""
    found = {code: finding(code, str(one)) for one in troubles if (code := _code(one))}
    return tuple(found.values())


def _code(trouble: RppamError | str) -> str:
    return trouble.row.finding if isinstance(trouble, RppamError) else ""
