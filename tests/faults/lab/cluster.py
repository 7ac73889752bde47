"""A cluster on hosts of its own: nodes, store, proxy, disks and clocks, and the verbs that the stories are written in.

    with FaultLab(folder, store="aof") as lab:
        lab.start()
        with lab.watched("the leader is isolated") as watch:
            leader = lab.wait_for_leader()
            lab.isolate(leader)
            ...
            watch.settle()

Whatever a node's processes are, the verbs see them through its host: ``kill_host`` ends all of them at once.
"""

import http.client
import os
import shutil
import signal
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from rppam.cluster.store.vote_file import FILE_NAME, FilePromises
from rppam.process.linux import CONTROL_NAME
from tests.faults.lab import disk, wallclock
from tests.faults.lab.disk import Disk
from tests.faults.lab.history import Deed
from tests.faults.lab.net import Host, Net
from tests.faults.lab.observers import API_PORT
from tests.faults.lab.proxy import Proxy
from tests.faults.lab.stores import PASSWORD, Store
from tests.faults.lab.wallclock import WallClock
from tests.faults.lab.watch import Watch
from tests.support import prefork
from tests.support.lab import START_S, Lab, LabNode, eventually
from tests.support.redis_servers import SERVERS, ServerKind

MEMBER_PORT: Final = 5201

__all__ = ["FaultLab", "FaultNode"]


def server_kind(name: str = "redis-8") -> ServerKind:
    """The kind of server with this name."""
    return next(kind for kind in SERVERS if kind.name == name)


class FaultNode(LabNode):
    """A node on a host of its own."""

    host: Host
    clock: WallClock
    disk: Disk | None = None
    loopback = "127.0.0.1"
    """Where its API is asked, from its own host."""
    command = "node"
    """The word of ``rppam`` that starts it; ``witness`` for one that only votes."""

    def start(self, **environment: str) -> None:
        """Start it as a service manager would; does nothing while it runs."""
        if self.is_running:
            return
        self.write_config()
        words = (self.command, "--config", str(self.file))
        self.process = self.host.start_rppam(
            words, self.log_file, prefork.clean(**self.clock.environment, **environment)
        )

    def pids(self) -> list[int]:
        """All processes of its host."""
        return self.host.pids()

    def control_pid(self) -> int:
        """The process that decides about leadership: by its name, or the only one there is."""
        pids = self.pids()
        for pid in pids:
            with suppress(OSError):
                if Path(f"/proc/{pid}/comm").read_text().strip() == CONTROL_NAME:
                    return pid
        if len(pids) == 1:
            return pids[0]
        raise ProcessLookupError(f"{self.name} has no control process among {pids}")

    def send(self, number: signal.Signals) -> None:
        """A signal to all processes; SIGTERM goes to the one that the service manager knows."""
        if number is signal.SIGTERM:
            if self.process is not None:
                self.process.send_signal(number)
            return
        self.host.send(number)

    def kill(self) -> None:
        """SIGKILL to everything on the host, and wait until it is gone."""
        self.host.kill()
        if self.process is not None:
            self.process.wait(15)

    def _reach(self, link: http.client.HTTPConnection, timeout_s: float) -> None:
        """From the node's own host."""
        family = 6 if ":" in self.loopback else 4
        link.sock = self.host.connect(self.loopback, API_PORT, timeout_s, family=family)


