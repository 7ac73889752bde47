"""What the log says of a flood of connections: when it begins, and once a minute, whatever their number."""

import logging

import pytest

from rppam.http.connection_limiter import ConnectionLimiter


class Idle:
    """A connection that waits."""

    def is_idle(self) -> bool:
        return True

    def hang_up(self) -> None:
        """Nothing is to be done."""


def test_a_flood_is_told_when_it_begins_and_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    now_s = 1_000.0
    crowd = ConnectionLimiter(3, lambda: now_s)

    def told() -> list[str]:
        found = [record.getMessage().split("are closed, ")[1] for record in caplog.records]
        caplog.clear()
        return found

    crowd.come(Idle(), "10.0.0.1")
    for _ in range(2):
        crowd.come(Idle(), "10.0.0.2")
    assert told() == []
    crowd.come(Idle(), "10.0.0.2")
    assert told() == ["1 so far; most, 3, are from 10.0.0.2"]
    for _ in range(40):
        now_s += 1.4
        crowd.come(Idle(), "10.0.0.2")
    assert told() == []
    now_s = 1_060.0
    crowd.come(Idle(), "10.0.0.2")
    assert told() == ["41 since this was last said; most, 3, are from 10.0.0.2"]
    now_s = 9_000.0
    crowd.come(Idle(), "10.0.0.3")
    assert told() == ["1 since this was last said; most, 2, are from 10.0.0.2"]
