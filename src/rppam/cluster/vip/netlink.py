"""Addresses of this host, asked of the kernel itself, and packets that tell a network where one is now.

No program is started and no file is read, so it works, within ``TIMEOUT_S``, also where the disk stands still, for the
supervisor as well. Linux only.

An address that has moved is announced, so that nobody goes on asking the host that had it before. IPv4: a gratuitous
ARP, as a request and as a reply (RFC 5227, section 3), since some neighbours heed one of them only. IPv6: an
unsolicited neighbour advertisement (RFC 4861, section 7.2.6). What it does not promise: that a switch or a cloud lets
it through.
"""

import os
import socket
import struct
import sys
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface, ip_address
from typing import Final, NamedTuple

from rppam.kernel.system_clock import host_us

TIMEOUT_S: Final = 0.3
"""For each answer of the kernel."""
MARK: Final = 0x52
"""How the kernel notes who put an address there (IFA_PROTO, from Linux 5.18 on)."""

ROUTE, SOCK_DIAG = 0, 4
"""Subsystems of the kernel that are spoken to (netlink(7))."""

_REQUEST, _ACK, _REPLACE, _DUMP, _CREATE = 0x1, 0x4, 0x100, 0x300, 0x400
_ERROR, _DONE, _NEW, _DELETE, _GET = 2, 3, 20, 21, 22
_ADDRESS, _LOCAL, _CACHE, _FLAGS, _PROTO = 1, 2, 6, 8, 11
_NO_DAD: Final = 0x02
"""Of IPv6: do not wait a second whether another host has it; it was asked for before (:func:`claimed_by`)."""
_PERMANENT: Final = 0x80
_HEADER: Final = struct.Struct("=IHHII")
_MESSAGE: Final = struct.Struct("=BBBBI")
_ATTRIBUTE: Final = struct.Struct("=HH")
_LIVES: Final = struct.Struct("=IIII")
_ETHERNET: Final = 1
_ARP: Final = 0x0806
PROBE_US: Final = 60_000
"""How long a neighbour has to say that it has the address; on one network it takes a millisecond."""
PROBES: Final = 2
_FRAME_BYTES: Final = 128
_EVERYBODY: Final = b"\xff" * 6
_ALL_NODES: Final = "ff02::1"
_SOLICITATION, _ADVERTISEMENT, _OVERRIDE, _TARGET_LINK = 135, 136, 0x20000000, 2
_IPV6: Final = 0x86DD
_ICMPV6: Final = 58
_HOPS: Final = 255
"""What came through no router has as many (RFC 4861, section 7.1)."""
_ETHERNET_BYTES, _IPV6_BYTES, _TARGET_AT, _OPTION_AT = 14, 40, 62, 78
_SOLICITED_NODE: Final = IPv6Address("ff02::1:ff00:0").packed[:13]


class HostAddress(NamedTuple):
    """One address of this host."""

    device: int
    """Number of its interface."""
    ip: IPv4Address | IPv6Address
    prefix: int
    is_fixed: bool
    """It stays for ever, so it was not put there by this program."""
    mark: int | None
    """Who put it there; ``None`` where the kernel does not say."""

    @property
    def interface(self) -> IPv4Interface | IPv6Interface:
        kind = IPv4Interface if self.ip.version == 4 else IPv6Interface
        return kind((self.ip, self.prefix))


def host_addresses() -> list[HostAddress]:
    """Raises OSError."""
    body = _MESSAGE.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
    return [_parsed(message) for kind, message in messages(ROUTE, _GET, _DUMP, body) if kind == _NEW]


def put_address(interface: IPv4Interface | IPv6Interface, index: int, life_s: int) -> None:
    """Have it on that interface for ``life_s`` seconds, also where it is there already. Raises OSError."""
    flags = _NO_DAD if interface.version == 6 else 0
    # Never the source of what this host sends by itself: the preferred life is over at once.
    body = _body(interface, index)
    body += _attribute(_CACHE, _LIVES.pack(0, life_s, 0, 0)) + _attribute(_FLAGS, struct.pack("=I", flags))
    body += _attribute(_PROTO, bytes([MARK]))
    _act(_NEW, _CREATE | _REPLACE, body)


