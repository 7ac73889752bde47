"""Whose connection it is behind a balancer, by PROXY protocol v2; and how many sessions one user may have."""

import asyncio
import shutil
import socket
import struct
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rppam.gateway.policy import ACCESS, AccessPolicy
from rppam.kernel.proxy_protocol import (
    MORE_BYTES_MAX,
    SIGNATURE,
    Balancers,
    ProxyHeaderError,
    address_of,
    client_of,
    size_of,
)
from tests.gateway.places import HOST, Place, Sshd
from tests.gateway.test_register import live, recorded
from tests.support.lab import eventually
from tests.support.ports import free_port
from tests.support.redis_servers import missing
from tests.support.served import Served


def header(command: int = 0x21, family: int = 0x11, more: bytes = b"") -> bytes:
    return SIGNATURE + struct.pack(">BBH", command, family, len(more)) + more


V4 = bytes([192, 0, 2, 7, 192, 0, 2, 1]) + struct.pack(">HH", 40_000, 2222)
V6 = socket.inet_pton(socket.AF_INET6, "2001:db8::7") + bytes(16) + struct.pack(">HH", 40_000, 2222)
MAPPED = socket.inet_pton(socket.AF_INET6, "::ffff:192.0.2.7") + bytes(16) + struct.pack(">HH", 40_000, 2222)
TLV = b"\x04\x00\x03abc"


@pytest.mark.parametrize(
    ("said", "client"),
    [
        (header(more=V4), "192.0.2.7"),
        (header(more=V4 + TLV), "192.0.2.7"),
        (header(family=0x21, more=V6), "2001:db8::7"),
        (header(family=0x21, more=MAPPED), "192.0.2.7"),
        (header(0x20, 0x00), "10.0.0.1"),
        (header(0x20, 0x11, V4), "10.0.0.1"),
    ],
)
async def test_the_address_that_the_header_names_and_not_a_byte_more(said: bytes, client: str) -> None:
    mine, other = socket.socketpair()
    with mine, other:
        mine.setblocking(False)
        other.sendall(said + b"SSH-2.0-x\r\n")
        assert await client_of(mine, "10.0.0.1") == client
        assert mine.recv(100) == b"SSH-2.0-x\r\n"


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b"SSH-2.0-OpenSSH_9.9\r\n", "found something else"),
        (b"PROXY TCP4 192.0.2.7 192.0.2.1 1 2\r\n", "found something else"),
        (header(0x11, more=V4), "found 0x11"),
        (header(0x22, more=V4), "found 0x22"),
        (header(family=0x12, more=V4), "family 0x12"),
        (header(family=0x31, more=bytes(216)), "family 0x31"),
        (header(family=0x21, more=V4), "family 0x21"),
        (header(more=bytes(MORE_BYTES_MAX + 1)), "at most 536 bytes"),
    ],
)
def test_what_is_no_such_header_is_refused(said: bytes, why: str) -> None:
    with pytest.raises(ProxyHeaderError, match=why):
        address_of(said[:16], said[16 : 16 + size_of(said[:16])], "10.0.0.1")


async def test_who_hangs_up_in_the_middle_is_refused() -> None:
    mine, other = socket.socketpair()
    with mine:
        mine.setblocking(False)
        other.sendall(header(more=V4)[:-3])
        other.close()
        with pytest.raises(ProxyHeaderError, match="it hung up"):
            await client_of(mine, "10.0.0.1")


def test_only_those_that_were_named_are_balancers() -> None:
    balancers = Balancers(["10.0.0.0/29", "fd00::/8"])
    known = ["10.0.0.1", "::ffff:10.0.0.1", "10.0.0.9", "fd00::1", "fe80::1%eth0"]
    assert [balancers.has(peer) for peer in known] == [True, True, False, True, False]
    assert not Balancers([]).has("10.0.0.1")


@pytest.fixture
def policy() -> dict[str, Any]:
    return {"recording": "off"}


