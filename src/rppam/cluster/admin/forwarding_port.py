"""How a node hands an administrator's order on to the node that it is for: the order itself, and nobody's token.

Whether the caller may give it was decided by the node that was asked. The other one carries it out as it does its own,
and never hands it on itself.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from rppam.cluster.health.report import NodeReport


class HandedOn(NamedTuple):
    """An order as it goes on."""

    node: str
    """Whom it is for."""
    name: str
    """What is ordered, as a method of :class:`rppam.cluster.admin.ports.Administration` is named."""
    arguments: Mapping[str, Any]
    """Of that method; ``by`` among them."""
    request_id: str
    """One id runs through the logs of both nodes."""
    url: str | None = None
    """Where that node is said to answer: shown to people, never called."""


class Relay(Protocol):
    """The way to the other nodes.

    Both raise :class:`~rppam.cluster.admin.errors.NotThisNode` when nothing was sent,
    :class:`~rppam.cluster.admin.errors.NodeSilent` when it is not known what became of it, and other errors of
    ``administration`` for what the other node, or the way to it, says.
    """

    async def hand_on(self, order: HandedOn) -> str:
        """What the node says that it has begun; its refusal is raised as the error that it is."""
        ...

    async def report(self, node: str, request_id: str) -> NodeReport:
        """What the node says of itself now."""
        ...


class OrderWay(Protocol):
    """What carries an order's text to another node, and back its answer's: signed, bounded, in one hop."""

    async def order(self, to: str, body: str, url: str | None) -> str:
        """The answer to ``body``, both JSON. ``url``: where that node is said to answer, for the errors.

        Raises as :class:`Relay`.
        """
        ...
