"""Reading secrets while the vault's key is rotated by a process that is killed again and again.

    python benchmarks/vault_keys.py [--entries 100000] [--kills 10] [--sqlite] [--write]

Entries are made, then a new KEK. One process wraps data keys anew, as the leader does, and is killed (SIGKILL) in the
middle of its work, again and again, until it is through; meanwhile readers open secrets all the time and count what
failed. Then secrets are shown one after the other, each recorded, for the times of one reveal.
"""

import argparse
import asyncio
import json
import multiprocessing
import random
import secrets
import statistics
import sys
import time
import uuid
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from sqlalchemy import Connection, func, insert, select

import rppam.app.slices  # noqa: F401 - declares the migrations
from benchmarks.checkouts import database_url, identity, vault_on
from benchmarks.machine import facts, load, machine, write_section
from rppam.crypto.sealed import seal
from rppam.db.database import Database
from rppam.db.engine import NowMs
from rppam.kernel.secret import Secret
from rppam.vault.key_service import VaultKeys
from rppam.vault.model import Entry, EntryType
from rppam.vault.sealing import _dek_place, seal_field
from rppam.vault.store import create_folder, entry_in, open_version
from rppam.vault.tables import vault_deks, vault_entries, vault_fields, vault_keks, vault_versions

BATCH, REVEALS = 1_000, 1_000


async def opened(url: str) -> Database:
    database = Database(url, 60_000)
    await database.start()
    return database


async def prepare(url: str, count: int) -> list[str]:
    """So many entries, each with a secret of its own."""
    database = await opened(url)
    keyring = vault_on(database).keyring
    folder = await database.write(lambda connection: create_folder(connection, "bench"))
    names = [f"{number:08x}-bench" for number in range(count)]

    def batch(connection: Connection, some: list[str]) -> None:
        same = {"folder_id": folder.id, "type": "note", "description": "", "reveal": "with-reason"}
        flags = {"exclusive": False, "rotate_after_use": False, "kill_on_checkin": False, "state": "available"}
        numbers = {"version": 1, "generation": 0, "revision": 1, "created_at": 1, "changed_at": 1}
        connection.execute(
            insert(vault_entries), [{"id": one, "name": one, **same, **flags, **numbers} for one in some]
        )
        versions, fields, deks = [], [], []
        kek, key = keyring._active(connection)  # noqa: SLF001 - as new_dek does, for all of them at once
        for one in some:
            dek_id, dek = str(uuid.uuid4()), secrets.token_bytes(32)
            deks.append(
                {"id": dek_id, "entry_id": one, "kek_id": kek, "wrapped": seal(key, dek, _dek_place(one, dek_id))}
            )
            versions.append({"entry_id": one, "version": 1, "dek_id": dek_id, "state": "current", "made_by": "bench"})
            sealed = seal_field(dek, Secret(f"secret of {one}"), one, 1, "text")
            fields.append({"entry_id": one, "version": 1, "field": "text", "sealed": sealed})
        connection.execute(insert(vault_deks).values(created_at=NowMs()), deks)
        connection.execute(insert(vault_versions).values(made_at=NowMs()), versions)
        connection.execute(insert(vault_fields), fields)

    for start in range(0, count, BATCH):
        await database.write(partial(batch, some=names[start : start + BATCH]))
    await database.stop()
    return names


async def follow(url: str) -> None:
    database = await opened(url)
    await VaultKeys(database, vault_on(database).keyring).follow()
    await database.stop()


def follow_main(url: str) -> None:
    asyncio.run(follow(url))


