"""What does a node cost while nothing happens, and how soon does it answer?

Start: from the start of the process to the first 200 of ``/system/health/ping``, with the files in the page cache.
Memory: PSS (each shared page counted by its share) of all processes of a node, idle, after a minute. Processor: time of
those processes over 30 s. Requests to Redis: what its MONITOR shows from a node's connections, calls inside scripts not
counted. Leader and standbys are told apart.
"""

import argparse
import json
import re
import socket
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.machine import facts, load, machine, write_section
from rppam.cluster.consensus.timing import PROFILES
from tests.support.lab import HOST, Lab, LabNode
from tests.support.raw_redis import Raw
from tests.support.redis_servers import Server, available

TARGETS = {"start_s": 2.0, "pss_mb": 200.0, "cpu_percent": 3.0, "requests_per_s": 5.0}
REQUEST = b"GET /system/health/ping HTTP/1.0\r\n\r\n"


def first_answer_s(node: LabNode) -> tuple[float, float]:
    """Start ``node``, and wait for its first 200 to a ping: seconds that passed, and of processor time (any load)."""
    began = time.monotonic()
    node.start()
    while time.monotonic() - began < 20:
        try:
            with socket.create_connection((HOST, node.port), timeout=1) as link:
                link.sendall(REQUEST)
                if b" 200 " in link.recv(64):
                    return time.monotonic() - began, cpu_s(node)
        except OSError:
            time.sleep(0.002)
    raise AssertionError(f"{node.name} did not answer:\n{node.log()}")


def pss_mb(node: LabNode) -> float:
    """Megabytes (10^6) of all its processes."""
    total_kb = 0
    for pid in node.pids():
        text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
        total_kb += int(re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)[1])  # type: ignore[index]
    return total_kb * 1024 / 1e6


def cpu_s(node: LabNode) -> float:
    """Processor time of all its processes so far."""
    times = [psutil.Process(pid).cpu_times() for pid in node.pids()]
    return sum(taken.user + taken.system for taken in times)


def connections_of(server: Server, name: str) -> set[str]:
    """Addresses that ``name`` talks to Redis from."""
    listed = server.ask("CLIENT", "LIST").decode()
    return {
        found[1] for found in re.finditer(r"addr=(\S+) .*?name=(\S*)", listed) if found[2].startswith(f"rppam:{name}:")
    }


def requests(server: Server, names: list[str], seconds: float) -> dict[str, dict[str, float]]:
    """Requests a second of each node, by command, as MONITOR shows them."""
    owners = {address: name for name in names for address in connections_of(server, name)}
    assert set(owners.values()) == set(names), owners
    counts: dict[str, dict[str, float]] = {name: {} for name in names}
    over = time.monotonic() + seconds
    with Raw(server) as spy:
        spy("MONITOR")
        while (left := over - time.monotonic()) > 0:
            try:
                line = spy.read(left)
            except TimeoutError:
                break
            found = re.match(rb"[\d.]+ \[\d+ (\S+)\] \"([^\"]*)\"", line)
            if found and (name := owners.get(found[1].decode())):
                verb = found[2].decode().upper()
                counts[name][verb] = counts[name].get(verb, 0) + 1 / seconds
    return counts


def measure(profile: str, seconds: float, settle_s: float, starts: int) -> tuple[str, dict[str, Any]]:
    """The server's name, and everything about one cluster of three."""
    kind = available()[-1]
    with (
        Server(kind) as server,
        tempfile.TemporaryDirectory(prefix="rppam-bench-") as folder,
        Lab(Path(folder), server.port, times=profile) as lab,
    ):
        lab.start()
        last = lab.nodes[-1]
        started = []
        for _ in range(starts):
            last.term()
            last.wait()
            started.append(first_answer_s(last))
        lab.wait_until_healthy()
        time.sleep(settle_s)
        leader = lab.wait_for_leader()
        sent: dict[str, dict[str, float]] = {}
        names = [node.name for node in lab.nodes]
        spy = threading.Thread(target=lambda: sent.update(requests(server, names, seconds)))
        before, began = {node.name: cpu_s(node) for node in lab.nodes}, time.monotonic()
        spy.start()
        spy.join()
        passed = time.monotonic() - began
        nodes = [
            {
                "node": node.name,
                "role": "leader" if node is leader else "standby",
                "processes": len(node.pids()),
                "pssMb": round(pss_mb(node), 1),
                "cpuPercent": round(100 * (cpu_s(node) - before[node.name]) / passed, 2),
                "requestsPerS": round(sum(sent[node.name].values()), 2),
                "requests": {verb: round(rate, 2) for verb, rate in sent[node.name].items()},
            }
            for node in lab.nodes
        ]
        return str(kind), {
            "profile": profile,
            "heartbeatMs": PROFILES[profile].heartbeat_ms,
            "seconds": seconds,
            "startS": {
                "median": round(statistics.median(passed for passed, _ in started), 2),
                "worst": round(max(passed for passed, _ in started), 2),
                "processor": round(statistics.median(taken for _, taken in started), 2),
            },
            "starts": starts,
            "nodes": nodes,
        }


