"""A shell through the deaths of what carries it: every line shown once, typed once, recorded once.

``python -m benchmarks.sessions_outlive [--lines N] [--deaths N] [--nodes N] [--pause S] [--write]`` starts a demo of
several nodes with its SSH target, opens a terminal at one of them, and runs a program there that prints numbered lines
while others are typed. Meanwhile gateways are killed at chance moments, one is stopped for a while and goes on, and one
node dies whole. It exits with 1 where a line is missing or twice, in what was shown or in the recording, where a typed
line was not taken once, where the ledger or the recording do not verify, or where something is left on the target.
"""

import argparse
import asyncio
import contextlib
import os
import random
import re
import signal
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from benchmarks.machine import facts, load, machine, write_section
from benchmarks.ranks import nearest_rank
from rppam.gateway.terminal_client import Ended, TerminalClient
from rppam.process.linux import GATEWAY_NAME, children_of
from tests.demo.running import demo

PROGRAM = """
import select, sys, time
lines, begun, rest, heard = int(sys.argv[1]), time.monotonic(), b"", 0
rate, over, fd = float(sys.argv[2]), False, sys.stdin.fileno()
import os
number = 0
while number < lines or not over:
    due = min(lines, int((time.monotonic() - begun) * rate))
    while number < due:
        number += 1
        sys.stdout.write("line-%d\\n" % number)
    sys.stdout.flush()
    if select.select([fd], [], [], 0.02)[0]:
        rest += os.read(fd, 65536)
        *whole, rest = rest.split(b"\\n")
        for one in whole:
            over = over or one == b"over"
            sys.stdout.write("heard-%s\\n" % one.decode())
print("finished")
"""


class Client(TerminalClient):
    """Says of each connection how it went, where that is wanted."""

    verbose = False

    async def _once(self, url: str) -> tuple[Ended | None, bool]:
        begun = time.monotonic()
        found = await super()._once(url)
        if self.verbose:
            print(f"{begun % 1000:.2f} {url} {time.monotonic() - begun:.2f} s {found} {self.last}", flush=True)
        return found


class Outcome(NamedTuple):
    """What was seen."""

    problems: list[str]
    deaths: int
    resumed: int
    gaps_s: list[float]
    """From each loss to the first word of whoever went on."""
    lines: int
    typed: int
    took_s: float


