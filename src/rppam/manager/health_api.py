"""The cluster's health and status, and the operator note."""

from typing import Any

from fastapi import APIRouter, Request, Response
from msgspec.structs import asdict

from rppam.access.accounts.model import AccountRole
from rppam.access.rbac.policy import Action, Caller, lacking_role
from rppam.cluster.consensus.heartbeat import Role
from rppam.cluster.health.model import (
    AdminMemberView,
    ClusterCommon,
    ClusterHealth,
    ClusterSnapshot,
    ClusterStatus,
    ClusterSummary,
    MemberSummary,
    NoteView,
    Value,
    to_text,
)
from rppam.cluster.health.ports import NodeStatus
from rppam.http.answers import NO_DATABASE, NOT_AT_THE_LEADER
from rppam.http.errors import (
    FencedError,
    NodeNameTakenError,
    NoSeatError,
    OutcomeUnknownError,
)
from rppam.http.published import published
from rppam.http.routes import ADMIN, SIGNED_IN, declare
from rppam.http.services import Here
from rppam.http.times import iso_utc
from rppam.kernel.fence import Fenced
from rppam.licence.model import Denied, Seats
from rppam.manager.forwarding import leadership_of
from rppam.manager.note_model import FencedNote, Note
from rppam.manager.notes import NoteReader
from rppam.manager.schemas import (
    NewNodeAnswer,
    NewNodeRequest,
    NoteRequest,
    NoteWritten,
)

cluster = APIRouter(tags=["cluster"])


_LOOKS_AFTER = (AccountRole.SECURITY_ADMIN,)
_HEALTH = published(ClusterHealth) | published(ClusterSummary)


@cluster.get("/system/health/cluster", summary="Health of the cluster", response_model=_HEALTH)
@declare(SIGNED_IN, counted=False, in_outage=True)
async def health(caller: Caller, services: Here) -> Response:
    """The cluster as this node sees it now. Answers while Redis and the database are away.

    Whole for `pam_admin`, `security_admin` and `pam_auditor`; others are told in short how it stands.
    """
    if lacking_role(caller, Action.READ, _LOOKS_AFTER):
        return _json(cluster_summary(services.get(NodeStatus).snapshot()))
    known = await services.get(NoteReader).current()
    return _json(cluster_health(services.get(NodeStatus).snapshot(), known.note, known.reason))


@cluster.get(
    "/api/v1/admin/cluster/status", summary="Status for administrators", response_model=published(ClusterStatus)
)
@declare(ADMIN, counted=False, in_outage=True)
async def status(services: Here) -> Response:
    """As the health of the cluster, in the product's shape for administrators."""
    known = await services.get(NoteReader).current()
    return _json(cluster_status(services.get(NodeStatus).snapshot(), known.note, known.reason))


@cluster.get("/api/v1/admin/cluster/note", summary="The operator note", response_model=published(NoteView))
@declare(ADMIN, {503: NO_DATABASE}, counted=False, in_outage=True)
async def read_note(services: Here) -> Response:
    """The note as it stands in the database; every node answers."""
    return _json(note_view(await services.get(FencedNote).read()))


@cluster.put("/api/v1/admin/cluster/note", summary="Replace the operator note", response_model=NoteWritten)
@declare(
    ADMIN,
    {
        400: "The text cannot be a note",
        409: "A newer leader has written since; nothing was changed",
        421: NOT_AT_THE_LEADER,
        503: "The database does not answer; the note may or may not have been replaced",
    },
    counted=False,
    unconditional="it is one line, which is never edited but replaced, and shown with its author",
)
async def write_note(body: NoteRequest, request: Request, caller: Caller, services: Here) -> NoteWritten:
    """Any node takes it and writes under the leader's fence: one that was overtaken is refused and changes nothing."""
    leader, (epoch, boot_id) = await leadership_of(request, services, caller.subject)
    outcome = await services.get(FencedNote).write(epoch, leader, boot_id, body.text, caller.subject)
    if outcome is Fenced.REFUSED:
        raise FencedError(f"{leader} led at epoch {epoch}, but a newer leader has written since")
    if outcome is Fenced.UNKNOWN:
        raise OutcomeUnknownError("the database did not answer in time; the note may or may not have been replaced")
    services.get(NoteReader).forget()
    return NoteWritten(text=body.text, author=caller.subject, epoch=epoch, node=leader)


@cluster.post("/api/v1/admin/cluster/nodes", summary="Ask whether a node may join", response_model=NewNodeAnswer)
@declare(
    ADMIN,
    {
        400: "The name cannot be a node's",
        403: "The account is not `pam_admin`, or the licence has no seat (RPPAM-4101)",
        409: "The name is in use",
    },
)
async def ask_for_node(body: NewNodeRequest, services: Here) -> NewNodeAnswer:
    """Say whether a new node would be let in: its name must be free, and the licence must have a seat for it.

    Keys never leave a host by this way: the answer says what to run, on the hosts themselves.
    """
    snapshot = services.get(NodeStatus).snapshot()
    if any(member.node == body.node_name for member in snapshot.members):
        raise NodeNameTakenError(f"a node named {body.node_name} belongs to cluster {snapshot.cluster_id} already")
    seats = sum(1 for member in snapshot.members if member.role is not Role.WITNESS)
    decision = services.get(Seats).ask(seats)
    if isinstance(decision, Denied):
        raise NoSeatError(f"{decision.reason}. {decision.fix}.")
    steps = [
        "rppam init --bundle /root/join.bundle",
        f"rppam init --join join.bundle --node-name {body.node_name}",
        "systemctl enable --now rppam",
    ]
    return NewNodeAnswer(node_name=body.node_name, seats_free=decision.seats_free, next=steps)


def cluster_health(snapshot: ClusterSnapshot, note: Note | None, note_reason: str) -> ClusterHealth:
    """The view for those who look after the cluster."""
    return ClusterHealth(members=snapshot.members, **_common(snapshot, note, note_reason))


def cluster_summary(snapshot: ClusterSnapshot) -> ClusterSummary:
    """The view for everybody else: no versions, addresses, votes or findings."""
    return ClusterSummary(
        healthy=snapshot.healthy,
        redis_connected=snapshot.redis_connected,
        quorum_met=snapshot.quorum_met,
        leader=snapshot.leader,
        members=tuple(MemberSummary(one.node, one.status) for one in snapshot.members),
    )


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


def _json(value: Value) -> Response:
    return Response(to_text(value), media_type="application/json")