@pytest.fixture
async def place(
    served: Served, tmp_path: Path, target: Sshd, policy: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Place]:
    """A gateway that trusts 127.0.0.1."""
    current = type(served.live).current
    wanted = AccessPolicy(**policy)
    monkeypatch.setattr(type(served.live), "current", lambda live, one: wanted if one is ACCESS else current(live, one))
    config = served.base.config
    access = config.access.model_copy(update={"trusted_proxies": ("127.0.0.1/32",)})
    served.base = served.base._replace(config=replace(config, access=access))
    one = Place(served, tmp_path, target)
    await one.start()
    yield one
    await one.stop()


@contextmanager
def haproxy(folder: Path, gateway: int, send: str = "send-proxy-v2") -> Iterator[int]:
    """A balancer of TCP in front of the gateway, that looks after it; the port that it listens on."""
    program = shutil.which("haproxy", path="/usr/sbin:/usr/bin") or missing("haproxy is not installed")
    port, file = free_port(), folder / "haproxy.cfg"
    file.write_text(
        "defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n"
        f"listen ssh\n  bind 127.0.0.1:{port}\n  server node1 127.0.0.1:{gateway} {send} check check-send-proxy\n"
    )
    process = subprocess.Popen([program, "-f", file, "-db"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    try:
        eventually(listens, within_s=20, what="haproxy listens")
        yield port
    finally:
        process.kill()
        process.wait()


@pytest.mark.integration
async def test_behind_a_balancer_the_users_own_address_is_in_the_ledger(place: Place) -> None:
    with haproxy(place.folder, place.port) as port:
        done = await place.ssh("echo here", options=("-o", f"Port={port}", "-b", "127.0.0.2"))
        assert (done.code, done.out) == (0, b"here\n"), done
    answer = await place.served.http.get("/api/v1/audit/events?limit=50", headers=place.served.bearer())
    told = {one["action"]: one["actor"]["address"] for one in answer.json()["events"]}
    assert (told["access.login"], told["access.start"], told["access.channel"]) == ("127.0.0.2",) * 3


@pytest.mark.integration
async def test_a_trusted_balancer_that_says_nothing_of_it_is_refused_and_others_need_not(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    assert (await place.ssh("true")).code == 255
    assert "access.trustedProxies" in caplog.text
    assert "send-proxy-v2" in caplog.text
    direct = await place.ssh("echo direct", options=("-b", "127.0.0.4"))
    assert direct.out == b"direct\n", "from elsewhere SSH begins at once"
    reader, writer = await asyncio.open_connection(HOST, place.port, local_addr=("127.0.0.5", 0))
    writer.write(header(more=V4))
    await reader.read()
    writer.close()
    assert not [one for one in await recorded(place, "access.start") if "192.0.2.7" in str(one)]


@pytest.mark.integration
@pytest.mark.parametrize("policy", [{"recording": "off", "sessions_per_user": 2}])
async def test_one_user_has_so_many_sessions_and_no_more(place: Place) -> None:
    assert (await place.ssh("true", options=("-b", "127.0.0.4"))).code == 0
    running = {asyncio.create_task(place.ssh("sleep 60", options=("-b", "127.0.0.4"))) for _ in range(4)}
    refused: list[str] = []
    while len(refused) < 2:
        ended, running = await asyncio.wait(running, timeout=30, return_when=asyncio.FIRST_COMPLETED)
        assert ended, "of four that come at one instant two are refused"
        refused += [one.result().err for one in ended]
    assert all("2 are allowed at a time" in one for one in refused), refused
    kept = await live(place, 2)
    assert {one["details"]["code"] for one in await recorded(place, "access.refuse")} == {"RPPAM-8625"}
    asked = await place.served.http.post(
        f"/api/v1/access/sessions/{kept[0]['id']}/kill", json={"reason": "x"}, headers=place.served.bearer()
    )
    assert asked.status_code == 200, asked.text
    await live(place, 1)
    assert (await place.ssh("echo again", options=("-b", "127.0.0.4"))).out == b"again\n"
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
