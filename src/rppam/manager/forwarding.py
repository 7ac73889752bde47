"""Orders that are for another node than the one that was asked: every node takes them, and hands them on.

Whether the caller may give the order is decided here, by this node's gate. What goes on is the order, with the caller's
name; the token stays here. The other node's refusal is this one's answer, as the error that it is.
"""

import asyncio
import logging
from collections.abc import Iterable
from typing import Any, Final

from fastapi import Request

from rppam.cluster.admin.ports import HandedOn, Relay
from rppam.cluster.consensus.heartbeat import Role
from rppam.cluster.health.model import MemberView
from rppam.cluster.health.ports import NodeStatus
from rppam.foundation import Foundation
from rppam.http.errors import RequestError
from rppam.kernel.services import Services
from rppam.manager.schemas import NodeTold, OrderTaken

_LOG: Final = logging.getLogger("rppam.api")
AT_ONCE_MAX: Final = 16
"""So many nodes are asked at the same time."""


async def hand_on(request: Request, services: Services, node: str, name: str, **arguments: Any) -> OrderTaken:
    """Have ``node`` carry out the order. Raises as :meth:`rppam.cluster.admin.ports.Relay.hand_on`."""
    request_id: str = request.state.request_id
    _LOG.info("%s is for %s and goes on to it (request %s)", request.url.path, node, request_id)
    order = HandedOn(node, name, arguments, request_id, _shown_url(services, node))
    return OrderTaken(said=await services.get(Relay).hand_on(order), node=node)


async def hand_on_to_all(request: Request, services: Services, name: str, **arguments: Any) -> list[NodeTold]:
    """Have every other node carry out the order, each for itself; what each said, or why it was not told."""
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
    """All that can take orders, but this one."""
    members = services.get(NodeStatus).snapshot().members
    return [
        member for member in members if member.node != services.get(Foundation).node and member.role is not Role.WITNESS
    ]


def _shown_url(services: Services, node: str) -> str | None:
    """Where it is said to answer: for people."""
    found = (member.api_url for member in services.get(NodeStatus).snapshot().members if member.node == node)
    return next(found, None) or None
