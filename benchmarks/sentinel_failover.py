"""What a Sentinel failover costs: until writes work again, what is lost, and whether anybody led beside the leader.

One primary, two replicas, three sentinels (quorum 2, down-after 1 s). The primary is killed (-9), frozen and resumed,
or cut off from replicas and sentinels while clients still reach it. Meanwhile one task writes plainly, eight write and
wait for one replica, and two nodes (default times) lead on the same servers, asked every 10 ms. With ``--tls`` all of
it speaks TLS with client certificates, and the sentinels have a password of their own.

It runs in a network namespace of its own (``unshare``), so that cutting off concerns nobody else. Ends with 1 when a
confirmed write is lost, two nodes led, or a token was refused.
"""

import argparse
import asyncio
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.machine import facts, load, machine, write_section
from rppam.config.connection import parse_connection
from rppam.kernel.secret import Secret
from rppam.kernel.system_clock import SystemClock
from rppam.kernel.system_entropy import SystemEntropy
from rppam.redis.connection import Connection, Script
from rppam.redis.errors import StoreError
from rppam.redis.link import Link
from rppam.redis.options import LinkOptions
from rppam.redis.sentinel import SWITCHES, SentinelEndpoints
from rppam.redis.tls import TlsFiles
from tests.support.authority import DAY, NOW, Authority
from tests.support.lab import Lab
from tests.support.redis_servers import SERVERS, Server
from tests.support.sentinels import PASSWORD, SENTINEL_PASSWORD, SentinelLab
from tests.support.watching import Eyes, violations

INSIDE = "RPPAM_BENCH_NETWORK"
DIALS_FROM = "127.0.0.2"
BOUND_MS = 50
CUT_S = 7.0
PFX_PASSWORD = "bench"
DRESSED = "TLS with client certificates between all of them, passwords of Redis and of the sentinels;"
PUT = Script.of("put", "return redis.call('SET', KEYS[1], ARGV[1])")


