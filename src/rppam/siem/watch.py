"""Which targets do not get their events in time, in sentences for health, and numbers for monitoring.

A target that refuses events is told apart from one that takes them, but does not catch up. All is reckoned by
the database's clock, which wrote the times. A sentence stays the same while nothing changes for worse, so that the log
has it once. What it does not promise: that somebody at the receiver looks at what arrives.
"""

from collections.abc import Sequence
from typing import Final

from rppam.cluster.driver.node_tasks import step_of
from rppam.cluster.health.model import GaugeView
from rppam.http.times import iso_utc
from rppam.siem.store import Progress

LATE_MS: Final = 60_000
"""So long a target may refuse events before health says so."""
BEHIND_MS: Final = 300_000
"""So long an event may wait for a target that takes them, beside the target's own interval."""
WAITING: Final = "Events whose arrival at a SIEM target is not certain, by the id of the target."
LAG: Final = "How long the oldest of them waits."
FAILING: Final = "For how long a SIEM target has taken no events."


def gauges(seen: Sequence[Progress]) -> tuple[GaugeView, ...]:
    """How far each target is behind the signed tree."""
    found = []
    for one in seen:
        if one.target.enabled:
            found += [
                GaugeView("rppam_siem_waiting_events", WAITING, one.waiting, "target", one.target.id),
                GaugeView("rppam_siem_lag_seconds", LAG, one.lag_ms / 1000, "target", one.target.id),
                GaugeView("rppam_siem_failing_seconds", FAILING, one.failing_ms / 1000, "target", one.target.id),
            ]
    return tuple(found)


def told(seen: Sequence[Progress]) -> str:
    """Warnings that name the targets which refuse events, and those that take them too slowly; empty for none."""
    enabled = [one for one in seen if one.target.enabled]
    refusing = [
        f"{one.target.name} since {iso_utc(one.target.failed_at)} ({one.target.problem})"
        for one in enabled
        if one.target.failed_at is not None and one.failing_ms >= LATE_MS
    ]
    behind = [f"{one.target.name} by more than {step_of(one.lag_ms)}" for one in enabled if _is_behind(one)]
    said = []
    if refusing:
        said.append(f"SIEM targets take no events: {', '.join(refusing)}; they wait and are sent in order")
    if behind:
        said.append(
            f"SIEM targets get events late: {', '.join(behind)}; they are taken in order, but do not catch up: look at "
            "the receiver and the way to it, or raise options.batchSize"
        )
    return ". ".join(said)


def _is_behind(one: Progress) -> bool:
    return one.target.failed_at is None and one.lag_ms >= BEHIND_MS + one.target.options.flush_seconds * 1000
