"""The ledger: acts a second with their record, beside the bare database; proofs; verification; what an event weighs.

    python benchmarks/ledger.py [--writers 2] [--seconds 5] [--events 200000] [--rounds 3] [--only acts|growth]

SQLite in a file and a real PostgreSQL, loopback only. Writers are processes with three connections each, as workers
have, and sixteen callers who wait for these. Beside each figure stands the limit of the same run: the same number of
rows of the same size inserted and committed one at a time by the bare driver, which waits for the same disk. Where more
wait than write, SQLite's acts share commits, so they may be more than the bare driver's. Rounds go in turn; medians are
shown.
"""

import argparse
import asyncio
import hashlib
import json
import os
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

import psycopg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection, insert, text

import rppam.app.slices  # noqa: F401 - declares the migrations
from benchmarks.databases import databases
from benchmarks.machine import facts, load, machine, write_section
from rppam.audit.archive_store import SqlArchives
from rppam.audit.verify import Verification, verified
from rppam.cluster.health.ports import Authority
from rppam.cluster.store.epoch_register import SqlEpochRegister
from rppam.db.database import Database
from rppam.kernel.actor import Actor, ActorKind, acting
from rppam.ledger.checkpoint import Checkpoint, Signer, signed
from rppam.ledger.events import Retention
from rppam.ledger.merkle import Frontier, root_from_inclusion
from rppam.ledger.model import Entity
from rppam.ledger.record import record
from rppam.ledger.store import Query, SqlLedger
from rppam.ledger.tables import audit_archived, audit_checkpoints, audit_nodes

TIMEOUT_MS: Final = 30_000
CONNECTIONS: Final = 3
CALLERS: Final = 16
ORIGIN: Final = "rppam/benchmark"
EPOCH: Final = 1_800_000_000_000
AUTHORITY: Final = Authority(EPOCH, "0123456789abcdef")
BATCH: Final = 500
PROOFS: Final = 200
STRANGERS: Final = 20_000
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
    bytes_named: float
    """Of an event that names two people or addresses whom its writer has not named on that day."""
    pruned: float
    """Events pruned a second."""
    bytes_pruned: float = 0.0
    """What is left of an event then."""


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

    while found := await ledger.events(Query(after=after, limit=5_000, placed=True, bare=True)):
        for event in found:
            verification.add(event)
        after = there - 1 if found[-1].index is None else found[-1].index
    assert verified(verification, ()) == there
    verify_s = time.perf_counter() - started
    each = (size() - before) / there
    named = await strangers(database, ledger, signer, size)
    pruned = await prune(database)
    await database.stop()
    return Grown(there, there / spent, statistics.median(took), verify_s, each, named, pruned)


async def strangers(database: Database, ledger: SqlLedger, signer: Signer, size: Callable[[], int]) -> float:
    """Bytes an event that names somebody new, and comes from an address that is new."""
    before = size()
    for start in range(0, STRANGERS, BATCH):

        def some(connection: Connection, start: int = start) -> None:
            for number in range(start, start + BATCH):
                who = Actor(ActorKind.USER, f"{number:032x}", "admin", f"2001:db8::{number:x}")
                record(connection, "user.change", Entity("user", f"{number:032x}", f"stranger.{number}"), actor=who)

        await database.write(some)
        while await ledger.integrate(AUTHORITY, "node1", ORIGIN, signer):
            pass
    return (size() - before) / STRANGERS


async def prune(database: Database) -> float:
    """Prune all; how many events a second."""
    archives = SqlArchives(database)
    count, started = 0, time.perf_counter()
    while not (done := await archives.prune(AUTHORITY, "node1", Retention.ADMINISTRATION, 0, bare=True)).is_over:
        count += done.events
    took = time.perf_counter() - started
    return (count + done.events) / took


