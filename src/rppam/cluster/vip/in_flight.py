"""Whether somebody waits for an answer through an address, asked of the kernel (sock_diag(7)).

A connection tells it by what was on it last. A request has come and nothing went out since: it is being answered. What
went out, and the other side has not confirmed: the answer is under way. What went out last, and was confirmed: nobody
waits, as on a kept connection, or a stream of events that lasts for days and should keep no address where it is.

What this does not promise: that it is right about whoever talks without being asked, as an upload does; the caller sets
a bound. Linux only.
"""

import socket
import struct
from collections.abc import Collection
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from rppam.cluster.vip.netlink import SOCK_DIAG, attributes, messages

FRESH_MS: Final = 300
"""Who has just connected has sent nothing yet; and the kernel counts in ticks of some milliseconds, so it may not tell
what came after an answer from what came before it."""

_BY_FAMILY: Final = 20
_DUMP: Final = 0x300
_INFO: Final = 2
_TCP: Final = 6
_ESTABLISHED, _BEGUN, _ENDING, _HALF_ENDED, _LAST_ACK, _BOTH_ENDING = 1, 3, 4, 8, 9, 11
_STATES: Final = (_ESTABLISHED, _BEGUN, _ENDING, _HALF_ENDED, _LAST_ACK, _BOTH_ENDING)
_REQUEST: Final = struct.Struct("=BBBBI48x")
"""struct inet_diag_req_v2, for all sockets of a family in some states."""
_FOUND: Final = struct.Struct("=BBBB2s2s16s16s4s8sIIIII")
"""struct inet_diag_msg."""
_TOLD: Final = struct.Struct("=44xI4xI96xII")
"""Of struct tcp_info: tcpi_last_data_sent and _recv, the milliseconds since; tcpi_data_segs_in and _out."""


def is_awaited(ip: IPv4Address | IPv6Address, ports: Collection[int]) -> bool:
    """Whether a connection to ``ip`` at one of the ports has a question or an answer on its way. Raises OSError."""
    families = [socket.AF_INET6] if ip.version == 6 else [socket.AF_INET, socket.AF_INET6]
    wanted = sum(1 << state for state in _STATES)
    for family in families:
        asked = _REQUEST.pack(family, _TCP, 1 << (_INFO - 1), 0, wanted)
        for _, message in messages(SOCK_DIAG, _BY_FAMILY, _DUMP, asked):
            if _is_awaited(message, ip, ports):
                return True
    return False


def _is_awaited(message: bytes, ip: IPv4Address | IPv6Address, ports: Collection[int]) -> bool:
    family, state, _, _, port, _, source, *_, unread, unconfirmed, _, _ = _FOUND.unpack_from(message)
    if int.from_bytes(port, "big") not in ports or _address(family, source) != ip:
        return False
    if state not in (_ESTABLISHED, _HALF_ENDED):
        return True  # it is being made, or the answer that ended it is not confirmed
    return bool(unread or unconfirmed) or _came_last(message)


def _came_last(message: bytes) -> bool:
    info = attributes(message[_FOUND.size :]).get(_INFO, b"")
    if len(info) < _TOLD.size:
        return True  # nobody knows
    sent_ms, received_ms, came, went = _TOLD.unpack_from(info)
    if received_ms != sent_ms:
        return bool(received_ms < sent_ms)
    return bool((came and not went) or received_ms < FRESH_MS)


def _address(family: int, packed: bytes) -> IPv4Address | IPv6Address:
    """An address of IPv4 stands in a socket for both kinds as one of IPv6."""
    if family == socket.AF_INET:
        return ip_address(packed[:4])
    found = IPv6Address(packed)
    return found.ipv4_mapped or found
