"""Sessions through the gateways of three nodes as :mod:`benchmarks.gateway` asks for them: many commands, many that are
idle, watched and ended from other nodes, and gateways that die under what is recorded `strict`.

Real nodes, databases, Redis, sshd; the clients are asyncssh's, in this process, on the same processors.
"""

import asyncio
import contextlib
import json
import os
import random
import secrets
import signal
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from pathlib import Path
from typing import Any, NamedTuple

import asyncssh
import httpx

from benchmarks.ranks import nearest_rank
from benchmarks.saturation import Beats, jitters_ms
from benchmarks.sessions_outlive import bytes_of
from benchmarks.vault_ways import PEOPLE_PASSWORD, Place, Ways
from rppam.process.linux import GATEWAY_NAME, children_of
from tests.support.lab import CALM

HEARTBEAT_MS = int(CALM["heartbeatMs"])
SETTING = "/api/v1/settings/access/ssh"
GIVE_UP_S = 30.0
SCREEN, TYPED, ORDERED = "the screen of a session that goes on", "a line that is typed", "ended by an order"
AT_ONCE = 8
"""Log-ins at a time: more unauthenticated connections of one address than a gateway takes would be refused."""


class Spread(NamedTuple):
    """Milliseconds."""

    size: int
    p50: float
    p99: float
    max: float

    @classmethod
    def of(cls, seconds: list[float]) -> "Spread":
        ms = [one * 1000 for one in seconds] or [0.0]
        return cls(len(seconds), nearest_rank(ms, 0.5), nearest_rank(ms, 0.99), max(ms))

    def row(self) -> str:
        return f"{self.size} | {self.p50:.0f} | {self.p99:.0f} | {self.max:.0f}"


class Gateways:
    """A cluster, one target of it, and somebody who may go there with a key."""

    def __init__(self, place: Place) -> None:
        self.place, self.lab, self.ways = place, place.lab, Ways(place)
        self.key = asyncssh.generate_private_key("ssh-ed25519")
        new = {"username": "paula", "password": PEOPLE_PASSWORD, "roles": ["pam_user"]}
        assert self.ways.ask("people", "POST", "/api/v1/users", new).status == 201
        login = {"username": "paula", "password": PEOPLE_PASSWORD}
        answer = self.lab.nodes[0].ask("/api/v1/auth/login", method="POST", send=login, timeout_s=20)
        public = self.key.export_public_key().decode().strip()
        path = "/api/v1/users/me/ssh-keys"
        added = self.ways.ask("key", "POST", path, {"key": public}, token=answer.body["accessToken"])
        assert added.status == 201, added
        target = place.target
        web = self.ways.made(
            "target", "/api/v1/resources", name="web1", kind="ssh", address="127.0.0.1", port=target.port,
            hostKeyPolicy="tofu",
        )  # fmt: skip
        account = self.ways.made("target", "/api/v1/accounts", resourceId=web["id"], name=target.user)
        fields = {"privateKey": target.private_key}
        self.ways.entry("web1", type="ssh-key", accountId=account["id"], fields=fields, exclusive=False)
        self.ways.let("use")
        self.http: httpx.AsyncClient

    @contextlib.asynccontextmanager
    async def asking(self) -> AsyncIterator[None]:
        """Ask the nodes over REST from this loop."""
        async with httpx.AsyncClient(timeout=GIVE_UP_S, trust_env=False, headers=self.bearer) as self.http:
            yield

    @property
    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.lab.token}"}

    def url(self, node: int) -> str:
        return f"http://127.0.0.1:{self.lab.nodes[node % 3].port}"

    def put(self, **values: Any) -> None:
        """Change the policy."""
        answer = self.ways.ask("setting", "PUT", SETTING, values)
        assert answer.status == 200, answer

    def pid(self, node: int) -> int:
        """Of the gateway of a node, once it is there."""
        process = self.lab.nodes[node % 3].process
        assert process is not None
        until = time.monotonic() + GIVE_UP_S
        while time.monotonic() < until:
            for pid, name in children_of(process.pid).items():
                if name == GATEWAY_NAME:
                    return pid
            time.sleep(0.05)
        raise AssertionError(f"node {node} has no gateway")

    async def connect(self, node: int) -> asyncssh.SSHClientConnection:
        """A log-in at the gateway of a node, tried again while it is being replaced."""
        port = self.lab.nodes[node % 3].config["access"]["port"]
        until = time.monotonic() + GIVE_UP_S
        while True:
            try:
                return await asyncssh.connect(
                    "127.0.0.1", port, username="paula+web1", client_keys=[self.key], known_hosts=None, config=None,
                    agent_path=None, kex_algs=["curve25519-sha256"],
                )  # fmt: skip
            except (OSError, asyncssh.Error):
                if time.monotonic() > until:
                    raise
                await asyncio.sleep(0.1)

    async def session(self, line: str, node: int) -> dict[str, Any]:
        """The live session whose recording begins with ``line``, as another node tells of it, with its recording."""
        until = time.monotonic() + GIVE_UP_S
        while time.monotonic() < until:
            with contextlib.suppress(httpx.HTTPError):
                answer = await self.http.get(f"{self.url(node)}/api/v1/recordings")
                for one in answer.json().get("items", []):
                    if line in one["title"]:
                        return dict(one)
            await asyncio.sleep(0.02)
        raise AssertionError(f"nothing recorded of {line}")


