"""Telling a network that an address is at this host now, so that nobody goes on asking the host of before.

IPv4: a gratuitous ARP, as a request and as a reply (RFC 5227, section 3), since some neighbours heed one of them only.
IPv6: an unsolicited neighbour advertisement (RFC 4861, section 7.2.6). Linux only. What it does not promise: that a
switch or a cloud lets it through.
"""

import socket
import struct
import sys
from ipaddress import IPv4Address, IPv6Address
from typing import Final

_ETHERNET: Final = 1
_ARP: Final = 0x0806
_EVERYBODY: Final = b"\xff" * 6
_ALL_NODES: Final = "ff02::1"
_ADVERTISEMENT, _OVERRIDE, _TARGET_LINK = 136, 0x20000000, 2


def announce(ip: IPv4Address | IPv6Address, device: str) -> None:
    """Raises ``OSError``. On an interface that is no Ethernet there is nobody to tell."""
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


def arp(mac: bytes, ip: IPv4Address | IPv6Address, operation: int) -> bytes:
    """The frame: sender and target are both ``ip``."""
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
