"""The packets by which a network is asked who has an address of IPv6."""

from ipaddress import IPv6Address

import pytest

from rppam.cluster.vip.netlink import advertised_by, solicitation

IP, MAC, OTHER = IPv6Address("fd00:78::c8"), bytes.fromhex("0200de000001"), bytes.fromhex("0200de000002")
FRAME = bytes.fromhex(
    "3333ff0000c8" "0200de000001" "86dd"  # Ethernet: to the solicited-node group
    "60000000" "0018" "3aff" "00000000000000000000000000000000" "ff0200000000000000000001ff0000c8"
    "8700" "7e01" "00000000" "fd0000780000000000000000000000c8"
)  # fmt: skip


def advertisement(ip: IPv6Address = IP, *, hops: int = 255, link: bytes = b"\x02\x01" + OTHER) -> bytes:
    head = bytes.fromhex("333300000001") + MAC + bytes.fromhex("86dd60000000") + b"\x00\x20" + bytes((58, hops))
    return head + bytes(16) + IPv6Address("ff02::1").packed + b"\x88\0\0\0\x20\0\0\0" + ip.packed + link


def test_the_question_is_that_of_duplicate_address_detection() -> None:
    frame = solicitation(MAC, IP)
    assert frame[:56] == FRAME[:56]
    assert frame[58:] == FRAME[58:]
    covered = frame[22:54] + (24).to_bytes(4) + (58).to_bytes(4) + frame[54:]
    total = sum(int.from_bytes(covered[at : at + 2]) for at in range(0, len(covered), 2))
    assert (total & 0xFFFF) + (total >> 16) == 0xFFFF, "the checksum is right"


@pytest.mark.parametrize(
    ("frame", "owner"),
    [
        (advertisement(), OTHER),
        (advertisement(link=b""), MAC),
        (advertisement(IPv6Address("fd00:78::c9")), b""),
        (advertisement(hops=64), b""),
        (solicitation(OTHER, IP), b""),
        (b"", b""),
        (b"\xff" * 128, b""),
    ],
)
def test_only_an_advertisement_of_the_address_from_this_network_counts(frame: bytes, owner: bytes) -> None:
    assert advertised_by(frame, IP) == owner
