"""Legal holds and erasure over REST. ``security_admin`` and ``pam_admin`` order them; ``pam_auditor`` sees them."""

from typing import Annotated, Final

from fastapi import APIRouter, Path
from pydantic import Field

from rppam.access.accounts.api import PRINTABLE
from rppam.access.accounts.model import AccountRole
from rppam.access.rbac.policy import Caller
from rppam.audit.retention_store import Hold, SqlRetention
from rppam.http.answers import BODY, NO_DATABASE
from rppam.http.routes import declare, for_roles
from rppam.http.schemas import Shape
from rppam.http.services import Here
from rppam.http.times import iso_utc

HOLDS: Final = "/api/v1/audit/holds"
ERASURES: Final = "/api/v1/audit/erasures"
retention = APIRouter(tags=["audit"])
_ORDERS: Final = for_roles(AccountRole.SECURITY_ADMIN)
_SEES: Final = for_roles(AccountRole.AUDITOR, AccountRole.SECURITY_ADMIN)
Reason = Annotated[str, Field(min_length=1, max_length=1_000)]
HoldId = Annotated[str, Path(alias="holdId", pattern="^[0-9a-f-]{36}$")]


class NewHold(Shape):
    """A legal hold."""

    name: Annotated[str, Field(max_length=256, pattern=PRINTABLE)] = ""
    """A name or an address that is not forgotten; empty: nothing is."""
    reason: Reason


class HoldShape(Shape):
    """A legal hold that stands."""

    id: str
    name: str
    reason: str
    by: str
    made_at: str


class HoldList(Shape):
    """All that stand, the oldest first."""

    items: list[HoldShape]


class Lifted(Shape):
    """Why a hold is lifted."""

    reason: Reason


class NewErasure(Shape):
    """A name or an address that the ledger shall forget."""

    name: Annotated[str, Field(min_length=1, max_length=256, pattern=PRINTABLE)]
    reason: Reason


class Erased(Shape):
    """What became of it."""

    words: int
    """In how many places it stood."""


@retention.get(HOLDS, summary="Legal holds", response_model=HoldList)
@declare(_SEES, {503: NO_DATABASE})
async def list_holds(services: Here) -> HoldList:
    """Those that stand. Those that were lifted are in the ledger."""
    return HoldList(items=[_shape(one) for one in await services.get(SqlRetention).holds()])


@retention.post(HOLDS, summary="Forget nothing of a name", status_code=201, response_model=HoldShape)
@declare(_ORDERS, {**BODY, 503: NO_DATABASE})
async def hold(body: NewHold, caller: Caller, services: Here) -> HoldShape:
    """While it stands neither age nor an order erases the name."""
    store = services.get(SqlRetention)
    ident = await store.hold(body.name, body.reason, caller.subject)
    return next(_shape(one) for one in await store.holds() if one.id == ident)


@retention.post(f"{HOLDS}/{{holdId}}/release", summary="Lift a legal hold", status_code=204)
@declare(_ORDERS, {**BODY, 404: "No hold has this id", 503: NO_DATABASE})
async def release(hold_id: HoldId, body: Lifted, services: Here) -> None:
    """What it held back is forgotten with the next round, where its time is over."""
    await services.get(SqlRetention).release(hold_id, body.reason)


@retention.post(ERASURES, summary="Erase a name from the ledger", response_model=Erased)
@declare(_ORDERS, {**BODY, 409: "A legal hold stands on it, or an account of this name exists", 503: NO_DATABASE})
async def erase(body: NewErasure, services: Here) -> Erased:
    """Events stay, and so does every proof; who it was cannot be told any more."""
    return Erased(words=await services.get(SqlRetention).erase(body.name, body.reason))


def _shape(one: Hold) -> HoldShape:
    return HoldShape(id=one.id, name=one.name, reason=one.reason, by=one.by, made_at=iso_utc(one.made_at))
