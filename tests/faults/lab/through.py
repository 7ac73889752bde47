"""Failovers as a client sees them that knows one address: ``make address-failovers RUNS=34``.

A client on a host of its own asks without a pause, each time over a new connection, through the virtual address (IPv4
or IPv6), a balancer whose configuration ``rppam lb`` has written, or a name that it asks a name server for, and
remembers for as long as the answer says. The leader is told to hand over, killed, or loses its cable, again and again.
Of each run is kept how long nobody answered the client, how many of its requests failed, and what witnesses saw. Of the
address there are two: the kernels of all hosts, looked at in turn, and whoever answers on the wire, asked by ARP or
neighbour discovery every few milliseconds. No two may have it at one time. Of the name there is one, which asks the
name server as often: it points to the leader, within five seconds to the next one, and never back; no request goes
elsewhere once the time to live of the last answer that could say so is over.

What an order may cost: no request. That holds by name, too: until its answer has lived out a client goes on to the old
leader, which is a standby then, and answers. What a death may cost: the lease, and what a client needs to try again; by
name the time to live as well, for which it knows nothing but the dead host. A balancer asks the others at once. What
stands in the results file is not run again (:mod:`~tests.faults.lab.repeated`). Exit codes: 0 all runs are there and
nothing was violated; 1 a violation, 2 runs are missing, or usage.
"""

import argparse
import http.client
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

from benchmarks.machine import facts, load, machine, write_section
from benchmarks.ranks import nearest_rank
from rppam.cluster.consensus.timing import PROFILES
from tests.faults.lab.cluster import FaultLab, FaultNode
from tests.faults.lab.name import NAMED_WITHIN_S, Answers, Heard, NamedOn, Resolver, name_server
from tests.faults.lab.net import CAN, WHY_NOT, Host, ip
from tests.faults.lab.observers import API_PORT
from tests.faults.lab.repeated import Plan, kept, of_key, rows_of
from tests.faults.lab.wire import Asking, Kernels, Looking
from tests.support import prefork
from tests.support.balancers import command_of, where_is

ADDRESS: Final = "10.78.0.200"
ADDRESS_6: Final = "fd00:78::200"
BALANCER_PORT: Final = 8080
WAYS: Final = {
    "address": "virtual address",
    "address6": "virtual address, IPv6",
    "haproxy": "HAProxy",
    "nginx": "nginx",
    "dns": "name in DNS",
}
METHODS: Final = {
    "switchover": "switchover",
    "killed": "`kill -9` of everything on the host",
    "cable": "cable pulled",
}
ASKERS: Final = 4
TIMEOUT_S: Final = 5.0
"""After so long a client gives up and tries again."""
TIMED: Final = "outageMs"
"""What a run has that was seen to its end."""
PATHS: Final = ("/system/health/ping", "/api/v1/users?pageSize=1")


class Answered(NamedTuple):
    """One request of the client: when it was sent and over, by the machine's clock, and what came."""

    sent_ns: int
    over_ns: int
    status: int
    """0: nothing."""
    why: str
    to: str = ""
    """The address it went to; empty where none was known."""


