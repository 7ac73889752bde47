"""Whose connection it is behind a load balancer: the PROXY protocol, version 2, in front of SSH, TLS or HTTP.

Decides the address that log, limits, lockouts, the register and the ledger speak of. It is read from trusted balancers
alone, and from them it has to come: a balancer that sends none would have everybody come from one address. From anybody
else the same bytes are neither SSH nor HTTP. What it does not promise: that the address is right where the balancer
takes its word from somebody else.

Source: The PROXY protocol, versions 1 and 2, section 2.2 (haproxy.org).
"""

import asyncio
import socket
import struct
from collections.abc import Sequence
from ipaddress import ip_address, ip_network
from typing import Final

from rppam.kernel.network import unmapped

PROXY: Final = "PROXY"
"""What a config calls it, where it could be a header of HTTP as well."""
SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
HEAD_BYTES: Final = 16
MORE_BYTES_MAX: Final = 536
"""Of addresses and what a balancer adds to them; no honest one adds more."""
WITHIN_S: Final = 5.0
_LOCAL, _PROXY = 0x20, 0x21
_TCP4, _TCP6 = 0x11, 0x21
_SIZES: Final = {_TCP4: 12, _TCP6: 36}


class ProxyHeaderError(ValueError):
    """A trusted balancer did not begin as it should."""


class Balancers:
    """Those that are trusted."""

    def __init__(self, trusted: Sequence[str]) -> None:
        """``trusted``: their networks."""
        self._networks = tuple(ip_network(one) for one in trusted)

    def has(self, peer: str) -> bool:
        """Whether connections from ``peer`` begin with whose they are."""
        if not self._networks:
            return False
        address = unmapped(ip_address(peer.partition("%")[0]))
        return any(address in network for network in self._networks)


async def client_of(plug: socket.socket, peer: str) -> str:
    """The address of the client whose connection a balancer has just handed on; ``peer`` itself for the balancer's own
    looks. Reads the header and no byte more. Raises :class:`ProxyHeaderError`, OSError."""
    try:
        async with asyncio.timeout(WITHIN_S):
            head = await _exactly(plug, HEAD_BYTES)
            size = size_of(head)
            return address_of(head, await _exactly(plug, size), peer)
    except TimeoutError:
        raise ProxyHeaderError(f"it said nothing within {WITHIN_S:g} s") from None


def size_of(head: bytes) -> int:
    """How many bytes follow the head. Raises :class:`ProxyHeaderError`."""
    if not head.startswith(SIGNATURE):
        raise ProxyHeaderError("expected a header of the PROXY protocol, version 2, found something else")
    kind, _, size = struct.unpack_from(">BBH", head, len(SIGNATURE))
    if kind not in {_LOCAL, _PROXY}:
        raise ProxyHeaderError(f"expected the command LOCAL or PROXY of version 2, found {kind:#04x}")
    if size > MORE_BYTES_MAX:
        raise ProxyHeaderError(f"expected at most {MORE_BYTES_MAX} bytes of addresses, found {size}")
    return int(size)


def address_of(head: bytes, more: bytes, peer: str) -> str:
    """The address that a header names. Raises :class:`ProxyHeaderError`."""
    kind, family = head[12], head[13]
    if kind == _LOCAL:
        return peer
    if len(more) < _SIZES.get(family, len(more) + 1):
        raise ProxyHeaderError(f"expected the addresses of a TCP connection, found family {family:#04x}")
    return str(unmapped(ip_address(more[:4] if family == _TCP4 else more[:16])))


async def _exactly(plug: socket.socket, count: int) -> bytes:
    loop, found = asyncio.get_running_loop(), b""
    while len(found) < count:
        part = await loop.sock_recv(plug, count - len(found))
        if not part:
            raise ProxyHeaderError("it hung up")
        found += part
    return found
