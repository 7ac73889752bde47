"""What an administrator may order a node to do. Plain words in and out: an order may travel to another process.

Each method answers one sentence that says what was begun, for people and for the log. What it leads to shows in the
node's health. Raises :class:`~rppam.cluster.admin.errors.AdministrationError`, or
:class:`~rppam.http.errors.NotLeaderError` where only the leader can do it.
"""

from collections.abc import Sequence
from typing import Protocol


class Administration(Protocol):
    """One node, as its administrator has it. ``by`` is who orders, for the log and for the other nodes."""

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

    async def force_forget(self, members: Sequence[str], by: str, back: Sequence[str] = ()) -> str:
        """This node removes ``members`` by the administrator's word alone: they are lost for good, with a majority.

        ``back``: who is a member again, where a list was taken over that nobody of the cluster made; a witness's name
        with a ``*``.
        """
        ...