async def rotated(url: str, names: list[str], kills: int) -> dict[str, Any]:
    """Rotate under readers; what they saw."""
    database = await opened(url)
    vault = vault_on(database)
    keys = VaultKeys(database, vault.keyring)
    await keys.rotate()
    context, chance = multiprocessing.get_context("spawn"), random.Random(1)
    done = {"killed": 0, "reads": 0, "failedReads": 0}
    is_over = asyncio.Event()

    async def reader() -> None:
        while not is_over.is_set():
            name = chance.choice(names)

            def work(connection: Connection, name: str = name) -> str:
                return open_version(connection, vault.keyring, entry_in(connection, name), 1)["text"].reveal()

            done["reads"] += 1
            try:
                done["failedReads"] += await database.read(work) != f"secret of {name}"
            except Exception as error:  # noqa: BLE001 - every failure counts
                done["failedReads"] += 1
                print(f"a read failed: {error}", file=sys.stderr)

    readers = [asyncio.create_task(reader()) for _ in range(2)]
    began = time.perf_counter()
    while True:
        worker = context.Process(target=follow_main, args=(url,), daemon=True)
        worker.start()
        before = await stale(database)
        while worker.is_alive() and (  # noqa: ASYNC110 - no event tells how far another process is
            done["killed"] >= kills or await stale(database) > before - len(names) // (kills + 2)
        ):
            await asyncio.sleep(0.3)
        if not worker.is_alive():
            break
        worker.kill()
        worker.join()
        done["killed"] += 1
    seconds = time.perf_counter() - began
    is_over.set()
    await asyncio.gather(*readers)
    left = await stale(database)
    await database.stop()
    return {"seconds": round(seconds, 1), "stillOld": left, **done}


async def stale(database: Database) -> int:
    """Data keys that are not wrapped with the newest KEK."""
    newest = select(vault_keks.c.id).order_by(vault_keks.c.version.desc()).limit(1).scalar_subquery()
    counted = select(func.count()).select_from(vault_deks).where(vault_deks.c.kek_id != newest)
    return await database.read(lambda connection: connection.execute(counted).scalar_one())


async def reveals(url: str) -> dict[str, float]:
    """Times of one reveal with its record, in ms."""
    database = await opened(url)
    vault, who = vault_on(database), identity("bench")
    new = Entry("", "", "bench", "revealed", EntryType.NOTE, None, None)
    entry = await vault.create(who, new, {"text": Secret("x")})
    taken = []
    for _ in range(REVEALS):
        began = time.perf_counter()
        await vault.reveal(who, entry.id, "bench")
        taken.append((time.perf_counter() - began) * 1000)
    count = select(func.count()).select_from(vault_deks)
    await database.read(lambda connection: connection.execute(count).scalar_one())
    await database.stop()
    taken.sort()
    return {"p50ms": round(statistics.median(taken), 1), "p99ms": round(taken[int(0.99 * len(taken))], 1)}


def page(found: dict[str, Any], before: dict[str, str], *, sqlite: bool) -> str:
    """The section of the measurements."""
    kind = "SQLite" if sqlite else "PostgreSQL"
    words = f"--entries {found['entries']}{' --sqlite' if sqlite else ''}"
    shown = found["reveal"]
    return f"""## Rotation of the vault's key, and reveals, {kind}

`python benchmarks/vault_keys.py {words} --write`

{facts(before)}

A new key was made for {found["entries"]:,} entries, and the process that wraps their data keys anew was killed
{found["killed"]} times on its way. In {found["seconds"]:,.0f} s all were wrapped anew ({found["stillOld"]} left);
{found["reads"]:,} secrets were read meanwhile, **{found["failedReads"]} reads failed**.

{REVEALS:,} reveals one after another, each with its record in its transaction, beside {found["entries"]:,} entries:
**p50 {shown["p50ms"]} ms, p99 {shown["p99ms"]} ms** (asked of PostgreSQL: p99 under 30 ms; load at that time:
{found["load"]}).
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--sqlite", action="store_true")
    parser.add_argument("--write", action="store_true", help="Put the result into docs/reference/measurements.md.")
    options = parser.parse_args()
    before = machine()
    with database_url(sqlite=options.sqlite) as url:
        names = asyncio.run(prepare(url, options.entries))
        found = asyncio.run(rotated(url, names, options.kills))
        found["load"] = load()
        found["reveal"] = asyncio.run(reveals(url))
    found["entries"] = options.entries
    print(json.dumps(found))
    if options.write:
        kind = "SQLite" if options.sqlite else "PostgreSQL"
        write_section(f"vault keys {kind}", page(found, before, sqlite=options.sqlite))
    return 1 if found["failedReads"] or found["stillOld"] else 0


if __name__ == "__main__":
    sys.exit(main())