class Run:
    """One terminal, and what happens to it."""

    def __init__(self, ready: dict[str, Any], folder: Path, *, lines: int, rate: float) -> None:
        self.ready, self.folder, self.lines, self.rate = ready, folder, lines, rate
        self.nodes = list(ready["nodes"])
        self.urls = [node["url"] for node in self.nodes]
        self.out = bytearray()
        self.typed = 0
        self.deaths = 0
        self.http = httpx.AsyncClient(timeout=15, trust_env=False)
        self.headers: dict[str, str] = {}
        self.client: Client

    async def begin(self) -> "asyncio.Task[Ended]":
        """Open the terminal, and start the program in it."""
        body = {"username": "admin", "password": self.ready["adminPassword"]}
        answer = await self.http.post(f"{self.urls[0]}/api/v1/auth/login", json=body)
        self.headers = {"Authorization": f"Bearer {answer.raise_for_status().json()['accessToken']}"}
        wanted = {"target": self.ready["gateway"]["target"], "account": self.ready["gateway"]["account"]}
        answer = await self.http.post(f"{self.urls[-1]}/api/v1/access/terminals", json=wanted, headers=self.headers)
        self.ident: str = answer.raise_for_status().json()["id"]
        urls = [url.replace("http", "ws", 1) for url in self.urls]
        self.client = Client(urls, self.ident, self.headers, self.out.extend, lambda _: None)
        task = asyncio.create_task(self.client.run())
        program = self.folder / "lines.py"
        program.write_text(PROGRAM)
        self.client.type(f"stty -echo; PS1=; python3 {program} {self.lines} {self.rate}; exit 5\n".encode())
        await self.until(rb"line-1\r\n", task)
        return task

    async def until(self, pattern: bytes, task: "asyncio.Task[Ended]", patience_s: float = 60) -> None:
        ends = time.monotonic() + patience_s
        while re.search(pattern, self.out[-200_000:]) is None:
            if task.done() or time.monotonic() > ends:
                raise AssertionError(f"no {pattern!r}: {bytes(self.out[-300:])!r} {task}")
            await asyncio.sleep(0.05)

    async def type_on(self) -> None:
        """Type numbered lines until cancelled."""
        while True:
            self.typed += 1
            self.client.type(b"word-%d\n" % self.typed)
            await asyncio.sleep(0.3)

    async def owner(self) -> dict[str, Any] | None:
        """The node that has the terminal, as the register says."""
        for url in self.urls:
            with contextlib.suppress(httpx.HTTPError):
                answer = await self.http.get(f"{url}/api/v1/access/sessions/{self.ident}", headers=self.headers)
                if answer.status_code == 200:
                    name = answer.json()["node"]
                    return next((node for node in self.nodes if node["nodeName"] == name), None)
        return None

    async def kill_gateway(self, sig: int = signal.SIGKILL) -> list[int]:
        """Signal the gateway processes of whichever node has it."""
        node = await self.owner()
        if node is None:
            return []
        found = [pid for pid, name in children_of(node["pid"]).items() if name == GATEWAY_NAME]
        for pid in found:
            os.kill(pid, sig)
        self.deaths += bool(found)
        return found

    async def kill_node(self) -> None:
        """Kill the node that has it, and all its processes with it."""
        node = await self.owner()
        if node is not None:
            os.kill(node["pid"], signal.SIGKILL)
            self.deaths += 1

    async def verify(self, ended: Ended) -> list[str]:
        """What is not as it should be."""
        problems = [] if ended.status == 5 else [f"it ended by {ended}"]
        shown = bytes(self.out)
        problems += _counted("shown", "line", shown, self.lines) + _counted("shown", "heard-word", shown, self.typed)
        answer = await self._ask("GET", f"/api/v1/recordings?session={self.ident}")
        tapes = answer["items"]
        if len(tapes) != 1 or tapes[0]["state"] != "done":
            return [*problems, f"recordings: {[(one['id'], one['state']) for one in tapes]}"]
        tape = tapes[0]["id"]
        raw = bytes_of(await self._bytes(f"/api/v1/recordings/{tape}/export?format=ttyrec"))
        problems += _counted("recorded", "line", raw, self.lines)
        if raw != shown:
            problems.append(f"{len(raw)} bytes recorded and {len(shown)} shown differ")
        verdict = await self._ask("POST", f"/api/v1/recordings/{tape}/verify")
        if not verdict["ok"]:
            problems.append(f"the recording does not verify: {verdict['problem']}")
        if not await asyncio.to_thread(_is_gone, Path.home() / ".rppam" / self.ident):
            problems.append("the session's socket is left on the target")
        return problems

    async def _ask(self, method: str, path: str) -> Any:
        for url in [*self.urls, *self.urls]:
            with contextlib.suppress(httpx.HTTPError):
                answer = await self.http.request(method, url + path, headers=self.headers)
                if answer.status_code == 200:
                    return answer.json()
        raise AssertionError(f"nobody answers {path}")

    async def _bytes(self, path: str) -> bytes:
        for url in [*self.urls, *self.urls]:
            with contextlib.suppress(httpx.HTTPError):
                answer = await self.http.get(url + path, headers=self.headers)
                if answer.status_code == 200:
                    return answer.content
        raise AssertionError(f"nobody answers {path}")


def _counted(where: str, what: str, text: bytes, count: int) -> list[str]:
    """Whether ``what-1`` to ``what-COUNT`` stand there once each and in order."""
    found = [int(one) for one in re.findall(rb"%s-(\d+)\r\n" % what.encode(), text)]
    if found == list(range(1, count + 1)):
        return []
    missing = sorted(set(range(1, count + 1)) - set(found))
    twice = sorted({one for one in found if found.count(one) > 1}) if len(found) < 100_000 else []
    return [f"{where}: {len(found)} of {count} {what}; missing {missing[:5]}, more than once {twice[:5]}"]


def _ledger(node: Path, patience_s: float = 60) -> list[str]:
    """What ``rppam audit verify`` says once all is in the tree; empty when it is whole."""
    words = [sys.executable, "-m", "rppam", "audit", "verify", "--config", str(node / "rppam.config")]
    until = time.monotonic() + patience_s
    while True:
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
        if done.returncode == 0:
            return []
        if time.monotonic() > until:
            return [f"the ledger does not verify: {done.stdout.strip()} {done.stderr.strip()}"]
        time.sleep(1)


def _is_gone(place: Path, patience_s: float = 5) -> bool:
    until = time.monotonic() + patience_s
    while place.exists() and time.monotonic() < until:
        time.sleep(0.1)
    return not place.exists()


