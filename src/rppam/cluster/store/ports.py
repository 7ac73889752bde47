"""The store as the node needs it: one exchange, and word of the connection.

An exchange has three outcomes: an answer, or :class:`rppam.kernel.errors.RppamError` which means *unknown* to
leadership whatever its kind. Nothing is retried behind the caller's back.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from rppam.cluster.consensus.heartbeat import Heartbeat
from rppam.cluster.consensus.record import Record


class ExchangeOrder(NamedTuple):
    """What one round trip does."""

    expected: Record | None
    proposed: Record | None
    """``None`` only reads."""
    mark: Record
    heartbeat: Heartbeat | None
    """This node's heartbeat; ``None`` publishes nothing and registers nobody."""
    first: tuple[str, ...] = ()
    """Whose heartbeats are read whatever names are listed there: who is known from elsewhere."""


class ExchangeAnswer(NamedTuple):
    """What the store said."""

    granted: bool
    was_absent: bool
    record: Record
    moved_aside: str
    """Empty, or what stood under one of our keys and was not ours; the store keeps it for a day under another name."""
    own_before: Heartbeat | None
    heartbeats: tuple[tuple[str, Heartbeat | None], ...]
    """Every registered member's latest heartbeat; ``None`` where there is none that can be read, or believed."""
    store_wall_ms: int
    unauthenticated: tuple[str, ...] = ()
    """Names under which heartbeats stand that no holder of the cluster key wrote; never any where there is no key."""
    unsealed: tuple[str, ...] = ()
    """Names of nodes whose word on orders no holder of the sealing key wrote; never any where none is asked for."""


class StoreListener(NamedTuple):
    """Whom to tell about the connection. Called in the node's loop, never from another thread."""

    on_up: Callable[[int, str], None]
    """(connection number, server identity)."""
    on_down: Callable[[int, str], None]
    """(connection number, one sentence: why and what to do). Number 0: it never came up."""
    on_release: Callable[[], None]
    """Somebody released the record."""


class LeadershipStore(Protocol):
    """A store with a connection of its own for leadership."""

    async def start(self, listener: StoreListener) -> None:
        """Begin to connect, in the background unless the configuration says to fail at once."""
        ...

    async def stop(self) -> None:
        """Close the connection."""
        ...

    async def exchange(self, order: ExchangeOrder, timeout_ms: int) -> ExchangeAnswer:
        """One round trip, bounded by ``timeout_ms``."""
        ...

    async def unregister(self, nodes: Sequence[str], timeout_ms: int) -> None:
        """Take ``nodes``, which show no life, off the list of registered ones; a living one lists itself again."""
        ...
