"""Times for people: any number that may stand in Redis is shown, and none ends an answer."""

import pytest

from rppam.http.times import iso_utc, iso_utc_ms
from rppam.kernel.instant import WallMs


@pytest.mark.parametrize(
    ("wall_ms", "shown"),
    [
        (1_795_000_000_123, "2026-11-18T11:06:40"),
        (0, "1970-01-01T00:00:00"),
        (-5, "1970-01-01T00:00:00"),
        (253_402_300_799_999, "9999-12-31T23:59:59"),
        (2**53 - 1, "9999-12-31T23:59:59"),
    ],
)
def test_every_number_is_a_time(wall_ms: int, shown: str) -> None:
    assert iso_utc(WallMs(wall_ms)) == f"{shown}Z"
    assert iso_utc_ms(WallMs(wall_ms)) == f"{shown}.{wall_ms % 1000:03}Z"
