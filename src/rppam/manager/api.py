"""An administrator's orders: switchover, maintenance, a pause of failover, forgetting members; and what happened.

Decides only whom the order is for, and has it handed on to that node where it is another one: the order, never the
token. Whether it makes sense is decided where the node decides (:class:`rppam.cluster.admin.ports.Administration`),
which also leaves the line in the log that says who ordered what.
"""

import asyncio
from collections.abc import Mapping
from typing import Annotated, Final

from fastapi import APIRouter, Path, Query, Request
from msgspec.structs import asdict

from rppam.access.rbac.policy import Caller
from rppam.cluster.admin.errors import MemberUnknown, WitnessTakesNoOrders
from rppam.cluster.admin.ports import Administration, Relay
from rppam.cluster.consensus.heartbeat import Role
from rppam.cluster.health.model import MemberView, NodeReport, report_of
from rppam.cluster.health.ports import NodeStatus
from rppam.cluster.history.recorder import History
from rppam.foundation import Foundation
from rppam.http.answers import BODY, HANDED_ON, NOT_AT_THE_LEADER
from rppam.http.errors import FieldFlaw, InvalidRequestError, NotLeaderError, RequestError
from rppam.http.routes import ADMIN, declare
from rppam.http.services import Here
from rppam.http.times import iso_utc_ms
from rppam.kernel.services import Services
from rppam.ledger.acts import Act, recorded
from rppam.ledger.model import Entity
from rppam.manager.forwarding import at_the_leader, hand_on, hand_on_to_all, other_nodes
from rppam.manager.schemas import (
    NODE_NAME,
    ClusterHistory,
    ForgetRequest,
    HistoryEntryShape,
    MaintenanceRequest,
    NodeReports,
    NodeReportShape,
    OrderTaken,
    PauseRequest,
    PauseTaken,
    SwitchoverRequest,
)

HISTORY_PAGE: Final = 100
HISTORY_MAX: Final = 1_000
_NO_CONTROL: Final = "The control process of the node did not answer, or too many orders are under way (RPPAM-5321)"
_WHOLE: Final = "it is on or off, and the request says which"
_NOT_KEPT: Final = "The control process did not answer, or the order could not be kept on disk"
_NEXT: Final = SwitchoverRequest()
orders = APIRouter(tags=["orders"])
NamedNode = Annotated[str, Path(alias="nodeName", pattern=NODE_NAME)]


@orders.post("/api/v1/admin/cluster/switchover", summary="Let another node lead", response_model=OrderTaken)
@declare(
    ADMIN,
    {
        **BODY,
        **HANDED_ON,
        404: "The target is no member",
        409: "The target leads already or cannot lead, or no other node could",
        421: "There is no leader to hand it on to, or it leads no more; `leader` and `leaderUrl` say who does",
        503: _NO_CONTROL,
    },
)
@recorded(lambda given: Act("leader.transfer", Entity("node", given["body"].target or "", given["body"].target or "")))
async def switch_over(request: Request, caller: Caller, services: Here, body: SwitchoverRequest = _NEXT) -> OrderTaken:
    """Any node takes it and hands it on to the leader, which releases and invites its successor; that one leads within
    some tens of milliseconds."""
    try:
        return _taken(await services.get(Administration).switch_over(body.target, caller.subject), services)
    except NotLeaderError as error:
        return await at_the_leader(error, request, services, "switch_over", to=body.target, by=caller.subject)


@orders.put(
    "/api/v1/admin/nodes/{nodeName}/maintenance", summary="Maintenance of a node, on or off", response_model=OrderTaken
)
@declare(
    ADMIN,
    {
        **BODY,
        **HANDED_ON,
        404: "No node has this name",
        409: "The node leads, and no other node could; or it is a witness (RPPAM-5216)",
        421: "It could not be handed on to the named node; `detail` says why, `nodeUrl` where that one answers",
        503: _NOT_KEPT,
    },
    unconditional=_WHOLE,
)
@recorded(
    lambda given: Act(
        "node.maintain" if given["body"].maintenance else "node.resume", Entity("node", given["node"], given["node"])
    )
)
async def set_maintenance(
    node: NamedNode, body: MaintenanceRequest, request: Request, caller: Caller, services: Here
) -> OrderTaken:
    """A node in maintenance votes and answers reads, gives up leadership and does not stand, over restarts too. Any
    node takes the order and hands it on to the one it is for."""
    if node == services.get(Foundation).node:
        return _taken(await services.get(Administration).set_maintenance(body.maintenance, caller.subject), services)
    _check_takes_orders(node, services)
    return await hand_on(request, services, node, "set_maintenance", on=body.maintenance, by=caller.subject)


