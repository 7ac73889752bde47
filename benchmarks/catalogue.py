"""What does a page of a hundred thousand targets, accounts or vault entries cost, wherever it lies, and a search?

    python benchmarks/catalogue.py [--rows 100000] [--rounds 15] [--write]

SQLite in a file and a real PostgreSQL, loopback only, asked by the stores of a node, so without HTTP: the page, its
tags, and how many there are in all. Half of the entries lie in one folder, the others in many; the accounts are all
named alike, as they are. Rounds go in turn; medians are shown, of the time and of the processor time, which other load
on the machine moves less. Targets are for the latter: of the node, and of the server's processes that work for it.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

import psycopg
from sqlalchemy import Connection, insert, text

import rppam.app.slices  # noqa: F401 - declares the migrations
from benchmarks.databases import databases
from benchmarks.machine import facts, load, machine, write_section
from rppam.access.accounts.model import AccountRole
from rppam.access.sessions.model import Identity, SessionKind
from rppam.db.database import Database
from rppam.requests.vault_grants import VaultGrants
from rppam.targets.model import Search
from rppam.targets.store import SqlResources, SqlTargetAccounts
from rppam.targets.tables import account_tags, resource_tags, resources, target_accounts
from rppam.vault.model import Search as EntrySearch
from rppam.vault.service import Vault
from rppam.vault.tables import vault_entries, vault_folders
from tests.vault.test_sealing import new_master, ring

TIMEOUT_MS: Final = 60_000
SIZE: Final = 25
"""Of a page, as the console has it."""
FOLDERS: Final = 200
BATCH: Final = 2_000
TARGET_MS: Final = 20.0
FOUND_MS: Final = 100.0
"""For a search: no index helps where a part of a word is looked for, so all are looked at."""
ADMIN: Final = Identity("root", "id-root", frozenset({AccountRole.ADMIN}), "s", SessionKind.LOGIN, mfa=True)
Ask = Callable[[], Awaitable[int]]


class Cost(NamedTuple):
    """Of one question, in ms."""

    took: float
    processor: float


def fill(connection: Connection, first: int, end: int, rows: int) -> None:
    """Targets, accounts and entries of these numbers."""
    made: dict[Any, list[dict[str, Any]]] = {
        table: [] for table in (resources, resource_tags, target_accounts, account_tags, vault_entries)
    }
    common = {"revision": 1, "created_at": 1}
    for number in range(first, end):
        # As by chance, but the same in each run: neither names nor ids come in the order of the rows.
        ident, name = f"{number * 7_919 % rows:08x}-r", f"host-{number * 104_729 % rows:06d}"
        account, tag = f"{number * 7_919 % rows:08x}-a", f"rack-{number % 100}"
        place = {"address": f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", "port": 22, "kind": "ssh"}
        known = {"host_key_policy": "pin", "legacy_algorithms": False, "description": f"Server {number} of a hall"}
        made[resources].append({"id": ident, "name": name, "name_key": name, **place, **known, **common})
        made[resource_tags].append({"resource_id": ident, "tag": tag})
        made[target_accounts].append({"id": account, "resource_id": ident, "name": "root", "description": "", **common})
        made[account_tags].append({"account_id": account, "tag": tag})
        rules = {"exclusive": True, "rotate_after_use": False, "kill_on_checkin": False, "reveal": "with-reason"}
        lies = {"folder_id": f"f-{number % 2 and number % FOLDERS}", "account_id": account, "type": "password"}
        state = {"state": "available", "version": 1, "generation": 0, "changed_at": 1, "description": ""}
        made[vault_entries].append({"id": f"{ident}e", "name": f"root on {name}", **rules, **lies, **state, **common})
    for table, values in made.items():
        connection.execute(insert(table), values)


async def filled(database: Database, rows: int) -> None:
    """Put so many of each into it."""

    def folders(connection: Connection) -> None:
        paths = [{"id": f"f-{number}", "path": f"servers/hall-{number:03d}"} for number in range(FOLDERS)]
        connection.execute(insert(vault_folders), [one | {"description": "", "revision": 1} for one in paths])

    await database.write(folders)
    for first in range(0, rows, BATCH):
        await database.write(lambda connection, first=first: fill(connection, first, min(rows, first + BATCH), rows))  # type: ignore[misc]
    await database.write(lambda connection: connection.execute(text("ANALYZE")).close())


def questions(database: Database, rows: int) -> dict[str, dict[str, Ask]]:
    """What is asked of each list; the answers say how many rows they had."""
    targets, accounts = SqlResources(database), SqlTargetAccounts(database)
    vault = Vault(database, ring(new_master()), VaultGrants)
    last = -(-rows // SIZE)
    name = f"{rows // 2:06d}"
    pages: dict[str, dict[str, Any]] = {
        "first": {"page": 1},
        "middle": {"page": last // 2},
        "last": {"page": last},
        "one found": {"text": f"ost-{name}"},
        "all found": {"text": "host"},
        "none found": {"text": "nowhere"},
    }

    def paged(store: Any, search: dict[str, Any]) -> Ask:
        async def ask() -> int:
            return len((await store.page(Search(page_size=SIZE, **search))).items)

        return ask

    def entries(search: dict[str, Any]) -> Ask:
        async def ask() -> int:
            return len((await vault.page(ADMIN, EntrySearch(page_size=SIZE, **search)))[0])

        return ask

    tagged: dict[str, dict[str, Any]] = {"tag": {"tags": ("rack-7",)}}
    return {
        "targets": {name: paged(targets, search) for name, search in (pages | tagged).items()},
        "accounts": {name: paged(accounts, search) for name, search in (pages | tagged).items()},
        "entries": {name: entries(search) for name, search in pages.items()},
    }


class Clock:
    """How long something takes, and the processor time of this process and of the server's that work for it, in ms."""

    def __init__(self, server: list[int]) -> None:
        self._server = [Path(f"/proc/{pid}/schedstat") for pid in server]

    def now(self) -> tuple[float, float]:
        """Both, from some moment on."""
        theirs = sum(int(file.read_text().split()[0]) for file in self._server)
        return time.perf_counter() * 1000, time.process_time() * 1000 + theirs / 1e6