class FaultLab(Lab):
    """See the module. Verbs take nodes or hosts; each is told to the watch that is open, if any."""

    nodes: list[FaultNode]  # type: ignore[assignment]

    def __init__(
        self,
        folder: Path,
        *,
        store: str = "aof",
        nodes: int = 3,
        times: str | dict[str, int] = "lan",
        policy: str | None = None,
        server: ServerKind | None = None,
        disks: bool = False,
        shared_database: bool = True,
        witness: bool = False,
        virtual_ip: str | None = None,
    ) -> None:
        """``policy`` is ``cluster.quorumPolicy`` of voting members; without one, the record alone decides.

        ``disks`` puts each node's data on a disk that can be frozen. ``witness`` adds a member that only votes.
        ``virtual_ip``: an address of the hosts' network, with its prefix length, that follows leadership.
        """
        self._stack = ExitStack()
        self.quorum_policy, self.store_kind, self.disks, self.shared = policy, store, disks, shared_database
        self._server = server or server_kind()
        assert policy or not witness, "a witness votes: name a policy"
        self._count = nodes
        self._with_witness = witness
        self.virtual_ip = virtual_ip
        self.witness: FaultNode | None = None
        self._options_of_lab = (folder, times)
        self.watch: Watch | None = None
        self.watches = 0
        self.earlier_deeds: list[Deed] = []
        """Of all watches that are over."""
        self._off: set[str] = set()

    def __enter__(self) -> Self:
        folder, times = self._options_of_lab
        try:
            self.net = self._stack.enter_context(Net())
            folder.mkdir(parents=True, exist_ok=True)
            shim = wallclock.build()
            self._shim = shim
            self.store = Store(self.store_kind, self._server, self.net.add, folder / "store")
            self._stack.callback(self.store.close)
            for daemon in self.store.daemons:
                daemon.clock = WallClock(shim, folder / f"{daemon.host.name}.clock")
            names = [f"node{number}" for number in range(1, self._count + 1)]
            names += ["witness"] if self._with_witness else []
            self.proxy: Proxy | None = None
            if self.store_kind != "sentinel":
                target = self.store.hosts[0].address + ":6379"
                self.proxy = Proxy(self.net.add("wan"), target, names, folder / "proxy.log")
                self._stack.callback(self.proxy.close)
            voting = {"policy": self.quorum_policy} if self.quorum_policy else {"votes": False}
            super().__init__(folder, None, nodes=self._count, times=times, **voting)
            self._furnish()
            if self._with_witness:
                self.witness = self._make_witness()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            error.add_note(self.logs() + "\n" + self.store.logs())
        for node in self.members:
            if node.disk is not None:
                node.disk.thaw()
            node.kill()
        self._stack.close()

    def make_node(self, name: str, folder: str | None = None) -> FaultNode:
        """A node with a host, a clock and, where asked for, a disk of its own."""
        plain = super().make_node(name, folder)
        node = FaultNode(name, plain.folder, plain.config)
        node.host = self.net.add(name)
        node.clock = WallClock(self._shim, self.folder / f"{name}.clock")
        if self.disks and not disk.why_not():
            node.disk = Disk(self.folder / f"{self.net.tag}-{name}")
            self._stack.callback(node.disk.close)
            node.config["node"]["dataDir"] = str(node.disk.place)
        through = f"{self.proxy.host.address}:{self.proxy.ports[name]}" if self.proxy else None
        node.config["node"]["advertiseUrl"] = f"http://{node.host.address}:{API_PORT}"
        node.config["api"] |= {"host": "0.0.0.0", "port": API_PORT}
        node.config["redis"] = {
            "enabled": True,
            "connectionString": self.store.connection_string(through),
            "keyPrefix": self.prefix,
            "password": PASSWORD,
        }
        node.config["cluster"] |= {"memberHost": node.host.address, "memberPort": MEMBER_PORT}
        if self.virtual_ip is not None:
            node.config["cluster"]["virtualIp"] = self.virtual_ip
        if self.quorum_policy is None:
            node.config["cluster"].pop("quorumPolicy", None)
        if not self.shared:
            node.config["database"] = {"url": f"sqlite:///{plain.folder / 'rppam.db'}"}
        return node

    def _make_witness(self) -> FaultNode:
        made = self.make_node("witness")
        made.command = "witness"
        made.config = {
            name: section for name, section in made.config.items() if name not in ("api", "database", "license")
        }
        made.config["node"] = {"nodeName": made.name, "dataDir": made.config["node"]["dataDir"]}
        made.config["auth"] = {"clusterKeyPath": made.config["auth"]["clusterKeyPath"]}
        made.config["cluster"]["memberAddress"] = f"{made.host.address}:{MEMBER_PORT}"
        return made

    def _furnish(self) -> None:
        """What founding the cluster has put into the nodes' folders belongs on their disks.

        The promise is written anew: a copy of it is what no member votes with.
        """
        for node in self.nodes:
            if node.disk is not None:
                for file in node.folder.iterdir():
                    if file.name != FILE_NAME:
                        shutil.copy2(file, node.disk.place / file.name)
                kept = FilePromises(node.folder / FILE_NAME).load()
                assert kept is not None, f"{node.name} was not founded"
                FilePromises(node.disk.place / FILE_NAME).save(kept)

    def start(self) -> None:
        """Start the store and every node, and wait until they are one healthy cluster."""
        self.store.start()
        super().start()
        if self.witness is not None:
            self.witness.start()
            self.wait_until_healthy()

    @property
    def members(self) -> list[FaultNode]:
        """The nodes, and the witness if there is one."""
        return [*self.nodes, *([self.witness] if self.witness else [])]

    def wait_for_leader(self, *, other_than: LabNode | None = None, within_s: float = START_S) -> FaultNode:
        """See :class:`Lab`."""
        found = super().wait_for_leader(other_than=other_than, within_s=within_s)
        assert isinstance(found, FaultNode)
        return found

    def wait_until_healthy(self, within_s: float = START_S) -> None:
        """Every running node reports the same leader, and a healthy cluster of all members that run."""

        def agreed() -> bool:
            try:
                if not all(node.status_of("/system/health/ready") == 200 for node in self.running()):
                    return False
                seen = [self.health(node) for node in self.running()]
            except OSError:
                return False
            running = {member.name for member in self.members if member.is_running}
            return (
                all(one["clusterHealthy"] and {node["nodeName"] for node in one["nodes"]} == running for one in seen)
                and len({one["leaderNode"] for one in seen}) == 1
            )

        eventually(agreed, within_s=within_s, what="one healthy cluster", say=self.logs)

    def logs(self) -> str:
        """All logs, each line with its member."""
        lines = [(member.name, line) for member in self.members for line in member.log().splitlines()[-60:]]
        return "\n".join(f"{name} | {line}" for name, line in lines)

    @property
    def store_side(self) -> list[Host]:
        """The hosts that nodes speak to when they speak to the store."""
        return [self.proxy.host] if self.proxy else self.store.hosts

    def watched(self, title: str, *, every_ms: float = 10.0) -> Watch:
        """Observers at work, for a ``with`` block."""
        self.watches += 1
        self.watch = Watch(self, title, every_ms=every_ms)
        return self.watch

    # ---- verbs: the net ---------------------------------------------------------------------------------------------

    def isolate(self, who: FaultNode | Host) -> None:
        """Nothing passes to or from it."""
        self._mark(_host(who).name, "isolated")
        self.net.isolate(_host(who))

    def pull_cable(self, who: FaultNode | Host) -> None:
        """Its link goes down."""
        self._mark(_host(who).name, "cable pulled")
        self.net.pull(_host(who))

    def cut_one_way(self, sender: FaultNode | Host, receiver: FaultNode | Host) -> None:
        """What ``sender`` sends to ``receiver`` is lost."""
        self._mark(*self._cut_words(_host(sender), _host(receiver)))
        self.net.cut(_host(sender), _host(receiver))

    def rejoin(self, who: FaultNode | Host) -> None:
        """The end of :meth:`isolate` and :meth:`pull_cable`, for one host."""
        self.net.rejoin(_host(who))
        self.net.plug(_host(who))
        self._unmark("isolated", "cable pulled", lane=_host(who).name)

    def mend(self, sender: FaultNode | Host, receiver: FaultNode | Host) -> None:
        """The end of :meth:`cut_one_way`."""
        self.net.mend(_host(sender), _host(receiver))
        lane, words = self._cut_words(_host(sender), _host(receiver))
        self._unmark(words, lane=lane)

    def heal_net(self) -> None:
        """Everybody reaches everybody."""
        self.net.heal()
        self._unmark("isolated", "cable pulled", "cut ")

    # ---- verbs: processes -------------------------------------------------------------------------------------------

    def pause(self, node: FaultNode) -> None:
        """SIGSTOP to everything on its host."""
        self._mark(node.name, "paused")
        node.stop()

    def resume(self, node: FaultNode) -> None:
        """SIGCONT to everything on its host."""
        node.cont()
        self._unmark("paused", lane=node.name)

    def switch_over(self, leader: FaultNode) -> None:
        """Order the leader to hand over to whoever is next."""
        answer = leader.ask("/api/v1/admin/cluster/switchover", method="POST", token=self.token, send={})
        assert answer.status == 200, f"the switchover was answered {answer.status}: {answer.body}"

    def kill_control(self, node: FaultNode) -> None:
        """SIGKILL to the one process that decides. ProcessLookupError when there is none now."""
        pid = node.control_pid()
        self._mark(node.name, "control killed")
        os.kill(pid, signal.SIGKILL)

    def pause_control(self, node: FaultNode) -> int:
        """SIGSTOP to the one process that decides; its id. ProcessLookupError when there is none now."""
        pid = node.control_pid()
        self._mark(node.name, "control paused")
        os.kill(pid, signal.SIGSTOP)
        return pid

    def resume_control(self, node: FaultNode, pid: int) -> None:
        """The end of :meth:`pause_control`; its supervisor may have killed it meanwhile."""
        if pid in node.pids():
            os.kill(pid, signal.SIGCONT)
        self._unmark("control paused", lane=node.name)

    def kill_supervisor(self, node: FaultNode) -> None:
        """SIGKILL to the process that the service manager started; :meth:`boot` starts the node again."""
        assert node.process is not None
        self._mark(node.name, "supervisor killed")
        node.process.kill()

    def kill_host(self, node: FaultNode) -> None:
        """SIGKILL to everything on its host; its peers see connections end."""
        self._mark(node.name, "killed")
        node.host.kill()

    def power_off(self, node: FaultNode) -> None:
        """The host is gone without a word: its network first, then everything on it."""
        self._mark(node.name, "power off")
        self._off.add(node.name)
        self.net.isolate(node.host)
        node.host.kill()

    def boot(self, node: FaultNode) -> None:
        """Start it again after a kill or a power failure."""
        if node.name in self._off:
            self._off.discard(node.name)
            self.net.rejoin(node.host)
        if node.process is not None:
            node.process.wait(15)
        if node.disk is not None:
            node.disk.thaw()  # whoever hangs on it could not end
        node.host.kill()  # what outlived its supervisor
        node.start()
        self._unmark("killed", "power off", "control", "supervisor", lane=node.name)

    # ---- verbs: disk and clock --------------------------------------------------------------------------------------

    def freeze_disk(self, node: FaultNode) -> None:
        """Whoever writes on its data disk, waits."""
        assert node.disk is not None, f"no disk to freeze: {disk.why_not() or 'ask for disks=True'}"
        self._mark(node.name, "disk frozen")
        node.disk.freeze()

    def thaw_disk(self, node: FaultNode) -> None:
        """The end of :meth:`freeze_disk`."""
        assert node.disk is not None
        node.disk.thaw()
        self._unmark("disk frozen", lane=node.name)

    def step_clock(self, who: FaultNode | Host, seconds: int) -> None:
        """Set a host's wall clock this far from the machine's."""
        self._unmark("clock ", lane=_host(who).name)
        if seconds:
            self._mark(_host(who).name, f"clock {seconds:+d} s")
        if isinstance(who, FaultNode):
            who.clock.step(seconds)
        for daemon in self.store.daemons:
            if daemon.host is who and daemon.clock is not None:
                daemon.clock.step(seconds)

    # ---- verbs: the store -------------------------------------------------------------------------------------------

    def kill_store(self, host: Host | None = None) -> None:
        """SIGKILL to the server, or to all that runs on one of the store's hosts."""
        for daemon in self._daemons(host):
            self._mark(daemon.host.name, "killed")
            daemon.kill()

    def start_store(self, host: Host | None = None, *, empty: bool = False) -> None:
        """Start it again, with what it kept or with nothing."""
        for daemon in self._daemons(host):
            if empty and not daemon.is_running:
                daemon.forget()
            daemon.start(wait=False)
            self._unmark("killed", lane=daemon.host.name)

    def pause_store(self, host: Host | None = None) -> None:
        """SIGSTOP."""
        for daemon in self._daemons(host):
            self._mark(daemon.host.name, "paused")
            daemon.send(signal.SIGSTOP)

    def resume_store(self, host: Host | None = None) -> None:
        """SIGCONT."""
        for daemon in self._daemons(host):
            daemon.send(signal.SIGCONT)
            self._unmark("paused", lane=daemon.host.name)

    def tell_proxy(self, link: str, *, words: str, **order: Any) -> None:
        """An order for the proxy (:mod:`tests.faults.lab.proxy`), shown as ``words`` on the node's lane."""
        assert self.proxy is not None, "nodes speak to Sentinel without a proxy"
        for name in self.proxy.ports if link == "all" else [link]:
            self._unmark("proxy ", lane=name)
            if words:
                self._mark(name, f"proxy {words}")
        self.proxy.order(link, **order)

    # ---- all at once ------------------------------------------------------------------------------------------------

    def heal(self) -> None:
        """Every fault ends: the net, the proxy, clocks, disks; everything runs and nothing is paused."""
        self.heal_net()
        if self.proxy is not None:
            self.tell_proxy("all", words="", delay_ms=0, hold="")
        for host in self.store.hosts:
            self.step_clock(host, 0)
            self.resume_store(host)
            self.start_store(host)
        for node in self.members:
            self.step_clock(node, 0)
            if node.disk is not None:
                self.thaw_disk(node)
            self.resume(node)
            if not node.is_running:
                self.boot(node)
            self._unmark("control", lane=node.name)
        self.store.settle()

    def wait_until(self, holds: Callable[[], Any], what: str, within_s: float) -> Any:
        """The first true value of ``holds()``, with all logs in the message when there is none in time."""
        return eventually(holds, within_s=within_s, what=what, say=self.logs)

    def _cut_words(self, sender: Host, receiver: Host) -> tuple[str, str]:
        """Lane and words of a cut: always the node's lane, where there is one."""
        if sender in self.store_side:
            return receiver.name, "cut from the store" if sender.name == "wan" else f"cut from {sender.name}"
        return sender.name, "cut to the store" if receiver.name == "wan" else f"cut to {receiver.name}"

    def _daemons(self, host: Host | None) -> list[Any]:
        return [daemon for daemon in self.store.daemons if host is None or daemon.host is host]

    def _mark(self, lane: str, words: str) -> None:
        if self.watch is not None:
            self.watch.begin(lane, words)

    def _unmark(self, *words: str, lane: str | None = None) -> None:
        if self.watch is not None:
            self.watch.end(words, lane)


def _host(who: FaultNode | Host) -> Host:
    return who.host if isinstance(who, FaultNode) else who
