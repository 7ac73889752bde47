"""Racing check-outs over three nodes that are killed and frozen: whether two ever hold one exclusive entry.

    python benchmarks/checkouts.py [--tries 10000] [--entries 3] [--sqlite] [--faults 20] [--write]

Three processes stand for three nodes, each with a database connection pool of its own, and check entries out and in as
fast as they can; whoever cannot get one tries another. Meanwhile processes are killed (SIGKILL) and started again, or
frozen for a second (SIGSTOP), which then check in late. What a killed one held is over when its time is, which is
brought forward here. At the end the table itself is judged: generations of an entry are 1, 2, 3 ... without a gap, and
none began before the one before it had ended.
"""

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from sqlalchemy import Connection, text

import rppam.app.slices  # noqa: F401 - the tables of all slices
from benchmarks.machine import facts, machine, write_section
from rppam.access.sessions.model import Identity, SessionKind
from rppam.db.database import Database
from rppam.db.errors import DatabaseError
from rppam.kernel.secret import Secret
from rppam.kernel.system_clock import SystemClock
from rppam.vault.checkout_service import Checkouts, Wish
from rppam.vault.errors import CheckedOut, CheckoutOver
from rppam.vault.keys import MasterKeys, Masters, master_of
from rppam.vault.model import Entry, EntryType
from rppam.vault.sealing import Keyring
from rppam.vault.service import Vault

KEY = "5a" * 32
NODES, FROZEN_S, RACERS = 3, 1.0, 6
ROLES = frozenset({"pam_admin"})


def identity(name: str) -> Identity:
    return Identity(name, name, ROLES, "bench", SessionKind.LOGIN, mfa=True)


def vault_on(database: Database) -> Vault:
    masters = MasterKeys(lambda: Masters(master_of(Secret(KEY))), SystemClock())
    return Vault(database, Keyring(masters), lambda: None)


async def race(url: str, node: int, entries: list[str], tries: Any, goal: int) -> None:
    """One node: racers that check out and in until all tries are made."""
    database = Database(url, 5_000)
    await database.start()
    checkouts = Checkouts(vault_on(database), minutes_max=60)

    async def racer(number: int) -> None:
        who, chance = identity(f"n{node}p{os.getpid()}r{number}"), random.Random()
        while tries.value < goal:
            with tries.get_lock():
                tries.value += 1
            try:
                got = await checkouts.begin(who, Wish(chance.choice(entries), "bench", 60))
                await asyncio.sleep(chance.random() * 0.01)
                await checkouts.check_in(who, got.id)
            except CheckedOut:
                await asyncio.sleep(chance.random() * 0.005)
            except (CheckoutOver, DatabaseError):
                pass  # frozen past its time, or the machine is busy

    await asyncio.gather(*(racer(number) for number in range(RACERS)))
    await database.stop()


def node_main(url: str, node: int, entries: list[str], tries: Any, goal: int) -> None:
    asyncio.run(race(url, node, entries, tries, goal))


async def prepare(url: str, count: int) -> list[str]:
    database = Database(url, 20_000)
    await database.start()
    vault = vault_on(database)
    new = [Entry("", "", "bench", f"e{number}", EntryType.NOTE, None, None) for number in range(count)]
    made = [await vault.create(identity("bench"), one, {"text": Secret("x")}) for one in new]
    await database.stop()
    return [one.id for one in made]


async def on_database(url: str, work: Any) -> Any:
    database = Database(url, 20_000)
    await database.start()
    try:
        return await database.write(work)
    finally:
        await database.stop()


def expire(connection: Connection, pid: int) -> None:
    """The time of what a killed process held is over."""
    over = text("UPDATE checkouts SET expires_at = started_at + 1 WHERE ended_at IS NULL AND user_name LIKE :who")
    connection.execute(over, {"who": f"n%p{pid}r%"})


def judged(connection: Connection) -> dict[str, Any]:
    """What the table says."""
    wanted = text(
        "SELECT entry_id, generation, started_at, ended_at, ended_why FROM checkouts ORDER BY entry_id, generation"
    )
    before: dict[str, Any] = {}
    doubles = gaps = count = 0
    ends: dict[str, int] = {}
    for row in connection.execute(wanted):
        count += 1
        ends[row.ended_why or "held"] = ends.get(row.ended_why or "held", 0) + 1
        last = before.get(row.entry_id)
        gaps += row.generation != (1 if last is None else last.generation + 1)
        doubles += last is not None and (last.ended_at is None or row.started_at < last.ended_at)
        before[row.entry_id] = row
    return {"granted": count, "doubleGrants": doubles, "gaps": gaps, "ends": ends}


