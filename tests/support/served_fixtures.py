"""The application under its server, for one test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rppam.http.bounds import ApiLimits
from tests.support.served import Served


@pytest.fixture
def limits() -> ApiLimits:
    return ApiLimits()


@pytest.fixture
async def served(tmp_path: Path, limits: ApiLimits) -> AsyncIterator[Served]:
    one = Served(tmp_path / "keys", limits)
    await one.start()
    yield one
    await one.stop()


@pytest.fixture
async def open_vault(tmp_path: Path, limits: ApiLimits) -> AsyncIterator[Served]:
    """As ``served``, but secrets are shown without a second factor, as the demo has it."""
    one = Served(tmp_path / "keys", limits, more={"vault": {"revealFactor": "none"}})
    await one.start()
    yield one
    await one.stop()