def bytes_of(ttyrec: bytes) -> bytes:
    found, place = bytearray(), 0
    while place < len(ttyrec):
        size = struct.unpack("<III", ttyrec[place : place + 12])[2]
        found += ttyrec[place + 12 : place + 12 + size]
        place += 12 + size
    return bytes(found)


async def outlive(
    ready: dict[str, Any],
    folder: Path,
    *,
    lines: int,
    deaths: int,
    pause_s: float,
    node_deaths: int,
    chance: random.Random,
) -> Outcome:
    """Run it. ``deaths`` of gateways, of which ``node_deaths`` take their whole node along, and one pause."""
    began = time.monotonic()
    rate = lines / (deaths * 4.0 + pause_s * 0.7 + 2)
    run = Run(ready, folder, lines=lines, rate=rate)
    task = await run.begin()
    typing = asyncio.create_task(run.type_on())
    for number in range(deaths):
        await asyncio.sleep(chance.uniform(0.3, 2.0))
        before = run.client.resumed
        if number == deaths // 2 and pause_s:
            stopped = await run.kill_gateway(signal.SIGSTOP)
            await _resumed(run, before, task)
            await asyncio.sleep(pause_s)
            for pid in stopped:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
            continue
        if number >= deaths - node_deaths:
            await run.kill_node()
        else:
            await run.kill_gateway()
        await _resumed(run, before, task)
    typing.cancel()
    await run.until(rb"line-%d\r\n" % lines, task, 300)
    run.client.type(b"over\n")
    ended = await asyncio.wait_for(task, 60)
    problems = await run.verify(ended)
    problems += await asyncio.to_thread(_ledger, Path(ready["directory"]) / ready["nodes"][0]["nodeName"])
    await run.http.aclose()
    took_s = time.monotonic() - began
    return Outcome(problems, run.deaths, run.client.resumed, run.client.gaps_s, lines, run.typed, took_s)


def page(outcome: Outcome, node_deaths: int, nodes: int, pause_s: float) -> str:
    """What was seen, as a table."""
    gaps = outcome.gaps_s or [0.0]
    p50, p99 = nearest_rank(gaps, 0.5), nearest_rank(gaps, 0.99)
    said = "; ".join(outcome.problems) or "none"
    return f"""{outcome.lines} numbered lines and {outcome.typed} typed ones through a terminal at {nodes} nodes,
{outcome.took_s:.0f} s long, while gateways are killed by chance, one is stopped for {pause_s:g} s, and {node_deaths}
of the deaths take a whole node. Each line has to be shown once, taken once and recorded once; recording and ledger have
to verify.

| deaths | gone on | after, s: p50 | p99 | max | problems |
|---|---|---|---|---|---|
| {outcome.deaths} | {outcome.resumed} | {p50:.2f} | {p99:.2f} | {max(gaps):.2f} | {said} |"""


async def _resumed(run: Run, before: int, task: "asyncio.Task[Ended]") -> None:
    for _ in range(3_000):
        if run.client.resumed != before or task.done():
            return
        await asyncio.sleep(0.02)


def main() -> int:
    """Run it once, and say what was seen."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=60_000)
    parser.add_argument("--deaths", type=int, default=20)
    parser.add_argument("--node-deaths", type=int, default=1)
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--pause", type=float, default=60)
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("--write", action="store_true", help="put the result into docs/reference/measurements.md")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    Client.verbose = options.verbose
    before = machine()
    with tempfile.TemporaryDirectory() as name, demo(Path(name), nodes=options.nodes) as running:
        outcome = asyncio.run(
            outlive(
                running.until("ready", 120),
                Path(name),
                lines=options.lines,
                deaths=options.deaths,
                pause_s=options.pause,
                node_deaths=options.node_deaths,
                chance=random.Random(options.seed),
            )
        )
    text = page(outcome, options.node_deaths, options.nodes, options.pause)
    print(text)
    for problem in outcome.problems:
        print(f"PROBLEM {problem}")
    if options.write:
        command = f"`make sessions-outlive ARGS='{' '.join(sys.argv[1:])}'`"
        head = (
            f"## A shell through the deaths of what carries it\n\n{command}\n\n{facts(before)}\n- load after: {load()}"
        )
        write_section("sessions outlive", f"{head}\n\n{text}\n")
    return 1 if outcome.problems else 0


if __name__ == "__main__":
    sys.exit(main())