class Client:
    """Asks without a pause, from its host, as long as ``with`` lasts."""

    def __init__(self, host: Host, address: str | Callable[[], str], port: int, token: str) -> None:
        """``address``: for ever, or what is asked for each new connection."""
        self._address = address if callable(address) else lambda: address
        self._host, self._port, self._token = host, port, token
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(PATHS[n % 2],), daemon=True) for n in range(ASKERS)]
        self.seen: list[Answered] = []

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
            time.sleep(0.01)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _run(self, path: str) -> None:
        while not self._over.is_set():
            sent_ns, to = time.monotonic_ns(), ""
            try:
                to = self._address()
            except OSError as error:
                status, why = 0, f"no address: {error}"
            else:
                status, why = self._ask(to, path)
            self.seen.append(Answered(sent_ns, time.monotonic_ns(), status, why, to))
            time.sleep(0.01)

    def _ask(self, address: str, path: str) -> tuple[int, str]:
        family = 6 if ":" in address else 4
        link = http.client.HTTPConnection("rppam", timeout=TIMEOUT_S)
        try:
            link.sock = self._host.connect(address, self._port, TIMEOUT_S, family=family)
            link.request("GET", path, headers={"Authorization": f"Bearer {self._token}"})
            answer = link.getresponse()
            body = answer.read(300)
            return answer.status, "" if answer.status == 200 else body.decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            return 0, type(error).__name__
        finally:
            link.close()

    def outage_ms(self, since_ns: int) -> float:
        """The longest time without an answer that ended after ``since_ns``."""
        good = sorted(one.over_ns for one in self.seen if one.status == 200)
        gaps = [(later - earlier) / 1e6 for earlier, later in pairwise(good) if later > since_ns]
        assert gaps, "nobody answered the client afterwards"
        return max(gaps)

    def is_answered(self, since_ns: int) -> bool:
        """Whether a request that was sent later has been answered."""
        return any(one.status == 200 and one.sent_ns > since_ns for one in self.seen[-20:])

    def failed(self) -> list[Answered]:
        """What was no success."""
        return [one for one in self.seen if one.status != 200]


class Key(NamedTuple):
    """What the runs of one row of the table have in common."""

    way: str
    method: str
    times: str


def make_lab(key: Key, folder: Path) -> FaultLab:
    """The hosts of a way."""
    virtual = {"address": f"{ADDRESS}/24", "address6": f"{ADDRESS_6}/64"}.get(key.way)
    return FaultLab(folder, times=key.times, policy="majority", virtual_ip=virtual)


def furnish(lab: FaultLab, way: str) -> Host:
    """The client; and addresses of IPv6, or the word that the balancer is trusted, before the nodes are started."""
    client = lab.net.add("client")
    for number, node in enumerate(lab.nodes if way == "address6" else (), 1):
        ip("-n", node.host.namespace, "addr", "add", f"fd00:78::{number}/64", "dev", "eth0", "nodad")
        node.loopback = "::1"
        node.config["api"]["host"] = "::"
        node.config["node"]["advertiseUrl"] = f"http://[fd00:78::{number}]:{API_PORT}"
    if way == "address6":
        ip("-n", client.namespace, "addr", "add", "fd00:78::100/64", "dev", "eth0", "nodad")
    return client


class Stage(NamedTuple):
    """What stands while runs are made."""

    lab: FaultLab
    client: Host
    address: str
    """Where the client asks; empty: the name server says."""
    port: int
    server: NamedOn | None


@contextmanager
def staged(key: Key, folder: Path) -> Iterator[Stage]:
    """The lab with all that belongs to a way, and the client reaches it."""
    with make_lab(key, folder / "lab") as lab:
        client = furnish(lab, key.way)
        server = name_server(lab, folder / "named") if key.way == "dns" else None
        lab.start()
        where = ("", API_PORT) if server else place(lab, key.way, folder)
        if server is None:
            lab.wait_until(lambda: _reached(client, where), "the client reaches it", 20)
        yield Stage(lab, client, *where, server)


def place(lab: FaultLab, way: str, folder: Path) -> tuple[str, int]:
    """Where the client asks: address and port."""
    if way in ("address", "address6"):
        return (ADDRESS_6 if way == "address6" else ADDRESS), API_PORT
    host, file = lab.net.add("balancer"), folder / way
    nodes = [word for one in lab.nodes for word in ("--node", f"{one.name}=http://{one.host.address}:{API_PORT}")]
    made = prefork.run("lb", way, *nodes, "--listen", f"{host.address}:{BALANCER_PORT}", "--out", str(file))
    assert made.returncode == 0, made.stderr
    program = where_is(way)
    assert program is not None, f"{way} is not on this machine; make servers installs it"
    host.start(command_of(way, program, file), folder / f"{way}.log")
    return host.address, BALANCER_PORT


