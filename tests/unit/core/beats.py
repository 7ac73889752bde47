"""Heartbeats for tests."""

from typing import Any

from rppam.domain.instant import Instant, WallMs
from rppam.domain.member import Heartbeat, Role
from rppam.domain.timing import PROFILES

TIMING = PROFILES["default"]
BEAT_US = TIMING.heartbeat_us
WALL = WallMs(1_795_000_000_000)


def at(beats: float) -> Instant:
    """The instant after so many heartbeat periods."""
    return Instant(int(beats * BEAT_US))


def heartbeat(node: str, beat: int, boot_id: str = "a" * 16, **changes: Any) -> Heartbeat:
    """A heartbeat of ``node``."""
    plain = Heartbeat(node, boot_id, beat, Role.STANDBY, 7, "1.0.0", f"{node}.local", "", WALL, 0, 0)
    return plain._replace(**changes)
