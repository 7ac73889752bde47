"""What is made of the failovers that a client sees: from lines of JSON to the page, and to the exit code."""

import json
import socket
import struct
from ipaddress import IPv6Address
from pathlib import Path
from typing import Any

import pytest

from tests.faults.lab.net import CAN
from tests.faults.lab.through import Key, main, of_key, page
from tests.faults.lab.wire import ARP, IPV6, checksum, claimed_in, link_local, solicitation, who_has

KEY = Key("address", "switchover", "default")
MAC = bytes.fromhex("02005e100001")
SHARED = socket.inet_aton("10.78.0.200")
SHARED_6 = IPv6Address("fd00:78::200")


def row(outage_ms: float, failed: int = 0, **more: Any) -> dict[str, Any]:
    found = {"outageMs": outage_ms, "requests": 1_000, "failed": failed, "probes": 50, "looks": 70, "violations": []}
    return KEY._asdict() | found | more


def written(folder: Path, *rows: dict[str, Any]) -> Path:
    file = folder / "through.jsonl"
    file.write_text("".join(json.dumps(one) + "\n" for one in rows) + '{"way": "addr')
    return file


def test_runs_of_a_row_are_found_again_and_a_line_that_was_cut_is_none(tmp_path: Path) -> None:
    file = written(tmp_path, row(900), row(1_000), row(5, way="nginx"))
    assert [one["outageMs"] for one in of_key(KEY, file)] == [900, 1_000]


def test_the_page_has_a_row_for_each_way_and_method() -> None:
    rows = {KEY: [row(900), row(1_000, 2), row(1_100)]}
    text = page({"processor": "two"}, rows, "make address-failovers RUNS=3")
    assert "| virtual address | switchover | 3 | 1000 ms | 1100 ms | 1100 ms | 3,000 | 0, 2 | 210 | 150 | 0 |" in text


@pytest.mark.skipif(not CAN, reason="without namespaces it says that it cannot")
@pytest.mark.parametrize(("rows", "code"), [([row(900)], 0), ([row(900, violations=["two had it"])], 1)])
def test_what_stands_there_is_not_run_again_and_a_violation_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], rows: list[dict[str, Any]], code: int
) -> None:
    words = ["--ways", "address", "--methods", "switchover", "--runs", "1", "--results", str(written(tmp_path, *rows))]
    assert main(words) == code
    assert ("address switchover: two had it" in capsys.readouterr().out) is (code == 1)


def test_an_answer_of_arp_is_a_claim_and_a_question_is_none() -> None:
    answer = b"\xff" * 6 + MAC + struct.pack("!HHHBBH", ARP, 1, 0x0800, 6, 4, 2) + MAC + SHARED + bytes(6) + bytes(4)
    assert claimed_in(answer, SHARED) == MAC
    assert claimed_in(answer, socket.inet_aton("10.78.0.201")) is None
    assert claimed_in(who_has(MAC, SHARED), SHARED) is None
    assert claimed_in(answer[:30], SHARED) is None


def test_an_advertisement_is_a_claim_and_a_solicitation_is_none() -> None:
    head = b"\x33\x33\x00\x00\x00\x01" + bytes(6) + struct.pack("!HIHBB", IPV6, 6 << 28, 32, 58, 255) + bytes(32)
    told = head + struct.pack("!BBHI", 136, 0, 0, 0) + SHARED_6.packed
    assert claimed_in(told + b"\x02\x01" + MAC, SHARED_6.packed) == MAC
    assert claimed_in(told + b"\x02\x01" + MAC, IPv6Address("fd00::1").packed) is None
    assert claimed_in(solicitation(MAC, SHARED_6), SHARED_6.packed) is None


def test_a_solicitation_is_as_the_kernel_takes_it() -> None:
    frame = solicitation(MAC, SHARED_6)
    source, group, body = frame[22:38], frame[38:54], frame[54:]
    assert IPv6Address(source) == IPv6Address("fe80::5eff:fe10:1") == IPv6Address(link_local(MAC))
    assert IPv6Address(group) == IPv6Address("ff02::1:ff00:200")
    assert checksum(source + group + struct.pack("!II", len(body), 58) + body) == 0