def fail(lab: FaultLab, leader: FaultNode, method: str) -> None:
    """The deed."""
    if method == "switchover":
        lab.switch_over(leader)
    elif method == "killed":
        lab.kill_host(leader)
    else:
        lab.pull_cable(leader)


def mend(lab: FaultLab, leader: FaultNode, method: str) -> None:
    """Its end."""
    if method == "killed":
        lab.boot(leader)
    elif method == "cable":
        lab.rejoin(leader)


def one_run(stage: Stage, key: Key) -> dict[str, Any]:
    """One failover; what is kept of it."""
    lab, leader = stage.lab, stage.lab.wait_for_leader()
    with ExitStack() as stack:
        seen_by = witnesses(stage, key)
        asking = stack.enter_context(Client(stage.client, _asked_for(stage, leader, stack), stage.port, lab.token))
        for one in seen_by:
            stack.enter_context(one)
        time.sleep(1.0)
        deed_ns = time.monotonic_ns()
        fail(lab, leader, key.method)
        found = lab.wait_for_leader(other_than=leader, within_s=4 * lab.lease_ms / 1000 + 10)
        led_ns = time.monotonic_ns()
        remembered_s = sum(one.heard.ttl_s for one in seen_by if isinstance(one, Answers))
        lab.wait_until(lambda: asking.is_answered(led_ns), "an answer to the client", 15 + remembered_s)
        time.sleep(1.0)
        if remembered_s:  # whoever still knows the old leader's address is seen to let go of it
            time.sleep(max(0.0, NAMED_WITHIN_S + remembered_s + 1.0 - (time.monotonic_ns() - led_ns) / 1e9))
        mend(lab, leader, key.method)
        lab.wait_until_healthy(within_s=90)
        time.sleep(0.5)
    early = [one for one in asking.failed() if one.over_ns < deed_ns]
    failed = [one for one in asking.failed() if one.over_ns >= deed_ns]
    violations = [told for one in seen_by for told in one.violations()]
    if early:
        violations.append(f"{len(early)} requests failed before anything was done: {early[0].status} {early[0].why}")
    if key.method == "switchover" and failed:
        violations.append(f"{len(failed)} requests failed by an order to hand over: {_kinds(failed)}")
    more: dict[str, Any] = {}
    for one in seen_by:
        if isinstance(one, Answers):
            more, told = by_name(one.heard, asking.seen, (leader.host.address, found.host.address), (deed_ns, led_ns))
            violations += told
    return {
        "outageMs": round(asking.outage_ms(deed_ns), 1),
        "requests": len(asking.seen),
        "failed": len(failed),
        "kinds": _kinds(failed),
        "slowestMs": round(max((one.over_ns - one.sent_ns) / 1e6 for one in asking.seen if one.status == 200), 1),
        "probes": sum(_answers(one) for one in seen_by),
        "looks": sum(one.looks for one in seen_by if isinstance(one, Kernels)),
        **more,
        "to": found.name,
        "violations": violations,
    }


def _answers(one: Looking) -> int:
    """How many answers a witness was given."""
    if isinstance(one, Answers):
        return len(one.heard.seen)
    return len(one.claims) if isinstance(one, Asking) else 0


def _asked_for(stage: Stage, leader: FaultNode, stack: ExitStack) -> str | Callable[[], str]:
    """The address; or a memory of what the name server says, once that is the leader."""
    if stage.server is None:
        return stage.address
    server = stage.server
    stage.lab.wait_until(lambda: server.ask() == [leader.host.address], "the name points to the leader", 15)
    resolver = Resolver(stage.client, server.address)
    stack.callback(resolver.close)
    return resolver


def witnesses(stage: Stage, key: Key) -> list[Looking]:
    """Those of the way, which do not look yet."""
    if stage.server is not None:
        return [Answers(stage.client, stage.server.address)]
    if not key.way.startswith("address"):
        return []
    return [Asking(stage.client, stage.address), Kernels([node.host for node in stage.lab.nodes], stage.address)]


