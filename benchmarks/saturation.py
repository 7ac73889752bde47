"""Does load on the API cost the lease? Every API worker of every node is kept busy to the brim, for minutes.

Load: for each worker a process that writes requests without waiting (32 connections, 4 requests each under way), with a
token, on ``/system/health/cluster``. Heartbeat jitter: how much later or sooner than the period the next exchange of a
node reached Redis, by Redis' own clock, from its MONITOR. Leader: the leadership record, read twice a second, and the
nodes' logs. Everything shares one machine, so processors are as scarce as they can be.
"""

import argparse
import json
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.machine import facts, load, machine, write_section
from benchmarks.ranks import nearest_rank
from rppam.cluster.consensus.timing import PROFILES
from tests.support.inside import Inside, inside, settled
from tests.support.lab import HOST, Lab, LabNode
from tests.support.raw_redis import Raw
from tests.support.redis_servers import Server, available

CONNECTIONS = 32
UNDER_WAY = 4
"""Requests of one connection."""
LOOK_S = 0.5


class Beat(NamedTuple):
    """A node's exchange reached Redis."""

    node: str
    at_s: float


class Beats:
    """Every exchange of every node, as a MONITOR of the server shows it, from ``start`` to ``stop``."""

    def __init__(self, server: Server, names: list[str]) -> None:
        self._server, self._names = server, names
        self._over = threading.Event()
        self._found: list[Beat] = []
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def stop(self) -> list[Beat]:
        """All of them, by time."""
        self._over.set()
        self._thread.join(10)
        return self._found

    def _owners(self) -> dict[str, str]:
        """Whose the connections of leadership are, by address."""
        listed = self._server.ask("CLIENT", "LIST").decode()
        named = re.findall(r"addr=(\S+) .*?name=rppam:(\S+?):lease ", listed)
        return {address: name for address, name in named if name in self._names}

    def _listen(self) -> None:
        owners = self._owners()
        with Raw(self._server) as spy:
            spy("MONITOR")
            while not self._over.is_set():
                try:
                    line = spy.read(0.5)
                except TimeoutError:
                    continue
                found = re.match(rb"([\d.]+) \[\d+ (\S+)\] \"EVALSHA\"", line)
                if found is None:
                    continue
                address = found[2].decode()
                if address not in owners:  # it has connected again
                    owners = self._owners()
                if address in owners:
                    self._found.append(Beat(owners[address], float(found[1])))


def jitters_ms(beats: list[Beat], heartbeat_ms: int) -> dict[str, list[float]]:
    """How far each interval between two exchanges was from the period, by node, smallest first."""
    last: dict[str, float] = {}
    found: dict[str, list[float]] = defaultdict(list)
    for beat in sorted(beats, key=lambda beat: beat.at_s):
        if beat.node in last:
            found[beat.node].append(abs((beat.at_s - last[beat.node]) * 1000 - heartbeat_ms))
        last[beat.node] = beat.at_s
    return {node: sorted(values) for node, values in found.items()}


def pour(port: int, token: str) -> None:
    """Load one port until SIGTERM, in a process of its own; prints how many answers came, and how many were 200."""
    request = f"GET /system/health/cluster HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    answers = fine = 0
    lines: list[socket.socket] = []
    while not over.is_set():
        try:
            if len(lines) < CONNECTIONS:
                lines.append(socket.create_connection((HOST, port), timeout=30))
                lines[-1].sendall(request * UNDER_WAY)
                continue
            for line in lines:
                data = line.recv(1 << 20)
                came = data.count(b"HTTP/1.1 ")
                answers, fine = answers + came, fine + data.count(b"HTTP/1.1 200")
                if not data:
                    raise ConnectionError
                line.sendall(request * came)
        except OSError:
            for line in lines:
                line.close()
            lines.clear()
    print(json.dumps({"answers": answers, "fine": fine}), flush=True)


class Load:
    """A pouring process for each worker of each node."""

    def __init__(self, nodes: list[LabNode], token: str, each: int) -> None:
        self._pouring = [self._pour(node.port, token) for node in nodes for _ in range(each)]

    def _pour(self, port: int, token: str) -> "subprocess.Popen[str]":
        words = [sys.executable, __file__, "--pour", str(port)]
        made = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert made.stdin is not None
        made.stdin.write(token + "\n")
        made.stdin.flush()
        return made

    def end(self) -> dict[str, int]:
        """Stop it; all answers, and those of them that were 200."""
        total = {"answers": 0, "fine": 0}
        for process in self._pouring:
            process.terminate()
        for process in self._pouring:
            try:
                said, _ = process.communicate(timeout=40)
            except subprocess.TimeoutExpired:
                process.kill()
                said, _ = process.communicate()
            found = json.loads(said or "{}")
            for name in total:
                total[name] += found.get(name, 0)
        return total


def cpu_s(pids: tuple[int, ...]) -> float:
    """Processor time of these processes so far."""
    times = [psutil.Process(pid).cpu_times() for pid in pids]
    return sum(taken.user + taken.system for taken in times)


