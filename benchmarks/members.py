"""What does a cluster cost as it grows from 3 to 100 members, and how soon does it elect?

The real core, driver, member link (TLS on loopback, everybody with everybody) and exchange with a real Redis. Several
members share a process, as a hundred interpreters would measure the machine; they have no API and no database. Steady:
requests and bytes at Redis by its own INFO, bytes of the member link by what the kernel counted on its connections,
processor time of Redis and of all members. Elections: the process in which the leader lives is killed (-9) with all its
members; from then until another member leads. It is started again and must be linked to all before the next.

A hundred members in four processes on two cores have no time left for the words of a short lease, as each hears of
each: they run with the timing of ``classic``.
"""

import argparse
import asyncio
import json
import logging
import queue
import re
import resource
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import uvloop

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.machine import facts, load, machine, write_section
from rppam import __version__
from rppam.app.members import member_address, member_parts
from rppam.app.redis import redis_parts
from rppam.app.witness import NoRegister
from rppam.cluster.consensus.admission import Admission
from rppam.cluster.consensus.election import Election
from rppam.cluster.consensus.failure_detector import FailureDetector
from rppam.cluster.consensus.heartbeat import Heartbeat, Role
from rppam.cluster.consensus.lease import Identity
from rppam.cluster.consensus.node import NodeCore
from rppam.cluster.consensus.timing import PROFILES
from rppam.cluster.driver.driver import Driver
from rppam.cluster.driver.leader_tasks import LeaderTasks
from rppam.cluster.store.redis_store import RedisLeadershipStore
from rppam.config.load import load_settings
from rppam.config.settings import Settings
from rppam.kernel.system_clock import SystemClock
from rppam.kernel.system_entropy import SystemEntropy
from tests.support.lab import HOST, Lab
from tests.support.redis_servers import Server, available

FILES_MOST = 65_536
LINKED_WITHIN_S = 900.0
LED_WITHIN_S = 90.0
TOLD_EVERY_S = 0.5
SETTLE_S = 0.3
SETTLES_MOST = 20


def tell(**what: Any) -> None:
    """A line for the parent."""
    print(json.dumps(what), flush=True)


class Tell:
    """The only duty of a leader here: to say that it leads."""

    name = "tell"

    def __init__(self, node: str) -> None:
        self._node = node

    def start(self, epoch: int) -> None:
        """Leadership began."""
        tell(leads=self._node, epoch=epoch, at=time.monotonic())

    async def stop(self) -> None:
        """Leadership ended."""
        tell(ended=self._node)


class Seat:
    """One member: everything of a node that votes and leads, without API and database."""

    def __init__(self, settings: Settings) -> None:
        clock, entropy = SystemClock(), SystemEntropy()
        timing, self.node, self._boot_id = settings.cluster.timing, settings.node.node_name, entropy.nonce()
        redis = redis_parts(settings, clock, entropy)
        members = member_parts(settings, self._boot_id, timing, clock, entropy)
        assert redis is not None
        assert members is not None
        self._settings, self._clock = settings, clock
        self.link = members.link
        self.core = NodeCore(
            Election(
                Identity(self.node, self._boot_id, timing),
                entropy,
                now=clock.now(),
                voter=members.voter,
                electable=False,
            ),
            FailureDetector(self.node, timing),
            Admission(self.node, self._boot_id, timing, lambda _others: None),
            now=clock.now(),
        )
        self.driver = Driver(
            self.core,
            RedisLeadershipStore(
                redis.link, settings.redis.key_prefix, settings.cluster.cluster_id, self.node, sys.exit
            ),
            NoRegister(),
            clock,
            LeaderTasks((Tell(self.node),), lambda work: asyncio.wait_for(work, 1.0)),
            self._heartbeat,
            members=members.ways,
        )

    def linked(self) -> int:
        """To how many others it has a connection."""
        return sum(peer.is_connected for peer in self.link.peers.values())

    def leader(self) -> str:
        """Who leads, as it sees it."""
        found = self.core.status().leader(self._clock.now())
        return found[0] if found else ""

    def _heartbeat(self, beat: int, loop_lag_ms: int, renewed_ms_ago: int) -> Heartbeat:
        status = self.core.status()
        permission = status.permission(self._clock.now())
        return Heartbeat(
            self.node,
            self._boot_id,
            beat,
            Role.STANDBY if permission is None else Role.LEADER,
            status.lease.epochs.led,
            __version__,
            socket.gethostname(),
            "",
            self._clock.wall_ms(),
            loop_lag_ms,
            renewed_ms_ago,
            admitted=self.driver.admitted.is_set(),
            member_address=member_address(self._settings),
        )


