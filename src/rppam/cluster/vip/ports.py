"""The address that follows leadership, on this host. A call may take the system some milliseconds: not for a loop."""

from typing import Protocol


class AddressHolder(Protocol):
    """One virtual address and this host. Everything raises
    :class:`~rppam.cluster.vip.errors.AddressError` where the host does not let us."""

    def take(self, life_s: int) -> bool:
        """Have it here for ``life_s`` seconds from now, after which the host takes it away by itself. Whether it is
        new here."""
        ...

    def drop(self) -> bool:
        """Have it here no more. Whether it was. One that this program did not put here stays."""
        ...

    def announce(self) -> None:
        """Tell the network that it is here now."""
        ...
