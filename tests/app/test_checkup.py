"""A check that fails costs the node nothing: it is told, and the next one is made."""

import asyncio
from typing import Any

import pytest

from rppam.app import checkup
from rppam.app.checkup import Checkup
from rppam.catalogue.table import finding
from rppam.db.errors import DatabaseUnreachable
from rppam.kernel.finding import Finding, Severity


class Checks:
    """Raises once, then finds something."""

    def __init__(self) -> None:
        self.made = 0
        self.found: tuple[Finding, ...] = ()

    def findings(self) -> tuple[Finding, ...]:
        return self.found

    async def check(self) -> None:
        self.made += 1
        if self.made == 1:
            raise ValueError("a reply that nobody foresaw")
        self.found = (finding("RD-303", "aof_enabled:0"), finding("RD-309", "maxmemory:0"))


async def nothing() -> None:
    pass


async def nobody(_most: int) -> int:
    return 0


async def test_a_failed_check_is_told_and_the_next_one_made(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(checkup, "LOOK_S", 0.0)
    monkeypatch.setattr(checkup, "SOONEST_S", 0.0)
    caplog.set_level("INFO")
    checks: Any = Checks()
    made = Checkup(None, checks, lambda: None, lambda: min(checks.made, 1), nothing, nobody)
    running = asyncio.create_task(made.run())

    async def told(words: str) -> None:
        async with asyncio.timeout(10):
            while words not in caplog.text and not running.done():  # noqa: ASYNC110 - a log rings no bell
                await asyncio.sleep(0)

    await told("RD-303 error: ")
    checks.found = ()
    await told("RD-303 is no longer found")
    assert not running.done()
    running.cancel()
    assert checks.made == 2
    assert "a check of Redis failed" in caplog.text
    assert "RD-303 error: " in caplog.text
    assert "RD-303 is no longer found" in caplog.text
    assert "RD-309" not in caplog.text, "notes are for health and the doctor"


async def test_little_memory_is_a_warning_once_there_are_many_sessions() -> None:
    checks: Any = Checks()
    checks.made, active = 1, 49

    async def sessions(most: int) -> int:
        if active < 0:
            raise DatabaseUnreachable("it is away")
        return min(active, most)

    made = Checkup(None, checks, lambda: None, lambda: True, nothing, sessions)

    async def severity() -> Severity:
        await made._check()
        checks.found = (finding("RD-306", "maxmemory:536870912"), finding("RD-303", "aof_enabled:0"))
        (one, other) = made.findings()
        assert other == checks.found[1]
        assert ("50 or more sessions" in one.what) is (one.severity is Severity.WARNING)
        return one.severity

    assert await severity() is Severity.NOTE
    active = 60
    assert await severity() is Severity.WARNING
    active = -1
    assert await severity() is Severity.WARNING, "without the database, what was known before holds"
    active = 3
    assert await severity() is Severity.NOTE