async def gathered(works: list[Awaitable[Any]], at_once: int) -> list[Any]:
    gate = asyncio.Semaphore(at_once)

    async def one(work: Awaitable[Any]) -> Any:
        async with gate:
            return await work

    return await asyncio.gather(*(one(work) for work in works))


# ---- commands at a rate ----------------------------------------------------------------------------------------------


async def commands(gateways: Gateways, *, rate: float, seconds: float, fresh: bool) -> dict[str, Any]:
    """Begin a command each 1/``rate`` s, on connections that stand or (``fresh``) on one of its own each; how long each
    took from when it was due, and what the nodes' exchanges with Redis did meanwhile."""
    lines = [] if fresh else [await gateways.connect(node) for node in (0, 1, 2)]
    for line in lines:
        await line.run("true", check=True)  # the session with the target begins by the first one
    names = [node.name for node in gateways.lab.nodes]
    beats, leader = Beats(gateways.place.redis, names), gateways.lab.wait_for_leader().name
    beats.start()
    took: list[float] = []
    failed: list[str] = []

    async def one(number: int, due: float) -> None:
        try:
            line = await gateways.connect(number) if fresh else lines[number % len(lines)]
            done = await asyncio.wait_for(line.run("true"), GIVE_UP_S)
            took.append(time.perf_counter() - due)
            if done.exit_status != 0:
                failed.append(f"{done.exit_status} {done.stderr!r}")
            if fresh:
                line.close()
        except (OSError, asyncssh.Error, TimeoutError) as error:
            failed.append(repr(error))

    began, tasks = time.perf_counter(), set[asyncio.Task[None]]()
    for number in range(int(rate * seconds)):
        due = began + number / rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        task = asyncio.create_task(one(number, due))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await asyncio.gather(*tasks)
    jitters = jitters_ms(await asyncio.to_thread(beats.stop), HEARTBEAT_MS)
    for line in lines:
        line.close()
    late = {node: sum(one > HEARTBEAT_MS for one in values) for node, values in jitters.items()}
    return {
        "seconds": seconds,
        "rate": rate,
        "fresh": fresh,
        "took": Spread.of(took),
        "failed": failed,
        "beats": sum(map(len, jitters.values())),
        "late": sum(late.values()) if len(jitters) == len(names) else -1,
        "jitterMaxMs": max((values[-1] for values in jitters.values()), default=-1.0),
        "leaderStayed": gateways.lab.wait_for_leader().name == leader,
    }


# ---- many that are idle ----------------------------------------------------------------------------------------------


def memory_mb(pid: int) -> tuple[float, float]:
    """What a process has in memory, and what of that is its own alone."""
    found: dict[str, int] = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, _, value = line.partition(":")
        found[name] = int(value.split()[0])
    return found["Rss"] / 1024, (found["Private_Clean"] + found["Private_Dirty"]) / 1024


def open_files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


async def idle(gateways: Gateways, *, sessions: int, hold_s: float) -> dict[str, Any]:
    """So many sessions, each with a connection of its own, at one gateway: what its process takes more by them."""
    pid = gateways.pid(0)
    warm = [await gateways.connect(0) for _ in range(5)]
    for line in warm:
        await line.run("true", check=True)
        line.close()
    await asyncio.sleep(1)
    before, files = memory_mb(pid), open_files(pid)
    began = time.perf_counter()

    async def begun() -> tuple[asyncssh.SSHClientConnection, Any]:
        line = await gateways.connect(0)
        process = await line.create_process("echo here; exec sleep 100000")
        assert (await asyncio.wait_for(process.stdout.readline(), GIVE_UP_S * 4)).strip() == "here"
        return line, process

    open_ = await gathered([begun() for _ in range(sessions)], AT_ONCE)
    took_s = time.perf_counter() - began
    await asyncio.sleep(hold_s)
    after = memory_mb(pid)
    alive = sum(process.exit_status is None and not process.is_closing() for _, process in open_)
    for line, _ in open_:
        line.close()
    for line, _ in open_:
        await line.wait_closed()
    left = files + 1
    for _ in range(100):
        left = open_files(pid)
        if left <= files:
            break
        await asyncio.sleep(0.2)
    return {
        "sessions": sessions,
        "alive": alive,
        "beganInS": round(took_s, 1),
        "heldS": hold_s,
        "moreMb": round(after[0] - before[0], 1),
        "moreOwnMb": round(after[1] - before[1], 1),
        "beforeMb": round(before[0], 1),
        "filesLeft": left - files,
    }


