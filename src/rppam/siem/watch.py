"""Which targets are behind, in one sentence for health."""

from typing import Final

from rppam.kernel.clock import Clock
from rppam.siem.store import SqlTargets

LATE_MS: Final = 60_000


async def late(targets: SqlTargets, clock: Clock) -> str:
    """A warning that names the targets which have refused events for a minute or longer. Raises a ``DatabaseError``."""
    now = clock.wall_ms()
    behind = [
        f"{one.name} for {(now - one.failed_at) // 1000} s ({one.problem})"
        for one in await targets.all()
        if one.enabled and one.failed_at is not None and now - one.failed_at >= LATE_MS
    ]
    return f"SIEM targets take no events: {', '.join(behind)}; they wait and are sent in order" if behind else ""
