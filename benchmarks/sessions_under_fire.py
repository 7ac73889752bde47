"""Is anybody signed out, or let in who should not be, while nodes and Redis die? And how soon does a revocation hold?

Three nodes of two API workers each, on one PostgreSQL and on one primary, two replicas and three sentinels. So many
sessions stand in the database; clients go through them on every node, over connections that they keep. Some of the
sessions were ended before: letting one of them in is a wrong allow; refusing one of the others is a session lost. Both
must be 0. What is neither (503, no answer) is an error: counted, with the time from the first to the last.

Then so many revocations, one after the other: for how long is the token still let in somewhere after the answer? And so
many unlocks of a locked user: for how long is the right password still refused somewhere?
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

sys.path.insert(0, str(Path(__file__).parents[1]))

import rppam.app.slices  # noqa: F401 - declares the migrations
from benchmarks.delays import ASK, ENDED, LET_IN, LINES, revoke, table, unlock
from benchmarks.machine import facts, load, machine, write_section
from benchmarks.wire import Wire
from rppam.access.accounts.model import Account
from rppam.access.accounts.store import SqlAccounts
from rppam.access.sessions.service import Caller, Sessions
from rppam.access.sessions.store import SqlSessions
from rppam.cache.no_cache import NoCache
from rppam.db.clock import DatabaseClock
from rppam.db.database import Database
from rppam.kernel.system_clock import SystemClock
from tests.support import postgres
from tests.support.hot import DefaultSettings
from tests.support.lab import Lab, LabNode
from tests.support.redis_servers import SERVERS
from tests.support.sentinels import PASSWORD, SentinelLab

ENDED_SHARE: Final = 20
"""One session in so many was ended before."""
ROUND_S: Final = 4.0
AT_ONCE: Final = 48


@dataclass
class Seen:
    """What clients were told during one phase."""

    name: str
    begun: float = field(default_factory=time.monotonic)
    answers: Counter[str] = field(default_factory=Counter)
    first_error: float = 0.0
    last_error: float = 0.0

    def note(self, what: str) -> None:
        """Count one answer."""
        self.answers[what] += 1
        if what not in {"let in", "refused as ended"}:
            now = time.monotonic()
            self.first_error = self.first_error or now
            self.last_error = now

    def row(self) -> dict[str, Any]:
        """For the table."""
        errors = self.answers["503"] + self.answers["no answer"] + self.answers["other"]
        return {
            "phase": self.name,
            "seconds": round(time.monotonic() - self.begun, 1),
            "requests": self.answers.total(),
            "lost": self.answers["lost"],
            "wrongAllows": self.answers["wrong allow"],
            "unknown": self.answers["503"],
            "noAnswer": self.answers["no answer"],
            "other": self.answers["other"],
            "errorSeconds": round(self.last_error - self.first_error, 2) if errors else 0.0,
        }


class Clients:
    """Who works on with the sessions, on every node."""

    def __init__(self, nodes: list[LabNode], live: list[str], ended: list[str]) -> None:
        self._nodes, self.live, self._ended = nodes, live, ended
        self._tasks: list[asyncio.Task[None]] = []
        self.seen = Seen("")

    def start(self) -> None:
        """Begin to ask."""
        self._tasks = [asyncio.create_task(self._ask(node, n)) for node in self._nodes for n in range(LINES)]

    async def stop(self) -> None:
        """Hang up."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _ask(self, node: LabNode, number: int) -> None:
        chance = random.Random(f"{node.name}-{number}")
        wire = Wire("127.0.0.1", node.port)
        while True:
            ended = chance.randrange(ENDED_SHARE) == 0
            token = chance.choice(self._ended if ended else self.live)
            try:
                status = await wire.get(ASK, token)
            except OSError:
                self.seen.note("no answer")
                await asyncio.sleep(0.05)
            else:
                self.seen.note(meaning(status, ended=ended))


def meaning(status: int, *, ended: bool) -> str:
    """What an answer says about a session that was or was not ended."""
    if status == LET_IN:
        return "wrong allow" if ended else "let in"
    if status == ENDED:
        return "refused as ended" if ended else "lost"
    return "503" if status == 503 else "other"