# ---- watched and ended from other nodes ------------------------------------------------------------------------------


async def watched(gateways: Gateways, node: int, found: dict[str, list[float]]) -> None:
    """A session at one node, watched through the second and ended through the third."""
    mark = secrets.token_hex(6)
    async with await gateways.connect(node) as line:
        process = await line.create_process(f"echo here-{mark}; cat")
        assert (await asyncio.wait_for(process.stdout.readline(), GIVE_UP_S)).strip() == f"here-{mark}"
        tape = await gateways.session(mark, node + 1)
        began = time.perf_counter()
        path = f"{gateways.url(node + 1)}/api/v1/recordings/{tape['id']}/watch"
        async with (
            gateways.http.stream("GET", path) as answer,
            asyncio.timeout(GIVE_UP_S),
            contextlib.aclosing(_shown(answer.aiter_lines())) as shown,
        ):
            await _until(shown, f"here-{mark}")
            found[SCREEN].append(time.perf_counter() - began)
            typed = time.perf_counter()
            process.stdin.write(f"typed-{mark}\n")
            await _until(shown, f"typed-{mark}")
            found[TYPED].append(time.perf_counter() - typed)
        ordered = time.perf_counter()
        order = f"{gateways.url(node + 2)}/api/v1/access/sessions/{tape['session']}/kill"
        killing = asyncio.create_task(gateways.http.post(order, json={"reason": "because"}))
        said = await asyncio.wait_for(process.stderr.read(), GIVE_UP_S)
        found[ORDERED].append(time.perf_counter() - ordered)
        answered = await killing
        assert answered.is_success, answered.text
        assert "because" in said, said


async def _shown(lines: AsyncIterator[str]) -> AsyncGenerator[str]:
    text = ""
    async for line in lines:
        if line.startswith("data: "):
            text += json.loads(line.removeprefix("data: ")).get("text", "")
            yield text


async def _until(shown: AsyncIterator[str], mark: str) -> None:
    async for text in shown:
        if mark in text:
            return
    raise AssertionError(f"the watch ended before {mark}")


async def watches(gateways: Gateways, rounds: int) -> dict[str, Spread]:
    found: dict[str, list[float]] = {SCREEN: [], TYPED: [], ORDERED: []}
    async with gateways.asking():
        for _ in range(rounds):
            for node in range(3):
                await watched(gateways, node, found)
    return {name: Spread.of(values) for name, values in found.items()}


# ---- gateways that die under what is recorded ------------------------------------------------------------------------


async def strict(gateways: Gateways, kills: int, chance: random.Random) -> dict[str, Any]:
    """Kill the gateway under a session that prints as fast as it can; what its user saw has to be in the recording."""
    gateways.put(recording="strict")
    shown = lost = recorded = 0
    problems: list[str] = []
    async with gateways.asking():
        for number in range(kills):
            mark = secrets.token_hex(6)
            seen, tape = await _shown_until_killed(gateways, number, mark, chance.uniform(0.1, 1.5))
            kept = await _kept(gateways, tape, number + 1)
            shown, recorded = shown + len(seen), recorded + len(kept)
            if not seen:
                problems.append(f"{mark}: nothing was shown before the gateway died")
            if kept[: len(seen)] != seen:
                same = next((at for at, (a, b) in enumerate(zip(seen, kept, strict=False)) if a != b), len(kept))
                lost += len(seen) - same
    gateways.put(recording="bounded")
    return {"kills": kills, "shown": shown, "recorded": recorded, "lost": lost, "problems": problems}


async def _shown_until_killed(gateways: Gateways, number: int, mark: str, after_s: float) -> tuple[bytes, str]:
    """What a user saw until the gateway was killed, and of which recording."""
    async with await gateways.connect(number) as line:
        command = f"i=0; while :; do i=$((i+1)); echo {mark}-$i; done"
        process = await line.create_process(command, encoding=None)
        seen, begun = bytearray(), asyncio.Event()

        async def read() -> None:
            with contextlib.suppress(OSError, asyncssh.Error):
                while data := await process.stdout.read(65_536):
                    seen.extend(data)
                    begun.set()

        reading = asyncio.create_task(read())
        tape = await gateways.session(mark, number + 1)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(begun.wait(), GIVE_UP_S)
        await asyncio.sleep(after_s)
        os.kill(gateways.pid(number), signal.SIGKILL)
        await asyncio.wait_for(reading, GIVE_UP_S)
    return bytes(seen), str(tape["id"])


async def _kept(gateways: Gateways, ident: str, node: int) -> bytes:
    until = time.monotonic() + GIVE_UP_S
    while time.monotonic() < until:
        with contextlib.suppress(httpx.HTTPError):
            path = f"{gateways.url(node)}/api/v1/recordings/{ident}/export?format=ttyrec"
            answer = await gateways.http.get(path)
            if answer.status_code == 200:
                return bytes_of(answer.content)
        await asyncio.sleep(0.1)
    raise AssertionError(f"no node has the recording {ident}")
