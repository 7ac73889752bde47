"""Newcomers at the virtual address, held off while it leaves this host for another on purpose.

An address that goes takes every connection through it along: an answer that is still being made reaches nobody. So the
first segment of each new connection to it is dropped in silence for a moment, and whoever is connected already gets the
answer. A newcomer's kernel sends that segment again after a second (RFC 6298), and reaches the next leader. Connections
to this host's own addresses are no concern of this.

It is a filter of the listening sockets, of the REST API and of the SSH gateway alike, which all processes of the node
share, so nobody has to be told. It is taken away when the address comes or has gone, and at the start of this process,
as a former life may have left one. The node's own sockets each take one kind of address, ``::`` those of IPv6 alone. A
socket that takes both (IPV6_V6ONLY is off) is filtered for either, so the filter looks at the kind of a packet first.
What it does not promise: that a request of any length is answered. The address waits for nobody longer than
:class:`~rppam.cluster.vip.follower.AddressTask` lets it.
"""

import ctypes
import socket
import struct
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Final

from rppam.cluster.vip import in_flight

_ATTACH_FILTER: Final = 26
_DETACH_FILTER: Final = 27
_LOAD_WORD: Final = 0x20
_LOAD_BYTE: Final = 0x30
_IS: Final = 0x15
_MASK: Final = 0x54
_RETURN: Final = 0x06
_NETWORK_HEADER: Final = 0xFFF00000
"""Offsets from here are of the IP header; others are of the TCP header (linux/filter.h)."""
_FLAGS: Final = 13
_SYN: Final = 0x02
_SYN_ACK: Final = 0x12
_WHOLE: Final = 0xFFFFFFFF
_CONNECTED: Final = frozenset({"01", "03"})
"""Established, or a handshake that has begun."""


class Listeners:
    """The node's listening sockets, for one address. On systems other than Linux it does nothing."""

    def __init__(self, sockets: Sequence[socket.socket], address: IPv4Address | IPv6Address) -> None:
        """``sockets`` stay open as long as this is there. A filter that a former life left is taken away."""
        self._sockets = tuple(plug for plug in sockets if _takes(plug, address))
        self._address = address
        self._ports = frozenset(int(plug.getsockname()[1]) for plug in self._sockets)
        self.let_in()

    def hold_off(self) -> None:
        """Drop the first segment of new connections to the address. Raises :class:`OSError`."""
        lines = newcomers_to(self._address)
        program = ctypes.create_string_buffer(b"".join(lines))
        given = struct.pack("HL", len(lines), ctypes.addressof(program))  # struct sock_fprog; the kernel copies it
        for plug in self._sockets if sys.platform == "linux" else ():
            plug.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, given)

    def let_in(self) -> None:
        """Let everybody connect again."""
        for plug in self._sockets if sys.platform == "linux" else ():
            with suppress(OSError):  # there is none
                plug.setsockopt(socket.SOL_SOCKET, _DETACH_FILTER, 0)

    def is_awaited(self) -> bool:
        """Whether somebody waits for an answer through the address now, or may, where the kernel cannot be asked."""
        try:
            return in_flight.is_awaited(self._address, self._ports)
        except OSError:  # a kernel without tcp_diag
            return self.is_used()

    def is_used(self) -> bool:
        """Whether there is a connection through the address now, one that nobody speaks on included."""
        return any(self._is_in(table, shown) for table, shown in _as_in_proc(self._address))

    def _is_in(self, table: str, local: str) -> bool:
        with suppress(OSError), Path(f"/proc/self/net/{table}").open(encoding="ascii") as lines:
            for line in lines:
                words = line.split(maxsplit=4)
                address, _, port = words[1].partition(":")
                if address == local and int(port, 16) in self._ports and words[3] in _CONNECTED:
                    return True
        return False


def _takes(plug: socket.socket, address: IPv4Address | IPv6Address) -> bool:
    """Whether connections to the address may come in there."""
    if plug.family == socket.AF_INET6:
        return address.version == 6 or not plug.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
    return plug.family == socket.AF_INET and address.version == 4


def newcomers_to(address: IPv4Address | IPv6Address) -> list[bytes]:
    """A program of the classic packet filter: drop a SYN without ACK that is for ``address``, let all else pass."""
    at, packed = (16, address.packed) if address.version == 4 else (24, address.packed)
    words = [int.from_bytes(packed[n : n + 4], "big") for n in range(0, len(packed), 4)]
    behind = 2 * len(words) + 6
    """Where ``pass`` stands."""
    lines = [
        _line(_LOAD_BYTE, _NETWORK_HEADER),
        _line(_MASK, 0xF0),
        _line(_IS, address.version << 4, otherwise=behind - 3),
    ]
    for number, word in enumerate(words):
        lines.append(_line(_LOAD_WORD, _NETWORK_HEADER + at + 4 * number))
        lines.append(_line(_IS, word, otherwise=behind - len(lines) - 1))
    lines.append(_line(_LOAD_BYTE, _FLAGS))
    lines.append(_line(_MASK, _SYN_ACK))
    lines.append(_line(_IS, _SYN, then=1))
    return [*lines, _line(_RETURN, _WHOLE), _line(_RETURN, 0)]


def _line(code: int, value: int, *, then: int = 0, otherwise: int = 0) -> bytes:
    return struct.pack("HBBI", code, then, otherwise, value)


def _as_in_proc(address: IPv4Address | IPv6Address) -> Iterator[tuple[str, str]]:
    """Tables of connections, and what the address is in each: words of four bytes, each in the host's order."""
    found = [("tcp6", address.packed)]
    if address.version == 4:  # among those of IPv6 where a socket takes both
        found = [("tcp", address.packed), ("tcp6", b"\0" * 10 + b"\xff\xff" + address.packed)]
    for table, packed in found:
        words = [int.from_bytes(packed[n : n + 4], sys.byteorder) for n in range(0, len(packed), 4)]
        yield table, "".join(f"{word:08X}" for word in words)
