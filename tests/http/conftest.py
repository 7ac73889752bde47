"""What tests of HTTP share."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.http.over_tls import Tls


@pytest.fixture
async def tls(tmp_path: Path) -> AsyncIterator[Tls]:
    made = Tls(tmp_path)
    await made.server.start()
    yield made
    await made.server.stop(drain_ms=300)
