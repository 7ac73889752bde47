"""How far targets are behind, by the clock that dates their failures: the database's."""

from typing import Final

import pytest
from sqlalchemy import text

from rppam.db.database import Database
from rppam.siem.model import TargetKind
from rppam.siem.watch import lags, late
from tests.siem.receivers import target
from tests.siem.test_delivery import targets_of

pytestmark = [pytest.mark.integration, pytest.mark.server]
FAILING: Final = "rppam_siem_failing_seconds"


async def test_a_target_that_fails_is_counted_at_once_and_warned_of_after_a_minute(database: Database) -> None:
    targets = targets_of(database)
    for name in ("away", "fine", "off"):
        await targets.create(target(TargetKind.WEBHOOK, "http://x/", id=name, name=name, enabled=name != "off"))
    for name in ("away", "off"):
        await targets.failed(name, "connection refused")
    found, now = await targets.dated()
    gauges = {one.labelled: one.value for one in lags(found, 7, now) if one.name == FAILING}
    assert gauges.keys() == {"away", "fine"}, "not of one that is off"
    assert (gauges["fine"], 0 <= gauges["away"] < 5) == (0, True)
    assert {one.value for one in lags(found, 7, now) if one.name != FAILING} == {7}
    assert late(found, now) == ""
    earlier = text("UPDATE siem_targets SET failed_at = failed_at - 70000 WHERE failed_at IS NOT NULL")
    await database.write(lambda connection: connection.execute(earlier).close())
    said = late(*await targets.dated())
    assert said.startswith("SIEM targets take no events: away for 7")
    assert "(connection refused)" in said
    assert "off" not in said