async def proof_in(url: str, count: int) -> float:
    """Milliseconds of a proof in a ledger of ``count`` events, of all of which there is only the hash: what the texts
    are matters to no proof, and ten million take an hour to record."""
    database, tree = Database(url, TIMEOUT_MS), Frontier()
    await database.start()
    signer = Signer(ORIGIN, Ed25519PrivateKey.generate())

    def some(connection: Connection, until: int) -> None:
        rows, nodes = [], []
        for leaf in range(tree.size, until):
            raw = hashlib.sha256(leaf.to_bytes(8, "big")).digest()
            rows.append({"leaf": leaf, "hash": raw, "writer": "0" * 36, "number": leaf, "batch": 1})
            nodes += [{"level": level, "position": at, "hash": one} for level, at, one in tree.append(raw)]
        connection.execute(insert(audit_archived), rows)
        if nodes:
            connection.execute(insert(audit_nodes), nodes)

    while tree.size < count:
        until = min(count, tree.size + 50_000)
        await database.write(partial(some, until=until))
    note = signed(Checkpoint(ORIGIN, tree.size, tree.root()), signer)
    row = {"size": tree.size, "frontier": tree.pack(), "epoch": EPOCH, "node": "node1", "made_at": 0, "note": note}
    await database.write(lambda connection: connection.execute(insert(audit_checkpoints).values(**row)).close())
    took = []
    for number in range(PROOFS):
        started = time.perf_counter()
        proof = await SqlLedger(database).proof(number * (count // PROOFS) + 77)
        took.append(1_000 * (time.perf_counter() - started))
        assert root_from_inclusion(proof.leaf, proof.index, count, proof.path) == tree.root()
    await database.stop()
    return statistics.median(took)


def make_small(url: str) -> None:
    """Give the room of what was deleted back."""
    if url.startswith("sqlite"):
        with sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None) as lite:
            lite.execute("VACUUM")
            lite.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM FULL")


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
        found |= {name: {} for name in urls}
        rates: dict[str, dict[bool, list[float]]] = {name: {True: [], False: []} for name in urls}
        for number in range(options.rounds if options.only != "growth" else 0):
            for name, url in urls.items():
                for is_bare in (True, False):
                    done = rate(url, options.writers, options.seconds, is_bare=is_bare)
                    rates[name][is_bare].append(done)
                    print(
                        f"round {number + 1}: {name}, {'bare' if is_bare else 'acts'}: {done:,.0f}/s",
                        file=sys.stderr,
                    )
        for name, both in rates.items():
            if not both[True]:
                continue
            limit, done = statistics.median(both[True]), statistics.median(both[False])
            found[name] = {"acts": done, "bare": limit, "ratio": done / limit}
        for name, url in urls.items() if options.only != "acts" else ():
            fresh = f"sqlite:///{Path(folder) / 'grown.db'}" if name == "SQLite" else url
            if name == "SQLite":
                asyncio.run(prepare(fresh))
            else:
                with psycopg.connect(url) as connection:
                    connection.execute("TRUNCATE audit_events, audit_words, audit_nodes, audit_writers")
                    connection.execute("TRUNCATE audit_checkpoints, audit_archived, audit_marks, benchmark_bare")
            grown = asyncio.run(grow(fresh, options.events, lambda fresh=fresh: size_of(fresh)))  # type: ignore[misc]
            make_small(fresh)
            grown = grown._replace(bytes_pruned=size_of(fresh) / (grown.events + STRANGERS))
            print(f"{name}: {grown}", file=sys.stderr)
            found[name] |= grown._asdict()
            if options.huge and name == "SQLite":
                huge = f"sqlite:///{Path(folder) / 'huge.db'}"
                found["huge_ms"] = asyncio.run(proof_in(huge, options.huge))
                Path(huge.removeprefix("sqlite:///")).unlink()
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
        ("bytes an event that names two who were not named that day", "bytes_named", "{:,.0f}"),
        ("events pruned a second", "pruned", "{:,.0f}"),
        ("bytes left of a pruned event, the database made small", "bytes_pruned", "{:,.0f}"),
        (f"a proof in {options.events:,} events, ms", "proof_ms", "{:.2f}"),
        (f"{options.events:,} events read and verified, s", "verified_s", "{:.1f}"),
    ]
    part = {"acts": ": acts", "growth": ": growth, proofs and verification"}.get(options.only, "")
    call = f"`benchmarks/ledger.py {f'--only {options.only} ' if options.only else ''}--write`"
    lines = [f"## The ledger{part}", "", call, "", facts(found["machine"]), ""]
    if options.only != "growth":
        lines += [
            f"{options.writers} writing processes with {CONNECTIONS} connections and {CALLERS} callers each; medians "
            f"of {options.rounds}.",
            "",
        ]
    lines += [f"| | {' | '.join(names)} |", "|---|---|---|"]
    lines += [
        f"| {label} | {' | '.join(form.format(found[name][key]) for name in names)} |"
        for label, key, form in rows
        if all(key in found[name] for name in names)
    ]
    if "huge_ms" in found:
        lines.append(
            f"| a proof in {options.huge:,} events, of which there are the hashes, ms | {found['huge_ms']:.2f} | |"
        )
    said = []
    if all("acts" in found[name] for name in names):
        least = min(found[name]["acts"] for name in names)
        said.append(f"at least {ACTS_TARGET:,} acts a second: {'met' if least >= ACTS_TARGET else 'not met'}")
    if all("verified_s" in found[name] for name in names):
        per_million = max(found[name]["verified_s"] / found[name]["events"] * 1e6 for name in names)
        verdict = "met" if per_million < VERIFY_TARGET else "not met"
        said.append(
            f"a million events read and verified in less than {VERIFY_TARGET:.0f} s: {per_million:.0f} s, {verdict}"
        )
    lines += ["", f"Asked for: {'; '.join(said)}."]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--writers", type=int, default=max(2, os.cpu_count() or 2), help="processes")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each round")
    parser.add_argument("--events", type=int, default=200_000, help="in the ledger that is verified")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--huge", type=int, default=0, help="also a proof in a ledger of so many events")
    parser.add_argument("--only", choices=("acts", "growth"), help="leave out the other half")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--write", action="store_true", help="write the section of docs/reference/measurements.md")
    options = parser.parse_args()
    found = measured(options)
    text_ = page(found, options)
    print(json.dumps(found) if options.json else text_)
    if options.write:
        write_section("ledger" if options.only is None else f"ledger-{options.only}", text_)
    return 0


if __name__ == "__main__":
    sys.exit(main())