@dataclass
class Traffic:
    """Writers on a link, and what they were told."""

    link: Link
    source: SentinelEndpoints
    plain: dict[str, float] = field(default_factory=dict)
    confirmed: dict[str, float] = field(default_factory=dict)
    switched: list[float] = field(default_factory=list)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def start(self) -> None:
        await self.link.start()
        for watcher in self.source.watchers:
            await watcher.subscribe(SWITCHES, lambda _: self.switched.append(time.monotonic()))
        self.tasks = [asyncio.create_task(self._write("plain", self.plain, self._put_plainly))]
        self.tasks += [asyncio.create_task(self._write(f"sure{n}", self.confirmed, self._put_surely)) for n in range(8)]

    async def stop(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.link.stop()

    async def _put_plainly(self, key: str) -> bool:
        await self.link.command("SET", key, "1", timeout_ms=1_000)
        return True

    async def _put_surely(self, key: str) -> bool:
        _, confirmed = await self.link.run_script_replicated(PUT, [key], ["1"], replicas=1, timeout_ms=500)
        return confirmed >= 1

    async def _write(self, name: str, acknowledged: dict[str, float], put: Callable[[str], Any]) -> None:
        number = 0
        while True:
            number += 1
            key = f"bench:{name}:{number}"
            try:
                if await put(key):
                    acknowledged[key] = time.monotonic()
                await asyncio.sleep(0.002)
            except StoreError:
                if not await self.link.wait_up(1_000):
                    continue
                await asyncio.sleep(0)


@contextmanager
def cut_off(port: int) -> Iterator[None]:
    """Replicas and sentinels reach ``port`` no more, clients do."""
    rules = [f"from {DIALS_FROM} ipproto tcp dport {port}", f"to {DIALS_FROM} ipproto tcp sport {port}"]
    for number, rule in enumerate(rules):
        subprocess.run(["ip", "rule", "add", "pref", str(10 + number), *rule.split(), "blackhole"], check=True)
    try:
        yield
    finally:
        for number in range(len(rules)):
            subprocess.run(["ip", "rule", "del", "pref", str(10 + number)], check=True)


class Tokens(threading.Thread):
    """Asks every node for something that needs a token, four times a second."""

    def __init__(self, lab: Lab) -> None:
        super().__init__(daemon=True)
        self.answers: dict[int, int] = {}
        self.over = threading.Event()
        self._lab = lab

    def run(self) -> None:
        while not self.over.wait(0.25):
            for node in self._lab.nodes:
                try:
                    status = node.ask("/system/health/cluster", token=self._lab.token, timeout_s=2).status
                except OSError:
                    status = 0
                self.answers[status] = self.answers.get(status, 0) + 1


async def one(lab: SentinelLab, traffic: Traffic, fault: str) -> dict[str, Any]:
    """One failover. Times in milliseconds."""
    await asyncio.to_thread(lab.settle)
    victim = lab.primary
    port = lab.client_port(victim)
    traffic.switched.clear()
    limit = asyncio.create_task(server_takes_writes(lab, traffic, victim))
    plain_before, sure_before = set(traffic.plain), set(traffic.confirmed)
    begun = time.monotonic()
    if fault == "killed":
        victim.kill()
        await moved(traffic, port)
        victim.restart()
    elif fault == "frozen":
        victim.stop()
        await moved(traffic, port)
        await asyncio.sleep(1)
        victim.cont()
    else:
        with cut_off(port):
            await asyncio.sleep(CUT_S)
        await moved(traffic, port)
    await asyncio.sleep(0.5)
    event = traffic.switched[0]
    await asyncio.to_thread(lab.settle)
    stands = lab.primary
    gone = lost(stands, set(traffic.confirmed) - sure_before)
    if gone:
        at = sorted(traffic.confirmed[key] - event for key in gone)
        print(f"lost from {at[0]:.3f} s to {at[-1]:.3f} s after the switch\n{lab.picture()}", file=sys.stderr)
    return {
        "fault": fault,
        "switchMs": (event - begun) * 1e3,
        "serverAfterSwitchMs": await limit,
        "plainAfterSwitchMs": first_after(traffic.plain, event),
        "confirmedAfterSwitchMs": first_after(traffic.confirmed, event),
        "plain": len(traffic.plain) - len(plain_before),
        "confirmed": len(traffic.confirmed) - len(sure_before),
        "plainLost": len(lost(stands, set(traffic.plain) - plain_before)),
        "confirmedLost": len(gone),
    }


async def server_takes_writes(lab: SentinelLab, traffic: Traffic, old: Server) -> float:
    """Milliseconds after the switch until another server than ``old`` took a write: the limit for everybody.

    Asked every other millisecond over plain connections that are dialled anew the moment a server ends them.
    """
    clock = SystemClock()
    options = replace(traffic.link.options, ssl=None, require_primary=False)
    targets = [options.target("127.0.0.1", server.port) for server in lab.servers if server is not old]
    lines = [await Connection.open(target, clock=clock) for target in targets]
    try:
        while True:
            for number, line in enumerate(lines):
                with suppress(StoreError):
                    if line.lost is not None:
                        lines[number] = await Connection.open(line.target, clock=clock)
                    elif traffic.switched:
                        await line.command("SET", "bench:server", "1", timeout_ms=500)
                        return (time.monotonic() - traffic.switched[0]) * 1e3
            await asyncio.sleep(0.002)
    finally:
        for line in lines:
            await line.close()


async def moved(traffic: Traffic, port: int) -> None:
    """Wait until the link stands elsewhere and both kinds of writes work there."""
    async with asyncio.timeout(30):
        while traffic.link.target is None or traffic.link.target.port == port or not traffic.switched:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        seen = len(traffic.confirmed)
        while len(traffic.confirmed) < seen + 20:  # noqa: ASYNC110
            await asyncio.sleep(0.005)


def first_after(acknowledged: dict[str, float], event: float) -> float:
    return (min(at for at in acknowledged.values() if at > event) - event) * 1e3


def lost(server: Server, keys: set[str]) -> list[str]:
    """Those that the server does not hold."""
    ordered = sorted(keys)
    gone: list[str] = []
    for at in range(0, len(ordered), 500):
        part = ordered[at : at + 500]
        gone += [key for key, value in zip(part, server.ask("MGET", *part), strict=True) if value is None]
    return gone


def follow(lab: SentinelLab, secured: dict[str, Any]) -> Traffic:
    """A link of a client like the node's own."""
    parsed = parse_connection(lab.connection_string)
    assert parsed.service_name is not None
    clock, entropy = SystemClock(), SystemEntropy()
    tls = None
    if secured:
        ca, pfx = Path(secured["tlsCaPath"]), Path(secured["tlsCertPath"])
        tls = TlsFiles(ca_path=ca, cert_path=pfx, cert_password=Secret(PFX_PASSWORD), clock=clock)
    context = tls.load() if tls else None
    times: dict[str, Any] = {"connect_timeout_ms": 2_000, "command_timeout_ms": 1_000}
    options = replace(LinkOptions.of(parsed, ssl=context), **times, reconnect_cap_ms=250)
    sentinels = replace(LinkOptions.of_sentinels(parsed, ssl=context), **times)
    source = SentinelEndpoints(parsed.service_name, options, sentinels, clock=clock, entropy=entropy, tls=tls)
    return Traffic(Link(options, clock=clock, entropy=entropy, source=source), source)


@contextmanager
def installed(options: tuple[str, ...], tls: bool) -> Iterator[tuple[SentinelLab, dict[str, Any]]]:
    """The servers and sentinels, and what the nodes' config says of TLS."""
    kind = next(kind for kind in SERVERS if kind.name == "redis-8")
    if not tls:
        with SentinelLab(kind, dials_from=DIALS_FROM, options=options) as lab:
            yield lab, {}
        return
    with tempfile.TemporaryDirectory(prefix="rppam-bench-tls-") as folder:
        authority = Authority(Path(folder))
        pfx = authority.pfx("node", password=PFX_PASSWORD, until=NOW + 99 * DAY)
        files = {"tlsCaPath": str(authority.path), "tlsCertPath": str(pfx), "tlsCertPassword": PFX_PASSWORD}
        with SentinelLab(
            kind, dials_from=DIALS_FROM, options=options, authority=authority, sentinel_password=SENTINEL_PASSWORD
        ) as lab:
            yield lab, {"tlsEnabled": True, **files}


async def measure(faults: list[str], min_replicas: bool, tls: bool) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """All failovers on one installation, and what the nodes did meanwhile."""
    options = ("--min-replicas-to-write", "1", "--min-replicas-max-lag", "2") if min_replicas else ()
    with (
        installed(options, tls) as (lab, secured),
        tempfile.TemporaryDirectory(prefix="rppam-bench-") as folder,
        Lab(Path(folder), 1, nodes=2, times="default") as nodes,
    ):
        for node in nodes.nodes:
            text = f"{lab.connection_string},abortConnect=false"
            node.config["redis"] |= {"connectionString": text, "password": PASSWORD, **secured}
            await asyncio.to_thread(node.write_config)
        nodes.start()  # in this thread: processes die with the one that started them
        tokens = Tokens(nodes)
        tokens.start()
        rows: list[dict[str, Any]] = []
        with Eyes({node.name: node.port for node in nodes.nodes}, every_ms=10) as eyes:
            traffic = follow(lab, secured)
            await traffic.start()
            for number, fault in enumerate(faults, 1):
                rows.append(await one(lab, traffic, fault))
                print(f"{number}/{len(faults)} {json.dumps(rows[-1])}", file=sys.stderr, flush=True)
            await traffic.stop()
            nodes.wait_until_healthy()
        tokens.over.set()
        tokens.join(5)
        samples = eyes.samples()
        health = nodes.health()
        return rows, {
            "violations": violations(samples),
            "leaderships": len(eyes.leaderships()),
            "samples": len(samples),
            "tokenAnswers": tokens.answers,
            "safetyLevel": health["safetyLevel"],
            "restarts": sum(not node.is_running for node in nodes.nodes),
        }


def page(
    found: dict[str, str], rows: list[dict[str, Any]], nodes: dict[str, Any], *, min_replicas: bool, tls: bool
) -> str:
    """The section of docs/reference/measurements.md."""
    settings = "`min-replicas-to-write 1`, `min-replicas-max-lag 2`" if min_replicas else "no `min-replicas-to-write`"
    lines = [
        "## Failover of Redis behind Sentinel" + (", with TLS and passwords" if tls else ""),
        "",
        f"`python benchmarks/sentinel_failover.py{' --tls' if tls else ''} --write`: 1 primary, 2 replicas,",
        f"3 sentinels, down-after 1 s, {settings};",
        *([DRESSED] if tls else []),
        "one task writes plainly, eight wait for one replica, two nodes lead on the same servers. `killed`: -9, then",
        "started again; `frozen`: stopped, resumed after the failover; `cut off`: replicas and sentinels do not reach",
        f"the primary for {CUT_S:.0f} s, clients do. *Again*: from the first `+switch-master` to the next "
        "acknowledged write. *The server itself*: asked every 2 ms over plain connections that stand already.",
        "",
        facts(found),
        "",
        "| Fault | Failovers | fault to `+switch-master`, median | the server itself takes writes, p50 / max "
        "| plain writes again, p50 / max | after the server, max | confirmed writes again, p50 / max "
        "| plain acknowledged / lost | confirmed acknowledged / lost |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for fault in dict.fromkeys(row["fault"] for row in rows):
        some = [row for row in rows if row["fault"] == fault]

        def spread(key: str, some: list[dict[str, Any]] = some) -> str:
            values = [row[key] for row in some]
            return f"{statistics.median(values):.1f} / {max(values):.1f} ms"

        def total(key: str, some: list[dict[str, Any]] = some) -> int:
            return sum(row[key] for row in some)

        lines.append(
            f"| {fault} | {len(some)} | {statistics.median(row['switchMs'] for row in some) / 1e3:.2f} s "
            f"| {spread('serverAfterSwitchMs')} | {spread('plainAfterSwitchMs')} "
            f"| {max(row['plainAfterSwitchMs'] - row['serverAfterSwitchMs'] for row in some):.1f} ms "
            f"| {spread('confirmedAfterSwitchMs')} "
            f"| {total('plain')} / {total('plainLost')} | {total('confirmed')} / {total('confirmedLost')} |"
        )
    refused = sum(count for status, count in nodes["tokenAnswers"].items() if status in {401, 403})
    lines += [
        "",
        f"The two nodes: {len(nodes['violations'])} times two leaders in {nodes['samples']} answers, "
        f"{nodes['leaderships']} leaderships, {nodes['restarts']} restarts; of "
        f"{sum(nodes['tokenAnswers'].values())} requests with a token {refused} were refused.",
    ]
    return "\n".join(lines)


def enter_namespace() -> None:
    """Go on in a network of one's own. Returns there; does not return here."""
    if os.environ.get(INSIDE):
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        subprocess.run(["ip", "rule", "add", "pref", "100", "lookup", "local"], check=True)
        subprocess.run(["ip", "rule", "del", "pref", "0"], check=True)
        return
    if not shutil.which("unshare") or not shutil.which("ip"):
        sys.exit("needs the commands unshare (util-linux) and ip (iproute2)")
    os.environ[INSIDE] = "1"
    rights = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    os.execvp("unshare", ["unshare", *rights, "--net", sys.executable, *sys.argv])


def main() -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=17, help="each round is one failover of every kind")
    parser.add_argument("--fault", action="append", choices=["killed", "frozen", "cut off"], help="default: all")
    parser.add_argument("--no-min-replicas", action="store_true", help="without min-replicas-to-write")
    parser.add_argument("--tls", action="store_true", help="TLS, client certificates and a password of the sentinels")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--write", action="store_true", help="also write the section of docs/reference/measurements.md")
    chosen = parser.parse_args()
    enter_namespace()
    found = machine()
    faults = (chosen.fault or ["killed", "frozen", "cut off"]) * chosen.rounds
    rows, nodes = asyncio.run(measure(faults, not chosen.no_min_replicas, chosen.tls))
    found["load after"] = load()
    text = page(found, rows, nodes, min_replicas=not chosen.no_min_replicas, tls=chosen.tls)
    if chosen.write:
        write_section("sentinel with TLS" if chosen.tls else "sentinel", text)
    print(json.dumps({"machine": found, "runs": rows, "nodes": nodes}, indent=1) if chosen.json else text)
    slow = [row for row in rows if row["plainAfterSwitchMs"] > BOUND_MS]
    if slow:
        print(f"{len(slow)} of {len(rows)} took longer than {BOUND_MS} ms after +switch-master", file=sys.stderr)
    wrong = nodes["violations"] or any(row["confirmedLost"] for row in rows)
    return 1 if wrong or {401, 403} & set(nodes["tokenAnswers"]) else 0


if __name__ == "__main__":
    sys.exit(main())