def run(url: str, tries_wanted: int, entries_wanted: int, faults: int) -> dict[str, Any]:
    context = multiprocessing.get_context("spawn")
    entries = asyncio.run(prepare(url, entries_wanted))
    tries, chance, done = context.Value("q", 0), random.Random(1), {"killed": 0, "frozen": 0}

    def started(node: int) -> Any:
        process = context.Process(target=node_main, args=(url, node, entries, tries, tries_wanted), daemon=True)
        process.start()
        return process

    nodes = [started(node) for node in range(NODES)]
    began = time.perf_counter()
    next_at = tries_wanted / (faults + 1)
    for number in range(faults):
        while tries.value < next_at * (number + 1) and any(node.is_alive() for node in nodes):
            time.sleep(0.01)
        place = chance.randrange(NODES)
        victim = nodes[place]
        if not victim.is_alive() or victim.pid is None:
            continue
        if number % 2:
            asyncio.run(on_database(url, lambda connection, pid=victim.pid: expire(connection, pid)))
            os.kill(victim.pid, signal.SIGSTOP)
            time.sleep(FROZEN_S)
            os.kill(victim.pid, signal.SIGCONT)
            done["frozen"] += 1
        else:
            victim.kill()
            victim.join()
            asyncio.run(on_database(url, lambda connection, pid=victim.pid: expire(connection, pid)))
            nodes[place] = started(place)
            done["killed"] += 1
    for node in nodes:
        node.join(120)
    seconds = time.perf_counter() - began
    found: dict[str, Any] = asyncio.run(on_database(url, judged))
    return {"tries": tries.value, "seconds": round(seconds, 1), **done, **found}


@contextlib.contextmanager
def database_url(*, sqlite: bool) -> Iterator[str]:
    """An empty database."""
    if sqlite:
        with tempfile.TemporaryDirectory() as folder:
            yield f"sqlite:///{folder}/rppam.db"
        return
    from urllib.parse import quote

    from tests.support.postgres import PASSWORD, binaries, running

    programs = binaries()
    if programs is None:
        raise SystemExit("no PostgreSQL server programs here: apt-get install postgresql, or --sqlite")
    with running(programs) as server:
        yield f"postgresql://postgres:{quote(PASSWORD, safe='')}@{server.host}:{server.port}/postgres"


def page(found: dict[str, Any], before: dict[str, str], *, sqlite: bool) -> str:
    """The section of the measurements."""
    ends = ", ".join(f"{why} {count}" for why, count in sorted(found["ends"].items()))
    kind = "SQLite" if sqlite else "PostgreSQL"
    words = f"--tries {found['wanted']} --faults {found['faults']}{' --sqlite' if sqlite else ''}"
    return f"""## Racing check-outs, {kind}

`python benchmarks/checkouts.py {words} --write`

{facts(before)}

{NODES} nodes with {RACERS} racers each tried {found["tries"]:,} times in {found["seconds"]:,.0f} s to have one of
{found["entries"]} exclusive entries, while nodes were killed {found["killed"]} times, frozen {found["frozen"]} times;
{found["granted"]:,} times somebody got one ({ends}). **Double grants: {found["doubleGrants"]}. Gaps in generations:
{found["gaps"]}.**
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--tries", type=int, default=10_000)
    parser.add_argument("--entries", type=int, default=3)
    parser.add_argument("--faults", type=int, default=20)
    parser.add_argument("--sqlite", action="store_true")
    parser.add_argument("--write", action="store_true", help="Put the result into docs/reference/measurements.md.")
    options = parser.parse_args()
    before = machine()
    with database_url(sqlite=options.sqlite) as url:
        found = run(url, options.tries, options.entries, options.faults)
    found |= {"wanted": options.tries, "faults": options.faults, "entries": options.entries}
    print(json.dumps(found))
    if options.write:
        kind = "SQLite" if options.sqlite else "PostgreSQL"
        write_section(f"checkouts {kind}", page(found, before, sqlite=options.sqlite))
    return 1 if found["doubleGrants"] or found["gaps"] else 0


if __name__ == "__main__":
    sys.exit(main())
