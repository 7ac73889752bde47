"""Do two ever hold one exclusive entry, through three real nodes that are killed, frozen and robbed of what they need?

    python benchmarks/checkouts_under_fire.py [--tries 10000] [--entries 3] [--racers 6] [--seed 1] [--json] [--write]

Three nodes of two workers each, one Redis, one PostgreSQL, on loopback. On each node six people check entries out and
in by REST as fast as they are let; who gets no answer asks another node what is theirs, and gives it back. Meanwhile
the leader is killed or frozen, a worker killed, Redis killed or emptied, and a backend of PostgreSQL killed, from which
all of it recovers. What the people saw is judged first: from the answer that gave them an entry until they sent it
back, nobody else may have held it, and no generation may be given twice. Then the table: generations are 1, 2, 3 ...
without a gap, and none began before the one before it had ended.
"""

import argparse
import asyncio
import json
import random
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.ledger_under_fire import Faults, Sql, installed
from benchmarks.machine import facts, load, machine, write_section
from benchmarks.wire import Wire
from tests.support.lab import HOST, Lab

PASSWORD: Final = "a long word for the races"
HELD_S: Final = 0.01
BETWEEN_S: Final = 10.0
CHECKOUTS: Final = "/api/v1/vault/checkouts"
CREATED, NO_CONTENT, UNAUTHORIZED = 201, 204, 401


class Held(NamedTuple):
    """Somebody had an entry for certain, from the answer until they sent it back; by this machine's steady clock."""

    entry: str
    generation: int
    since: float
    until: float
    who: str


class Person:
    """One who checks out and in through one node, and asks the others when it does not answer."""

    def __init__(self, lab: Lab, home: int, name: str, entries: Sequence[str], seed: str) -> None:
        self._ports = [node.port for node in lab.nodes[home:] + lab.nodes[:home]]
        self._name, self._entries, self._chance = name, entries, random.Random(seed)
        self._wires = [Wire(HOST, port, 5.0) for port in self._ports]
        self._token = ""
        self.held: list[Held] = []
        self.tries: Counter[str] = Counter()
        """Answers to a check-out, by status."""

    async def race(self, goal: "Goal") -> None:
        """Until all tries are made."""
        is_sure = True
        while goal.left > 0:
            try:
                is_sure = is_sure or await self._give_back_all()
                if not is_sure:
                    continue
                goal.left -= 1
                is_sure = False
                is_sure = await self._once()
            except OSError:
                self.tries["no answer"] += not is_sure
                await asyncio.sleep(0.05)

    async def _once(self) -> bool:
        """Have one and give it back; whether all that was asked was answered. Raises :class:`OSError`."""
        entry = self._chance.choice(self._entries)
        wish = {"entryId": entry, "reason": "a race", "minutes": 1}
        status, body = await self._ask(self._wires[0], "POST", CHECKOUTS, wish)
        self.tries[str(status)] += 1
        if status != CREATED:
            await asyncio.sleep(self._chance.random() * HELD_S / 2)
            return status < 500 and body.get("heldBy") != self._name
        since = time.monotonic()
        await asyncio.sleep(self._chance.random() * HELD_S)
        self.held.append(Held(entry, body["generation"], since, time.monotonic(), self._name))
        path, given = f"{CHECKOUTS}/{body['id']}/checkin", {"generation": body["generation"]}
        status, _ = await self._ask(self._wires[0], "POST", path, given)
        return status == NO_CONTENT

    async def _give_back_all(self) -> bool:
        """Ask any node what is ours, and give it back; whether nothing is ours now. Raises :class:`OSError`."""
        wire = self._chance.choice(self._wires)
        status, body = await self._ask(wire, "GET", f"{CHECKOUTS}?active=true")
        if status != 200:
            await asyncio.sleep(0.05)
            return False
        for one in body["items"]:
            await self._ask(wire, "POST", f"{CHECKOUTS}/{one['id']}/checkin", {"generation": one["generation"]})
        return not body["items"]

    async def _ask(self, wire: Wire, method: str, path: str, send: Any = None) -> tuple[int, dict[str, Any]]:
        if not self._token:
            login = json.dumps({"username": self._name, "password": PASSWORD}).encode()
            status, found = await wire.exchange("POST", "/api/v1/auth/login", body=login)
            if status != 200:
                raise ConnectionError(f"no log-in: {status}")
            self._token = json.loads(found)["accessToken"]
        status, found = await wire.exchange(method, path, self._token, json.dumps(send).encode() if send else b"")
        if status == UNAUTHORIZED:
            self._token = ""
        return status, json.loads(found) if found else {}


class Goal:
    """How many tries are left, for all."""

    def __init__(self, tries: int) -> None:
        self.left = tries


def doubles(held: Sequence[Held]) -> list[tuple[Held, Held]]:
    """Those who had one entry at one moment, and those who were given one generation."""
    found = []
    by_entry: dict[str, list[Held]] = defaultdict(list)
    for one in held:
        by_entry[one.entry].append(one)
    for those in by_entry.values():
        those.sort(key=lambda one: one.since)
        last = those[0]
        for one in those[1:]:
            if one.since < last.until or one.generation <= last.generation:
                found.append((last, one))
            last = max(last, one, key=lambda each: each.until)
    return found


