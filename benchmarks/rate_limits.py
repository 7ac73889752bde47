"""Decisions of the rate limiter beside limits, throttled-py, pyrate-limiter and a bare EVALSHA, in one run.

    python benchmarks/rate_limits.py [--rounds 3] [--seconds 1.0] [--json] [--write FILE]

One server (Debian's redis-server) on core 0, one client process at a time on core 1, loopback, all on uvloop. Every
round runs every limiter once, each round in another order; the table shows medians. The bare EVALSHA is redis-benchmark
with the same script. Over-admission: two processes with 64 tasks each fire at one key that takes 100 in an hour; the
wall clock of one of them is a minute ahead.
"""

import argparse
import asyncio
import csv
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.limiters import AS_USED, LIMITERS, OURS, Place
from benchmarks.machine import facts, machine

TASKS, KEYS = 64, 50
NEVER = 1_000_000
"""A limit that is not reached while speed is measured."""
LIMIT, TRIES, RACE_S = 100, 20, 3600
AHEAD_S = 60
SERVER_CORE, CLIENT_CORE = ("0", "1") if (os.cpu_count() or 1) >= 2 else (None, None)
BARE = "bare EVALSHA (redis-benchmark)"
LIBRARIES = ("limits", "throttled-py", "pyrate-limiter", "redis", "uvloop", "hiredis")


# --- inside a client process ------------------------------------------------------------------------------------------


async def speed(name: str, place: Place, seconds: float) -> dict[str, float]:
    """Decisions a second: one task, then 64."""
    async with LIMITERS[name](place, NEVER, 60) as hit:
        for number in range(KEYS):
            assert await hit(f"k{number}")
        taken: list[float] = []
        until = time.perf_counter() + seconds
        while (began := time.perf_counter()) < until:
            await hit(f"k{len(taken) % KEYS}")
            taken.append(time.perf_counter() - began)
        together: list[float] = []
        began, until = time.perf_counter(), time.perf_counter() + seconds

        async def worker() -> None:
            while (start := time.perf_counter()) < until:
                await hit(f"k{len(together) % KEYS}")
                together.append(time.perf_counter() - start)

        await asyncio.gather(*(worker() for _ in range(TASKS)))
        elapsed = time.perf_counter() - began
    return {
        "alone_per_s": len(taken) / sum(taken),
        "alone_p50_us": statistics.median(taken) * 1e6,
        "together_per_s": len(together) / elapsed,
        "together_p99_ms": sorted(together)[int(len(together) * 0.99)] * 1e3,
    }


async def race(name: str, place: Place, start: float) -> int:
    """How many of this process's tries were let in."""
    async with LIMITERS[name](place, LIMIT, RACE_S) as hit:
        await hit("warm")
        await asyncio.sleep(max(0.0, start - time.time()))

        async def worker() -> int:
            return sum([bool(await hit("one")) for _ in range(TRIES)])

        return sum(await asyncio.gather(*(worker() for _ in range(TASKS))))


def run_one(chosen: argparse.Namespace) -> None:
    """Measure one limiter in this process and print one line of JSON."""
    import uvloop

    place = Place(*json.loads(chosen.place))
    if chosen.start:
        print(json.dumps(uvloop.run(race(chosen.one, place, chosen.start))))
    else:
        print(json.dumps(uvloop.run(speed(chosen.one, place, chosen.seconds))))


# --- in the parent ----------------------------------------------------------------------------------------------------


def pinned(words: list[str]) -> list[str]:
    """``words`` on the clients' core."""
    return ["taskset", "-c", CLIENT_CORE, *words] if CLIENT_CORE and shutil.which("taskset") else words