def page(found: dict[str, str], results: list[dict[str, Any]]) -> str:
    """The section of docs/reference/measurements.md."""
    lines = [
        "## Cost of an idle node",
        "",
        "`python benchmarks/cost.py --write`: a cluster of three; what each node takes while nobody asks it anything.",
        "PSS counts what processes share (interpreter, libraries) by its share; a node alone on a host takes more.",
        "The heartbeat alone is a request: `lan` sends five a second.",
        "",
        facts(found),
        "",
        "| Profile (heartbeat) | Role | Processes | Memory (PSS) | Processor | Requests to Redis |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {result['profile']} ({result['heartbeatMs']} ms) | {node['role']} | {node['processes']} "
        f"| {node['pssMb']:.0f} MB | {node['cpuPercent']:.2f} % of a core | {node['requestsPerS']:.1f}/s |"
        for result in results
        for node in sorted(result["nodes"], key=lambda node: str(node["role"]))
    ]
    lines += [
        "",
        "| Profile | Starts | First answer, median | worst | Processor time of a start, median |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {result['profile']} | {result['starts']} | {result['startS']['median']:.2f} s "
        f"| {result['startS']['worst']:.2f} s | {result['startS']['processor']:.2f} s |"
        for result in results
    ]
    lines += ["", "| Target | Worst measured | Met |", "|---|---|---|"]
    nodes = [node for result in results for node in result["nodes"]]
    usual = [node for result in results if result["profile"] == "default" for node in result["nodes"]] or nodes
    worst = {
        "start_s": max(result["startS"]["worst"] for result in results),
        "pss_mb": max(node["pssMb"] for node in nodes),
        "cpu_percent": max(node["cpuPercent"] for node in nodes),
        "requests_per_s": max(node["requestsPerS"] for node in usual),
    }
    starts = sum(result["starts"] for result in results)
    wording = {
        "start_s": ("first answer within 2 s of the start", f"{{:.2f}} s (worst of {starts} starts)"),
        "pss_mb": ("a node's processes together under 200 MB", "{:.0f} MB"),
        "cpu_percent": ("idle under 3 % of a core", "{:.2f} %"),
        "requests_per_s": (
            "at most 5 requests a second to Redis by default, calls inside scripts not counted",
            "{:.1f}/s",
        ),
    }
    for key, target in TARGETS.items():
        words, shape = wording[key]
        met = worst[key] <= target
        lines.append(f"| {words} | {shape.format(worst[key])} | {'yes' if met else 'no'} |")
    return "\n".join(lines)


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0, help="how long to watch an idle cluster")
    parser.add_argument("--settle", type=float, default=30.0, help="seconds of idling before that")
    parser.add_argument("--starts", type=int, default=5, help="how often to start a node")
    parser.add_argument("--profile", action="append", choices=["default", "lan"], help="default: both")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--write", action="store_true", help="also write the section of docs/reference/measurements.md")
    chosen = parser.parse_args()
    found, results = machine(), []
    for profile in chosen.profile or ["default", "lan"]:
        found["server"], result = measure(profile, chosen.seconds, chosen.settle, chosen.starts)
        results.append(result)
    found["load after"] = load()
    if chosen.write:
        write_section("cost", page(found, results))
    print(json.dumps({"machine": found, "results": results}, indent=1) if chosen.json else page(found, results))


if __name__ == "__main__":
    main()