def by_name(
    name: Heard, asked: Iterable[Answered], leaders: tuple[str, str], deed_and_led_ns: tuple[int, int]
) -> tuple[dict[str, Any], list[str]]:
    """When the name pointed to the next leader, and until when the client still went to the one before, in ms from the
    deed; what must not be, as sentences."""
    (old, new), (deed_ns, led_ns) = leaders, deed_and_led_ns
    named_ns, elsewhere = name.named_ns(new), [one for one in asked if one.to and one.to != new]
    told = name.late(old, new, led_ns)
    end_ns = led_ns + int((NAMED_WITHIN_S + name.ttl_s) * 1e9)
    if behind := [one for one in elsewhere if one.sent_ns > end_ns]:
        told.append(f"{len(behind)} requests went to {behind[0].to} after the time to live, while {new} led")
    last_ns = max((one.sent_ns for one in elsewhere), default=deed_ns)
    return {
        "namedMs": None if named_ns is None else round((named_ns - deed_ns) / 1e6, 1),
        "heldMs": round((last_ns - deed_ns) / 1e6, 1),
    }, told


def _kinds(failed: Iterable[Answered]) -> str:
    kinds: dict[str, int] = {}
    for one in failed:
        word = one.why[:60] if not one.status else f"{one.status} {one.why[:200]}"
        kinds[word] = kinds.get(word, 0) + 1
    return ", ".join(f"{count} x {word}" for word, count in sorted(kinds.items()))


# ---- results and running ---------------------------------------------------------------------------------------------


def done(key: Key, results: Path) -> list[dict[str, Any]]:
    """The runs of a row of the table that stand in the file."""
    return of_key(key, rows_of(results, TIMED))


def words_of(key: Key) -> list[str]:
    """The command line that makes runs of one row in its own process."""
    return ["--here", "--ways", key.way, "--methods", key.method, "--times", key.times]


def run_here(key: Key, runs: int, results: Path) -> None:
    """So many runs in this process."""
    with tempfile.TemporaryDirectory(prefix="rppam-through-", ignore_cleanup_errors=True) as text:
        folder = Path(text)
        with staged(key, folder) as stage:
            for run in range(1, runs + 1):
                time.sleep(stage.lab.lease_ms / 1000 + 0.2 * run % 1.0)  # every standby has watched for a lease
                found = one_run(stage, key)
                shown = f"{key.way} {key.method}: {found['outageMs']:.0f} ms, {found['failed']} failed"
                kept(key, found, results, shown)


def _reached(client: Host, where: tuple[str, int]) -> bool:
    with suppress(OSError):
        client.connect(*where, 1.0, family=6 if ":" in where[0] else 4).close()
        return True
    return False


def page(found: dict[str, str], rows: dict[Key, list[dict[str, Any]]], command: str) -> str:
    """The section of docs/reference/measurements.md."""
    heads = ("Through", "Failover", "Runs", "p50", "p99", "max", "Requests", "failed, p50 and max of a run", "Looks",
             "Answers on the wire", "Violations")  # fmt: skip
    lines = [
        "## Failovers as a client sees them",
        "",
        f"`{command}`: three nodes, the client and the balancer each on a host of",
        f"its own (a network namespace). {ASKERS} askers, each request over a new connection, given up after",
        f"{TIMEOUT_S:g} s. Outage: the longest time without an answer to any of them; whoever connects while the",
        "address moves is heard when its kernel tries again, after a second. The address is looked for in the kernels",
        "of all hosts, and asked for on the wire, as often as the columns say; two holders at one time, or a request",
        "that fails by an order to hand over, are violations. So they are by the name in DNS, whose server is asked as",
        "often: a client remembers what it said for the time to live, and goes on to the old leader meanwhile. A name",
        "that goes back, that is late, or that sends anybody elsewhere after that time is a violation, too. p99 is the",
        "nearest rank.",
        "",
        facts(found),
        "",
        f"| {' | '.join(heads)} |",
        f"|{'---|' * len(heads)}",
    ]
    for key, runs in rows.items():
        times, failed = [row["outageMs"] for row in runs], [row["failed"] for row in runs]
        cells = [WAYS[key.way], METHODS[key.method], str(len(runs))]
        cells += [f"{one:.0f} ms" for one in (nearest_rank(times, 0.5), nearest_rank(times, 0.99), max(times))]
        cells += [f"{sum(row['requests'] for row in runs):,}", f"{nearest_rank(failed, 0.5):.0f}, {max(failed)}"]
        cells += [f"{sum(row[what] for row in runs):,}" for what in ("looks", "probes")]
        cells.append(str(sum(len(row["violations"]) for row in runs)))
        lines.append(f"| {' | '.join(cells)} |")
    named = [line for key, runs in rows.items() if key.way == "dns" for line in _named(key, runs)]
    return "\n".join([*lines, "", *named] if named else lines)


