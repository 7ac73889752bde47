"""How long is nobody leading? From the signal to the leader until another node's 200 on /system/health/leader is here.

Three nodes as real processes on a real server, each node asked every 5 ms over a kept connection. ``kill -9`` goes to
all processes of the leader; the bound is the lease and the time to notice. ``SIGTERM`` is what a service manager sends;
the leader releases and another takes over. Two nodes that lead at one time would be reported and end it with 1.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.machine import facts, load, machine, write_section
from rppam.cluster.consensus.timing import PROFILES
from tests.faults.runs import Timed, kill_leader, terminate_leader
from tests.support.lab import Lab
from tests.support.redis_servers import Server, available

KILL_BOUND_MS = {"default": 5_000, "lan": 1_500}
TERM_BOUND_MS = 300


def measure(profile: str, kills: int, terms: int) -> tuple[str, dict[str, Timed]]:
    """The server's name, and both series on a fresh cluster."""

    def tell(line: str) -> None:
        print(f"{profile}, {line}", file=sys.stderr, flush=True)

    kind = available()[-1]
    with (
        Server(kind) as server,
        tempfile.TemporaryDirectory(prefix="rppam-bench-") as folder,
        Lab(Path(folder), server.port, times=profile) as lab,
    ):
        lab.start()
        return str(kind), {
            "SIGTERM": terminate_leader(lab, terms, tell),
            "kill -9": kill_leader(lab, kills, tell),
        }


def row(profile: str, signal: str, shown: Timed) -> dict[str, Any]:
    """One line of the table."""
    return {
        "profile": profile,
        "leaseMs": PROFILES[profile].lease_ms,
        "signal": signal,
        "runs": len(shown.times_ms),
        "p50Ms": round(shown.at(0.5), 1),
        "p99Ms": round(shown.at(0.99), 1),
        "maxMs": round(max(shown.times_ms), 1),
        "minMs": round(min(shown.times_ms), 1),
        "boundMs": TERM_BOUND_MS if signal == "SIGTERM" else KILL_BOUND_MS[profile],
        "twoLeaders": list(shown.violations),
    }


def page(found: dict[str, str], rows: list[dict[str, Any]]) -> str:
    """The section of docs/reference/measurements.md."""
    lines = [
        "## Failover and hand-over",
        "",
        "`python benchmarks/failover.py --write`: three nodes, each asked every 5 ms on `/system/health/leader`;",
        "from the signal until the first 200 of another node has arrived. p99 is the nearest rank.",
        "",
        facts(found),
        "",
        "| Profile (lease) | Signal to the leader | Runs | min | p50 | p99 | max | p99 at most | met | two leaders |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for line in rows:
        met = "yes" if line["p99Ms"] <= line["boundMs"] else "no"
        lines.append(
            f"| {line['profile']} ({line['leaseMs']} ms) | {line['signal']} | {line['runs']} | {line['minMs']:.0f} ms "
            f"| {line['p50Ms']:.0f} ms | {line['p99Ms']:.0f} ms | {line['maxMs']:.0f} ms | {line['boundMs']} ms "
            f"| {met} | {len(line['twoLeaders'])} |"
        )
    return "\n".join(lines)


def main() -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=30, help="runs of kill -9 for each profile")
    parser.add_argument("--terms", type=int, default=20, help="runs of SIGTERM for each profile")
    parser.add_argument("--profile", action="append", choices=list(KILL_BOUND_MS), help="default: both")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--write", action="store_true", help="also write the section of docs/reference/measurements.md")
    chosen = parser.parse_args()
    found, rows = machine(), []
    for profile in chosen.profile or KILL_BOUND_MS:
        found["server"], series = measure(profile, chosen.kills, chosen.terms)
        rows += [row(profile, signal, shown) for signal, shown in series.items()]
    found["load after"] = load()
    if chosen.write:
        write_section("failover", page(found, rows))
    print(json.dumps({"machine": found, "series": rows}, indent=1) if chosen.json else page(found, rows))
    return 1 if any(line["twoLeaders"] for line in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
