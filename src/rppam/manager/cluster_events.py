"""``GET /api/v1/admin/cluster/events``: what changes in the cluster, as this node sees it, while it happens.

The first event is the whole view, each further one names what has changed and holds its new value. A reader that was
away asks again and gets the whole view, so nothing is kept for it. A slow reader gets fewer events, each of what holds
when it takes it.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict
from typing import Any, Final

from fastapi import APIRouter

from rppam.cluster.health.model import ClusterSnapshot, MemberView
from rppam.cluster.health.ports import NodeStatus
from rppam.http.routes import ADMIN, Kind, declare
from rppam.http.services import Here
from rppam.http.streams import Event, EventStream
from rppam.kernel.clock import Clock
from rppam.kernel.instant import US_PER_MS

LOOK_EVERY_S: Final = 0.5
_FRESH_US: Final = 200 * US_PER_MS
events = APIRouter(tags=["cluster"])
View = dict[str, Any]


class ClusterWatch:
    """The view that all streams of a process share: refreshed at most five times a second, however many they are."""

    def __init__(self, status: NodeStatus, clock: Clock) -> None:
        self._status, self._clock = status, clock
        self._seen: tuple[int, View] | None = None

    def view(self) -> View:
        """The present view. The same object while it is fresh; do not change it."""
        now = self._clock.now()
        if self._seen is None or now - self._seen[0] > _FRESH_US:
            self._seen = (now, view_of(self._status.snapshot()))
        return self._seen[1]

    async def changes(self) -> AsyncIterator[Event | None]:
        """The whole view, then each change of it."""
        seen = self.view()
        yield Event("snapshot", seen)
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            found = self.view()
            if found is not seen:
                for event in changes_between(seen, found):
                    yield event
                seen = found
            yield None


@events.get("/api/v1/admin/cluster/events", summary="Changes in the cluster, as they happen", response_model=None)
@declare(ADMIN, kind=Kind.EVENTS)
async def stream_events(services: Here) -> EventStream:
    """Server-sent events; `curl -N` shows them. `snapshot` comes first: the leader, members, votes' quorum, Redis and
    findings. Then `leader`, `member`, `findings` and `cluster`, each with what is new. `end` says why the stream ends:
    `shutdown`, `time`, `access` or `slow`.

    A comment comes after 15 s without an event. `Last-Event-ID` is ignored: a new connection begins with a snapshot.
    """
    return EventStream(services.get(ClusterWatch).changes())


def view_of(snapshot: ClusterSnapshot) -> View:
    """What the events report, without what changes at each look."""
    return {
        "clusterId": snapshot.cluster_id,
        "answeredBy": snapshot.node,
        "leader": {
            "leaderNode": snapshot.leader,
            "epoch": snapshot.epoch,
            "noLeaderReason": snapshot.no_leader_reason,
        },
        "members": {member.node: _member(member) for member in snapshot.members},
        "cluster": {
            "clusterHealthy": snapshot.healthy,
            "quorumMet": snapshot.quorum_met,
            "quorumReason": snapshot.quorum_reason,
            "redisConnected": snapshot.redis_connected,
            "redisReason": snapshot.redis_reason,
            "paused": snapshot.paused,
            "warnings": list(snapshot.warnings),
        },
        "findings": [asdict(one) for one in snapshot.findings],
        "time": snapshot.time,
    }


def changes_between(old: View, new: View) -> Iterator[Event]:
    """One event for each thing that differs; a member that is gone has ``null`` for its status."""
    when = {"time": new["time"]}
    for part in ("leader", "cluster"):
        if old[part] != new[part]:
            yield Event(part, {**new[part], **when})
    for name in sorted(old["members"].keys() | new["members"].keys()):
        member = new["members"].get(name, {"nodeName": name, "status": None})
        if old["members"].get(name) != member:
            yield Event("member", {**member, **when})
    if old["findings"] != new["findings"]:
        yield Event("findings", {"findings": new["findings"], **when})


def _member(member: MemberView) -> View:
    return {
        "nodeName": member.node,
        "role": member.role,
        "status": member.status,
        "redisConnected": member.redis_connected,
        "version": member.version,
    }