def remove_address(interface: IPv4Interface | IPv6Interface, index: int) -> None:
    """Raises OSError."""
    _act(_DELETE, 0, _body(interface, index))


def _body(interface: IPv4Interface | IPv6Interface, index: int) -> bytes:
    family = socket.AF_INET if interface.version == 4 else socket.AF_INET6
    packed = interface.ip.packed
    head = _MESSAGE.pack(family, interface.network.prefixlen, 0, 0, index)
    return head + _attribute(_LOCAL, packed) + _attribute(_ADDRESS, packed)


def _attribute(kind: int, value: bytes) -> bytes:
    size = _ATTRIBUTE.size + len(value)
    return _ATTRIBUTE.pack(size, kind) + value + b"\0" * (-size % 4)


def _parsed(message: bytes) -> HostAddress:
    _, prefix, flags, _, index = _MESSAGE.unpack_from(message)
    found = attributes(message[_MESSAGE.size :])
    if _FLAGS in found:
        (flags,) = struct.unpack("=I", found[_FLAGS])
    ip = ip_address(found.get(_LOCAL) or found[_ADDRESS])
    mark = found[_PROTO][0] if _PROTO in found else None
    return HostAddress(index, ip, prefix, bool(flags & _PERMANENT), mark)


def attributes(packed: bytes) -> dict[int, bytes]:
    """What follows the fixed part of a message, by its kind."""
    found, place = dict[int, bytes](), 0
    while place + _ATTRIBUTE.size <= len(packed):
        size, kind = _ATTRIBUTE.unpack_from(packed, place)
        if size < _ATTRIBUTE.size:
            break
        found[kind] = packed[place + _ATTRIBUTE.size : place + size]
        place += size + -size % 4
    return found


def _act(kind: int, flags: int, body: bytes) -> None:
    for _ in messages(ROUTE, kind, flags | _ACK, body):
        pass


def messages(protocol: int, kind: int, flags: int, body: bytes) -> Iterator[tuple[int, bytes]]:
    """Return the messages of the answer. Raises OSError: what the kernel says, or no answer in time."""
    if sys.platform == "win32":
        raise OSError("there is no netlink on Windows")
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol) as line:
        line.settimeout(TIMEOUT_S)
        line.bind((0, 0))
        line.send(_HEADER.pack(_HEADER.size + len(body), kind, flags | _REQUEST, 1, 0) + body)
        while True:
            data, place = line.recv(1 << 17), 0
            while place + _HEADER.size <= len(data):
                size, answer, _, _, _ = _HEADER.unpack_from(data, place)
                message = data[place + _HEADER.size : place + size]
                if answer == _ERROR:
                    (code,) = struct.unpack_from("=i", message)
                    if code:
                        raise OSError(-code, os.strerror(-code))
                    return
                if answer == _DONE or size < _HEADER.size:
                    return
                yield answer, message
                place += size + -size % 4


def announce(ip: IPv4Address | IPv6Address, device: str) -> None:
    """Announce that ``ip`` is here now; does nothing on an interface that is no Ethernet. Raises OSError."""
    if sys.platform == "win32":
        raise OSError("packets are not made by hand on Windows")
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.htons(_ARP)) as line:
        line.settimeout(0.3)
        line.bind((device, 0))
        _, _, _, hardware, mac = line.getsockname()
        if hardware != _ETHERNET or len(mac) != len(_EVERYBODY):
            return
        if ip.version == 4:
            for operation in (1, 2):
                line.send(arp(mac, ip, operation))
    if ip.version == 6:
        _advertise(ip, device, mac)


