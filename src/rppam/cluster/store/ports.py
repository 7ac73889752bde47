"""The places outside that leadership needs: the store with its one exchange, and the database with the highest epoch.

A call has three outcomes: yes, no, or *unknown* to leadership, which is what every error of the store and no answer of
the database in time mean. Nothing is retried behind the caller's back.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from rppam.cluster.consensus.heartbeat import Heartbeat
from rppam.cluster.consensus.record import Record
from rppam.kernel.fence import Claimed, Fenced


class ExchangeOrder(NamedTuple):
    """What one round trip does."""

    expected: Record | None
    proposed: Record | None
    """``None`` only reads."""
    mark: Record
    heartbeat: Heartbeat | None
    """This node's heartbeat; ``None`` publishes nothing and registers nobody."""
    first: tuple[str, ...] = ()
    """Names known from elsewhere, whose heartbeats are read whatever names are listed there."""


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
    """Hears of the connection. Called in the node's loop, never from another thread."""

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

    async def stop(self) -> None: ...

    async def exchange(self, order: ExchangeOrder, timeout_ms: int) -> ExchangeAnswer:
        """Make one round trip. Raises an RppamError."""
        ...

    async def unregister(self, nodes: Sequence[str], timeout_ms: int) -> None:
        """Take ``nodes``, which show no life, off the list of registered ones; a living one lists itself again."""
        ...


class EpochRegister(Protocol):
    """The highest epoch, where Redis cannot forget it: the cluster's database. Raises nothing when it is away."""

    async def newest(self, timeout_ms: int) -> Claimed | None:
        """Return the highest epoch ever accepted here (0 when none) and who claimed it; ``None`` without an answer."""
        ...

    async def claim(self, epoch: int, node: str, boot_id: str, timeout_ms: int) -> Fenced:
        """Record that ``node`` leads at ``epoch``: accepts a higher epoch, or an equal one from the same boot id."""
        ...
