"""The address that follows leadership: clients keep one, whoever leads."""

from ipaddress import IPv4Interface, IPv6Interface, ip_interface
from typing import NamedTuple


class VirtualAddress(NamedTuple):
    """An address with its prefix length, and the interface that it comes to."""

    interface: IPv4Interface | IPv6Interface
    """Address and prefix length, such as 10.0.1.50/24."""
    device: str
    """Name of the network interface; empty: the one with an address in the same network."""

    @property
    def text(self) -> str:
        """The address alone."""
        return str(self.interface.ip)

    def __str__(self) -> str:
        return f"{self.interface}{f' on {self.device}' if self.device else ''}"


def virtual_address(text: str, device: str) -> VirtualAddress:
    """Of what the settings say. Raises ``ValueError``."""
    return VirtualAddress(ip_interface(text), device)