def claimed_by(ip: IPv4Address | IPv6Address, device: str) -> str:
    """The hardware address of another host that has ``ip``; empty: none.

    Asked by ARP probes (RFC 5227, section 2.1), or as duplicate address detection asks (RFC 4862, section 5.4.2).
    Takes :data:`PROBE_US` where nobody answers. What is no Ethernet is not asked. Raises OSError.
    """
    if sys.platform == "win32":
        raise OSError("packets are not made by hand on Windows")
    probe, owner, kind = (_probe, _owner, _ARP) if ip.version == 4 else (solicitation, advertised_by, _IPV6)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.htons(kind)) as line:
        line.bind((device, 0))
        _, _, _, hardware, mac = line.getsockname()
        if hardware != _ETHERNET or len(mac) != len(_EVERYBODY):
            return ""
        for _ in range(PROBES):
            line.settimeout(TIMEOUT_S)
            line.send(probe(mac, ip))
            until_us = host_us() + PROBE_US // PROBES
            while (left_us := until_us - host_us()) > 0:
                line.settimeout(left_us / 1e6)
                try:
                    frame = line.recv(_FRAME_BYTES)
                except TimeoutError:
                    break
                if (found := owner(frame, ip)) not in {b"", mac}:
                    return found.hex(":")
    return ""


def _owner(frame: bytes, ip: IPv4Address | IPv6Address) -> bytes:
    """Who says in ``frame`` to have ``ip``; empty: nobody."""
    return frame[22:28] if frame[28:32] == ip.packed else b""


def advertised_by(frame: bytes, ip: IPv4Address | IPv6Address) -> bytes:
    """Who says in ``frame``, a neighbour advertisement (RFC 4861, section 4.4), to have ``ip``; empty: nobody."""
    head, body = frame[_ETHERNET_BYTES:], frame[_ETHERNET_BYTES + _IPV6_BYTES :]
    is_said = head[6:8] == bytes((_ICMPV6, _HOPS)) and body[:2] == bytes((_ADVERTISEMENT, 0))
    if not is_said or frame[_TARGET_AT:_OPTION_AT] != ip.packed:
        return b""
    has_link = frame[_OPTION_AT : _OPTION_AT + 2] == bytes((_TARGET_LINK, 1))
    return frame[_OPTION_AT + 2 : _OPTION_AT + 8] if has_link else frame[6:12]


def solicitation(mac: bytes, ip: IPv4Address | IPv6Address) -> bytes:
    """Make the frame that asks for ``ip`` in nobody's name: its source is the unspecified address, so that whoever has
    it tells all nodes."""
    group = _SOLICITED_NODE + ip.packed[-3:]
    addresses = bytes(16) + group
    body = struct.pack("!BBHI", _SOLICITATION, 0, 0, 0) + ip.packed
    told = _checksum(addresses + struct.pack("!II", len(body), _ICMPV6) + body)
    body = body[:2] + struct.pack("!H", told) + body[4:]
    head = struct.pack("!IHBB", 6 << 28, len(body), _ICMPV6, _HOPS) + addresses
    return b"\x33\x33" + group[-4:] + mac + struct.pack("!H", _IPV6) + head + body


def _checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071) of an even number of bytes."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _probe(mac: bytes, ip: IPv4Address | IPv6Address) -> bytes:
    """Ask for ``ip`` in nobody's name, so that no neighbour learns anything from the question."""
    head = _EVERYBODY + mac + struct.pack("!HHHBBH", _ARP, _ETHERNET, 0x0800, 6, 4, 1)
    return head + mac + bytes(4) + bytes(6) + ip.packed


def arp(mac: bytes, ip: IPv4Address | IPv6Address, operation: int) -> bytes:
    """Make the frame; sender and target are both ``ip``."""
    head = _EVERYBODY + mac + struct.pack("!HHHBBH", _ARP, _ETHERNET, 0x0800, 6, 4, operation)
    return head + mac + ip.packed + _EVERYBODY + ip.packed


def _advertise(ip: IPv4Address | IPv6Address, device: str, mac: bytes) -> None:
    index = socket.if_nametoindex(device)
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as line:
        line.settimeout(0.3)
        line.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        line.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
        line.bind((str(ip), 0, 0, index if ip.is_link_local else 0))
        told = struct.pack("!BBHI", _ADVERTISEMENT, 0, 0, _OVERRIDE) + ip.packed  # the kernel fills the checksum in
        line.sendto(told + struct.pack("!BB", _TARGET_LINK, 1) + mac, (_ALL_NODES, 0, 0, index))
