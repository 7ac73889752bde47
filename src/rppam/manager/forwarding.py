"""Which node an order is for: every node takes it, and hands it on where it is for another one.

Whether the caller may give the order is decided here, by this node's gate. What goes on is the order, with the caller's
name; the token stays here. The other node's refusal becomes this one's answer. What only the leader may do and no node
hands on asks :func:`authority_of`.
"""

import asyncio
import logging
from collections.abc import Iterable
from typing import Any, Final

from fastapi import Request

from rppam.cluster.admin.ports import HandedOn, Relay
from rppam.cluster.consensus.heartbeat import Role
from rppam.cluster.health.model import MemberView
from rppam.cluster.health.ports import Authority, NodeStatus
from rppam.foundation import Foundation
from rppam.http.errors import NotLeaderError, RequestError
from rppam.kernel.services import Services
from rppam.manager.schemas import NodeTold, OrderTaken

_LOG: Final = logging.getLogger("rppam.api")
AT_ONCE_MAX: Final = 16
"""Nodes that are asked at the same time."""


def authority_of(services: Services) -> Authority:
    """The leadership under which this node acts, asked for at the moment of acting.

    Should it lapse on the way to the database, the fence there refuses. Raises :class:`NotLeaderError`, which says
    where to go instead.
    """
    authority = services.get(NodeStatus).authority()
    if authority is not None:
        return authority
    snapshot = services.get(NodeStatus).snapshot()
    # A snapshot may still name this node for a moment after its permission lapsed; sending the caller here again
    # would be wrong.
    leader = snapshot.leader if snapshot.leader != services.get(Foundation).node else None
    url = next((member.api_url for member in snapshot.members if member.node == leader), None)
    raise NotLeaderError(services.get(Foundation).node, leader, url)


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
