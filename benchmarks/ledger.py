"""The ledger: acts a second with their record, beside the bare database; proofs; verification; what an event weighs.

    python benchmarks/ledger.py [--writers 2] [--seconds 5] [--events 200000] [--rounds 3] [--json] [--write]

SQLite in a file and a real PostgreSQL, loopback only. Writers are processes with three connections each, as workers
have, and sixteen callers who wait for these. Beside each figure stands the limit of the same run: the same number of
rows of the same size inserted and committed one at a time by the bare driver, which waits for the same disk. Where more
wait than write, SQLite's acts share commits, so they may be more than the bare driver's. Rounds go in turn; medians are
shown.
"""

import argparse
import asyncio
import json
import os
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import quote

sys.path.insert(0, str(Path(__file__).parents[1]))

import psycopg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection, text

import rppam.app.slices  # noqa: F401 - declares the migrations
from benchmarks.machine import facts, load, machine, write_section
from rppam.audit.verify import Verification, verified
from rppam.cluster.health.ports import Authority
from rppam.cluster.store.epoch_register import SqlEpochRegister
from rppam.db.database import Database
from rppam.kernel.actor import Actor, ActorKind, acting
from rppam.ledger.checkpoint import Signer
from rppam.ledger.model import Entity
from rppam.ledger.record import record
from rppam.ledger.store import Query, SqlLedger
from tests.support.postgres import PASSWORD, binaries, running

TIMEOUT_MS: Final = 30_000
CONNECTIONS: Final = 3
CALLERS: Final = 16
ORIGIN: Final = "rppam/benchmark"
EPOCH: Final = 1_800_000_000_000
AUTHORITY: Final = Authority(EPOCH, "0123456789abcdef")
BATCH: Final = 500
PROOFS: Final = 200
ACTS_TARGET: Final = 1_500
VERIFY_TARGET: Final = 60.0


class Job(NamedTuple):
    url: str
    writer: int
    seconds: float
    bare: bool


def act(connection: Connection, row: int) -> None:
    """A small act of its own, and its event."""
    connection.execute(text("UPDATE benchmark_acts SET done = done + 1 WHERE id = :row"), {"row": row})
    record(connection, "user.change", Entity("user", "0f" * 16, "person.number1"), details={"field": "display name"})


async def acts(job: Job) -> int:
    """How many acts the connections of one process make."""
    database = Database(job.url, TIMEOUT_MS, node="node1")
    await database.start()
    end, done = time.monotonic() + job.seconds, 0

    async def one(row: int) -> None:
        nonlocal done
        with acting(Actor(ActorKind.USER, "1f" * 16, "admin", "198.51.100.1")):
            while time.monotonic() < end:
                await database.write(lambda connection: act(connection, row))
                done += 1

    await asyncio.gather(*(one(job.writer * CALLERS + number) for number in range(CALLERS)))
    await database.stop()
    return done


def bare(job: Job) -> int:
    """How many rows of the same size one connection of the bare driver commits."""
    body, done, end = "x" * 600, 0, time.monotonic() + job.seconds
    if job.url.startswith("sqlite"):
        with sqlite3.connect(job.url.removeprefix("sqlite:///"), timeout=30, isolation_level=None) as lite:
            lite.execute("PRAGMA synchronous = FULL")
            while time.monotonic() < end:
                lite.execute("BEGIN IMMEDIATE")
                lite.execute("UPDATE benchmark_acts SET done = done + 1 WHERE id = ?", (job.writer,))
                lite.execute("INSERT INTO benchmark_bare (body) VALUES (?)", (body,))
                lite.execute("COMMIT")
                done += 1
        return done
    with psycopg.connect(job.url) as connection:
        while time.monotonic() < end:
            connection.execute("UPDATE benchmark_acts SET done = done + 1 WHERE id = %s", (job.writer,))
            connection.execute("INSERT INTO benchmark_bare (body) VALUES (%s)", (body,))
            connection.commit()
            done += 1
    return done