def _named(key: Key, runs: list[dict[str, Any]]) -> list[str]:
    """When the name followed, and when the client did, as an item of a list."""
    named, held = [row["namedMs"] for row in runs if row["namedMs"] is not None], [row["heldMs"] for row in runs]
    shown = [
        f"p50 {nearest_rank(some, 0.5):.0f} ms, max {max(some):.0f} ms" if some else "never" for some in (named, held)
    ]
    return [f"- {METHODS[key.method]}: the name points to the next leader {shown[0]} after it, and the client's last "
            f"request to another address begins {shown[1]} after it"]  # fmt: skip


def _asked(words: list[str] | None) -> argparse.Namespace:
    ask = argparse.ArgumentParser(prog="make address-failovers", description=(__doc__ or "").splitlines()[0])
    ask.add_argument("--runs", type=int, default=34, help="of each way and method")
    ask.add_argument("--ways", default=",".join(WAYS), help="of " + ", ".join(WAYS))
    ask.add_argument("--methods", default=",".join(METHODS), help="of " + ", ".join(METHODS))
    ask.add_argument("--times", default="default", help=f"timing profile, of {', '.join(PROFILES)}")
    ask.add_argument("--labs", type=int, default=2, help="how many at once")
    ask.add_argument("--results", type=Path, default=Path("build/faults/through.jsonl"))
    ask.add_argument("--here", action="store_true", help="run the one way and method that is named in this process")
    ask.add_argument("--write", action="store_true", help="also write the section of docs/reference/measurements.md")
    given = ask.parse_args(words)
    given.ways, given.methods = given.ways.split(","), given.methods.split(",")
    if unknown := (set(given.ways) - set(WAYS)) | (set(given.methods) - set(METHODS)):
        ask.error(f"unknown: {', '.join(sorted(unknown))}")
    return given


def main(words: list[str] | None = None) -> int:
    """The command line."""
    given = _asked(words)
    if not CAN:
        print(WHY_NOT, file=sys.stderr)
        return 2
    keys = [Key(way, method, given.times) for way in given.ways for method in given.methods]
    if given.here:
        run_here(keys[0], given.runs, given.results)
        return 0
    found = machine()
    Plan("tests.faults.lab.through", words_of, given.runs, given.results, TIMED).carry_out(keys, given.labs)
    rows = {key: done(key, given.results)[: given.runs] for key in keys}
    some = {key: runs for key, runs in rows.items() if runs}
    if given.write and some:
        found |= {"labs at once": str(given.labs), "load after": load()}
        write_section("through", page(found, some, f"make address-failovers RUNS={given.runs} ARGS=--write"))
    print(page(found, some, "make address-failovers"))
    violations = [
        f"{key.way} {key.method}: {one}" for key, runs in some.items() for row in runs for one in row["violations"]
    ]
    print("\n".join(violations))
    if violations:
        return 1
    return 0 if all(len(runs) >= given.runs for runs in rows.values()) else 2


if __name__ == "__main__":
    sys.exit(main())
