"""Which node an order is for: every node takes it, and hands it on where it is for another one.

Whether the caller may give the order is decided here, by this node's gate. What goes on is the order, with the caller's
name; the token stays here. The other node's refusal becomes this one's answer. A write that only the leader may make is
made here, under the epoch that it lends: :func:`leadership_of`.
"""

import asyncio
import logging
from collections.abc import Iterable
from typing import Any, Final

from fastapi import Request

from rppam.cluster.admin.errors import NotThisNode, OtherNodeError
from rppam.cluster.admin.ports import HandedOn, Relay
from rppam.cluster.consensus.heartbeat import Role
from rppam.cluster.health.model import MemberView
from rppam.cluster.health.ports import Authority, Leadership, NodeStatus
from rppam.foundation import Foundation
from rppam.http.errors import NotLeaderError, RequestError
from rppam.kernel.services import Services
from rppam.manager.schemas import NodeTold, OrderTaken

_LOG: Final = logging.getLogger("rppam.api")
AT_ONCE_MAX: Final = 16
"""Nodes that are asked at the same time."""


async def leadership_of(request: Request, services: Services, by: str) -> Leadership:
    """Whose authority a guarded write of this request carries, asked for at the moment of acting.

    This node's, where it leads; else the leader's, which lends it over the member link. Should it lapse on the way to
    the database, the fence there refuses, whoever writes. Raises :class:`NotLeaderError`, which says where to go
    instead, where there is no leader or none can be asked.
    """
    node, snapshot = services.get(Foundation).node, services.get(NodeStatus).snapshot()
    authority = services.get(NodeStatus).authority()
    if authority is not None:
        return Leadership(node, authority)
    # A snapshot may still name this node for a moment after its permission lapsed; sending the caller here again
    # would be wrong.
    leader = snapshot.leader if snapshot.leader != node else None
    url = next((member.api_url for member in snapshot.members if member.node == leader), None)
    error = NotLeaderError(node, leader, url)
    try:
        purpose = f"{request.method} {request.url.path}"
        lent = await at_the_leader(error, request, services, "fencing_token", purpose=purpose, by=by)
        epoch, boot_id = lent.said.split()
        return Leadership(lent.node, Authority(int(epoch), boot_id))
    except (OtherNodeError, ValueError) as why:  # nothing is written yet, so nothing is unknown
        _LOG.info("%s lends its epoch not: %s (request %s)", leader, why, request.state.request_id)
        raise error from why


async def at_the_leader(
    error: NotLeaderError, request: Request, services: Services, name: str, **arguments: Any
) -> OrderTaken:
    """What the leader answers; raises ``error`` where no leader is known, or none can be reached."""
    if error.leader is None or error.leader == services.get(Foundation).node:
        raise error
    try:
        return await hand_on(request, services, error.leader, name, **arguments)
    except NotThisNode as why:
        _LOG.info("%s goes nowhere: %s (request %s)", request.url.path, why, request.state.request_id)
        raise error from why


async def hand_on(request: Request, services: Services, node: str, name: str, **arguments: Any) -> OrderTaken:
    """Have ``node`` carry out the order. Raises as :meth:`rppam.cluster.admin.ports.Relay.hand_on`."""
    request_id: str = request.state.request_id
    _LOG.info("%s is for %s and goes on to it (request %s)", request.url.path, node, request_id)
    order = HandedOn(node, name, arguments, request_id, _shown_url(services, node))
    return OrderTaken(said=await services.get(Relay).hand_on(order), node=node)


async def hand_on_to_all(request: Request, services: Services, name: str, **arguments: Any) -> list[NodeTold]:
    """Have every other node carry out the order; what each said, or why it was not reached."""
    turns = asyncio.Semaphore(AT_ONCE_MAX)

    async def tell(member: MemberView) -> NodeTold:
        async with turns:
            try:
                taken = await hand_on(request, services, member.node, name, **arguments)
            except RequestError as error:
                return NodeTold(node=member.node, told=False, said=str(error), code=error.row.code)
            return NodeTold(node=member.node, told=True, said=taken.said, code=None)

    return list(await asyncio.gather(*(tell(member) for member in other_nodes(services))))


def other_nodes(services: Services) -> Iterable[MemberView]:
    """All other nodes that can take orders."""
    members = services.get(NodeStatus).snapshot().members
    return [
        member for member in members if member.node != services.get(Foundation).node and member.role is not Role.WITNESS
    ]


def _shown_url(services: Services, node: str) -> str | None:
    """Where the node is said to answer: for people."""
    found = (member.api_url for member in services.get(NodeStatus).snapshot().members if member.node == node)
    return next(found, None) or None
