"""What may be asked of the running node. The REST API knows the node only through this."""

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:  # the supervisor needs the authority alone, and stays small
    from rppam.cluster.health.model import ClusterSnapshot


class Authority(NamedTuple):
    """Under which leadership something is done: what each guarded write carries."""

    epoch: int
    boot_id: str
    """The life of the control process that leads."""


class Leadership(NamedTuple):
    """Whose authority a guarded write carries: this node's own, or what the leader has lent it."""

    node: str
    authority: Authority


class NodeStatus(Protocol):
    """The running node, read-only."""

    def snapshot(self) -> "ClusterSnapshot":
        """Return the cluster as this node sees it now. Never blocks and does no I/O."""
        ...

    def may_lead(self) -> int | None:
        """Return the epoch that this node may lead at, computed at this moment; ``None`` without permission."""
        ...

    def authority(self) -> Authority | None:
        """Return the same, with the boot id that belongs to the epoch: for a guarded write."""
        ...

    def is_alive(self) -> bool:
        """Return whether the node's own loop turns; False means: restart me."""
        ...
