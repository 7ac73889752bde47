"""Does every event of the ledger reach a real rsyslog over TLS, in order, while it is killed again and again?

    python benchmarks/siem_rsyslog.py [--events 20000] [--kills 20] [--seed 1] [--json] [--write]

A ledger of so many events in SQLite, the leader's delivery, and an rsyslogd with a certificate of its own, on loopback.
It is killed by SIGKILL in the middle of what it takes, each time after another part of the events, and started again
after up to a second. What it has written is then held against the ledger: an event that is missing, one that stands
before an earlier one, one that came a second time without the mark `again`. All of these must be 0. Syslog has no
answer, so what was sent within the last 5 s before a death is sent again: the number of lines says what that costs.
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection

import rppam.app.slices  # noqa: F401 - declares the migrations
from benchmarks.machine import facts, load, machine, write_section
from rppam.cluster.health.ports import Authority
from rppam.crypto.data_key_ports import ClusterSecrets
from rppam.crypto.data_keys import DataKeys
from rppam.db.data_keys import SqlDataKeys
from rppam.db.database import Database
from rppam.kernel.secret import Secret
from rppam.kernel.system_clock import SystemClock
from rppam.ledger.checkpoint import Signer
from rppam.ledger.model import Entity
from rppam.ledger.record import record
from rppam.ledger.store import SqlLedger
from rppam.siem.delivery import Delivery
from rppam.siem.model import Format, Options, Target, TargetKind
from rppam.siem.store import SqlTargets
from tests.support.rsyslog import Rsyslog, Told, missing

LEADER: Final = Authority(7, "boot-a")
BATCH: Final = 500
DOWN_S: Final = 1.0
LOOK_S: Final = 0.02
STUCK_S: Final = 120.0


class Run(NamedTuple):
    """One run."""

    events: int
    kills: int
    seconds: float
    told: Told

    @property
    def is_good(self) -> bool:
        """Nothing is missing, out of order or unmarked."""
        return not (self.told.missing or self.told.out_of_order or self.told.unmarked)


async def fill(database: Database, events: int) -> int:
    """A ledger of about so many; how many there are."""
    ledger, signer = SqlLedger(database), Signer("rppam/benchmark", Ed25519PrivateKey.generate())

    def many(connection: Connection) -> None:
        for number in range(BATCH):
            record(connection, "user.change", Entity("user", f"{number:032x}", f"person.number{number}"))

    there = 0
    while there < events:
        await database.write(many)
        while put := await ledger.integrate(LEADER, "node1", "rppam/benchmark", signer):
            there += put
    return there


async def deliver(events: int, kills: int, folder: Path, chance: random.Random) -> Run:
    """Fill a ledger, deliver it to a receiver that is killed, and judge what that has written."""
    database = Database(f"sqlite:///{folder / 'ledger.db'}", 30_000, node="node1")
    await database.start()
    targets = SqlTargets(database, DataKeys(SqlDataKeys(database), lambda: ClusterSecrets(Secret("ab" * 32), (), ())))
    receiver, leader = Rsyslog(folder), Delivery(database, targets, SystemClock(), "node1", LEADER.boot_id)
    try:
        count = await fill(database, events)
        await receiver.start()
        options = Options(batch_size=500, flush_seconds=0, ca_path=str(receiver.ca))
        made = Target(
            "logs", "logs", TargetKind.SYSLOG, Format.JSON, receiver.url, options, None, True, 1, 0, None, None, ""
        )
        await targets.create(made)
        started = time.monotonic()
        leader.start(LEADER.epoch)
        for kill in range(1, kills + 1):
            await reached(receiver, count * kill // (kills + 1))
            await receiver.kill()
            await asyncio.sleep(chance.uniform(0, DOWN_S))
            await receiver.start()
        await reached(receiver, count - 1)
        async with asyncio.timeout(STUCK_S):
            while (await targets.get("logs")).cursor < count:  # noqa: ASYNC110 - a row has no event
                await asyncio.sleep(LOOK_S)
        return Run(count, receiver.kills, time.monotonic() - started, receiver.judge(count))
    finally:
        await leader.stop()
        await receiver.kill()
        await database.stop()


async def reached(receiver: Rsyslog, index: int) -> None:
    """Returns when the event has been written. Raises TimeoutError where nothing new is for long."""
    last, since = receiver.look(), time.monotonic()
    while last < index:
        await asyncio.sleep(LOOK_S)
        found = await asyncio.to_thread(receiver.look)
        if found > last:
            last, since = found, time.monotonic()
        elif time.monotonic() - since > STUCK_S:
            raise TimeoutError(f"the receiver stays at event {last}")


def page(run: Run, found: dict[str, str]) -> str:
    """The section for the page."""
    told = run.told
    rows = [
        ("events", f"{run.events:,}"),
        ("kills of the receiver", str(run.kills)),
        ("events missing", str(told.missing)),
        ("events before an earlier one", str(told.out_of_order)),
        ("events that came again without the mark", str(told.unmarked)),
        ("lines written, of them marked as sent again", f"{told.lines:,}, {told.again:,}"),
        ("seconds, the last proof included", f"{run.seconds:.0f}"),
    ]
    lines = ["## Delivery to rsyslog over TLS", "", "`benchmarks/siem_rsyslog.py --write`", "", facts(found), ""]
    lines += ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows), ""]
    lines.append(f"Asked for: none missing, order kept, duplicates marked: {'met' if run.is_good else 'not met'}.")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1, help="of the pauses")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--write", action="store_true", help="write the section of docs/reference/measurements.md")
    options = parser.parse_args()
    if package := missing():
        raise SystemExit(f"no {package} on this machine: make servers")
    found: dict[str, Any] = machine()
    with tempfile.TemporaryDirectory() as folder:
        run = asyncio.run(deliver(options.events, options.kills, Path(folder), random.Random(options.seed)))
    found["load after"] = load()
    text = page(run, found)
    print(json.dumps(found | run._asdict() | {"told": run.told._asdict()}) if options.json else text)
    if options.write:
        write_section("siem-rsyslog", text)
    return 0 if run.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
