"""The contract of every machine here: events and time go in, effects come out.

A machine is synchronous and total: it never blocks, never raises on an odd event (it ignores or refuses it), reads no
clock and draws no chance of its own. ``now`` never goes back. Whoever drives it calls :meth:`Machine.poll` no later
than :meth:`Machine.deadline` says, and carries out the effects in order. The same machine runs in the node and in the
simulation.
"""

from collections.abc import Sequence
from typing import Protocol, TypeVar

from rppam.kernel.instant import Instant

Event_contra = TypeVar("Event_contra", contravariant=True)
Effect_co = TypeVar("Effect_co", covariant=True)


class Machine(Protocol[Event_contra, Effect_co]):
    """A pure state machine."""

    def receive(self, event: Event_contra, now: Instant) -> Sequence[Effect_co]:
        """Something happened."""
        ...

    def poll(self, now: Instant) -> Sequence[Effect_co]:
        """Time passed."""
        ...

    def deadline(self) -> Instant:
        """When to be polled next, at the latest."""
        ...
