"""Two witnesses of who has an address: the kernels of all hosts, and whoever answers for it on the wire.

Neither asks a node. A kernel is looked at from inside its host; on the wire a host that has it answers to ARP
(RFC 826), or to a neighbour solicitation (RFC 4861), whatever its processes think.
"""

import socket
import struct
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import IPv6Address, ip_address
from typing import Final, NamedTuple, Self

from rppam.cluster.vip.netlink import host_addresses
from tests.faults.lab.net import Host

ARP: Final = 0x0806
IPV6: Final = 0x86DD
EVERYBODY: Final = b"\xff" * 6
_SOLICIT: Final = 135
_ADVERTISE: Final = 136
_EVERY_S: Final = 0.02


class Claim(NamedTuple):
    """Somebody has said on the wire that the address is at this hardware address."""

    at_ns: int
    hardware: str


def has(host: Host, address: str) -> bool:
    """Whether the kernel of that host has it."""
    with host.inside():
        return any(str(one.ip) == address for one in host_addresses())


class Looking:
    """Something that is done again and again on a thread, from :meth:`start` to :meth:`stop`."""

    def __init__(self) -> None:
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; nothing is looked at afterwards."""
        self._over.set()
        self._thread.join()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def violations(self) -> list[str]:
        """What must not be, as sentences."""
        raise NotImplementedError

    def _run(self) -> None:
        raise NotImplementedError


class Kernels(Looking):
    """Who has the address, by the kernels of all hosts."""

    def __init__(self, hosts: Sequence[Host], address: str) -> None:
        super().__init__()
        self._hosts, self._address = tuple(hosts), address
        self._seen: list[frozenset[str]] = []

    @property
    def looks(self) -> int:
        """How often all hosts were looked at."""
        return len(self._seen)

    def _run(self) -> None:
        while not self._over.wait(0.005):
            self._seen.append(frozenset(host.name for host in self._hosts if has(host, self._address)))

    def violations(self) -> list[str]:
        """Looks that prove two holders at one time: hosts are looked at in turn, so two looks must say so."""
        both = [one & two for one, two in zip(self._seen, self._seen[1:], strict=False) if len(one & two) > 1]
        return (
            [f"{' and '.join(sorted(both[0]))} had {self._address} at one time, in {len(both)} looks"] if both else []
        )


class Asking(Looking):
    """Who answers for the address on the wire, asked from a host that has no part in it."""

    def __init__(self, host: Host, address: str) -> None:
        super().__init__()
        self._address = ip_address(address)
        self.claims: list[Claim] = []
        kind = IPV6 if self._address.version == 6 else ARP
        with host.inside():
            self._link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(kind))
            self._link.bind(("eth0", kind))
        self._link.settimeout(_EVERY_S)
        self._hardware: bytes = self._link.getsockname()[4]
        if isinstance(self._address, IPv6Address):
            self._question = solicitation(self._hardware, self._address)
        else:
            self._question = who_has(self._hardware, self._address.packed)

    def stop(self) -> None:
        """End, and close what was listened with."""
        super().stop()
        self._link.close()

    def _run(self) -> None:
        asked_s = 0.0
        while not self._over.is_set():
            if time.monotonic() - asked_s >= _EVERY_S:
                asked_s = time.monotonic()
                with suppress(OSError):
                    self._link.send(self._question)
            with suppress(OSError):
                frame, sender = self._link.recvfrom(2048)
                at_ns = time.monotonic_ns()
                if sender[2] == socket.PACKET_OUTGOING:
                    continue
                claimed = claimed_in(frame, self._address.packed)
                if claimed is not None:
                    self.claims.append(Claim(at_ns, claimed.hex(":")))

    def violations(self) -> list[str]:
        """Whoever had it, lost it to another, and answers again within the one run; or nobody has ever answered."""
        if not self.claims:
            return [f"nobody answered for {self._address} on the wire: nothing was witnessed"]
        order: list[str] = []
        for claim in self.claims:
            if not order or order[-1] != claim.hardware:
                order.append(claim.hardware)
        if len(order) == len(set(order)):
            return []
        return [f"{self._address} was answered for by {', '.join(order)} in turn"]


def who_has(hardware: bytes, address: bytes) -> bytes:
    """A question of ARP that takes nothing for granted: its sender has no address (RFC 5227)."""
    head = EVERYBODY + hardware + struct.pack("!H", ARP)
    return head + struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + hardware + bytes(4) + bytes(6) + address


def solicitation(hardware: bytes, address: IPv6Address) -> bytes:
    """A question of neighbour discovery, from the link-local address that belongs to ``hardware``."""
    own = link_local(hardware)
    group = bytes.fromhex("ff0200000000000000000001ff") + address.packed[13:]
    body = struct.pack("!BBHI", _SOLICIT, 0, 0, 0) + address.packed + b"\x01\x01" + hardware
    pseudo = own + group + struct.pack("!II", len(body), 58)
    body = body[:2] + struct.pack("!H", checksum(pseudo + body)) + body[4:]
    head = b"\x33\x33" + group[12:] + hardware + struct.pack("!H", IPV6)
    return head + struct.pack("!IHBB", 6 << 28, len(body), 58, 255) + own + group + body


def link_local(hardware: bytes) -> bytes:
    """The address of RFC 4291, appendix A."""
    return bytes.fromhex("fe80000000000000") + bytes([hardware[0] ^ 2]) + hardware[1:3] + b"\xff\xfe" + hardware[3:]


def checksum(data: bytes) -> int:
    """Of RFC 1071."""
    padded = data + b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def claimed_in(frame: bytes, address: bytes) -> bytes | None:
    """The hardware address that a frame says the address is at; ``None``: it says nothing of it."""
    kind = int.from_bytes(frame[12:14])
    if kind == ARP and len(frame) >= 42 and frame[28:32] == address:
        return frame[22:28]
    is_advertisement = kind == IPV6 and len(frame) >= 78 and frame[20] == 58 and frame[54] == _ADVERTISE
    if is_advertisement and frame[62:78] == address:
        return frame[80:86] if frame[78:80] == b"\x02\x01" else frame[6:12]
    return None
