"""What one node's gateway carries, seen through another node: live, with the right screen, and after its owner died."""

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from sqlalchemy import select

from rppam.gateway.policy import ACCESS, AccessPolicy
from rppam.gateway.taping import Taping
from rppam.gateway.terminals_service import TerminalOpening
from rppam.http.bounds import ApiLimits
from rppam.ledger.tables import audit_events
from rppam.recordings import service as recordings_service
from rppam.recordings.service import Recordings
from tests.demo.running import demo
from tests.gateway.places import Place, Sshd, node_folder
from tests.gateway.test_kept import terminal, until
from tests.gateway.test_recorded import bytes_of, exported, listed, verified
from tests.gateway.test_register import recorded
from tests.gateway.test_terminals import Shown, bearer
from tests.support.served import Served

pytestmark = [pytest.mark.integration]


@pytest.fixture
def policy() -> dict[str, Any]:
    return {}


@pytest.fixture
async def nodes(
    tmp_path: Path, target: Sshd, policy: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Place, Served]]:
    """A node with a gateway, and another one on its database."""
    wanted = AccessPolicy(**policy)
    async with contextlib.AsyncExitStack() as stack:
        both = []
        for name in ("node1", "node2"):
            one = Served(node_folder(tmp_path / name), ApiLimits(), node=name, more={"access": {"enabled": True}})
            await one.start()
            stack.push_async_callback(one.stop)
            both.append(one)
        current = type(both[0].live).current
        monkeypatch.setattr(
            type(both[0].live), "current", lambda live, one: wanted if one is ACCESS else current(live, one)
        )
        place = Place(both[0], tmp_path / "node1", target, Taping(both[0].services.get(Recordings), both[0].live))
        await place.start(relay="a")
        stack.push_async_callback(place.stop)
        both[0].services.get(TerminalOpening)._routes = place.routes
        yield place, both[1]


async def one_live(node: Served) -> dict[str, Any]:
    for _ in range(200):
        items = (await node.http.get("/api/v1/recordings", headers=node.bearer())).json()["items"]
        if live := [one for one in items if one["state"] == "live"]:
            found: dict[str, Any] = live[0]
            return found
        await asyncio.sleep(0.05)
    raise AssertionError("nothing is recorded")


@contextlib.asynccontextmanager
async def watcher(node: Served, ident: str) -> AsyncIterator[list[tuple[str, Any]]]:
    """What somebody is shown who watches through ``node``."""
    seen = list[tuple[str, Any]]()

    async def watch() -> None:
        path, kind = f"/api/v1/recordings/{ident}/watch", ""
        async with node.http.stream("GET", path, headers=node.bearer(), timeout=60) as answer:
            assert answer.status_code == 200
            async for line in answer.aiter_lines():
                if line.startswith("event: "):
                    kind = line.removeprefix("event: ")
                elif line.startswith("data: "):
                    seen.append((kind, json.loads(line.removeprefix("data: "))))

    task = asyncio.create_task(watch())
    yield seen
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def text(seen: list[tuple[str, Any]]) -> str:
    return "".join(data["text"] for kind, data in seen if kind == "o")


class Screen:
    """As much of a terminal as the program of these tests draws on: lines that are set, and the whole cleared."""

    def __init__(self, shown: str) -> None:
        self.lines: dict[int, str] = {}
        for row, words in re.findall(r"\x1b\[(?:2J|(\d+);1H([a-z0-9-]*))", shown):
            if row:
                self.lines[int(row)] = words
            else:
                self.lines.clear()


DRAWN = (
    r"for n in $(seq 1 20); do printf '\033[%d;1Hold-%d' $n $n; sleep 0.05; done; sleep 0.3; "
    r"printf '\033[2J'; printf '\033[1;1Htitle'; printf '\033[5;1Hmenu'; sleep 0.3; "
    r"for n in $(seq 1 SO_MANY); do printf '\033[24;1Hclock-%d' $n; sleep 0.02; done; "
    r"printf '\033[10;1Hready'; read x; printf '\033[11;1Hover'"
)


