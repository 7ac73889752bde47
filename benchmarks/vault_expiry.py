"""How soon is a check-out over on every node when its time is, with Redis and without?

    python -m benchmarks.vault_expiry [--rounds 30] [--sqlite] [--write]

Three nodes with a gateway each and a real sshd. In each round somebody checks out one entry for each node and begins
a session there with it; then the time of all three is brought forward to a moment soon to come. From that moment on by
the database's clock, which is this machine's: when does each node say that nobody has the entry, when has the check-out
its end with its record (which the leader writes), and when is the session over? First with Redis, then without it.
"""

import argparse
import asyncio
import contextlib
import json
import sqlite3
import sys
import time
from typing import Any

import asyncssh

import rppam.app.slices  # noqa: F401 - declares the settings
from benchmarks.machine import facts, machine, write_section
from benchmarks.vault_ways import CHECKOUTS, ENTRIES, PEOPLE_PASSWORD, Place, Ways, installed
from tests.support.lab import LabNode

SOON_MS = 1_500
GIVE_UP_S = 20.0
BOUND_S = {"with Redis": 1.0, "without Redis": 3.0}
SEEN, ENDED, SESSION = "nobody has it", "it has its end", "its session is over"


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class Expiry:
    """Entries, accounts and somebody who checks them out."""

    def __init__(self, place: Place) -> None:
        self.place, self.lab, self.ways = place, place.lab, Ways(place)
        self.entries: list[str] = []
        new = {"username": "paula", "password": PEOPLE_PASSWORD, "roles": ["pam_user"]}
        assert self.ways.ask("people", "POST", "/api/v1/users", new).status == 201
        target = place.target
        for number in range(3):
            web = self.ways.made(
                "target", "/api/v1/resources", name=f"web{number}", kind="ssh", address="127.0.0.1",
                port=target.port, hostKeyPolicy="tofu",
            )  # fmt: skip
            account = self.ways.made("target", "/api/v1/accounts", resourceId=web["id"], name=target.user)
            path = self.ways.entry(
                f"web{number}", type="ssh-key", accountId=account["id"], fields={"privateKey": target.private_key},
                killOnCheckin=True,
            )  # fmt: skip
            self.entries.append(path.rpartition("/")[2])
        self.ways.let("use", "reveal")
        login = {"username": "paula", "password": PEOPLE_PASSWORD}
        answer = self.lab.nodes[0].ask("/api/v1/auth/login", method="POST", send=login, timeout_s=20)
        self.token: str = answer.body["accessToken"]

    async def round(self) -> dict[str, list[float]]:
        """One check-out on each node; seconds from its end to what each node shows."""
        held: list[str] = []
        for entry in self.entries:
            wish = {"entryId": entry, "reason": "because", "minutes": 5}
            asked = await asyncio.to_thread(
                self.ways.ask, "check-out", "POST", CHECKOUTS, wish, token=self.token, node=len(held)
            )
            assert asked.status == 201, asked
            held.append(asked.body["id"])
        user = self.place.target.user
        async with contextlib.AsyncExitStack() as stack:
            lines = []
            for number, node in enumerate(self.lab.nodes):
                line = await stack.enter_async_context(
                    asyncssh.connect(
                        "127.0.0.1", node.config["access"]["port"], username=f"paula+{user}+web{number}",
                        password=PEOPLE_PASSWORD, known_hosts=None, config=None, agent_path=None,
                    )
                )  # fmt: skip
                process = await line.create_process("echo here; exec sleep 600")
                # One that never began would be over before its time.
                assert (await asyncio.wait_for(process.stdout.readline(), GIVE_UP_S)).strip() == "here"
                lines.append(process)
            over_at = time.time() + SOON_MS / 1000
            await asyncio.to_thread(self._bring_forward, held, int(over_at * 1000))
            found: dict[str, list[float]] = {SEEN: [], ENDED: [], SESSION: []}
            ways = [_closed(line) for line in lines]
            for number, node in enumerate(self.lab.nodes):
                ways += [self._seen(node, entry) for entry in self.entries]
                ways.append(self._ended(node, held[number]))
            moments = await asyncio.gather(*ways)
        for name, moment in moments:
            found[name].append(moment - over_at)
        return found

    async def _seen(self, node: LabNode, entry: str) -> tuple[str, float]:
        return SEEN, await self._until(node, f"{ENTRIES}/{entry}", lambda body: body["heldBy"] is None)

    async def _ended(self, node: LabNode, ident: str) -> tuple[str, float]:
        return ENDED, await self._until(node, f"{CHECKOUTS}/{ident}", lambda body: body["endedAt"] is not None)

    async def _until(self, node: LabNode, path: str, holds: Any) -> float:
        until = time.monotonic() + GIVE_UP_S
        while time.monotonic() < until:
            with contextlib.suppress(OSError):
                asked = await asyncio.to_thread(node.ask, path, token=self.lab.token, timeout_s=5)
                if asked.status == 200 and holds(asked.body):
                    return time.time()
            await asyncio.sleep(0.02)
        return time.time() + 1_000

    def _bring_forward(self, held: list[str], moment: int) -> None:
        words = ", ".join(f"'{one}'" for one in held)
        statement = f"UPDATE checkouts SET expires_at = {moment} WHERE id IN ({words})"
        if self.place.url.startswith("sqlite"):
            with contextlib.closing(sqlite3.connect(self.place.url.removeprefix("sqlite:///"), timeout=20)) as lite:
                lite.execute(statement)
                lite.commit()
            return
        with self.place.sql.connect("rppam") as admin:
            admin.execute(statement.encode())


