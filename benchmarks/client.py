"""The Redis client beside redis-py, valkey-glide, coredis and redis-benchmark, in one run.

    python benchmarks/client.py [--rounds 3] [--seconds 1.0] [--json] [--write FILE]

One server (Debian's redis-server) on core 0, one client process at a time on core 1, loopback only. Every round runs
every client once, each round in another order; the table shows the medians of the rounds, and ratios to what
redis-benchmark reached in the same rounds. Ends in less than four minutes.
"""

import argparse
import asyncio
import csv
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.peers import LIMIT, LIMITER, PEERS, Calls, Place

TASKS = 64
VALUE = "x" * 32
SERVER_CORE, CLIENT_CORE = ("0", "1") if (os.cpu_count() or 1) >= 2 else (None, None)
LIMIT_NAME = "redis-benchmark"
MEASURES = {
    # key: (column, which is better, the part of redis-benchmark's figure that a good client reaches)
    "sequential_p50_us": ("sequential GET, p50 us", "at most", 2.0),
    "get_64_per_s": ("64 tasks GET/s", "at least", 1.0),
    "limit_64_per_s": ("64 tasks limiter/s", "at least", 0.5),
}


# --- inside a client process ------------------------------------------------------------------------------------------


async def sequential(call: Callable[[str], Awaitable[object]], seconds: float) -> dict[str, float]:
    """One task, one call after the other."""
    taken: list[float] = []
    until = time.perf_counter() + seconds
    while (began := time.perf_counter()) < until:
        await call("k")
        taken.append(time.perf_counter() - began)
    taken.sort()
    return {"p50_us": taken[len(taken) // 2] * 1e6, "p99_us": taken[int(len(taken) * 0.99)] * 1e6}


async def together(call: Callable[[str], Awaitable[object]], seconds: float, prefix: str) -> dict[str, float]:
    """64 tasks, each one call after the other."""
    done = 0
    until = time.perf_counter() + seconds

    async def worker(number: int) -> None:
        nonlocal done
        key = f"{prefix}{number}"
        while time.perf_counter() < until:
            await call(key)
            done += 1

    began, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(worker(number) for number in range(TASKS)))
    took = time.perf_counter() - began
    return {"per_s": done / took, "cpu_us": (time.process_time() - cpu) / done * 1e6}


async def measure(calls: Calls, seconds: float) -> dict[str, float]:
    """All that is measured of one client."""
    for number in range(TASKS):
        await calls.put(f"k{number}", VALUE)
    await calls.put("k", VALUE)
    await sequential(calls.get, seconds / 5)
    alone = await sequential(calls.get, seconds)
    await together(calls.get, seconds / 5, "k")
    get = await together(calls.get, seconds, "k")
    limit = await together(calls.limit, seconds, "limit")
    return {
        "sequential_p50_us": alone["p50_us"],
        "sequential_p99_us": alone["p99_us"],
        "get_64_per_s": get["per_s"],
        "get_64_cpu_us": get["cpu_us"],
        "limit_64_per_s": limit["per_s"],
        "rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def run_one(name: str, place: Place, seconds: float) -> None:
    """Measure one client in this process and print one line of JSON."""
    open_, loop = PEERS[name]

    async def main() -> dict[str, float]:
        async with open_(place) as calls:
            return await measure(calls, seconds)

    if loop == "uvloop":
        import uvloop

        result = uvloop.run(main())
    else:
        result = asyncio.run(main())
    print(json.dumps(result))


# --- in the parent ----------------------------------------------------------------------------------------------------


def pinned(words: list[str]) -> list[str]:
    """``words`` on the clients' core."""
    return ["taskset", "-c", CLIENT_CORE, *words] if CLIENT_CORE and shutil.which("taskset") else words


def client_process(name: str, place: Place, seconds: float) -> dict[str, float]:
    """Run :func:`run_one` in a process of its own."""
    words = [sys.executable, __file__, "--one", name, "--place", json.dumps(place), "--seconds", str(seconds)]
    ran = subprocess.run(pinned(words), capture_output=True, text=True, timeout=60, check=False)
    if ran.returncode:
        raise SystemExit(f"{name} failed:\n{ran.stderr[-3000:]}")
    return json.loads(ran.stdout.splitlines()[-1])


def redis_benchmark(place: Place, sha: str, seconds: float) -> dict[str, float]:
    """What a C client reaches on the same core: one request in flight on 1 and on 64 connections."""

    def run(clients: int, requests: float, *words: str) -> tuple[float, float]:
        command = ["redis-benchmark", "-p", str(place.port), "-a", place.password, "--csv", "-c", str(clients)]
        command += ["-n", str(int(requests)), *words]
        ran = subprocess.run(pinned(command), capture_output=True, text=True, timeout=60, check=True)
        row = next(csv.reader([line for line in ran.stdout.splitlines() if line.startswith('"')][-1:]))
        return float(row[1]), float(row[4]) * 1000  # requests per second; p50 in us

    _, p50_us = run(1, 12_000 * seconds, "-t", "get")
    get, _ = run(TASKS, 100_000 * seconds, "-t", "get")
    limit, _ = run(TASKS, 80_000 * seconds, "evalsha", sha, "1", "bucket", *LIMIT)
    return {"sequential_p50_us": p50_us, "get_64_per_s": get, "limit_64_per_s": limit}


async def frozen(place: Place, stop: Callable[[], None], cont: Callable[[], None]) -> float:
    """The latest that any of 64 calls with deadlines of 100 to 415 ms ended after its deadline, in ms."""
    from rppam.kernel.secret import Secret
    from rppam.kernel.system_clock import SystemClock
    from rppam.redis.connection import Connection
    from rppam.redis.errors import StoreUnknown
    from rppam.redis.options import Target

    target = Target(host="127.0.0.1", port=place.port, password=Secret(place.password))
    connection = await Connection.open(target, clock=SystemClock())
    late: list[float] = []

    async def call(timeout_ms: int) -> None:
        began = time.perf_counter()
        try:
            await connection.command("GET", "k", timeout_ms=timeout_ms)
        except StoreUnknown:
            late.append((time.perf_counter() - began) * 1000 - timeout_ms)

    stop()
    try:
        await asyncio.gather(*(call(timeout_ms) for timeout_ms in range(100, 420, 5)))
    finally:
        cont()
        await connection.close()
    if len(late) != TASKS:
        raise SystemExit("a frozen server answered")
    return max(late)


def certificate(folder: Path) -> tuple[str, str]:
    """A self-signed certificate for 127.0.0.1 and its key, by openssl."""
    paths = str(folder / "server.crt"), str(folder / "server.key")
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    words += ["-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*words, "-out", paths[0], "-keyout", paths[1]], check=True, capture_output=True)
    return paths


def run_all(rounds: int, seconds: float) -> dict[str, Any]:
    """Start the server, run every client in every round, return the medians and what they were measured on."""
    from tests.support.ports import free_port
    from tests.support.redis_servers import SERVERS, Server

    kind = next(kind for kind in SERVERS if kind.name == "redis-8")
    samples: dict[str, list[dict[str, float]]] = {name: [] for name in (LIMIT_NAME, *PEERS)}
    with tempfile.TemporaryDirectory() as folder:
        crt, key = certificate(Path(folder))
        tls_port = free_port()
        tls = ["--tls-port", str(tls_port), "--tls-cert-file", crt, "--tls-key-file", key, "--tls-auth-clients", "no"]
        tls += ["--tls-ca-cert-file", crt]
        with Server(kind, "--appendonly", "no", *tls, password="bench", cores=SERVER_CORE) as server:
            place = Place(server.port, "bench", tls_port, crt)
            sha = server.ask("SCRIPT", "LOAD", LIMITER).decode()
            names = list(samples)
            for number in range(rounds):
                for name in names[number:] + names[:number]:
                    print(f"round {number + 1} of {rounds}: {name}", file=sys.stderr, flush=True)
                    one = redis_benchmark if name == LIMIT_NAME else None
                    samples[name].append(one(place, sha, seconds) if one else client_process(name, place, seconds))
            late_ms = asyncio.run(frozen(place, server.stop, server.cont))
            info = dict(line.split(":", 1) for line in server.ask("INFO").decode().split("\r\n") if ":" in line)
    medians = {
        name: {measure: statistics.median(sample[measure] for sample in taken) for measure in taken[0]}
        for name, taken in samples.items()
    }
    return {
        "machine": machine(info["redis_version"]),
        "rounds": rounds,
        "seconds": seconds,
        "medians": medians,
        "frozen_server_late_ms": late_ms,
    }


def machine(server: str) -> dict[str, str]:
    """What it ran on."""
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )

    def installed(name: str) -> str:
        try:
            return f"{name} {version(name)}"
        except PackageNotFoundError:
            return f"{name} -"

    return {
        "processor": f"{os.cpu_count()} x {model}",
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "server": f"redis-server {server} on core {SERVER_CORE}, clients on core {CLIENT_CORE}",
        "clients": ", ".join(map(installed, ("hiredis", "uvloop", "redis", "valkey-glide", "coredis"))),
        "load": " ".join(f"{load:.1f}" for load in os.getloadavg()),
    }


def table(result: dict[str, Any]) -> str:
    """The medians as Markdown."""
    medians, limit = result["medians"], result["medians"][LIMIT_NAME]
    lines = [
        "| Client | " + " | ".join(f"{column} | x" for column, _, _ in MEASURES.values()) + " | CPU us/GET | RSS MiB |",
        "|---" * (2 * len(MEASURES) + 3) + "|",
    ]
    for name, taken in medians.items():
        cells = [f"{taken[key]:,.0f} | {taken[key] / limit[key]:.2f}" for key in MEASURES]
        extra = [f"{taken[key]:.1f}" if key in taken else "" for key in ("get_64_cpu_us", "rss_mib")]
        lines.append(f"| {name} | " + " | ".join(cells + extra) + " |")
    lines += ["", "| Target (a node runs on uvloop) | asyncio | uvloop | met on uvloop |", "|---|---|---|---|"]
    for key, (column, sense, bound) in MEASURES.items():
        ratios = [medians[f"rppam, {loop}"][key] / limit[key] for loop in ("asyncio", "uvloop")]
        met = ratios[1] >= bound if sense == "at least" else ratios[1] <= bound
        verdict = "yes" if met else "no"
        lines.append(f"| {column}: {sense} {bound} x {LIMIT_NAME} | {ratios[0]:.2f} | {ratios[1]:.2f} | {verdict} |")
    tls = medians["rppam over TLS, uvloop"]["get_64_per_s"] / limit["get_64_per_s"]
    lines.append(f"| 64 tasks GET over TLS: at least 0.7 x | | {tls:.2f} | {'yes' if tls >= 0.7 else 'no'} |")
    late = result["frozen_server_late_ms"]
    lines.append(
        f"| frozen server: at most 50 ms after the deadline | {late:.0f} ms | | {'yes' if late <= 50 else 'no'} |"
    )
    return "\n".join(lines)


def page(result: dict[str, Any]) -> str:
    """The table with what it was measured on, as a Markdown page."""
    facts = "\n".join(f"- {name}: {value}" for name, value in result["machine"].items())
    return (
        "# The Redis client, measured\n\n"
        "Written by `python benchmarks/client.py --write docs/reference/benchmarks-client.md`. Columns `x` are ratios\n"
        f"to {LIMIT_NAME} in the same run (for latency, lower is better). Medians of {result['rounds']} interleaved\n"
        f"rounds of {result['seconds']:g} s for each figure. `limiter` is `benchmarks/limiter.lua` by EVALSHA.\n\n"
        f"{facts}\n\n{table(result)}\n"
    )


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="rounds (at least 3 for medians that mean something)")
    parser.add_argument("--seconds", type=float, default=1.0, help="length of each single measurement")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--write", type=Path, help="also write the result as a Markdown page")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--place", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.one:
        run_one(chosen.one, Place(*json.loads(chosen.place)), chosen.seconds)
        return
    result = run_all(chosen.rounds, chosen.seconds)
    if chosen.write:
        chosen.write.write_text(page(result), encoding="utf-8")
    print(json.dumps(result, indent=1) if chosen.json else page(result))


if __name__ == "__main__":
    main()
