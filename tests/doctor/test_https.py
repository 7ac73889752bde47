"""The doctor asks every node over https, as the commands do, and names why that does not work."""

import json
import ssl
from pathlib import Path
from typing import Any

import pytest

from rppam.cluster.consensus.heartbeat import Heartbeat, Role
from rppam.config.load import parse_settings
from rppam.doctor.check_https import check_https
from rppam.doctor.member_rules import Shown
from rppam.doctor.report import Report
from tests.doctor.ailing import answering
from tests.support.authority import Authority
from tests.support.ports import free_port

pytestmark = pytest.mark.integration


def serving(authority: Authority, name: str = "127.0.0.1") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue(name))
    return context


def answer(name: str) -> bytes:
    body = json.dumps({"node": name}).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


def beat(name: str, url: str, *, role: Role = Role.STANDBY) -> Heartbeat:
    return Heartbeat(
        node=name, boot_id="b", beat=1, role=role, epoch=1, version="1", hostname=name, api_url=url, wall_ms=0,
        loop_lag_ms=0, renewed_ms_ago=0,
    )  # fmt: skip


async def evidence(ca: Path | None, *beats: Heartbeat, is_fresh: bool = True) -> list[str]:
    api: dict[str, Any] = {} if ca is None else {"api": {"tlsCaPath": str(ca)}}
    text = json.dumps({"node": {"nodeName": "node1", "dataDir": "/tmp"}, **api})
    settings = parse_settings(text, folder=Path("/"), place="a test")
    report = Report()
    await check_https(settings, {one.node: Shown(one, is_fresh) for one in beats}, report)
    assert {one.code for one in report.findings} <= {"RD-955"}
    return [one.evidence for one in report.findings]


async def test_a_node_that_is_believed_is_no_finding_and_this_one_is_asked_too(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    tls = serving(authority)
    with (
        answering(answer("node1"), tls=tls, hang=False) as own,
        answering(answer("node2"), tls=tls, hang=False) as other,
    ):
        beats = beat("node1", f"https://127.0.0.1:{own}"), beat("node2", f"https://127.0.0.1:{other}/")
        assert await evidence(authority.path, *beats) == []
    (tmp_path / "other").mkdir()
    stranger = Authority(tmp_path / "other")
    with answering(answer("node1"), tls=serving(stranger), hang=False) as own:
        (found,) = await evidence(authority.path, beat("node1", f"https://127.0.0.1:{own}"))
    assert found.startswith("this node at https://127.0.0.1:")
    assert "not believed" in found


async def test_another_authority_another_name_and_no_answer_are_told_with_the_reason(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    with answering(answer("node2"), tls=serving(authority), hang=False) as port:
        (found,) = await evidence(None, beat("node2", f"https://127.0.0.1:{port}"))
        assert "api.tlsCaPath is not set" in found
    with answering(answer("node2"), tls=serving(authority, "node9.example.com"), hang=False) as port:
        (found,) = await evidence(authority.path, beat("node2", f"https://127.0.0.1:{port}"))
        assert "IP address mismatch" in found
    with answering(answer("node3"), tls=serving(authority), hang=False) as port:
        (found,) = await evidence(authority.path, beat("node2", f"https://127.0.0.1:{port}"))
        assert "'node3' answers there" in found
    (found,) = await evidence(authority.path, beat("node2", f"https://127.0.0.1:{free_port()}"))
    assert "connection refused" in found


async def test_whom_nobody_can_ask_over_https_is_not_asked() -> None:
    nowhere = f"https://127.0.0.1:{free_port()}"
    assert await evidence(None, beat("node2", f"http://127.0.0.1:{free_port()}")) == []
    assert await evidence(None, beat("witness1", nowhere, role=Role.WITNESS)) == []
    assert await evidence(None, beat("node2", nowhere), is_fresh=False) == []