def judged(sql: Sql) -> dict[str, Any]:
    """What the table says."""
    wanted = "SELECT entry_id, generation, started_at, ended_at, ended_why FROM checkouts ORDER BY entry_id, generation"
    before: dict[str, tuple[int, int | None]] = {}
    ends: Counter[str] = Counter()
    double = gaps = 0
    for entry, generation, started, ended, why in sql.rows(wanted)[0]:
        ends[why or "held"] += 1
        last, over = before.get(entry, (0, 0))
        gaps += generation != last + 1
        double += over is None or started < over
        before[entry] = generation, ended
    return {"granted": sum(ends.values()), "doubleRows": double, "gaps": gaps, "ends": dict(sorted(ends.items()))}


def prepare(lab: Lab, entries: int, racers: int) -> tuple[list[str], list[str]]:
    """The entries, and the people who may have them."""

    def asked(method: str, path: str, **body: Any) -> Any:
        answer = lab.running()[0].ask(path, method=method, send=body or None, token=lab.token, timeout_s=20)
        assert answer.status < 300, answer
        return answer.body

    names = [f"racer{number}" for number in range(len(lab.nodes) * racers)]
    for name in names:
        asked("POST", "/api/v1/users", username=name, displayName=name, roles=["pam_user"], password=PASSWORD)
    new = {"folder": "race", "type": "password", "fields": {"password": "x"}, "exclusive": True}
    made = [asked("POST", "/api/v1/vault/entries", name=f"e{number}", **new)["id"] for number in range(entries)]
    (folder,) = (one for one in asked("GET", "/api/v1/vault/folders")["items"] if one["path"] == "race")
    rights = [{"role": "pam_user", "rights": ["list", "use", "reveal"]}]
    asked("PUT", f"/api/v1/vault/folders/{folder['id']}/rights", items=rights)
    return made, names


async def run(tries: int, entries: int, racers: int, seed: int) -> dict[str, Any]:
    """Race while faults strike."""
    with installed("postgresql") as (lab, redis, sql):
        made, names = await asyncio.to_thread(prepare, lab, entries, racers)
        people = [Person(lab, place % len(lab.nodes), name, made, f"{seed} {name}") for place, name in enumerate(names)]
        goal, chance, struck = Goal(tries), random.Random(seed), Counter[str]()
        faults, began = Faults(lab, redis, sql, chance), time.monotonic()
        racing = asyncio.gather(*(one.race(goal) for one in people))
        while not racing.done() and goal.left > 0:
            await asyncio.sleep(chance.random() * BETWEEN_S)
            name = chance.choice(sorted(faults.known))
            struck[name] += 1
            # A node dies with the thread that has started it, so in this one: the people stand still meanwhile.
            if name == "leader killed":
                faults.known[name]()
            else:
                await asyncio.to_thread(faults.known[name])
            done = tries - max(goal.left, 0)
            print(f"{done:,} of {tries:,} tries, {sum(struck.values())} faults", file=sys.stderr, flush=True)
        await asyncio.wait_for(racing, 60)
        held = [each for one in people for each in one.held]
        return {
            "tries": tries,
            "seconds": round(time.monotonic() - began, 1),
            "faults": dict(sorted(struck.items())),
            "answers": dict(sum((one.tries for one in people), Counter[str]())),
            "seen": len(held),
            "doubleGrants": [[list(one) for one in pair] for pair in doubles(held)],
            **judged(sql),
        }


def page(machine_: dict[str, str], found: dict[str, Any]) -> str:
    """The section of docs/reference/measurements.md."""
    faults = ", ".join(f"{name} {count}" for name, count in found["faults"].items())
    answers = ", ".join(f"{count:,} times {name}" for name, count in sorted(found["answers"].items()))
    ends = ", ".join(f"{name} {count:,}" for name, count in found["ends"].items())
    seen = len(found["doubleGrants"])
    return f"""## Racing check-outs over REST, through nodes under fire

`benchmarks/checkouts_under_fire.py --tries {found["tries"]} --write`

{facts(machine_)}

{found["tries"]:,} tries in {found["seconds"]:,.0f} s through three nodes on PostgreSQL, answered {answers}. Faults:
{faults}. Check-outs in the table: {found["granted"]:,} ({ends}), of which the people themselves saw {found["seen"]:,}
from the answer to the return. **Held by two at once: {seen} as people saw it, {found["doubleRows"]} in the table. Gaps
in generations: {found["gaps"]}.**
"""


def is_clean(found: dict[str, Any]) -> bool:
    """Somebody had something, and nobody had what another had."""
    return bool(found["seen"]) and not (found["doubleGrants"] or found["doubleRows"] or found["gaps"])


def main() -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tries", type=int, default=10_000)
    parser.add_argument("--entries", type=int, default=3)
    parser.add_argument("--racers", type=int, default=6, help="people on each node")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print JSON instead of the section")
    parser.add_argument("--write", action="store_true", help="also write the section of docs/reference/measurements.md")
    chosen = parser.parse_args()
    facts_ = machine()
    found = asyncio.run(run(chosen.tries, chosen.entries, chosen.racers, chosen.seed))
    facts_["load after"] = load()
    if chosen.write:
        write_section("checkouts under fire", page(facts_, found))
    print(json.dumps(found, indent=1) if chosen.json else page(facts_, found))
    return 0 if is_clean(found) else 1


if __name__ == "__main__":
    sys.exit(main())
