"""The doctor compares the clock of a database server with this host's: codes of authenticators go by it."""

import json
import re
from pathlib import Path

import pytest

from rppam.config.load import load_settings
from rppam.doctor.check_host import check_database
from rppam.doctor.report import Report
from rppam.kernel.instant import WallMs
from rppam.kernel.system_clock import SystemClock

pytestmark = [pytest.mark.integration, pytest.mark.server]


async def findings(config: Path) -> list[tuple[str, str]]:
    report = Report()
    await check_database(load_settings(config), report)
    return [(one.code, one.evidence) for one in report.findings]


async def test_a_clock_that_is_off_is_told_by_how_much(
    postgresql_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "rppam.config"
    tree = {
        "node": {"nodeName": "node1", "dataDir": str(tmp_path)},
        "redis": {"enabled": False},
        "database": {"url": postgresql_url},
    }
    config.write_text(json.dumps(tree))
    config.chmod(0o600)
    assert await findings(config) == []
    as_it_is = SystemClock.wall_ms
    monkeypatch.setattr(SystemClock, "wall_ms", lambda clock: WallMs(as_it_is(clock) + 45_000))
    [(code, evidence)] = await findings(config)
    assert code == "RD-643"
    assert re.fullmatch(r"the database's clock is 4[3-7] s behind this host's", evidence), evidence
