"""Is an act ever done without its event, or recorded without being done, while everything it needs is killed?

    python benchmarks/ledger_under_fire.py [--sequences 20] [--database sqlite|postgresql] [--seed 1] [--json] [--write]

Three nodes of two workers each, one Redis, one database, on loopback. Clients make targets on every node, each with a
name of its own, while one to three faults strike in each sequence: the leader killed or frozen, a worker killed, Redis
killed or emptied, the database gone (a backend of PostgreSQL killed, from which all of it recovers; SQLite's file held
by somebody else). After each sequence the rows of the database are held against the ledger: a target without its event,
an event without its target, an answer 201 without both, a gap in a writer's chain. In the end ``rppam audit verify``
reads the whole ledger. All of these must be 0.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

import psutil
import psycopg

import rppam.app.slices  # noqa: F401 - declares the migrations
from benchmarks.machine import facts, load, machine, write_section
from benchmarks.wire import Wire
from tests.support import postgres
from tests.support.lab import Lab, LabNode
from tests.support.redis_servers import SERVERS, Server

LINES: Final = 3
"""Clients on each node."""
SEQUENCE_S: Final = 4.0
HELD_S: Final = 1.5
INTEGRATED_S: Final = 20.0
MADE: Final = 201


class Found(NamedTuple):
    """What rows and ledger say; every number but the first two must be 0."""

    targets: int
    acknowledged: int
    without_event: int
    without_act: int
    lost: int
    """Answered 201, and not there."""
    gaps: int

    @property
    def is_clean(self) -> bool:
        return not any(self[2:])


class Sql:
    """The database, asked past the product."""

    def __init__(self, url: str) -> None:
        self._url = url

    def rows(self, *queries: str) -> list[list[tuple[Any, ...]]]:
        """The answers of one moment."""
        if self._url.startswith("sqlite"):
            with closing(
                sqlite3.connect(self._url.removeprefix("sqlite:///"), timeout=30, isolation_level=None)
            ) as lite:
                lite.execute("BEGIN")
                return [lite.execute(query).fetchall() for query in queries]
        with psycopg.connect(self._url) as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            return [connection.execute(query.encode()).fetchall() for query in queries]

    def count(self, query: str) -> int:
        """One number."""
        return int(self.rows(query)[0][0][0])

    def strike(self) -> None:
        """Take the database away for a moment. Returns when it has begun to come back."""
        if self._url.startswith("sqlite"):
            with closing(
                sqlite3.connect(self._url.removeprefix("sqlite:///"), timeout=30, isolation_level=None)
            ) as lite:
                lite.execute("BEGIN IMMEDIATE")
                time.sleep(HELD_S)
                lite.execute("ROLLBACK")
            return
        with psycopg.connect(self._url, autocommit=True) as connection:
            row = connection.execute("SELECT pid FROM pg_stat_activity WHERE application_name = 'rppam'").fetchone()
            if row is not None:
                os.kill(row[0], signal.SIGKILL)  # the server ends all others, and recovers


@contextmanager
def installed(kind: str) -> Iterator[tuple[Lab, Server, Sql]]:
    """The cluster, its Redis and its database."""
    with ExitStack() as stack:
        server = next(one for one in reversed(SERVERS) if one.find() is not None)
        redis = stack.enter_context(Server(server))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rppam-bench-")))
        lab = stack.enter_context(Lab(folder / "lab", redis.port, times="default"))
        url = lab.database
        if kind == "postgresql":
            programs = postgres.binaries()
            if programs is None:
                raise SystemExit("no PostgreSQL on this machine: make servers")
            sql = stack.enter_context(postgres.running(programs))
            url = f"{sql.create('rppam')}?sslmode=disable"
        for node in lab.nodes:
            node.config["database"]["url"] = url
        for node in lab.nodes:
            node.start()
        lab.wait_until_healthy(60)
        policy = {"perAddress": 1_000_000, "perUser": 1_000_000}
        answer = lab.wait_for_leader().ask(
            "/api/v1/settings/security/limits", token=lab.token, method="PUT", send=policy, timeout_s=10
        )
        assert answer.status == 200, answer
        yield lab, redis, Sql(url)


class Clients:
    """Who makes targets on every node, for as long as they are let."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._tasks: list[asyncio.Task[None]] = []
        self.made: set[str] = set()
        """Names that were answered by 201."""
        self.answers: Counter[str] = Counter()

    def start(self) -> None:
        """Begin."""
        self._tasks = [asyncio.create_task(self._make(node, n)) for node in self._lab.nodes for n in range(LINES)]

    async def stop(self) -> None:
        """Hang up."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _make(self, node: LabNode, line: int) -> None:
        wire, number = Wire("127.0.0.1", node.port, 5.0), 0
        while True:
            name, number = f"{node.name}-{line}-{number}", number + 1
            body = json.dumps({"name": name, "kind": "ssh", "address": "192.0.2.1", "port": 22}).encode()
            try:
                status = await wire.ask("POST", "/api/v1/resources", self._lab.token, body=body)
            except OSError:
                self.answers["no answer"] += 1
                await asyncio.sleep(0.05)
                continue
            self.answers[str(status)] += 1
            if status == MADE:
                self.made.add(name)


class Faults:
    """What strikes, by name. Each returns when the harm is mended or mends itself."""

    def __init__(self, lab: Lab, redis: Server, sql: Sql, chance: random.Random) -> None:
        self._lab, self._redis, self._sql, self._chance = lab, redis, sql, chance
        self.known: Final[dict[str, Callable[[], None]]] = {
            "leader killed": self._kill_leader,
            "leader frozen": self._freeze_leader,
            "worker killed": self._kill_worker,
            "Redis killed": self._kill_redis,
            "Redis emptied": self._empty_redis,
            "database away": sql.strike,
        }

    def _leader(self) -> LabNode:
        return self._lab.wait_for_leader(within_s=30)

    def _kill_leader(self) -> None:
        node = self._leader()
        node.kill()
        time.sleep(self._chance.random())
        node.start()

    def _freeze_leader(self) -> None:
        node = self._leader()
        node.stop()
        time.sleep(0.5 + 2 * self._chance.random())
        node.cont()

    def _kill_worker(self) -> None:
        node = self._chance.choice(self._lab.running())
        workers = [pid for pid in node.pids() if _name(pid) == "rppam-worker"]
        if workers:
            with suppress(ProcessLookupError):
                os.kill(self._chance.choice(workers), signal.SIGKILL)

    def _kill_redis(self) -> None:
        self._redis.kill()
        time.sleep(self._chance.random())
        self._redis.restart()

    def _empty_redis(self) -> None:
        self._redis.ask("FLUSHALL")


def _name(pid: int) -> str:
    try:
        return psutil.Process(pid).name()
    except psutil.Error:
        return ""


def compare(sql: Sql, made: set[str]) -> Found:
    """Hold the rows against the ledger."""
    there, events, chains = sql.rows(
        "SELECT id, name FROM resources",
        "SELECT object_id FROM audit_events WHERE action = 'resource.create'",
        "SELECT writer, COUNT(*), MIN(number), MAX(number) FROM audit_events GROUP BY writer",
    )
    rows, told = dict(there), Counter(one for (one,) in events)
    return Found(
        len(rows),
        len(made),
        sum(1 for one in rows if told[one] != 1),
        sum(count for one, count in told.items() if one not in rows),
        len(made - set(rows.values())),
        sum(1 for _, count, low, high in chains if low != 0 or count != high + 1),
    )


def verified(lab: Lab, sql: Sql) -> str:
    """What ``rppam audit verify`` says once all is in the tree; empty when it is whole."""
    until = time.monotonic() + INTEGRATED_S
    while sql.count("SELECT COUNT(*) FROM audit_events WHERE leaf IS NULL"):
        if time.monotonic() > until:
            return f"events are not in the tree after {INTEGRATED_S:.0f} s"
        time.sleep(0.2)
    words = [sys.executable, "-m", "rppam", "audit", "verify", "--config", str(lab.nodes[0].file), "--json"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
    return "" if done.returncode == 0 else done.stdout + done.stderr


async def sequences(count: int, kind: str, seed: int) -> dict[str, Any]:
    """Strike, settle and compare, so many times."""
    with installed(kind) as (lab, redis, sql):
        chance, clients = random.Random(seed), Clients(lab)
        faults = Faults(lab, redis, sql, chance)
        struck: Counter[str] = Counter()
        clients.start()
        found, number = Found(0, 0, 0, 0, 0, 0), 0
        for number in range(1, count + 1):
            for name in chance.sample(sorted(faults.known), chance.randint(1, 3)):
                await asyncio.sleep(chance.random() * SEQUENCE_S / 3)
                struck[name] += 1
                # A node dies with the thread that has started it, so in this one: clients stand still meanwhile.
                if name == "leader killed":
                    faults.known[name]()
                else:
                    await asyncio.to_thread(faults.known[name])
            await asyncio.sleep(SEQUENCE_S / 2)
            await asyncio.to_thread(lab.wait_until_healthy, 60)
            found = await asyncio.to_thread(compare, sql, set(clients.made))
            print(f"{number} of {count}: {found}", file=sys.stderr, flush=True)
            if not found.is_clean:
                break
        await clients.stop()
        broken = await asyncio.to_thread(verified, lab, sql)
        return {
            "database": kind,
            "sequences": number,
            "faults": dict(sorted(struck.items())),
            "answers": dict(clients.answers),
            **found._asdict(),
            "verify": broken,
            "events": sql.count("SELECT COUNT(*) FROM audit_events"),
        }


def page(machine_: dict[str, str], results: list[dict[str, Any]]) -> str:
    """The section of docs/reference/measurements.md."""
    lines = ["## The ledger under fire", "", "`benchmarks/ledger_under_fire.py --write`", "", facts(machine_), ""]
    names = ("targets", "events", *Found._fields[2:])
    heads = ("targets made", "events in all", "without event", "without act", "lost", "gaps")
    lines += [f"| database | sequences | faults | {' | '.join(heads)} | verify |", "|---" * (len(heads) + 4) + "|"]
    for one in results:
        cells = [one["database"], one["sequences"], sum(one["faults"].values()), *(one[name] for name in names)]
        lines.append(f"| {' | '.join(map(str, cells))} | {one['verify'] or 'whole'} |")
    return "\n".join(lines)


def main() -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sequences", type=int, default=20)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], action="append")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--write", action="store_true", help="also write the section of docs/reference/measurements.md")
    chosen = parser.parse_args()
    found = machine()
    kinds = chosen.database or ["sqlite", "postgresql"]
    results = [asyncio.run(sequences(chosen.sequences, kind, chosen.seed)) for kind in kinds]
    found["load after"] = load()
    if chosen.write:
        write_section("the ledger under fire", page(found, results))
    print(json.dumps(results, indent=1) if chosen.json else page(found, results))
    return 0 if all(is_clean(one) for one in results) else 1


def is_clean(result: dict[str, Any]) -> bool:
    """Something was done, and nothing is amiss."""
    return bool(result["acknowledged"]) and not result["verify"] and not any(result[name] for name in Found._fields[2:])


if __name__ == "__main__":
    sys.exit(main())
