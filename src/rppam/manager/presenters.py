"""What the node's own snapshot tells outside: the cluster's health, and its status for administrators."""

from typing import Any

from msgspec.structs import asdict

from rppam.cluster.health.model import (
    AdminMemberView,
    ClusterCommon,
    ClusterHealth,
    ClusterSnapshot,
    ClusterStatus,
    NoteView,
)
from rppam.http.times import iso_utc
from rppam.manager.note_model import Note


def cluster_health(snapshot: ClusterSnapshot, note: Note | None, note_reason: str) -> ClusterHealth:
    """The view for everybody who may sign in."""
    return ClusterHealth(members=snapshot.members, **_common(snapshot, note, note_reason))


def cluster_status(snapshot: ClusterSnapshot, note: Note | None, note_reason: str) -> ClusterStatus:
    """The view for administrators."""
    redis = "connected" if snapshot.redis_connected else "disconnected"
    return ClusterStatus(
        status="healthy" if snapshot.healthy else "unavailable" if snapshot.leader is None else "degraded",
        leader_node_id=snapshot.leader,
        members=tuple(AdminMemberView(node_id=member.node, **asdict(member)) for member in snapshot.members),
        quorum=snapshot.quorum_met,
        redis_status=redis if snapshot.redis_enabled else "disabled",
        **_common(snapshot, note, note_reason),
    )


def note_view(note: Note | None) -> NoteView:
    """The note, or an empty one when none was ever written."""
    return NoteView() if note is None else NoteView(*note[:4], iso_utc(note.written_at))


def _common(snapshot: ClusterSnapshot, note: Note | None, note_reason: str) -> dict[str, Any]:
    same = {name: getattr(snapshot, name) for name in ClusterCommon.__struct_fields__}
    return {**same, "note": None if note is None else note_view(note), "note_reason": note_reason}
