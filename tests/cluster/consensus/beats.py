"""Heartbeats for tests."""

from typing import Any

from rppam.cluster.consensus.heartbeat import Heartbeat, Role
from rppam.cluster.consensus.timing import PROFILES
from rppam.kernel.instant import Instant, WallMs

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