def measure(profile: str, seconds: float) -> tuple[str, dict[str, Any]]:
    """The server's name, and what a cluster of three did under load."""
    kind = available()[-1]
    with (
        Server(kind) as server,
        tempfile.TemporaryDirectory(prefix="rppam-bench-") as folder,
        Lab(Path(folder), server.port, times=profile) as lab,
    ):
        lab.start()
        leader = settled(lab)
        insides = {node.name: inside(node) for node in lab.nodes}
        names = [node.name for node in lab.nodes]
        calm = watch(lab, server, names, min(30.0, seconds))
        loading = Load(lab.nodes, lab.token, len(insides[leader.name].workers))
        try:
            time.sleep(3.0)
            loaded = watch(lab, server, names, seconds, insides)
        finally:
            total = loading.end()
        lab.wait_until_healthy(60)
        return str(kind), {
            "profile": profile,
            "heartbeatMs": PROFILES[profile].heartbeat_ms,
            "leaseMs": PROFILES[profile].lease_ms,
            "seconds": seconds,
            "leader": leader.name,
            "calm": calm,
            "loaded": loaded,
            "requestsPerS": round(total["answers"] / (seconds + 3)),
            "fine": total["fine"],
            "answers": total["answers"],
        }


def watch(
    lab: Lab, server: Server, names: list[str], seconds: float, insides: dict[str, Inside] | None = None
) -> dict[str, Any]:
    """Jitter, records and step-downs over so many seconds; with ``insides``, also what the workers took."""
    heartbeat_ms = PROFILES[str(lab.times["timingProfile"])].heartbeat_ms
    beats = Beats(server, names)
    workers = tuple(pid for one in (insides or {}).values() for pid in one.workers)
    before_s, began = cpu_s(workers), time.monotonic()
    steps = sum(node.log().count("stepping down") for node in lab.nodes)
    records = set()
    beats.start()
    while time.monotonic() - began < seconds:
        words = (server.ask("GET", f"{lab.prefix}leader") or b"").decode().split()
        records.add(tuple(words[1:5]))  # state, holder, boot id, epoch
        time.sleep(LOOK_S)
    found = jitters_ms(beats.stop(), heartbeat_ms)
    passed = time.monotonic() - began
    return {
        "nodes": {
            name: {
                "beats": len(values),
                "p50Ms": round(nearest_rank(values, 0.5), 1),
                "p99Ms": round(nearest_rank(values, 0.99), 1),
                "maxMs": round(values[-1], 1),
            }
            for name, values in sorted(found.items())
        },
        "records": sorted(" ".join(record) for record in records),
        "stepDowns": sum(node.log().count("stepping down") for node in lab.nodes) - steps,
        "workersPercent": round(100 * (cpu_s(workers) - before_s) / passed),
    }


def is_steady(result: dict[str, Any]) -> bool:
    """One record of one holder, from before the load to its end, and nobody stepped down."""
    both = {*result["calm"]["records"], *result["loaded"]["records"]}
    return len(both) == 1 and result["loaded"]["stepDowns"] == 0


def page(found: dict[str, str], results: list[dict[str, Any]]) -> str:
    """The section of docs/reference/measurements.md."""
    minutes = results[0]["seconds"] / 60
    lines = [
        "## All API workers saturated",
        "",
        f"`python benchmarks/saturation.py --write`: a cluster of three, and for {minutes:g} minutes every worker of",
        "every node has more requests with a token than it can answer. Jitter: how far the time between two exchanges",
        "of a node was from the heartbeat's period, as Redis saw it; calm is the same cluster before.",
        "",
        facts(found),
        "",
        "| Profile (heartbeat) | Node | Exchanges | Jitter calm, p99 | under load, p50 | p99 | max |",
        "|---|---|---|---|---|---|---|",
    ]
    for result in results:
        for name, node in result["loaded"]["nodes"].items():
            role = "leader" if name == result["leader"] else "standby"
            lines.append(
                f"| {result['profile']} ({result['heartbeatMs']} ms) | {role} | {node['beats']} "
                f"| {result['calm']['nodes'][name]['p99Ms']:.0f} ms | {node['p50Ms']:.0f} ms | {node['p99Ms']:.0f} ms "
                f"| {node['maxMs']:.0f} ms |"
            )
    lines += [
        "",
        "| Profile (lease) | Requests answered | of them 200 | Processor of the workers | Leader changes |",
        "|---|---|---|---|---|",
    ]
    for result in results:
        changes = 0 if is_steady(result) else max(1, len(result["loaded"]["records"]) - 1)
        lines.append(
            f"| {result['profile']} ({result['leaseMs']} ms) | {result['requestsPerS']}/s "
            f"| {100 * result['fine'] / max(1, result['answers']):.0f} % "
            f"| {result['loaded']['workersPercent']} % of a core | {changes} |"
        )
    return "\n".join(lines)


def main() -> int:
    """Parse the command line and run. 1 when a leader changed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5.0, help="how long to load each cluster")
    parser.add_argument("--profile", action="append", choices=["default", "lan"], help="default: 'default' alone")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--write", action="store_true", help="also write the section of docs/reference/measurements.md")
    parser.add_argument("--pour", type=int, default=0, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.pour:
        pour(chosen.pour, sys.stdin.readline().strip())
        return 0
    found, results = machine(), []
    for profile in chosen.profile or ["default"]:
        found["server"], result = measure(profile, chosen.minutes * 60)
        results.append(result)
    found["load after"] = load()
    if chosen.write:
        write_section("saturation", page(found, results))
    print(json.dumps({"machine": found, "results": results}, indent=1) if chosen.json else page(found, results))
    return 0 if all(map(is_steady, results)) else 1


if __name__ == "__main__":
    sys.exit(main())