async def _closed(line: Any) -> tuple[str, float]:
    with contextlib.suppress(TimeoutError, asyncssh.Error, OSError):
        await asyncio.wait_for(line.wait_closed(), GIVE_UP_S)
        return SESSION, time.time()
    return SESSION, time.time() + 1_000


async def measured(expiry: Expiry, rounds: int) -> dict[str, dict[str, float]]:
    """p50, p99 and the largest of each, in seconds."""
    all_: dict[str, list[float]] = {SEEN: [], ENDED: [], SESSION: []}
    for _ in range(rounds):
        for name, values in (await expiry.round()).items():
            all_[name] += values
    return {
        name: {
            "p50": round(percentile(values, 0.5), 2),
            "p99": round(percentile(values, 0.99), 2),
            "max": round(max(values), 2),
            "count": len(values),
        }
        for name, values in all_.items()
    }


def run(*, sqlite: bool, rounds: int) -> dict[str, Any]:
    with installed(sqlite=sqlite) as place:
        expiry = Expiry(place)
        found = {"with Redis": asyncio.run(measured(expiry, rounds))}
        place.redis.kill()
        time.sleep(3)
        place.lab.wait_for_leader()
        found["without Redis"] = asyncio.run(measured(expiry, rounds))
    return {"database": "SQLite" if sqlite else "PostgreSQL", "rounds": rounds, **found}


def page(found: dict[str, Any], before: dict[str, str]) -> str:
    rows = "\n".join(
        f"| {how} | {name} | {one['count']} | {one['p50']} | {one['p99']} | {one['max']} | {bound:g} |"
        for how, bound in BOUND_S.items()
        for name, one in found[how].items()
    )
    kind = " --sqlite" if found["database"] == "SQLite" else ""
    return f"""## The end of a check-out on every node, {found["database"]}

`python -m benchmarks.vault_expiry --rounds {found["rounds"]}{kind} --write`

{facts(before)}

Seconds from the moment at which a check-out is over, by the database's clock, on three nodes:

| | what | n | p50 | p99 | max | asked |
|---|---|---|---|---|---|---|
{rows}
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--sqlite", action="store_true")
    parser.add_argument("--write", action="store_true", help="Put the result into docs/reference/measurements.md.")
    options = parser.parse_args()
    before = machine()
    found = run(sqlite=options.sqlite, rounds=options.rounds)
    print(json.dumps(found))
    if options.write:
        write_section(f"vault expiry {found['database']}", page(found, before))
    late = [how for how, bound in BOUND_S.items() for one in found[how].values() if one["p99"] > bound]
    return 1 if late else 0


if __name__ == "__main__":
    sys.exit(main())
