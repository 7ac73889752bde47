"""What an administrator may order a node to do, and how a node hands an order on. Plain words in and out.

Each order answers one sentence that says what was begun, for people and for the log; what it leads to shows in the
node's health. An order that is handed on carries nobody's token: the node that was asked decided whether the caller may
give it. The other one carries it out as it does its own, and never hands it on itself.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from rppam.cluster.health.model import NodeReport


class Administration(Protocol):
    """One node, as its administrator has it. ``by`` is who orders, for the log and for the other nodes.

    Raises AdministrationError, or NotLeaderError where only the leader can do it.
    """

    async def switch_over(self, to: str | None, by: str) -> str:
        """The leader releases and invites ``to``, or else the first in the order of succession, to lead."""
        ...

    async def set_maintenance(self, on: bool, by: str) -> str:
        """This node gives up leadership and does not stand until maintenance ends, over restarts too."""
        ...

    async def pause(self, on: bool, by: str) -> str:
        """No node takes over by itself until failover is resumed; every node comes to know."""
        ...

    async def forget(self, member: str, *, is_off: bool, by: str) -> str:
        """The leader removes ``member``. ``is_off``: the administrator states that it is switched off for good."""
        ...

    async def fail(self, fault: str, seconds: int, by: str) -> str:
        """The leader has ``fault`` happen to its node, for so long; see :mod:`rppam.cluster.admin.faults`."""
        ...

    async def fencing_token(self, purpose: str, by: str) -> str:
        """The leader's epoch and boot id, as two words: another node writes ``purpose`` under them for ``by``.

        They are what each guarded write of its own carries. A newer leader's are not refused by the fence; these are,
        once it has written.
        """
        ...

    async def try_settings(self, values: Mapping[str, Any], by: str) -> str:
        """This node sees whether it could go by ``values``, by the names of their settings; it changes nothing."""
        ...

    async def force_forget(self, members: Sequence[str], by: str, back: Sequence[str] = ()) -> str:
        """This node removes ``members`` by the administrator's word alone: they are lost for good, with a majority.

        ``back``: members to take in again, where a list was taken over that nobody of the cluster made; a witness's
        name with a ``*``.
        """
        ...


class HandedOn(NamedTuple):
    """An order for another node."""

    node: str
    """Whom it is for."""
    name: str
    """What is ordered, as a method of ``Administration`` is named."""
    arguments: Mapping[str, Any]
    """Of that method; ``by`` among them."""
    request_id: str
    """One id runs through the logs of both nodes."""
    url: str | None = None
    """Where that node is said to answer: shown to people, never called."""


class Relay(Protocol):
    """The way to the other nodes.

    Both raise NotThisNode when nothing was sent, NodeSilent when it is not known what became of it, and other errors of
    administration for what the other node, or the way to it, says.
    """

    async def hand_on(self, order: HandedOn) -> str:
        """Return what the node says that it has begun; its refusal is raised as the error that it is."""
        ...

    async def report(self, node: str, request_id: str) -> NodeReport:
        """Return what the node says of itself now."""
        ...