@pytest.mark.parametrize("policy", [{"recording": "strict"}], ids=["strict"])
@pytest.mark.parametrize("whole", [2 * 1024 * 1024, 2_500], ids=["short", "long"])
async def test_who_joins_through_another_node_has_the_screen_whatever_came_since_it_was_drawn(
    nodes: tuple[Place, Served], monkeypatch: pytest.MonkeyPatch, whole: int
) -> None:
    place, other = nodes
    monkeypatch.setattr(recordings_service, "WHOLE_BYTES", whole)
    monkeypatch.setattr(recordings_service, "JOINED_CHUNKS", 10)
    monkeypatch.setattr(recordings_service, "LAST_CHUNKS", 4)
    async with place.client() as client:
        process = await client.create_process(DRAWN.replace("SO_MANY", "120"), term_type="xterm", term_size=(80, 24))
        shown = ""
        while "ready" not in shown:
            shown += await process.stdout.read(1000)
        one = await one_live(other)
        assert one["chunks"] > 60, "far more than who joins is shown of the last"
        async with watcher(other, one["id"]) as seen:
            await until(lambda: "ready" in text(seen))
            mine = Screen(text(seen))
            assert mine.lines == Screen(shown).lines, "as its user has it"
            assert (mine.lines[1], mine.lines[5], mine.lines[24]) == ("title", "menu", "clock-120")
            assert ("old-1\x1b" in text(seen)) is (whole > one["bytes"]), "of a long one only from its last picture on"
            process.stdin.write("\n")
            await until(lambda: ("over", {}) in seen)
            assert Screen(text(seen)).lines[11] == "over"
        await process.wait()
    assert [event["object"]["id"] for event in await recorded(place, "recording.watch")] == [one["id"]]


async def test_who_watches_and_reads_nothing_keeps_nobody_waiting(nodes: tuple[Place, Served]) -> None:
    place, other = nodes
    async with place.client() as client:
        process = await client.create_process(
            "read x; head -c 12000000 /dev/zero | tr '\\0' x; echo; echo end", encoding=None
        )
        one = await one_live(other)
        watching = socket.create_connection(("127.0.0.1", other.server.port))
        watching.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        token = other.bearer()["Authorization"]
        path = f"/api/v1/recordings/{one['id']}/watch"
        watching.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n\r\n".encode())
        try:
            for _ in range(100):
                if await recorded(place, "recording.watch"):
                    break
                await asyncio.sleep(0.05)
            before = psutil.Process().memory_info().rss
            began = time.monotonic()
            process.stdin.write(b"\n")
            size, last = 0, b""
            async with asyncio.timeout(60):
                while data := await process.stdout.read(262_144):
                    size, last = size + len(data), (last + data)[-8:]
            assert (size, last.endswith(b"\nend\n")) == (12_000_005, True)
            print(f"12 MB beside a watcher who reads nothing: {time.monotonic() - began:.2f} s")
            grown = psutil.Process().memory_info().rss - before
            assert grown < 60_000_000, f"{grown} bytes more in both nodes, gateway and client together"
            await process.wait()
        finally:
            watching.close()
    (tape,) = await listed(place)
    assert (tape["state"], tape["exit"]) == ("done", "0")
    assert (await verified(place, tape["id"]))["ok"]


async def audited(place: Place, session: str) -> list[tuple[str, str, dict[str, Any]]]:
    """The ledger's events of a session: what is the same for the same commands."""
    rows = await place.served.database.read(lambda connection: connection.execute(select(audit_events.c.body)).all())
    (tape,) = [one for one in await listed(place) if one["session"] == session]
    own = {session, tape["id"]}
    left_out = {"head", "milliseconds", "program", "bytesUp", "bytesDown", "bytes", "chunks", "session"}
    left_out |= {"hostKey"}  # a session in the web begins before its target is reached
    found = []
    for event in (json.loads(row.body) for row in rows):
        if event["object"]["id"] in own and event["action"] != "recording.head":
            details = {name: value for name, value in event["details"].items() if name not in left_out}
            found.append((event["action"], event["outcome"], details))
    return sorted(found, key=lambda one: (one[0], json.dumps(one[2], sort_keys=True)))