async def settled(seat: Seat, least: int) -> None:
    """Until it is linked with so many, and no further one has come for a while; or the time is over."""
    before = -1
    for _ in range(SETTLES_MOST):
        now = seat.linked()
        if now >= least and now == before:
            return
        before = now
        await asyncio.sleep(SETTLE_S)


async def drive(folder: Path, names: list[str]) -> None:
    """Be these members until the process is killed."""
    seats: list[Seat] = []
    for name in names:
        # One after another, as hosts do: a hundred at once would all wait for each other's handshakes.
        seats.append(Seat(load_settings(folder / name / "rppam.config")))
        await seats[-1].driver.start()
        await settled(seats[-1], len(seats) - 1)
    while True:
        await asyncio.sleep(TOLD_EVERY_S)
        for seat in seats:
            if seat.driver.broken.done() or seat.driver.turned.done():
                raise SystemExit(f"{seat.node} ended")
        tell(linked=sum(seat.linked() for seat in seats), leaders=sorted({seat.leader() for seat in seats}))


class Crew:
    """A process with some members, as its parent sees it."""

    def __init__(self, folder: Path, names: list[str]) -> None:
        self.names = names
        self.linked = 0
        self.leaders: list[str] = []
        self.promotions: queue.Queue[tuple[str, float]] = queue.Queue()
        words = [sys.executable, __file__, "--drive", str(folder), *names]
        with (folder / f"{names[0]}.log").open("ab") as log:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *words], stdout=subprocess.PIPE, stderr=log, text=True
            )
        self._hearing = threading.Thread(target=self._hear, daemon=True)
        self._hearing.start()

    def _hear(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            told = json.loads(line)
            if "leads" in told:
                self.promotions.put((told["leads"], told["at"]))
            elif "linked" in told:
                self.linked, self.leaders = told["linked"], told["leaders"]

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self._hearing.join()
        assert self.process.stdout is not None
        self.process.stdout.close()


class Cluster:
    """Members of one size, in a few processes."""

    def __init__(self, folder: Path, server: Server, size: int, processes: int, profile: str) -> None:
        self.size = size
        # Names in order of their numbers, so that a crew's names are a slice.
        lab = Lab(folder, server.port, nodes=size, times=profile, licensed=False, prefix=f"m{size}:")
        self.first_port = _free_block(size)
        for place, node in enumerate(lab.nodes):
            node.config["cluster"]["memberPort"] = self.first_port + place
            node.write_config()
        names = [node.name for node in lab.nodes]
        self._folder = folder
        self._shares = [names[start::processes] for start in range(min(processes, size))]
        self.crews = [Crew(folder, share) for share in self._shares]

    def close(self) -> None:
        """Kill them all."""
        for crew in self.crews:
            crew.kill()

    def pids(self) -> list[int]:
        """All processes."""
        return [crew.process.pid for crew in self.crews]

    def share_linked(self) -> float:
        """Of all connections that should be."""
        return sum(crew.linked for crew in self.crews) / (self.size * (self.size - 1))

    def leader(self) -> str:
        """Who leads; empty unless all agree."""
        seen = {name for crew in self.crews for name in crew.leaders or [""]}
        return seen.pop() if len(seen) == 1 else ""

    def wait(self, holds: Callable[[], bool], within_s: float, what: str) -> float:
        """Seconds until it holds. RuntimeError when it does not in time, or a process ended."""
        began = time.monotonic()
        while not holds():
            for crew in self.crews:
                if crew.process.poll() is not None:
                    raise RuntimeError(f"the process of {crew.names} ended: see {self._folder}/{crew.names[0]}.log")
            if time.monotonic() - began > within_s:
                raise RuntimeError(f"not within {within_s} s: {what} ({100 * self.share_linked():.1f} % linked)")
            time.sleep(0.02)
        return time.monotonic() - began

    def is_whole(self) -> bool:
        """Everybody is linked with everybody, and all see one leader."""
        return self.share_linked() == 1.0 and self.leader() != ""

    def elect(self) -> float:
        """Kill the leader's process; seconds until another member leads. Then make it whole again."""
        leader = self.leader()
        place = next(place for place, crew in enumerate(self.crews) if leader in crew.names)
        others = [crew for crew in self.crews if leader not in crew.names]
        for crew in others:
            while not crew.promotions.empty():
                crew.promotions.get_nowait()
        began = time.monotonic()
        self.crews[place].kill()
        at: list[float] = []
        while not at:
            at = [crew.promotions.get_nowait()[1] for crew in others if not crew.promotions.empty()]
            if time.monotonic() - began > LED_WITHIN_S:
                raise RuntimeError("nobody leads")
            time.sleep(0.005)
        self.crews[place] = Crew(self._folder, self._shares[place])
        self.wait(self.is_whole, LINKED_WITHIN_S, "whole again")
        return min(at) - began


def _free_block(size: int) -> int:
    """The first of so many ports that are free now, below those that the kernel hands out."""
    for first in range(20_000, 30_000, 150):
        try:
            for port in range(first, first + size):
                with socket.socket() as probe:
                    probe.bind((HOST, port))
        except OSError:
            continue
        return first
    raise RuntimeError("no free ports")


def link_bytes(first: int, size: int) -> int:
    """What the kernel has carried so far over connections that these ports accepted, both ways."""
    ports = f"( sport >= :{first} and sport < :{first + size} )"
    listed = subprocess.run(["ss", "-tinHO", ports], capture_output=True, text=True, check=True).stdout
    return sum(int(number) for number in re.findall(r"bytes_(?:acked|received):(\d+)", listed))


def counters(server: Server, cluster: Cluster) -> dict[str, float]:
    """All that is counted, so far."""
    stats = server.ask("INFO", "stats").decode()
    commands = server.ask("INFO", "commandstats").decode()
    calls = re.search(r"cmdstat_evalsha:calls=(\d+)", commands)

    def stat(name: str) -> int:
        found = re.search(rf"^{name}:(\d+)", stats, re.MULTILINE)
        return int(found[1]) if found else 0

    def cpu(pids: list[int]) -> float:
        times = [psutil.Process(pid).cpu_times() for pid in pids]
        return sum(taken.user + taken.system for taken in times)

    return {
        "at": time.monotonic(),
        "requests": int(calls[1]) if calls else 0,
        "in": stat("total_net_input_bytes"),
        "out": stat("total_net_output_bytes"),
        "link": link_bytes(cluster.first_port, cluster.size),
        "redisCpu": cpu([server.pid]),
        "membersCpu": cpu(cluster.pids()),
    }


def measure(size: int, processes: int, seconds: float, elections: int, profile: str) -> dict[str, Any]:
    """Everything about one size."""
    kind = available()[-1]
    with ExitStack() as stack:
        server = stack.enter_context(Server(kind))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rppam-members-")))
        cluster = Cluster(folder, server, size, processes, profile)
        stack.callback(cluster.close)
        first_s = cluster.wait(lambda: cluster.leader() != "", LINKED_WITHIN_S, "a leader")
        whole_s = first_s + cluster.wait(cluster.is_whole, LINKED_WITHIN_S, "everybody linked with everybody")
        time.sleep(min(5.0, seconds))
        before, leader = counters(server, cluster), cluster.leader()
        time.sleep(seconds)
        after = counters(server, cluster)
        steady = cluster.leader() == leader
        rate = {name: (after[name] - before[name]) / (after["at"] - before["at"]) for name in after if name != "at"}
        memory = sum(psutil.Process(pid).memory_info().rss for pid in cluster.pids()) / 1e6
        took = [cluster.elect() for _ in range(elections)]
        return {
            "members": size,
            "server": str(kind),
            "processes": len(cluster.crews),
            "profile": profile,
            "firstLeaderS": round(first_s, 2),
            "wholeS": round(whole_s, 2),
            "requestsPerS": round(rate["requests"], 1),
            "bytesInPerS": round(rate["in"]),
            "bytesOutPerS": round(rate["out"]),
            "linkBytesPerS": round(rate["link"]),
            "redisCpuPercent": round(100 * rate["redisCpu"], 1),
            "membersCpuPercent": round(100 * rate["membersCpu"], 1),
            "memoryMb": round(memory),
            "steady": steady,
            "electionsS": [round(one, 2) for one in took],
        }


def page(found: dict[str, str], results: list[dict[str, Any]]) -> str:
    """The section of docs/reference/measurements.md."""
    timings = ", ".join(
        f"{name} ({PROFILES[name].lease_ms} ms, {PROFILES[name].heartbeat_ms} ms)"
        for name in dict.fromkeys(result["profile"] for result in results)
    )
    lines = [
        "## As a cluster grows",
        "",
        "`python benchmarks/members.py --write`: the real core, driver, member link (TLS, everybody with everybody)",
        "and exchange with Redis of so many members in a few processes on one machine. Timings (lease, heartbeat):",
        f"{timings}.",
        "Election: the process in which the leader lives is killed with all its members; until another member leads.",
        "",
        facts(found),
        "",
        "| Members | Timing | Requests to Redis | per member | Redis receives | Redis sends | Member link "
        "| Redis' processor |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {one['members']} | {one['profile']} | {one['requestsPerS']:.0f}/s "
        f"| {one['requestsPerS'] / one['members']:.1f}/s "
        f"| {one['bytesInPerS'] / 1e3:.0f} kB/s | {one['bytesOutPerS'] / 1e3:.0f} kB/s "
        f"| {one['linkBytesPerS'] / 1e3:.0f} kB/s | {one['redisCpuPercent']:.1f} % of a core |"
        for one in results
    ]
    lines += [
        "",
        "| Members | Processes | All members' processor | of a member | Memory in all | First leader | All linked "
        "| Elections | median | max | Leader kept |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for one in results:
        took = one["electionsS"]
        lines.append(
            f"| {one['members']} | {one['processes']} | {one['membersCpuPercent']:.0f} % of a core "
            f"| {one['membersCpuPercent'] / one['members']:.2f} % | {one['memoryMb']} MB | {one['firstLeaderS']:.1f} s "
            f"| {one['wholeS']:.1f} s | {len(took)} | {statistics.median(took) if took else 0:.2f} s "
            f"| {max(took, default=0):.2f} s | {'yes' if one['steady'] else 'no'} |"
        )
    return "\n".join(lines)


def main() -> int:
    """Parse the command line and run. 1 when a leader changed without a fault."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="3,10,30,100:classic", help="members, by commas; with their timing")
    parser.add_argument("--processes", type=int, default=4, help="in so many processes")
    parser.add_argument("--seconds", type=float, default=20.0, help="how long to watch each size")
    parser.add_argument("--elections", type=int, default=5, help="of each size")
    parser.add_argument("--profile", default="default", choices=sorted(PROFILES), help="where a size names none")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--write", action="store_true", help="also write the section of docs/reference/measurements.md")
    parser.add_argument("--drive", nargs="+", default=[], help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.drive:
        logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(FILES_MOST, most), most))
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # as nodes have it
            runner.run(drive(Path(chosen.drive[0]), chosen.drive[1:]))
        return 0
    found, results = machine(), []
    for asked in chosen.sizes.split(","):
        size, _, named = asked.partition(":")
        result = measure(int(size), chosen.processes, chosen.seconds, chosen.elections, named or chosen.profile)
        results.append(result)
        print(json.dumps(result), file=sys.stderr, flush=True)
    found["server"] = results[0]["server"]
    found["load after"] = load()
    if chosen.write:
        write_section("members", page(found, results))
    print(json.dumps({"machine": found, "results": results}, indent=1) if chosen.json else page(found, results))
    return 0 if all(one["steady"] for one in results) else 1


if __name__ == "__main__":
    sys.exit(main())
