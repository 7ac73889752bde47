"""Carry out one plan on a lab: begin and end each fault in its time, heal, settle, judge.

As a program it runs one seed and prints its result as JSON on its last line; ``randomly.py`` starts many of these.
"""

import heapq
import json
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

import hiredis

from tests.faults.lab import disk
from tests.faults.lab.cluster import FaultLab, FaultNode, server_kind
from tests.faults.lab.net import Host
from tests.faults.lab.sequences import LIFE, NET, PROXY, SEQUENCE_MS, Fault, Plan, plan
from tests.faults.lab.watch import Watch
from tests.support.lab import CALM

TIMES: Final[dict[str, str | dict[str, int]]] = {"calm": CALM, "default": "default", "lan": "lan"}
Undo = Callable[[], object]


class Skipped(Exception):
    """This fault cannot be now; the text says why."""


class Runner:
    """One plan, one lab."""

    def __init__(self, lab: FaultLab, watch: Watch, plan: Plan) -> None:
        self._lab, self._watch, self._plan = lab, watch, plan
        self._busy: set[tuple[str, str]] = set()
        self.skipped: list[str] = []
        self._last = "node1"
        """Who led when a fault last asked: it stands for the leader while nobody leads."""

    def run(self) -> None:
        """All faults, each begun and ended; returns when the sequence's time is over."""
        began = time.monotonic()
        order = iter(range(10_000))
        due: list[tuple[int, int, Callable[[], None]]] = []
        for fault in self._plan.faults:
            begin: Callable[[], None] = partial(self._begin, fault, due, order)
            heapq.heappush(due, (fault.at_ms, next(order), begin))
        while due:
            at_ms, _, act = heapq.heappop(due)
            time.sleep(max(0.0, began + at_ms / 1000 - time.monotonic()))
            act()
        time.sleep(max(0.0, began + SEQUENCE_MS / 1000 - time.monotonic()))

    def _begin(self, fault: Fault, due: list[Any], order: Any) -> None:
        try:
            needs, undo = self._act(fault)
        except Skipped as why:
            self.skipped.append(f"{fault.sentence().strip()}: {why}")
            return
        if undo is None:
            return

        def end() -> None:
            undo()
            self._busy -= needs

        self._busy |= needs
        heapq.heappush(due, (fault.at_ms + fault.for_ms, next(order), end))

    def _claim(self, resource: str, *names: str) -> set[tuple[str, str]]:
        wanted = {(resource, name) for name in names}
        if taken := wanted & self._busy:
            raise Skipped(f"another fault has {sorted(taken)}")
        return wanted

    def _act(self, fault: Fault) -> tuple[set[tuple[str, str]], Undo | None]:
        if fault.kind.verb.startswith(("store-", "sentinel-")):
            return self._act_on_store(fault)
        if fault.kind.resource == PROXY:
            return self._act_on_proxy(fault)
        node = self._node(fault.target)
        lab, needs = self._lab, self._claim(fault.kind.resource, node.name)
        match fault.kind.verb:
            case "isolate":
                lab.isolate(node)
                return needs, lambda: lab.rejoin(node)
            case "pull-cable":
                lab.pull_cable(node)
                return needs, lambda: lab.rejoin(node)
            case "pause":
                lab.pause(node)
                return needs, lambda: lab.resume(node)
            case "kill":
                lab.kill_host(node)
                return needs, lambda: lab.boot(node)
            case "power-off":
                needs |= self._claim(NET, node.name)
                lab.power_off(node)
                return needs, lambda: lab.boot(node)
            case "kill-control":
                _found(lab.kill_control, node)
                return needs, None
            case "pause-control":
                pid: int = _found(lab.pause_control, node)
                return needs, lambda: lab.resume_control(node, pid)
            case "kill-supervisor":
                lab.kill_supervisor(node)
                return needs, lambda: lab.boot(node)
            case "freeze-disk":
                if node.disk is None:
                    raise Skipped(disk.why_not() or "no disk")
                lab.freeze_disk(node)
                return needs, lambda: lab.thaw_disk(node)
            case "step-clock":
                lab.step_clock(node, fault.value)
                return needs, lambda: lab.step_clock(node, 0)
            case _:
                return self._cut(fault, node, needs)

    def _cut(self, fault: Fault, node: FaultNode, needs: set[tuple[str, str]]) -> tuple[set[tuple[str, str]], Undo]:
        lab = self._lab
        place = lab.members.index(node)
        other = lab.members[(place + fault.value) % len(lab.members)]
        pairs: list[tuple[Host, Host]] = {
            "cut-to-store": [(node.host, host) for host in lab.store_side],
            "cut-from-store": [(host, node.host) for host in lab.store_side],
            "cut-to-node": [(node.host, other.host)],
            "cut-between": [(node.host, other.host), (other.host, node.host)],
        }[fault.kind.verb]
        needs |= self._claim(NET, *(host.name for pair in pairs for host in pair if host in _nodes(lab)))
        for one, two in pairs:
            lab.cut_one_way(one, two)

        def undo() -> None:
            for one, two in pairs:
                lab.mend(one, two)

        return needs, undo

    def _act_on_proxy(self, fault: Fault) -> tuple[set[tuple[str, str]], Undo | None]:
        lab = self._lab
        names = [node.name for node in lab.members] if fault.target == "all" else [self._node(fault.target).name]
        needs = self._claim(PROXY, *names)
        orders: dict[str, tuple[str, dict[str, Any]]] = {
            "proxy-delay": (f"+{fault.value} ms", {"delay_ms": fault.value}),
            "proxy-hold": ("black hole", {"hold": "both"}),
            "proxy-hold-replies": ("replies lost", {"hold": "replies"}),
            "proxy-drop": ("", {"drop": True}),
        }
        words, order = orders[fault.kind.verb]
        for name in names:
            lab.tell_proxy(name, words=words, **order)
            if not words:
                self._watch.note(name, "connections lost")
        # Half of what was held arrives late, the other half never does.
        ends = {"delay_ms": 0, "hold": "", "drop": fault.at_ms % 2 == 0}

        def undo() -> None:
            for name in names:
                lab.tell_proxy(name, words="", **ends)

        return needs, undo if words else None

    def _act_on_store(self, fault: Fault) -> tuple[set[tuple[str, str]], Undo | None]:
        lab, host = self._lab, self._lab.store.hosts[int(fault.target)]
        needs = self._claim(fault.kind.resource, host.name)
        match fault.kind.verb:
            case "store-kill":
                lab.kill_store(host)
                return needs, lambda: lab.start_store(host)
            case "store-pause":
                lab.pause_store(host)
                return needs, lambda: lab.resume_store(host)
            case "store-isolate":
                lab.isolate(host)
                return needs, lambda: lab.rejoin(host)
            case "store-step-clock":
                lab.step_clock(host, fault.value)
                return needs, lambda: lab.step_clock(host, 0)
            case _:
                self._order_store(fault)
                return needs, None

    def _order_store(self, fault: Fault) -> None:
        lab = self._lab
        primary = lab.store.primary()
        if (LIFE, primary.host.name) in self._busy:
            raise Skipped("the primary does not answer")
        if fault.kind.verb == "sentinel-failover":
            if not lab.store.failover():
                raise Skipped("Sentinel will not fail over now")
            self._watch.note(primary.host.name, "SENTINEL FAILOVER")
            return
        words = ("FLUSHALL",) if fault.kind.verb == "store-flush" else ("DEL", f"{lab.prefix}leader")
        with suppress(OSError, hiredis.HiredisError):
            primary.ask(*words)
        self._watch.note(primary.host.name, " ".join(words))

    def _node(self, target: str) -> FaultNode:
        if target != "leader":
            return next(node for node in self._lab.members if node.name == target)
        self._last = self._watch.leader_now() or self._last
        return self._node(self._last)