async def test_what_the_ledger_and_a_search_know_of_commands_is_the_same_over_ssh_and_in_the_web(
    nodes: tuple[Place, Served],
) -> None:
    place, other = nodes
    typed = ["PS1=; stty -echo; echo ready-$((40+2))\n", "echo first-$((40+2))\n", "false\n", "exit 5\n"]
    async with place.client() as client:
        screen = await terminal(client)
        screen.type(typed[0])
        await screen.until("ready-42")
        for line in typed[1:]:
            screen.type(line)
        await screen.until("first-42")
        assert (await screen.process.wait()).exit_status == 5
    headers = await bearer(place.served)
    made = await place.served.http.post("/api/v1/access/terminals", json={"target": "web1"}, headers=headers)
    user = Shown(place, made.json()["id"], headers)
    user.type(typed[0])
    await user.until("ready-42")
    for line in typed[1:]:
        user.type(line)
    assert (await user.ended()).status == 5
    for _ in range(100):
        if len(await recorded(place, "access.end")) == 2:
            break
        await asyncio.sleep(0.05)
    web, ssh = await listed(place)  # the newest first
    assert web["session"] == made.json()["id"]
    over_ssh, in_web = await audited(place, ssh["session"]), await audited(place, web["session"])
    assert {action for action, *_ in over_ssh} >= {"access.start", "access.channel", "access.end", "recording.start"}
    # it was opened before a gateway reached its target, which is in the ledger by itself
    assert [action for action, *_ in in_web].count("access.reach") == 1
    assert over_ssh == [one for one in in_web if one[0] != "access.reach"]
    alike = ("kind", "user", "target", "account", "title", "columns", "rows", "state", "exit", "node")
    assert {name: ssh[name] for name in alike} == {name: web[name] for name in alike}
    texts = [(await exported(place, one["id"], "txt")).decode().splitlines() for one in (ssh, web)]
    assert [line for line in texts[0] if line.endswith("-42")] == [line for line in texts[1] if line.endswith("-42")]
    hits = await other.http.post("/api/v1/recordings/search", json={"text": "first-42"}, headers=other.bearer())
    assert {ident for ident in (ssh["id"], web["id"]) if ident in hits.text} == {ssh["id"], web["id"]}, hits.text


# ---- its owner died --------------------------------------------------------------------------------------------------


def killed(pid: int) -> None:
    """A whole node at one blow."""
    node = psutil.Process(pid)
    for one in [node, *node.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.send_signal(signal.SIGKILL)


@pytest.mark.server
@pytest.mark.slow
@pytest.mark.pair
async def test_a_recording_of_a_node_that_died_reads_through_another_within_two_seconds(tmp_path: Path) -> None:
    with demo(tmp_path, nodes=2) as running:
        ready = await asyncio.to_thread(running.ready)
        gateway, (own, other) = ready["gateway"], ready["nodes"]
        ask = tmp_path / "ask"
        ask.write_text(f"#!/bin/sh\necho '{ready['adminPassword']}'\n")
        ask.chmod(0o700)
        env = {**os.environ, "SSH_ASKPASS": str(ask), "SSH_ASKPASS_REQUIRE": "force", "DISPLAY": ":0"}
        options = ["-o", "UserKnownHostsFile=/dev/null", "-o", "StrictHostKeyChecking=no", "-o", "LogLevel=ERROR"]
        process = await asyncio.create_subprocess_exec(
            "ssh", "-p", str(own["sshPort"]), *options, f"{gateway['user']}+{gateway['target']}@127.0.0.1",
            "for n in $(seq 1 100000); do echo line-$n; sleep 0.02; done", env=env, start_new_session=True,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout is not None
        shown = b""
        async with asyncio.timeout(60):
            while b"line-150\n" not in shown:
                shown += await process.stdout.read(4096)
        await asyncio.sleep(1.2)  # of what is shown a second may not be durable yet
        body = {"username": "admin", "password": ready["adminPassword"]}
        async with httpx.AsyncClient(base_url=other["url"], timeout=10, trust_env=False) as http:
            token = (await http.post("/api/v1/auth/login", json=body)).json()["accessToken"]
            headers = {"Authorization": f"Bearer {token}"}
            (one,) = (await http.get("/api/v1/recordings", headers=headers)).json()["items"]
            assert one["state"] == "live"
            killed(own["pid"])
            died = time.monotonic()
            path, params = f"/api/v1/recordings/{one['id']}/export", {"format": "ttyrec"}
            while True:
                with contextlib.suppress(httpx.HTTPError):
                    answer = await http.get(path, params=params, headers=headers)
                    if answer.status_code == 200:
                        break
                assert time.monotonic() - died < 10, "it is not read at all"
            took = time.monotonic() - died
            print(f"read through the other node {took:.2f} s after its owner died")
            assert took < 2
            assert shown in bytes_of(answer.content)
            checked = await http.post(f"/api/v1/recordings/{one['id']}/verify", headers=headers)
            assert checked.json()["ok"], checked.text
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
