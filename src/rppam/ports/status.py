"""What the outside may ask of the running node. The REST API knows the node only through this."""

from typing import Protocol

from rppam.domain.health import ClusterSnapshot


class NodeStatus(Protocol):
    """The running node, read-only."""

    def snapshot(self) -> ClusterSnapshot:
        """The cluster as this node sees it now. Never blocks and does no I/O."""
        ...

    def may_lead(self) -> int | None:
        """The epoch this node has permission to lead at, computed at this moment; ``None`` without permission."""
        ...

    def is_alive(self) -> bool:
        """Whether the node's own loop turns; false means: restart me."""
        ...


class FencingToken(Protocol):
    """Proof carried by each guarded write."""

    @property
    def epoch(self) -> int:
        """The epoch of the leadership under which the write is made."""
        ...

    @property
    def boot_id(self) -> str:
        """The life of the process that holds it."""
        ...