@orders.put("/api/v1/admin/cluster/pause", summary="Pause or resume automatic failover", response_model=PauseTaken)
@declare(ADMIN, {**BODY, 503: _NOT_KEPT}, unconditional=_WHOLE)
@recorded(lambda given: Act("cluster.pause" if given["body"].paused else "cluster.resume"))
async def pause(body: PauseRequest, request: Request, caller: Caller, services: Here) -> PauseTaken:
    """Any node takes it and tells the others over the member link, and those out of reach through Redis. `others` says
    which were told directly; while Redis is away, send it to those that were not."""
    said = await services.get(Administration).pause(body.paused, caller.subject)
    others = await hand_on_to_all(request, services, "pause", on=body.paused, by=caller.subject)
    return PauseTaken(said=said, node=services.get(Foundation).node, others=others)


@orders.post("/api/v1/admin/cluster/forget", summary="Remove members", response_model=OrderTaken)
@declare(
    ADMIN,
    {
        **BODY,
        **HANDED_ON,
        404: "It is no member",
        409: "It runs, or must be stated off, or another change is under way; with force: there is a leader",
        421: NOT_AT_THE_LEADER,
        503: _NO_CONTROL,
    },
)
@recorded(lambda given: Act("member.remove", details=given["body"].model_dump(by_alias=True)))
async def forget(body: ForgetRequest, request: Request, caller: Caller, services: Here) -> OrderTaken:
    """Any node takes it and hands it on to the leader, which removes one member in two safe steps; with `force` the
    asked node does it itself, for a majority lost for good."""
    if body.force:
        back = [*body.back, *(f"{name}*" for name in body.back_witnesses)]
        return _taken(await services.get(Administration).force_forget(body.members, caller.subject, back), services)
    if len(body.members) > 1:
        raise InvalidRequestError([FieldFlaw("body.members", "one member at a time, unless force is set", "too_long")])
    (member,) = body.members
    try:
        return _taken(
            await services.get(Administration).forget(member, is_off=body.is_off, by=caller.subject), services
        )
    except NotLeaderError as error:
        order = {"member": member, "is_off": body.is_off, "by": caller.subject}
        return await at_the_leader(error, request, services, "forget", **order)


@orders.get("/api/v1/admin/nodes", summary="What each node says of itself", response_model=NodeReports)
@declare(ADMIN)
async def nodes(request: Request, services: Here) -> NodeReports:
    """The asked node asks every other one over the member link, so it is their own word and not what stands in Redis.
    A node that gave no answer is listed with the reason."""
    request_id: str = request.state.request_id

    async def ask(member: MemberView) -> NodeReportShape:
        try:
            return _reported(await services.get(Relay).report(member.node, request_id))
        except RequestError as error:
            return NodeReportShape(node_name=member.node, answered=False, reason=str(error))

    own = _reported(report_of(services.get(NodeStatus).snapshot()))
    found = await asyncio.gather(*(ask(member) for member in other_nodes(services)))
    return NodeReports(answered_by=services.get(Foundation).node, nodes=[own, *found])


@orders.get("/api/v1/admin/cluster/history", summary="What happened", response_model=ClusterHistory)
@declare(ADMIN)
async def history(services: Here, limit: Annotated[int, Query(ge=1, le=HISTORY_MAX)] = HISTORY_PAGE) -> ClusterHistory:
    """The newest entries of the asked node's history: who led when, why not, and what was ordered. Needs no database
    and no Redis."""
    past = await services.get(History).last(limit)
    return ClusterHistory(
        node=services.get(Foundation).node,
        entries=[
            HistoryEntryShape(
                time=iso_utc_ms(entry.at), event=entry.event, sentence=entry.sentence, facts=_simple(entry.facts)
            )
            for entry in past.entries
        ],
        unreadable=past.unreadable,
    )


def _simple(facts: Mapping[str, object]) -> dict[str, str | int | bool | None]:
    """As they were written; what another program put there is shown as text."""
    return {
        name: value if value is None or isinstance(value, str | bool | int) else str(value)
        for name, value in facts.items()
    }


def _taken(said: str, services: Services) -> OrderTaken:
    return OrderTaken(said=said, node=services.get(Foundation).node)


def _check_takes_orders(node: str, services: Services) -> None:
    """Raises :class:`MemberUnknown`, :class:`WitnessTakesNoOrders`."""
    member = next((one for one in services.get(NodeStatus).snapshot().members if one.node == node), None)
    if member is None:
        raise MemberUnknown(f"no node named {node} is known to {services.get(Foundation).node}")
    if member.role is Role.WITNESS:
        raise WitnessTakesNoOrders(
            f"{node} is a witness: it votes, never leads, and has no REST API, so maintenance means nothing to it"
        )


def _reported(report: NodeReport) -> NodeReportShape:
    said = asdict(report)
    node, leader, healthy, warned = (said.pop(name) for name in ("node", "leader", "healthy", "warnings"))
    return NodeReportShape(
        node_name=node,
        leader_node=leader,
        cluster_healthy=healthy,
        answered=True,
        reason="",
        warnings=list(warned),
        **said,
    )