def work(job: Job) -> int:
    return bare(job) if job.bare else asyncio.run(acts(job))


@contextmanager
def databases(folder: Path) -> Iterator[dict[str, str]]:
    programs = binaries()
    if programs is None:
        raise SystemExit("no PostgreSQL on this machine: make servers")
    with running(programs) as server:
        with server.connect() as connection:
            connection.execute("CREATE DATABASE benchmark")
        word = quote(PASSWORD, safe="")
        url = f"postgresql://postgres:{word}@{server.host}:{server.port}/benchmark?sslmode=disable"
        yield {"SQLite": f"sqlite:///{folder / 'ledger.db'}", "PostgreSQL": url}


async def prepare(url: str) -> None:
    database = Database(url, TIMEOUT_MS)
    await database.start()

    def made(connection: Connection) -> None:
        key = "SERIAL" if connection.dialect.name == "postgresql" else "INTEGER"
        connection.execute(text("CREATE TABLE benchmark_acts (id INTEGER PRIMARY KEY, done INTEGER)"))
        connection.execute(text("INSERT INTO benchmark_acts VALUES (:id, 0)"), [{"id": one} for one in range(1_000)])
        connection.execute(text(f"CREATE TABLE benchmark_bare (id {key} PRIMARY KEY, body TEXT)"))

    await database.write(made)
    await SqlEpochRegister(database).claim(EPOCH, "node1", AUTHORITY.boot_id, TIMEOUT_MS)
    await database.stop()


def rate(url: str, writers: int, seconds: float, *, is_bare: bool) -> float:
    with get_context("spawn").Pool(writers) as pool:
        pool.map(work, [Job(url, one, 0.2, is_bare) for one in range(writers)])  # opens, imports and compiles
        started = time.monotonic()
        done = sum(pool.map(work, [Job(url, one, seconds, is_bare) for one in range(writers)]))
        return done / (time.monotonic() - started)


class Grown(NamedTuple):
    """A ledger of many events."""

    events: int
    integrated: float
    """Events a second into the tree."""
    proof_ms: float
    verified_s: float
    bytes_each: float


