"""IP addresses: what is one, and which of them are taken for one caller."""

from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Final

IPV6_PREFIX: Final = 64
UNKNOWN_ADDRESS: Final = "unknown"


def is_address(host: str) -> bool:
    """Whether ``host`` is an IP address rather than a name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def address_group(client: str) -> str:
    """The address, or the /64 that it lies in, which is its own group. What is no address is one group as well."""
    try:
        address = ip_address(client.partition("%")[0].removesuffix(f"/{IPV6_PREFIX}"))
    except ValueError:
        return UNKNOWN_ADDRESS
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return "::1" if address.is_loopback else str(IPv6Network((int(address), IPV6_PREFIX), strict=False))
    return str(address)