def client(name: str, place: Place, *more: str, clock: Mapping[str, str] | None = None) -> "subprocess.Popen[str]":
    """Begin :func:`run_one` in a process of its own; ``clock``: the environment that gives it another clock."""
    words = [sys.executable, __file__, "--one", name, "--place", json.dumps(place), *more]
    env = {**os.environ, **(clock or {})}
    return subprocess.Popen(pinned(words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)


def racers(name: str, place: Place, clock: Mapping[str, str]) -> "list[subprocess.Popen[str]]":
    """Two that begin together, one of them with its wall clock ahead."""
    at = time.time() + 2
    return [client(name, place, "--start", str(at)), client(name, place, "--start", str(at + AHEAD_S), clock=clock)]


def answer(process: "subprocess.Popen[str]") -> Any:
    """What it printed."""
    out, err = process.communicate(timeout=120)
    if process.returncode:
        raise SystemExit(f"{process.args!r} failed:\n{err[-3000:]}")
    return json.loads(out.splitlines()[-1])


def bare(place: Place, sha: str, seconds: float) -> dict[str, float]:
    """The same script by a C client, one request in flight on 1 and on 64 connections."""
    script = ["evalsha", sha, "1", "bare:__rand_int__", "take", "w", str(NEVER), "6000000", "1"]

    def run(clients: int, requests: float) -> tuple[float, float, float]:
        command = ["redis-benchmark", "-p", str(place.port), "-a", place.password, "--csv", "-r", str(KEYS)]
        command += ["-c", str(clients), "-n", str(int(requests)), *script]
        ran = subprocess.run(pinned(command), capture_output=True, text=True, timeout=120, check=True)
        row = next(csv.reader([line for line in ran.stdout.splitlines() if line.startswith('"')][-1:]))
        return float(row[1]), float(row[4]) * 1000, float(row[6])

    alone_per_s, p50_us, _ = run(1, 10_000 * seconds)
    together_per_s, _, p99_ms = run(TASKS, 50_000 * seconds)
    return {
        "alone_per_s": alone_per_s,
        "alone_p50_us": p50_us,
        "together_per_s": together_per_s,
        "together_p99_ms": p99_ms,
    }


def measure(rounds: int, seconds: float, names: tuple[str, ...] = tuple(LIMITERS)) -> dict[str, Any]:
    """Run every limiter in every round; medians, and how many each let in of 100."""
    from rppam.limits.redis_store import LIMITS
    from tests.faults.clock import SteppedClock
    from tests.support.redis_servers import SERVERS, Server

    kind = next(kind for kind in SERVERS if kind.name == "redis-8")
    order = [BARE, *names]
    samples: dict[str, list[dict[str, float]]] = {name: [] for name in order}
    admitted: dict[str, list[int]] = {name: [] for name in names}
    found = machine()
    with (
        tempfile.TemporaryDirectory() as folder,
        Server(kind, "--appendonly", "no", password="bench", cores=SERVER_CORE) as server,
    ):
        clock = SteppedClock(Path(folder))
        clock.step(AHEAD_S)
        place = Place(server.port, "bench")
        sha = server.ask("SCRIPT", "LOAD", LIMITS.text).decode()
        for number in range(rounds):
            shift = number % len(order)
            for name in order[shift:] + order[:shift]:
                print(f"round {number + 1} of {rounds}: {name}", file=sys.stderr, flush=True)
                if name == BARE:
                    samples[name].append(bare(place, sha, seconds))
                    continue
                samples[name].append(answer(client(name, place, "--seconds", str(seconds))))
                server.ask("FLUSHALL")
                admitted[name].append(sum(answer(one) for one in racers(name, place, clock.environment)))
                server.ask("FLUSHALL")
        info = dict(line.split(":", 1) for line in server.ask("INFO").decode().split("\r\n") if ":" in line)
    where = f"redis-server {info['redis_version']} on core {SERVER_CORE}, clients on core {CLIENT_CORE}"
    found |= {"server": where, "libraries": ", ".join(map(_installed, LIBRARIES))}
    return {
        "machine": found,
        "rounds": rounds,
        "seconds": seconds,
        "medians": {
            name: {key: statistics.median(sample[key] for sample in taken) for key in taken[0]}
            for name, taken in samples.items()
        },
        "admitted": admitted,
    }


def _installed(name: str) -> str:
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        return f"{name} -"


def page(result: dict[str, Any]) -> str:
    """The page."""
    medians, admitted = result["medians"], result["admitted"]
    limit = medians[BARE]
    lines = [
        "| Limiter | alone, decisions/s | p50 us | 64 tasks, decisions/s | x bare | p99 ms | let in of 100 |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, taken in medians.items():
        let_in = ", ".join(map(str, admitted[name])) if name in admitted else ""
        lines.append(
            f"| {name} | {taken['alone_per_s']:,.0f} | {taken['alone_p50_us']:.0f} | {taken['together_per_s']:,.0f} | "
            f"{taken['together_per_s'] / limit['together_per_s']:.2f} | {taken['together_p99_ms']:.1f} | {let_in} |"
        )
    peers = {name: taken for name, taken in medians.items() if name != BARE and not name.startswith("rppam")}
    verdicts = ["| Target | found | met |", "|---|---|---|"]
    of_bare = medians[OURS]["together_per_s"] / limit["together_per_s"]
    verdicts.append(f"| 64 tasks: at least half of the bare script | {of_bare:.2f} | {_yes(of_bare >= 0.5)} |")
    if peers:
        best = max(peers, key=lambda name: peers[name]["together_per_s"])
        fastest = peers[best]["together_per_s"]
        times = {name: medians[name]["together_per_s"] / fastest for name in (AS_USED, OURS, BARE)}
        verdicts.append(
            f"| 64 tasks, {AS_USED}: at least 5 x the fastest library ({best}) | {times[AS_USED]:.1f} | "
            f"{_yes(times[AS_USED] >= 5)} |"
        )
        verdicts.append(
            f"| the same, one call of the script a decision, of which the bare one makes {times[BARE]:.1f} x | "
            f"{times[OURS]:.1f} | - |"
        )
    over = max(count - LIMIT for name in admitted if name.startswith("rppam") for count in admitted[name])
    verdicts.append(f"| let in too many | {max(0, over)} | {_yes(over <= 0)} |")
    return (
        "# The rate limiter, measured\n\n"
        "Written by `python benchmarks/rate_limits.py --write docs/reference/benchmarks-limits.md`. Medians of "
        f"{result['rounds']} interleaved rounds\nof {result['seconds']:g} s for each figure; {KEYS} keys, one limit a "
        "decision but where it says four. *As the API uses it*: tokens\nare taken ahead from Redis, a thousandth of "
        "the limit at most, and spent from memory. Last column: two processes with 64\ntasks each, the clock of one a "
        f"minute ahead, fire {2 * TASKS * TRIES:,} times at one key that takes {LIMIT} in {RACE_S} s.\n\n"
        f"{facts(result['machine'])}\n\n{_busy(result)}" + "\n".join(lines) + "\n\n" + "\n".join(verdicts) + "\n"
    )


def _busy(result: dict[str, Any]) -> str:
    """A warning where other work ran beside it: then every figure says more about that than about a limiter."""
    if float(result["machine"]["load before"].split()[0]) < 2 * (os.cpu_count() or 1):
        return ""
    return "**The machine was busy with other work: the ratios mean little. Run it again on an idle one.**\n\n"


def _yes(met: bool) -> str:
    return "yes" if met else "no"


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="rounds (at least 3 for medians that mean something)")
    parser.add_argument("--seconds", type=float, default=1.0, help="length of each single measurement")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the page")
    parser.add_argument("--write", type=Path, help="also write the result as a Markdown page")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--place", help=argparse.SUPPRESS)
    parser.add_argument("--start", type=float, default=0.0, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.one:
        run_one(chosen)
        return
    result = measure(chosen.rounds, chosen.seconds)
    if chosen.write:
        chosen.write.write_text(page(result), encoding="utf-8")
    print(json.dumps(result, indent=1) if chosen.json else page(result))


if __name__ == "__main__":
    main()
