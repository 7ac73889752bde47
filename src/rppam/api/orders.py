"""An administrator's orders: switchover, maintenance, a pause of failover, forgetting members; and what happened.

Decides only whom the order is for, and has it handed on to that node where it is another one. Whether it makes sense is
decided where the node decides (:class:`rppam.ports.administration.Administration`), which also leaves the line in the
log that says who ordered what.
"""

from collections.abc import Mapping
from typing import Annotated, Final

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from rppam.api.access import Caller
from rppam.api.parts import ApiParts
from rppam.api.relayed import hand_on, may_go_on, was_handed_on
from rppam.api.routes import Parts
from rppam.api.shapes import (
    NODE_NAME,
    ClusterHistory,
    ForgetRequest,
    HistoryEntryShape,
    MaintenanceRequest,
    OrderTaken,
    PauseRequest,
    SwitchoverRequest,
)
from rppam.api.times import iso_utc_ms
from rppam.domain.errors.administration import MemberUnknown, NotThisNode, WitnessTakesNoOrders
from rppam.domain.errors.request import FieldFlaw, InvalidRequestError, NotLeaderError
from rppam.domain.member import Role

HISTORY_PAGE: Final = 100
HISTORY_MAX: Final = 1_000
_NEXT: Final = SwitchoverRequest()
orders = APIRouter(tags=["orders"])
NamedNode = Annotated[str, Path(alias="nodeName", pattern=NODE_NAME)]


@orders.post("/api/v1/admin/cluster/switchover", summary="Let another node lead", response_model=OrderTaken)
async def switch_over(
    request: Request, caller: Caller, parts: Parts, body: SwitchoverRequest = _NEXT
) -> OrderTaken | JSONResponse:
    """Any node takes it and hands it on to the leader, which releases and invites its successor; that one leads within
    some tens of milliseconds."""
    try:
        return _taken(await parts.administration.switch_over(body.target, caller.subject), parts)
    except NotLeaderError as error:
        return await _for_the_leader(error, request, body, parts)


@orders.put(
    "/api/v1/admin/nodes/{nodeName}/maintenance", summary="Maintenance of a node, on or off", response_model=OrderTaken
)
async def set_maintenance(
    node: NamedNode, body: MaintenanceRequest, request: Request, caller: Caller, parts: Parts
) -> OrderTaken | JSONResponse:
    """A node in maintenance votes and answers reads, gives up leadership and does not stand, over restarts too. Any
    node takes the order and hands it on to the one it is for."""
    if node == parts.node:
        return _taken(await parts.administration.set_maintenance(body.maintenance, caller.subject), parts)
    url = _elsewhere(node, parts, handed_on=was_handed_on(request))
    if not may_go_on(request, node, url, parts):
        raise NotThisNode(
            f"the order is for {node}, and {parts.node} sends nobody's token to {url}: only Redis says that {node} is "
            "there, the member link does not reach it on that host",
            node,
            url,
        )
    return await hand_on(request, body.model_dump(by_alias=True), node, url, parts)


@orders.put("/api/v1/admin/cluster/pause", summary="Pause or resume automatic failover", response_model=OrderTaken)
async def pause(body: PauseRequest, caller: Caller, parts: Parts) -> OrderTaken:
    """Any node takes it and tells the others through Redis; while Redis is away, send it to each node."""
    return _taken(await parts.administration.pause(body.paused, caller.subject), parts)


@orders.post("/api/v1/admin/cluster/forget", summary="Remove members", response_model=OrderTaken)
async def forget(body: ForgetRequest, request: Request, caller: Caller, parts: Parts) -> OrderTaken | JSONResponse:
    """Any node takes it and hands it on to the leader, which removes one member in two safe steps; with `force` the
    asked node does it itself, for a majority lost for good."""
    if body.force:
        back = [*body.back, *(f"{name}*" for name in body.back_witnesses)]
        return _taken(await parts.administration.force_forget(body.members, caller.subject, back), parts)
    if len(body.members) > 1:
        raise InvalidRequestError([FieldFlaw("body.members", "one member at a time, unless force is set", "too_long")])
    try:
        said = await parts.administration.forget(body.members[0], is_off=body.is_off, by=caller.subject)
    except NotLeaderError as error:
        return await _for_the_leader(error, request, body, parts)
    return _taken(said, parts)


@orders.get("/api/v1/admin/cluster/history", summary="What happened", response_model=ClusterHistory)
async def history(parts: Parts, limit: Annotated[int, Query(ge=1, le=HISTORY_MAX)] = HISTORY_PAGE) -> ClusterHistory:
    """The newest entries of the asked node's history: who led when, why not, and what was ordered. Needs no database
    and no Redis."""
    past = await parts.history.last(limit)
    return ClusterHistory(
        node=parts.node,
        entries=[
            HistoryEntryShape(
                time=iso_utc_ms(entry.at), event=entry.event, sentence=entry.sentence, facts=_simple(entry.facts)
            )
            for entry in past.entries
        ],
        unreadable=past.unreadable,
    )


async def _for_the_leader(
    error: NotLeaderError, request: Request, body: BaseModel, parts: ApiParts
) -> OrderTaken | JSONResponse:
    """What the leader answers; raises ``error`` where the order may not be handed on to one."""
    leader, url = error.leader, error.leader_url
    if leader is None or not url or not may_go_on(request, leader, url, parts):
        raise error
    return await hand_on(request, body.model_dump(by_alias=True), leader, url, parts)


def _simple(facts: Mapping[str, object]) -> dict[str, str | int | bool | None]:
    """As they were written; what another program put there is shown as text."""
    return {
        name: value if value is None or isinstance(value, str | bool | int) else str(value)
        for name, value in facts.items()
    }


def _taken(said: str, parts: ApiParts) -> OrderTaken:
    return OrderTaken(said=said, node=parts.node)


def _elsewhere(node: str, parts: ApiParts, *, handed_on: bool) -> str:
    """Where ``node`` answers. Raises :class:`MemberUnknown`, :class:`WitnessTakesNoOrders`, :class:`NotThisNode`."""
    member = next((one for one in parts.status.snapshot().members if one.node == node), None)
    if member is None:
        raise MemberUnknown(f"no node named {node} is known to {parts.node}")
    if member.role is Role.WITNESS:
        raise WitnessTakesNoOrders(
            f"{node} is a witness: it votes, never leads, and has no REST API, so maintenance means nothing to it"
        )
    if not member.api_url:
        raise NotThisNode(
            f"the order is for {node}, whose address is not known to {parts.node}; see that it runs, and send it there",
            node,
            None,
        )
    if handed_on:
        raise NotThisNode(
            f"the order is for {node} and was handed on to {parts.node}: node.advertiseUrl of one of them leads to the "
            "other",
            node,
            member.api_url,
        )
    return member.api_url
