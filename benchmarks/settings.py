"""How soon does a changed setting hold in every process of every node, with Redis and without?

Three nodes, two API workers each, one after another so many changes on the leader. From the line in the leader's log
that says that the change is committed to the line in which each process says that it obeys (the clock of one host, in
milliseconds). The next change is made once all obey.
"""

import argparse
import json
import re
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.machine import facts, load, machine, write_section
from benchmarks.ranks import nearest_rank
from tests.support.lab import Lab, LabNode
from tests.support.redis_servers import Server, available

TARGETS: Final = {"with Redis": 100.0, "without Redis": 5_000.0}
"""Milliseconds that 99 of 100 processes may take."""
PATH: Final = "/api/v1/settings/security/sessions"
WORKERS: Final = 2
WAIT_S: Final = 30.0
_LINE: Final = re.compile(r"^(\S+Z) \S+\s+Setting security/sessions: (?:\S+ made )?revision (\d+) (is in force|under)")


class Log:
    """A node's log, read as it grows."""

    def __init__(self, node: LabNode) -> None:
        self._path, self._read = node.log_file, 0
        self.made: dict[int, float] = {}
        """Revision to when it was committed, in ms."""
        self.obeyed: dict[int, list[float]] = {}

    def look(self) -> None:
        """Read what is new."""
        with self._path.open("rb") as file:
            file.seek(self._read)
            new = file.read()
        whole = new[: new.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in whole.decode(errors="replace").splitlines():
            if found := _LINE.match(line):
                at_ms = datetime.fromisoformat(found[1]).timestamp() * 1000
                if found[3] == "under":
                    self.made[int(found[2])] = at_ms
                else:
                    self.obeyed.setdefault(int(found[2]), []).append(at_ms)


def change(lab: Lab, leader: LabNode, logs: list[Log], number: int) -> list[float]:
    """Make one change; how long each process took to obey, in ms."""
    answer = leader.ask(PATH, token=lab.token, method="PUT", send={"idleMinutes": 1 + number % 600})
    assert answer.status == 200, answer
    until = time.monotonic() + WAIT_S
    while time.monotonic() < until:
        for log in logs:
            log.look()
        revision = max(max(log.made, default=0) for log in logs)
        obeyed = [at for log in logs for at in log.obeyed.get(revision, [])]
        if len(obeyed) == WORKERS * len(logs):
            made = max(log.made.get(revision, 0.0) for log in logs)
            return [max(0.0, at - made) for at in obeyed]
        time.sleep(0.002)
    raise AssertionError(f"change {number} did not hold everywhere within {WAIT_S} s\n{lab.logs()}")


def summary(name: str, delays: list[float]) -> dict[str, Any]:
    """Percentiles by the nearest rank."""
    worst, target = nearest_rank(delays, 0.99), TARGETS[name]
    return {
        "name": name,
        "changes": len(delays) // (3 * WORKERS),
        "p50Ms": nearest_rank(delays, 0.5),
        "p99Ms": worst,
        "maxMs": max(delays),
        "targetMs": target,
        "met": worst <= target,
    }


def measure(changes: int, without: int) -> tuple[str, list[dict[str, Any]]]:
    """The server's name, and both ways."""
    kind = available()[-1]
    with (
        Server(kind) as server,
        tempfile.TemporaryDirectory(prefix="rppam-bench-") as folder,
        Lab(Path(folder), server.port, times="default") as lab,
    ):
        lab.start()
        leader, logs = lab.wait_for_leader(), [Log(node) for node in lab.nodes]
        change(lab, leader, logs, changes + without)
        pushed = [delay for number in range(changes) for delay in change(lab, leader, logs, number)]
        results = [summary("with Redis", pushed)]
        if without:
            server.kill()
            told = [delay for number in range(without) for delay in change(lab, leader, logs, changes + number)]
            results.append(summary("without Redis", told))
        return str(kind), results


def page(found: dict[str, str], results: list[dict[str, Any]]) -> str:
    """The section of docs/reference/measurements.md."""
    lines = [
        "## A changed setting",
        "",
        "`python benchmarks/settings.py --write`: three nodes of two workers each; from the commit of a change until",
        "each of the six processes obeys it. Without Redis they hear of it by the log of changes in SQL, every 2 s.",
        "",
        facts(found),
        "",
        "| | Changes | p50 | p99 | max | p99 at most | met |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {one['name']} | {one['changes']} | {one['p50Ms']:.0f} ms | {one['p99Ms']:.0f} ms | {one['maxMs']:.0f} ms "
        f"| {one['targetMs']:.0f} ms | {'yes' if one['met'] else 'no'} |"
        for one in results
    ]
    return "\n".join(lines)


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--changes", type=int, default=1_000, help="with Redis")
    parser.add_argument("--without", type=int, default=20, help="changes after Redis was killed")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--write", action="store_true", help="also write the section of docs/reference/measurements.md")
    chosen = parser.parse_args()
    found = machine()
    found["server"], results = measure(chosen.changes, chosen.without)
    found["load after"] = load()
    if chosen.write:
        write_section("settings", page(found, results))
    print(json.dumps({"machine": found, "results": results}, indent=1) if chosen.json else page(found, results))


if __name__ == "__main__":
    main()
