"""The cluster's health and status, the operator note, and the public keys."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse

from rppam.access.rbac.auth_middleware import JWKS_PATH
from rppam.access.rbac.policy import Caller
from rppam.cluster.consensus.heartbeat import Role
from rppam.cluster.health.model import ClusterHealth, ClusterStatus, NoteView, Value
from rppam.cluster.health.snapshot_text import to_text
from rppam.http.errors import (
    FencedError,
    NodeNameTakenError,
    NoSeatError,
    OutcomeUnknownError,
)
from rppam.http.published import published
from rppam.kernel.fence import Fenced
from rppam.licence.model import Denied
from rppam.manager.leader_only import authority_of
from rppam.manager.notes import NoteReader
from rppam.manager.parts import ApiParts
from rppam.manager.presenters import cluster_health, cluster_status, note_view
from rppam.manager.schemas import (
    JsonWebKeySet,
    NewNodeAnswer,
    NewNodeRequest,
    NoteRequest,
    NoteWritten,
)

JWKS_MAX_AGE_S = 300
auth = APIRouter(tags=["auth"])
cluster = APIRouter(tags=["cluster"])


# Asynchronous although they wait for nothing: the framework sends plain functions to a thread.
async def _parts(request: Request) -> ApiParts:
    parts: ApiParts = request.app.state.parts
    return parts


async def _notes(request: Request) -> NoteReader:
    notes: NoteReader = request.app.state.notes
    return notes


Parts = Annotated[ApiParts, Depends(_parts)]
Notes = Annotated[NoteReader, Depends(_notes)]


@auth.get(JWKS_PATH, summary="Public keys that verify access tokens", response_model=JsonWebKeySet)
async def jwks(parts: Parts) -> JSONResponse:
    """The JSON Web Key Set (RFC 7517). The same on every node of a cluster."""
    headers = {"Cache-Control": f"public, max-age={JWKS_MAX_AGE_S}"}
    return JSONResponse(parts.tokens.keys.public(), headers=headers)


@cluster.get("/system/health/cluster", summary="Health of the cluster", response_model=published(ClusterHealth))
async def health(parts: Parts, notes: Notes) -> Response:
    """The cluster as this node sees it now. Answers while Redis and the database are away."""
    known = await notes.current()
    return _json(cluster_health(parts.status.snapshot(), known.note, known.reason))


@cluster.get(
    "/api/v1/admin/cluster/status", summary="Status for administrators", response_model=published(ClusterStatus)
)
async def status(parts: Parts, notes: Notes) -> Response:
    """As the health of the cluster, in the product's shape for administrators."""
    known = await notes.current()
    return _json(cluster_status(parts.status.snapshot(), known.note, known.reason))


@cluster.get("/api/v1/admin/cluster/note", summary="The operator note", response_model=published(NoteView))
async def read_note(parts: Parts) -> Response:
    """The note as it stands in the database; every node answers."""
    return _json(note_view(await parts.note.read()))


@cluster.put("/api/v1/admin/cluster/note", summary="Replace the operator note", response_model=NoteWritten)
async def write_note(body: NoteRequest, caller: Caller, parts: Parts, notes: Notes) -> NoteWritten:
    """Only the leader writes, under its fence: a leader that was overtaken is refused and changes nothing."""
    authority = authority_of(parts)
    epoch = authority.epoch
    outcome = await parts.note.write(epoch, parts.node, authority.boot_id, body.text, caller.subject)
    if outcome is Fenced.REFUSED:
        raise FencedError(f"{parts.node} led at epoch {epoch}, but a newer leader has written since")
    if outcome is Fenced.UNKNOWN:
        raise OutcomeUnknownError("the database did not answer in time; the note may or may not have been replaced")
    notes.forget()
    return NoteWritten(text=body.text, author=caller.subject, epoch=epoch, node=parts.node)


@cluster.post("/api/v1/admin/cluster/nodes", summary="Ask whether a node may join", response_model=NewNodeAnswer)
async def ask_for_node(body: NewNodeRequest, parts: Parts) -> NewNodeAnswer:
    """Whether a new node would be let in: its name must be free, and the licence must have a seat for it.

    Keys never leave a host by this way: the answer says what to run, on the hosts themselves.
    """
    snapshot = parts.status.snapshot()
    if any(member.node == body.node_name for member in snapshot.members):
        raise NodeNameTakenError(f"a node named {body.node_name} belongs to cluster {snapshot.cluster_id} already")
    seats = sum(1 for member in snapshot.members if member.role is not Role.WITNESS)
    decision = parts.may_join(seats)
    if isinstance(decision, Denied):
        raise NoSeatError(f"{decision.reason}. {decision.fix}.")
    steps = [
        "rppam init --bundle /root/join.bundle",
        f"rppam init --join join.bundle --node-name {body.node_name}",
        "systemctl enable --now rppam",
    ]
    return NewNodeAnswer(node_name=body.node_name, seats_free=decision.seats_free, next=steps)


def _json(value: Value) -> Response:
    return Response(to_text(value), media_type="application/json")