async def clock_of(database: Database, url: str) -> Clock:
    """Once all connections are open."""
    if url.startswith("sqlite"):
        return Clock([])
    wanted = text("SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'rppam'")
    return Clock(await database.read(lambda connection: list(connection.scalars(wanted))))


async def asked(url: str, rows: int, rounds: int) -> dict[str, dict[str, Cost]]:
    """The medians of each question."""
    database = Database(url, TIMEOUT_MS, node="node1")
    await database.start()
    await filled(database, rows)
    if url.startswith("postgresql"):  # as it does by itself some minutes later
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")
    lists = questions(database, rows)
    taken: dict[tuple[str, str], list[tuple[float, float]]] = {}
    clock = await clock_of(database, url)
    for number in range(rounds + 1):
        for list_, asks in lists.items():
            for name, ask in asks.items():
                began = clock.now()
                found = await ask()
                ended = clock.now()
                if number:  # the first round warms up
                    taken.setdefault((list_, name), []).append((ended[0] - began[0], ended[1] - began[1]))
                assert (found == 0) == (name == "none found"), (list_, name, found)
    await database.stop()
    return {
        list_: {name: Cost(*map(statistics.median, zip(*taken[list_, name], strict=True))) for name in asks}
        for list_, asks in lists.items()
    }


def measure(rows: int, rounds: int) -> dict[str, Any]:
    """Both databases."""
    with tempfile.TemporaryDirectory(prefix="rppam-bench-") as folder, databases(Path(folder)) as urls:
        return {name: asyncio.run(asked(url, rows, rounds)) for name, url in urls.items()}


def met(results: dict[str, Any]) -> bool:
    """Whether all pages are within their targets."""
    return all(
        cost.processor <= (FOUND_MS if name.endswith("found") else TARGET_MS)
        for lists in results.values()
        for asks in lists.values()
        for name, cost in asks.items()
    )


def page(found: dict[str, str], rows: int, rounds: int, results: dict[str, Any]) -> str:
    """The section of docs/reference/measurements.md."""
    lines = [
        f"## Pages of {rows:,} targets, accounts and entries",
        "",
        f"`python benchmarks/catalogue.py --write`: {rows:,} of each; a page of {SIZE} with its tags and with how",
        f"many there are in all, asked by the stores of a node. Medians of {rounds} rounds: ms of the processor, of",
        "node and server together, and in brackets ms until the answer. A search is for a part of a word. At most:",
        f"{TARGET_MS:.0f} ms of the processor for a page by number or tag, {FOUND_MS:.0f} for a search.",
        "",
        facts(found),
        "",
    ]
    names = list(next(iter(results.values()))["targets"])
    lines += ["| | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for database, lists in results.items():
        for list_, asks in lists.items():
            cells = [f"{asks[name].processor:.1f} ({asks[name].took:.0f})" if name in asks else "-" for name in names]
            lines.append(f"| {list_}, {database} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", f"All within their targets: {'yes' if met(results) else 'no'}."])


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000, help="of each kind")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--write", action="store_true", help="also write the section of docs/reference/measurements.md")
    chosen = parser.parse_args()
    found = machine()
    results = measure(chosen.rows, chosen.rounds)
    found["load after"] = load()
    text_ = page(found, chosen.rows, chosen.rounds, results)
    if chosen.write:
        write_section("catalogue", text_)
    print(json.dumps({"machine": found, "results": results}, indent=1) if chosen.json else text_)


if __name__ == "__main__":
    main()
