"""The ledger over REST: events, checkpoints, proofs. ``pam_auditor`` and ``pam_admin`` read; nobody changes it."""

import base64
from typing import Annotated, Any

from fastapi import APIRouter, Query

from rppam.access.accounts.model import AccountRole
from rppam.audit.cosigners import SqlCosigners
from rppam.audit.keys import SigningKeys
from rppam.audit.times import TimeInvalid, wall_ms_of
from rppam.http.answers import NO_DATABASE
from rppam.http.errors import FieldFlaw, InvalidRequestError
from rppam.http.routes import declare, for_roles
from rppam.http.schemas import Shape
from rppam.http.services import Here
from rppam.http.times import iso_utc_ms
from rppam.kernel.instant import WallMs
from rppam.ledger.model import Event
from rppam.ledger.store import Query as Wanted, Signed, SqlLedger

EVENTS = "/api/v1/audit/events"
CHECKPOINTS = "/api/v1/audit/checkpoints"
PROOF = "/api/v1/audit/proof"
LIMIT_MAX = 1_000
audit = APIRouter(tags=["audit"])
_MAY = for_roles(AccountRole.AUDITOR)
Word = Annotated[str | None, Query(min_length=1, max_length=256)]
Limit = Annotated[int, Query(ge=1, le=LIMIT_MAX)]
Place = Annotated[int | None, Query(ge=0)]
BeforeRow = Annotated[int | None, Query(ge=0, le=2**53)]


class EventShape(Shape):
    """One act."""

    id: str
    index: int | None
    time: str
    action: str
    actor: dict[str, Any]
    object: dict[str, Any]
    outcome: str
    reason: str
    node: str
    epoch: int | None
    request: str
    details: dict[str, Any]


class EventList(Shape):
    """A page of events."""

    events: list[EventShape]
    next: int | None
    left_out: list[str]
    """Actions that are left out: the cluster's own bookkeeping, without `all`."""


class CheckpointShape(Shape):
    """A signed size of the ledger."""

    size: int
    root: str
    epoch: int
    node: str
    made_at: str
    note: str


class CosignerShape(Shape):
    """How far a member has cosigned the ledger."""

    name: str
    key: str
    size: int
    line: str
    at: str
    why: str
    """Why it does not believe what the database holds now; empty where it does."""


class CheckpointList(Shape):
    """A page of checkpoints."""

    key: str | None
    cosigners: list[CosignerShape]
    checkpoints: list[CheckpointShape]
    next: int | None


class ProofShape(Shape):
    """That an event is in the ledger, or that the ledger only grew."""

    size: int
    index: int | None
    leaf: str | None
    proof: list[str]
    note: str | None


@audit.get(EVENTS, summary="What was recorded", response_model=EventList)
@declare(_MAY, {503: NO_DATABASE})
async def list_events(
    services: Here,
    action: Annotated[Word, Query(description="Exact, or all that begin so where it ends with a dot: `user.`")] = None,
    actor: Annotated[Word, Query(description="Name of who acted")] = None,
    object: Annotated[Word, Query(description="Id, name or kind of what it was done to")] = None,  # noqa: A002 - the name of the parameter outside
    since: Annotated[Word, Query(description="ISO 8601; this moment or later")] = None,
    until: Annotated[Word, Query(description="ISO 8601; before this moment")] = None,
    after: Annotated[Place, Query(description="`next` of the page before")] = None,
    newest: Annotated[bool, Query(description="The newest first; `before` goes on then, and not `after`")] = False,
    before: Annotated[BeforeRow, Query(description="With `newest`: `next` of the page before")] = None,
    everything: Annotated[
        bool, Query(alias="all", description="With the cluster's own bookkeeping, which `leftOut` names otherwise")
    ] = False,
    limit: Limit = 100,
) -> EventList:
    """The oldest first. `index` is null for a second or so, until the leader has put the event into the signed tree:
    such events come last, and again on the next page. With `newest` they come first, and `next` is null on the last
    page. What people and the product did is always among them: only what the cluster notes for
    itself is left out unless `all` or `action` asks for it."""
    wanted = Wanted(
        action,
        actor,
        object,
        _moment("since", since),
        _moment("until", until),
        after,
        newest,
        limit,
        routine=everything,
    )
    left_out = list(wanted.left_out())
    if newest:
        shown, following = await services.get(SqlLedger).newest_first(wanted, before)
        return EventList(events=[_event(event) for event in shown], next=following, left_out=left_out)
    found = await services.get(SqlLedger).events(wanted)
    placed = [event.index for event in found if event.index is not None]
    return EventList(events=[_event(event) for event in found], next=max(placed, default=after), left_out=left_out)


