"""Which targets are behind, in one sentence for health, and in numbers. ``now`` is by the database's clock, as their
times are: this host's may be wrong."""

from collections.abc import Sequence
from typing import Final

from rppam.cluster.health.model import GaugeView
from rppam.kernel.instant import WallMs
from rppam.siem.model import Target

LATE_MS: Final = 60_000
WAITING: Final = "Events whose arrival at a SIEM target is not certain, by the id of the target."
FAILING: Final = "For how long a SIEM target has taken no events."


def lags(targets: Sequence[Target], size: int, now: WallMs) -> tuple[GaugeView, ...]:
    """How far each target is behind the signed tree of ``size`` events."""
    found = []
    for one in targets:
        if one.enabled:
            failing_s = 0.0 if one.failed_at is None else max(0, now - one.failed_at) / 1000
            waiting = max(0, size - one.cursor)
            found += [
                GaugeView("rppam_siem_waiting_events", WAITING, waiting, "target", one.id),
                GaugeView("rppam_siem_failing_seconds", FAILING, failing_s, "target", one.id),
            ]
    return tuple(found)


def late(targets: Sequence[Target], now: WallMs) -> str:
    """A warning that names the targets which have refused events for a minute or longer."""
    behind = [
        f"{one.name} for {(now - one.failed_at) // 1000} s ({one.problem})"
        for one in targets
        if one.enabled and one.failed_at is not None and now - one.failed_at >= LATE_MS
    ]
    return f"SIEM targets take no events: {', '.join(behind)}; they wait and are sent in order" if behind else ""
