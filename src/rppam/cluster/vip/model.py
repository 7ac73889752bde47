"""The address that follows leadership, so that clients keep one, and what a host does with it."""

from ipaddress import IPv4Interface, IPv6Interface, ip_interface
from typing import NamedTuple, Protocol


class VirtualAddress(NamedTuple):
    """An address with its prefix length, and the interface that it comes to."""

    interface: IPv4Interface | IPv6Interface
    """Address and prefix length, such as 10.0.1.50/24."""
    device: str
    """Name of the network interface; empty: the one with an address in the same network."""

    @property
    def text(self) -> str:
        return str(self.interface.ip)

    def __str__(self) -> str:
        return f"{self.interface}{f' on {self.device}' if self.device else ''}"


def virtual_address(text: str, device: str) -> VirtualAddress:
    """Raises ValueError."""
    return VirtualAddress(ip_interface(text), device)


class AddressHolder(Protocol):
    """One virtual address and this host. Everything raises AddressError where the host refuses.

    A call may take the system some milliseconds: it is not for a loop.
    """

    def take(self, life_s: int) -> bool:
        """Have it here for ``life_s`` seconds, after which the host drops it by itself; return whether it is new."""
        ...

    def drop(self) -> bool:
        """Have it here no more; return whether it was. One that this program did not put here stays."""
        ...

    def claimed_by(self) -> str:
        """Which other host of the network has it; empty: none that says so, or it is here already."""
        ...

    def announce(self) -> None:
        """Tell the network that it is here now."""
        ...