@contextmanager
def installed() -> Iterator[tuple[Lab, SentinelLab, str]]:
    """The cluster, its Redis, and the database's address."""
    programs = postgres.binaries()
    kind = next(kind for kind in SERVERS if kind.name == "redis-8")
    with ExitStack() as stack:
        redis = stack.enter_context(SentinelLab(kind))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rppam-bench-")))
        url = f"sqlite:///{folder}/rppam.db"
        if programs is not None:
            sql = stack.enter_context(postgres.running(programs))
            url = f"postgresql://postgres:{quote(postgres.PASSWORD, safe='')}@{sql.host}:{sql.port}/rppam"
            with sql.connect() as admin:
                admin.execute("CREATE DATABASE rppam")
        lab = stack.enter_context(Lab(folder / "lab", 1, times="default"))
        for node in lab.nodes:
            text = f"{redis.connection_string},abortConnect=false"
            node.config["redis"] |= {"connectionString": text, "password": PASSWORD}
            node.config["database"]["url"] = url
        lab.start()
        yield lab, redis, url


class Opener:
    """Opens sessions as a node does, without a password for each of them."""

    def __init__(self, lab: Lab, url: str) -> None:
        self._database = Database(url, 10_000)
        clock = DatabaseClock(SystemClock())
        self._sessions = Sessions(
            SqlSessions(self._database), NoCache(), lab.tokens, clock, node="bench", settings=DefaultSettings()
        )
        self._account: Account

    async def start(self) -> None:
        """Find whom they belong to."""
        await self._database.start()
        async with asyncio.timeout(30):
            while (found := await SqlAccounts(self._database).find("admin")) is None:  # noqa: ASYNC110  # a row
                await asyncio.sleep(0.1)
        self._account = found.account

    async def stop(self) -> None:
        """Close the database."""
        await self._database.stop()

    async def open(self, count: int) -> list[str]:
        """Their tokens."""
        room = asyncio.Semaphore(AT_ONCE)

        async def one() -> str:
            async with room:
                issued = await self._sessions.open(self._account, Caller("127.0.0.1", "bench"), mfa=False)
                return issued.token.reveal()

        return list(await asyncio.gather(*(one() for _ in range(count))))


def raise_limits(lab: Lab) -> None:
    """All clients are one user at one address here: as much as they can is not too much."""
    policy = {"perAddress": 1_000_000, "perUser": 1_000_000}
    answer = lab.wait_for_leader().ask(
        "/api/v1/settings/security/limits", token=lab.token, method="PUT", send=policy, timeout_s=10
    )
    assert answer.status == 200, answer


async def end(nodes: list[LabNode], tokens: list[str]) -> None:
    """Sign these out, on the nodes in turn."""
    wires = [Wire("127.0.0.1", node.port) for node in nodes]
    for at, token in enumerate(tokens):
        status = await wires[at % len(wires)].ask("POST", "/api/v1/auth/logout", token)
        assert status == 204, status
    for wire in wires:
        wire.close()


async def fire(lab: Lab, redis: SentinelLab, clients: Clients, round_s: float) -> list[dict[str, Any]]:
    """One phase after another; what clients were told in each."""
    rows = []

    async def phase(name: str, strike: Callable[[], None], mend: Callable[[], None], wait_s: float) -> None:
        clients.seen = Seen(name)
        await asyncio.sleep(round_s / 4)
        strike()
        await asyncio.sleep(wait_s)
        mend()
        await asyncio.sleep(round_s)
        rows.append(clients.seen.row())
        print(json.dumps(rows[-1]), file=sys.stderr, flush=True)

    def kill_redis() -> None:
        for server in redis.servers:
            server.kill()

    def restart_redis() -> None:
        for server in redis.servers:
            server.restart(wait=False)

    leader = await asyncio.to_thread(lab.wait_for_leader)
    nothing = lambda: None  # noqa: E731
    await phase("calm", nothing, nothing, 0.0)
    # In this thread: a node dies with the thread that has started it.
    await phase("the leader killed (-9), started again", leader.kill, leader.start, 2.0)
    await asyncio.to_thread(lab.wait_until_healthy, 60)
    await phase("Redis emptied (FLUSHALL)", lambda: redis.primary.ask("FLUSHALL") and None, nothing, 0.0)
    victim = redis.primary
    await phase("the primary killed, failed over by Sentinel", victim.kill, victim.restart, 6.0)
    await asyncio.to_thread(redis.settle)
    await phase("all of Redis killed, and started again", kill_redis, restart_redis, 3.0)
    # The servers came back in the roles that they were first started in; the sentinels take a minute to agree again.
    await asyncio.to_thread(lab.wait_until_healthy, 150)
    await phase("calm again", nothing, nothing, 0.0)
    return rows


