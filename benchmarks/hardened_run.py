"""Does a cluster run for long on a Redis that is hardened as the vendor article asks, with our ACL user?

The server is started from the files of ``rppam redis setup --tls``: renamed and removed commands, TLS, a password, an
append-only file, and a user for the nodes that may do only what nodes do. Two nodes (default times) lead on it. Twice a
second each is asked for its health; once a minute ``rppam doctor`` and ``rppam redis info`` look from outside.

Ends with 1 when anything is wrong: a change of leader or epoch, a node without Redis, an error in health or in the
doctor, a warning or an error in a log that is not about the test's own machine, or a command that the server denied.
"""

import argparse
import json
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.machine import facts, load, machine, write_section
from tests.setup.made import REDIS_8, Made, rppam
from tests.support.lab import Lab, LabNode

EVERY_S = 0.5
OF_THIS_MACHINE = ("RD-302", "RD-933", "first administrator", "an election is due")
"""The version of the server that is installed here, that there are only two nodes, that they are new, and that a new
cluster waits for a lease before it elects. A leader that is lost later is seen in health."""
OUR_OWN_ERRORS = ("NOAUTH", "NOSCRIPT")
"""Asked for on purpose: whether strangers are let in, and whether EVALSHA may be used."""


class Seen(NamedTuple):
    """What was counted."""

    answers: int
    looks: int
    wrong: tuple[str, ...]
    commands: int
    """Commands that the server carried out meanwhile."""
    denied: int
    """Entries of ACL LOG."""
    errors: dict[str, int]
    """Error replies of the server, by their first word."""


def watch(lab: Lab, made: Made, minutes: float) -> Seen:
    """Look for so long."""
    first = lab.health()
    leads = (first["leaderNode"], first["epoch"])
    wrong: dict[str, None] = {}
    answers = looks = 0
    until = time.monotonic() + minutes * 60
    look_at = time.monotonic()
    before = commands(made)
    while time.monotonic() < until:
        for node in lab.nodes:
            answers += 1
            wrong |= dict.fromkeys(f"{node.name}: {one}" for one in odd(lab, node, leads))
        if time.monotonic() >= look_at:
            look_at = time.monotonic() + 60
            looks += 1
            wrong |= dict.fromkeys(look(lab.nodes[0]))
        time.sleep(EVERY_S)
    wrong |= dict.fromkeys(line for node in lab.nodes for line in loud(node))
    denied = made.ask(0, "ACL", "LOG")
    if denied:
        wrong[f"ACL LOG: {' '.join(denied.split())}"] = None
    errors = refusals(made)
    wrong |= dict.fromkeys(f"error replies: {word} {errors[word]}" for word in errors if word not in OUR_OWN_ERRORS)
    return Seen(answers, looks, tuple(wrong), commands(made) - before, denied.count("reason"), errors)


def odd(lab: Lab, node: LabNode, leads: tuple[str, int]) -> list[str]:
    """What is wrong in one node's health now."""
    try:
        health = lab.health(node)
    except (OSError, AssertionError) as error:
        return [f"no answer: {error}"]
    found = []
    if (health["leaderNode"], health["epoch"]) != leads:
        found.append(
            f"the leader is {health['leaderNode']} at epoch {health['epoch']}, it was {leads[0]} at {leads[1]}"
        )
    if not health["redisConnected"] or not health["clusterHealthy"]:
        found.append(f"redisConnected {health['redisConnected']}: {health['redisReason']}")
    found += [f"{one['code']}: {one['evidence']}" for one in health["findings"] if one["severity"] == "error"]
    return found


def look(node: LabNode) -> list[str]:
    """What the doctor and the survey of memory say."""
    said = json.loads(rppam("doctor", "--config", str(node.file), "--json", expect=None).stdout)
    found = [f"doctor: {one['code']}: {one['evidence']}" for one in said["findings"] if one["severity"] == "error"]
    info = rppam("redis", "info", "--config", str(node.file), "--json", expect=None)
    return found if info.returncode == 0 else [*found, f"redis info: {info.stderr.strip()}"]


def loud(node: LabNode) -> list[str]:
    """Warnings and errors in a node's log that are not about this machine."""
    lines = [line.partition(" ")[2] for line in node.log().splitlines()]
    told = [line for line in lines if re.match(r"(WARN|ERROR|FATAL)\b", line)]
    return [f"{node.name}: {line}" for line in told if not any(code in line for code in OF_THIS_MACHINE)]


def commands(made: Made) -> int:
    """How many commands the server has carried out."""
    return int(re.search(r"total_commands_processed:(\d+)", made.ask(0, "INFO", "stats"))[1])  # type: ignore[index]


def refusals(made: Made) -> dict[str, int]:
    """Its error replies, by their first word."""
    text = made.ask(0, "INFO", "errorstats")
    return {word: int(count) for word, count in re.findall(r"errorstat_(\w+):count=(\d+)", text)}


def page(found: dict[str, str], seen: Seen, minutes: float) -> str:
    """The section of docs/reference/measurements.md."""
    words = ", ".join(f"{word} {count}" for word, count in sorted(seen.errors.items())) or "none"
    lines = [
        "## On a hardened Redis",
        "",
        f"`python benchmarks/hardened_run.py --minutes {minutes:g} --write`: two nodes with default times on a server",
        "started from the files of `rppam redis setup --tls`: commands renamed and removed, TLS, a user of few rights.",
        "",
        facts(found),
        "",
        "| minutes | answers of health | looks of doctor and info | commands of Redis | denied | wrong |",
        "|---|---|---|---|---|---|",
        f"| {minutes:g} | {seen.answers} | {seen.looks} | {seen.commands} | {seen.denied} | {len(seen.wrong)} |",
        "",
        f"One leader and one epoch all the time. Error replies of the server: {words}. Those are questions of the",
        "nodes' own checks: is a stranger let in, may EVALSHA be used.",
    ]
    return "\n".join(lines)


def run(minutes: float) -> Seen:
    """Start everything, and watch."""
    program = REDIS_8.find()
    if program is None:
        sys.exit(REDIS_8.remedy)
    with tempfile.TemporaryDirectory(prefix="rppam-hardened-") as name:
        folder = Path(name)
        with Made(folder / "made", program, tls=True) as made, Lab(folder / "lab", 1, nodes=2, times="default") as lab:
            section: dict[str, Any] = made.config
            for node in lab.nodes:
                node.config["redis"] = section
            lab.start()
            return watch(lab, made, minutes)


def main() -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--write", action="store_true", help="also write the section of docs/reference/measurements.md")
    chosen = parser.parse_args()
    found = machine()
    seen = run(chosen.minutes)
    found["load after"] = load()
    text = page(found, seen, chosen.minutes)
    if chosen.write and not seen.wrong:
        write_section("hardened", text)
    print(json.dumps({"machine": found, **seen._asdict()}, indent=1) if chosen.json else text)
    for line in seen.wrong:
        print(line, file=sys.stderr)
    return 1 if seen.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
