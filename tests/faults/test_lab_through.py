"""What is made of the failovers that a client sees: from lines of JSON to the page, and to the exit code."""

import json
import socket
import struct
from ipaddress import IPv6Address
from pathlib import Path
from typing import Any

import pytest

from tests.faults.lab.cluster import server_kind
from tests.faults.lab.name import Heard, Said
from tests.faults.lab.net import CAN, WHY_NOT
from tests.faults.lab.through import Answered, Key, by_name, done, main, page
from tests.faults.lab.wire import ARP, IPV6, checksum, claimed_in, link_local, solicitation, who_has
from tests.support.named import NAME, missing

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
    assert [one["outageMs"] for one in done(KEY, file)] == [900, 1_000]


def test_the_page_has_a_row_for_each_way_and_method() -> None:
    rows = {KEY: [row(900), row(1_000, 2), row(1_100)]}
    text = page({"processor": "two"}, rows, "make address-failovers RUNS=3")
    assert "| virtual address | switchover | 3 | 1000 ms | 1100 ms | 1100 ms | 3,000 | 0, 2 | 210 | 150 | 0 |" in text


def test_the_page_says_when_the_name_followed_and_when_the_client_did() -> None:
    key = KEY._replace(way="dns", method="killed")
    rows = {key: [row(9_000, 3, namedMs=4_100, heldMs=8_800), row(9_100, 4, namedMs=None, heldMs=8_900)]}
    text = page({"processor": "two"}, rows, "make address-failovers RUNS=2")
    assert (
        "| name in DNS | `kill -9` of everything on the host | 2 | 9000 ms | 9100 ms | 9100 ms | 2,000 | 3, 4 |" in text
    )
    assert "the name points to the next leader p50 4100 ms, max 4100 ms after it" in text
    assert "request to another address begins p50 8800 ms, max 8900 ms after it" in text


@pytest.mark.integration
@pytest.mark.server
@pytest.mark.pair
@pytest.mark.skipif(not (CAN and server_kind().find() and not missing()), reason=f"needs bind9, and {WHY_NOT}")
def test_a_client_that_knows_a_name_loses_no_request_by_an_order(tmp_path: Path) -> None:
    results = tmp_path / "through.jsonl"
    words = ["--ways", "dns", "--methods", "switchover", "--runs", "1", "--results", str(results)]
    assert main(words) == 0
    key = KEY._replace(way="dns")
    (only,) = done(key, results)
    assert (only["violations"], only["failed"], only["looks"]) == ([], 0, 0)
    assert only["probes"] > 50, "the witness was there"
    assert only["heldMs"] > 0, "its memory sends the client to the old leader for a while"
    assert only["heldMs"] < 1_000 * (5 + 5 + 10)
    assert set(only) - {"namedMs", "heldMs"} == set(row(1) | {"at": "", "kinds": "", "slowestMs": 0, "to": ""})


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


OLD, NEW, OTHER = "10.78.0.3", "10.78.0.4", "10.78.0.5"
SECOND = 1_000_000_000
MOVED = Heard([Said(at * SECOND, (OLD if at < 4 else NEW,), 5) for at in range(1, 20)])


def test_a_name_that_follows_once_and_in_time_is_right() -> None:
    assert MOVED.violations() == MOVED.late(OLD, NEW, 3 * SECOND) == []
    assert (MOVED.ttl_s, MOVED.named_ns(NEW), MOVED.named_ns(OTHER)) == (5, 4 * SECOND, None)


@pytest.mark.parametrize(
    ("seen", "told"),
    [
        ([], "the name server has answered nothing: nothing was witnessed"),
        ([(OLD,), (OLD, NEW), (NEW,)], f"{NAME} pointed to {OLD} and {NEW} at one time, in 1 answers"),
        ([(OLD,), (), (NEW,)], f"{NAME} pointed to nobody at one time, in 1 answers"),
        ([(OLD,), (NEW,), (OLD,)], f"{NAME} pointed to {OLD}, {NEW}, {OLD} in turn"),
    ],
)
def test_a_name_without_one_address_or_that_goes_back_is_told(seen: list[tuple[str, ...]], told: str) -> None:
    assert Heard([Said(at, one, 5) for at, one in enumerate(seen)]).violations() == [told]


def test_a_name_that_is_late_or_was_wrong_before_is_told() -> None:
    assert Heard([Said(8_500_000_000, (OLD,), 5)]).late(OLD, NEW, 3 * SECOND) == [
        f"{NAME} pointed to {OLD} 5.5 s after {NEW} was seen to lead"
    ]
    assert MOVED.late(OTHER, NEW, 3 * SECOND) == [f"{NAME} pointed to {OLD} while {OTHER} led"]


@pytest.mark.parametrize(("last_s", "told"), [(8, []), (14, [f"1 requests went to {OLD} after the time to live"])])
def test_who_goes_elsewhere_after_the_time_to_live_is_told(last_s: int, told: list[str]) -> None:
    asked = [
        Answered(last_s * SECOND, last_s * SECOND + 9, 200, "", OLD),
        Answered(15 * SECOND, 15 * SECOND + 9, 200, "", NEW),
    ]
    found, violations = by_name(MOVED, asked, (OLD, NEW), (2 * SECOND, 3 * SECOND))
    assert found == {"namedMs": 2_000.0, "heldMs": 1_000.0 * (last_s - 2)}
    assert [one.partition(",")[0] for one in violations] == told