async def grow(url: str, events: int, size: Callable[[], int]) -> Grown:
    """Fill a ledger with ``events``, and measure it."""
    database = Database(url, TIMEOUT_MS, node="node1")
    await database.start()
    ledger, signer = SqlLedger(database), Signer(ORIGIN, Ed25519PrivateKey.generate())

    def many(connection: Connection) -> None:
        for number in range(BATCH):
            record(connection, "user.change", Entity("user", f"{number:032x}", f"person.number{number}"))

    before, spent = size(), 0.0
    newest = await ledger.newest()
    there = newest.size if newest is not None else 0
    while there < events:
        await database.write(many)
        started = time.perf_counter()
        while (put := await ledger.integrate(AUTHORITY, "node1", ORIGIN, signer)) > 0:
            there += put
        spent += time.perf_counter() - started
    took = []
    for number in range(PROOFS):
        started = time.perf_counter()
        await ledger.proof(number * (there // PROOFS))
        took.append(1_000 * (time.perf_counter() - started))
    notes: dict[int, str] = {}
    below: int | None = None
    while page := await ledger.checkpoints(below, 5_000):
        notes |= {one.size: one.note for one in page}
        below = page[-1].size
    started, after = time.perf_counter(), -1
    verification = Verification(signer.verifier(), notes)

    while found := await ledger.events(Query(after=after, limit=5_000, placed=True)):
        for event in found:
            verification.add(event)
        after = there - 1 if found[-1].index is None else found[-1].index
    assert verified(verification, ()) == there
    verify_s = time.perf_counter() - started
    await database.stop()
    return Grown(there, there / spent, statistics.median(took), verify_s, (size() - before) / there)


def size_of(url: str) -> int:
    if url.startswith("sqlite"):
        path = Path(url.removeprefix("sqlite:///"))
        return sum(part.stat().st_size for part in path.parent.glob(f"{path.name}*"))
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT pg_database_size(current_database())").fetchone()
        assert found is not None
        return int(found[0])


def measured(options: argparse.Namespace) -> dict[str, Any]:
    found: dict[str, Any] = {"machine": machine()}
    with tempfile.TemporaryDirectory() as folder, databases(Path(folder)) as urls:
        for url in urls.values():
            asyncio.run(prepare(url))
        rates: dict[str, dict[bool, list[float]]] = {name: {True: [], False: []} for name in urls}
        for number in range(options.rounds):
            for name, url in urls.items():
                for is_bare in (True, False):
                    done = rate(url, options.writers, options.seconds, is_bare=is_bare)
                    rates[name][is_bare].append(done)
                    print(
                        f"round {number + 1}: {name}, {'bare' if is_bare else 'acts'}: {done:,.0f}/s",
                        file=sys.stderr,
                    )
        for name, both in rates.items():
            limit, done = statistics.median(both[True]), statistics.median(both[False])
            found[name] = {"acts": done, "bare": limit, "ratio": done / limit}
        for name, url in urls.items():
            fresh = f"sqlite:///{Path(folder) / 'grown.db'}" if name == "SQLite" else url
            if name == "SQLite":
                asyncio.run(prepare(fresh))
            else:
                with psycopg.connect(url) as connection:
                    connection.execute("TRUNCATE audit_events, audit_words, audit_nodes, audit_writers")
                    connection.execute("TRUNCATE audit_checkpoints, benchmark_bare")
            grown = asyncio.run(grow(fresh, options.events, lambda fresh=fresh: size_of(fresh)))  # type: ignore[misc]
            print(f"{name}: {grown}", file=sys.stderr)
            found[name] |= grown._asdict()
    found["machine"]["load after"] = load()
    return found


def page(found: dict[str, Any], options: argparse.Namespace) -> str:
    names = ("SQLite", "PostgreSQL")
    rows = [
        ("acts with their record, a second", "acts", "{:,.0f}"),
        ("the same rows by the bare driver, a second", "bare", "{:,.0f}"),
        ("ratio", "ratio", "{:.2f}"),
        ("events put into the tree, a second", "integrated", "{:,.0f}"),
        ("bytes an event, with indexes and tree", "bytes_each", "{:,.0f}"),
        (f"a proof in {options.events:,} events, ms", "proof_ms", "{:.2f}"),
        (f"{options.events:,} events read and verified, s", "verified_s", "{:.1f}"),
    ]
    lines = ["## The ledger", "", "`benchmarks/ledger.py --write`", "", facts(found["machine"]), ""]
    lines += [
        f"{options.writers} writing processes with {CONNECTIONS} connections and {CALLERS} callers each; medians of "
        f"{options.rounds}.",
        "",
    ]
    lines += [f"| | {' | '.join(names)} |", "|---|---|---|"]
    lines += [
        f"| {label} | {' | '.join(form.format(found[name][key]) for name in names)} |" for label, key, form in rows
    ]
    per_million = max(found[name]["verified_s"] / found[name]["events"] * 1e6 for name in names)
    least = min(found[name]["acts"] for name in names)
    lines += [
        "",
        f"Asked for: at least {ACTS_TARGET:,} acts a second: {'met' if least >= ACTS_TARGET else 'not met'}; "
        f"a million events read and verified in less than {VERIFY_TARGET:.0f} s: {per_million:.0f} s, "
        f"{'met' if per_million < VERIFY_TARGET else 'not met'}.",
    ]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--writers", type=int, default=max(2, os.cpu_count() or 2), help="processes")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each round")
    parser.add_argument("--events", type=int, default=200_000, help="in the ledger that is verified")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--write", action="store_true", help="write the section of docs/reference/measurements.md")
    options = parser.parse_args()
    found = measured(options)
    text_ = page(found, options)
    print(json.dumps(found) if options.json else text_)
    if options.write:
        write_section("ledger", text_)
    return 0


if __name__ == "__main__":
    sys.exit(main())