async def measure(sessions: int, revocations: int, unlocks: int, round_s: float) -> dict[str, Any]:
    """Everything, on one installation."""
    with installed() as (lab, redis, url):
        opener = Opener(lab, url)
        await opener.start()
        try:
            tokens = await opener.open(sessions)
            ended = tokens[: max(1, sessions // ENDED_SHARE)]
            await end(lab.nodes, ended)
            await asyncio.to_thread(raise_limits, lab)
            clients = Clients(lab.nodes, tokens[len(ended) :], ended)
            # Until every process has heard of the last one.
            await asyncio.sleep(1)
            clients.start()
            rows = await fire(lab, redis, clients, round_s)
            await clients.stop()
            wire = Wire("127.0.0.1", lab.nodes[0].port)
            lost = [token for token in clients.live if await wire.get(ASK, token) != LET_IN]
            wire.close()
            revocation = await revoke(lab.nodes, await opener.open(revocations))
            unlocking = await unlock(lab.nodes, lab.token, url, unlocks)
        finally:
            await opener.stop()
        return {
            "sessions": sessions,
            "ended": len(ended),
            "database": url.partition(":")[0],
            "phases": rows,
            "lostAtTheEnd": len(lost),
            "revocation": revocation,
            "unlock": unlocking,
        }


def is_clean(result: dict[str, Any]) -> bool:
    """Nobody lost, nobody let in wrongly."""
    return not result["lostAtTheEnd"] and all(not row["lost"] and not row["wrongAllows"] for row in result["phases"])


def page(found: dict[str, str], result: dict[str, Any]) -> str:
    """The section of docs/reference/measurements.md."""
    lines = [
        "## Sessions under fire",
        "",
        f"`python benchmarks/sessions_under_fire.py --write`: {result['sessions']} sessions in {result['database']}, "
        f"{result['ended']} of them ended before;",
        "three nodes of two workers each; 1 primary, 2 replicas, 3 sentinels. *Unknown* is a 503; *error time* is from "
        "the first",
        "to the last answer of a phase that was neither right nor wrong. A dead node answers nobody: a balancer would "
        "send its clients elsewhere.",
        "",
        facts(found),
        "",
        "| Phase | requests | sessions lost | wrong allows | unknown | no answer | other | error time |",
        "|---|---|---|---|---|---|---|---|",
        *(
            f"| {row['phase']} | {row['requests']} | {row['lost']} | {row['wrongAllows']} | {row['unknown']} "
            f"| {row['noAnswer']} | {row['other']} | {row['errorSeconds']:.1f} s |"
            for row in result["phases"]
        ),
        "",
        f"Asked one by one at the end: {result['lostAtTheEnd']} of {result['sessions'] - result['ended']} lost.",
        "",
        *table(result["revocation"], result["unlock"]),
    ]
    return "\n".join(lines)


def main() -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=10_000)
    parser.add_argument("--revocations", type=int, default=1_000)
    parser.add_argument("--unlocks", type=int, default=50)
    parser.add_argument("--round", type=float, default=ROUND_S, help="seconds of each phase after its fault is mended")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--write", action="store_true", help="also write the section of docs/reference/measurements.md")
    chosen = parser.parse_args()
    found = machine()
    result = asyncio.run(measure(chosen.sessions, chosen.revocations, chosen.unlocks, chosen.round))
    found["load after"] = load()
    if chosen.write:
        write_section("sessions under fire", page(found, result))
    print(json.dumps({"machine": found, "result": result}, indent=1) if chosen.json else page(found, result))
    return 0 if is_clean(result) else 1


if __name__ == "__main__":
    sys.exit(main())
