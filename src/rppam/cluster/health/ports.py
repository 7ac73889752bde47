"""What the outside may ask of the running node. The REST API knows the node only through this."""

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:  # the supervisor needs the authority alone, and stays small
    from rppam.cluster.health.model import ClusterSnapshot


class Authority(NamedTuple):
    """Under which leadership something is done: what each guarded write carries."""

    epoch: int
    boot_id: str
    """The life of the control process that leads."""


class NodeStatus(Protocol):
    """The running node, read-only."""

    def snapshot(self) -> "ClusterSnapshot":
        """The cluster as this node sees it now. Never blocks and does no I/O."""
        ...

    def may_lead(self) -> int | None:
        """The epoch this node has permission to lead at, computed at this moment; ``None`` without permission."""
        ...

    def authority(self) -> Authority | None:
        """The same as :meth:`may_lead`, with the boot id that belongs to the epoch: for a guarded write."""
        ...

    def is_alive(self) -> bool:
        """Whether the node's own loop turns; false means: restart me."""
        ...