def _found(act: Callable[[FaultNode], Any], node: FaultNode) -> Any:
    try:
        return act(node)
    except ProcessLookupError as error:
        raise Skipped(str(error)) from None


def _nodes(lab: FaultLab) -> list[Host]:
    return [node.host for node in lab.members]


def carry_out(made: Plan, folder: Path) -> dict[str, Any]:
    """Run the plan in a lab below ``folder``; the result for the results file. Raises what the lab itself raises."""
    kind = server_kind(made.server)
    if kind.find() is None:
        kind = server_kind()
    result: dict[str, Any] = {"server": kind.name, "times": made.times, "shared_database": made.shared_database}
    lab = FaultLab(
        folder,
        store=made.store,
        nodes=made.nodes,
        times=TIMES[made.times],
        policy=made.policy,
        server=kind,
        disks=any(fault.kind.verb == "freeze-disk" for fault in made.faults),
        shared_database=made.shared_database,
        witness=made.witness,
    )
    with lab:
        lab.start()
        watch = lab.watched(made.title, every_ms=20)
        try:
            with watch:
                runner = Runner(lab, watch, made)
                runner.run()
                settled = watch.settle()
                result |= {"leader_ms": settled.leader_ms, "write_ms": settled.write_ms}
                result |= {"faults": len(made.faults) - len(runner.skipped), "skipped": runner.skipped}
        except AssertionError as error:
            result["outcome"] = "violation"
            result["violations"] = watch.verdict or [str(error).splitlines()[0]]
            result["logs"] = lab.logs() + "\n" + lab.store.logs()
        else:
            result["outcome"] = "ok"
        return result | watch.facts()


def main(seed: str, store: str, policy: str = "", nodes: str = "3", witness: str = "") -> None:
    """One seed, from the command line."""
    made = plan(int(seed), store, policy or None, int(nodes), witness=bool(witness))
    print(made.text(), file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(prefix="rppam-faults-", ignore_cleanup_errors=True) as folder:
        try:
            result = carry_out(made, Path(folder))
        except Exception as error:  # noqa: BLE001 - the lab itself failed: no verdict, and the reason is told
            text = "".join(traceback.format_exception(error))
            result = {"outcome": "error", "why": str(error).split("\n", 1)[0][:300], "said": text[-20_000:]}
        print(json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:])