@audit.get(CHECKPOINTS, summary="Signed sizes of the ledger", response_model=CheckpointList)
@declare(_MAY, {503: NO_DATABASE})
async def list_checkpoints(
    services: Here,
    below: Annotated[Place, Query(description="`next` of the page before")] = None,
    limit: Limit = 100,
) -> CheckpointList:
    """The newest first, each as a C2SP `tlog-checkpoint` note; `key` is the public key that signs them, and `cosigners`
    are the members, with the newest cosignature of each."""
    found = await services.get(SqlLedger).checkpoints(below, limit)
    verifier = await services.get(SigningKeys).verifier()
    return CheckpointList(
        key=None if verifier is None else verifier.text(),
        cosigners=[
            CosignerShape(name=one.name, key=one.key, size=one.size, line=one.line, at=iso_utc_ms(one.at), why=one.why)
            for one in await services.get(SqlCosigners).all()
        ],
        checkpoints=[_checkpoint(one) for one in found],
        next=found[-1].size if len(found) == limit else None,
    )


@audit.get(PROOF, summary="Prove an event, or that the ledger only grew", response_model=ProofShape)
@declare(_MAY, {400: "Neither `index` nor `from`", 404: "There is no such event or size", 503: NO_DATABASE})
async def prove(
    services: Here,
    index: Annotated[Place, Query(description="Of the event: its path to the newest root")] = None,
    from_: Annotated[Place, Query(alias="from", description="The smaller size of a consistency proof")] = None,
    to: Annotated[Place, Query(description="The larger size; the newest when left out")] = None,
) -> ProofShape:
    """The proofs of RFC 6962, sections 2.1.1 and 2.1.2, hashes in base64."""
    ledger = services.get(SqlLedger)
    if index is not None:
        proof = await ledger.proof(index)
        path, leaf = [_text(one) for one in proof.path], _text(proof.leaf)
        return ProofShape(size=proof.signed.size, index=index, leaf=leaf, proof=path, note=proof.signed.note)
    if from_ is None:
        raise InvalidRequestError([FieldFlaw("query", "expected index or from, found neither", "missing")])
    newest = await ledger.newest()
    size = to if to is not None else newest.size if newest is not None else 0
    hashes = [_text(one) for one in await ledger.consistency(from_, size)]
    note = newest.note if newest is not None and newest.size == size else None
    return ProofShape(size=size, index=None, leaf=None, proof=hashes, note=note)


def _moment(name: str, text: str | None) -> WallMs | None:
    try:
        return None if text is None else wall_ms_of(text)
    except TimeInvalid as error:
        raise InvalidRequestError([FieldFlaw(f"query.{name}", str(error), "datetime")]) from None


def _event(event: Event) -> EventShape:
    document = event.document()
    return EventShape(**{**document, "time": iso_utc_ms(document["time"])})


def _checkpoint(one: Signed) -> CheckpointShape:
    return CheckpointShape(
        size=one.size,
        root=_text(one.frontier.root()),
        epoch=one.epoch,
        node=one.node,
        made_at=iso_utc_ms(one.made_at),
        note=one.note,
    )


def _text(hash_: bytes) -> str:
    return base64.b64encode(hash_).decode()
