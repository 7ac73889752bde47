"""Hosts as network namespaces on one switch, and what can go wrong between them.

    with Net() as net:
        a, b = net.add("node1"), net.add("node2")
        a.start(["some", "program"], log)        # it runs on that host, and dies with this process
        with a.connect(b.address, 7101): ...     # a socket of host a, held by this process
        net.isolate(a); net.rejoin(a)            # the switch forgets the port: silence both ways, the link stays up
        net.pull(a); net.plug(a)                 # the cable: the host sees its link go down
        net.cut(a, b); net.mend(a, b)            # packets of a to b are lost; those of b to a arrive

Nothing but iproute2 is used. A one-way cut is a neighbour entry that no host has: the packets leave, and nobody takes
them, which is what a lost packet looks like to the sender. Any number of nets can stand side by side, with the same
addresses. Names carry this process' id and its start, so that :func:`sweep` can tell what a dead run has left behind.
"""

import ctypes
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from tests.support import prefork

NAMESPACES: Final = Path("/run/netns")
NOBODY: Final = "02:00:de:ad:00:01"
TAG: Final = re.compile(r"rpf(\d+)x([0-9a-f]+)-")
CAN: Final = os.geteuid() == 0 and shutil.which("ip") is not None and shutil.which("nsenter") is not None
WHY_NOT: Final = "network namespaces need root, iproute2 and nsenter"

_libc: Final = ctypes.CDLL(None, use_errno=True)
_numbers: Final = count(1)


def started_ticks(pid: int | str) -> int:
    """When a process was started, in clock ticks since the boot: with its id it names a process for good."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])


def ip(*words: str) -> None:
    """One iproute2 command; AssertionError with what it said when it fails."""
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False, timeout=20)
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr.strip()}"


class Host:
    """One namespace with an address on the switch. Made by :meth:`Net.add`."""

    def __init__(self, name: str, namespace: str, address: str) -> None:
        self.name: Final = name
        self.namespace: Final = namespace
        self.address: Final = address
        self._file: Final = NAMESPACES / namespace
        self._started: list[prefork.Process] = []

    def __repr__(self) -> str:
        return f"Host({self.name} {self.address})"

    # ---- processes --------------------------------------------------------------------------------------------------

    def start(self, words: list[str], log: Path, **options: Any) -> "subprocess.Popen[bytes]":
        """A process of this host, in a session of its own. Call it from the main thread: it dies with its caller."""
        command = ["setpriv", "--pdeathsig", "KILL", "nsenter", f"--net={self._file}", *words]
        with log.open("ab") as out:
            settings: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": out, "stderr": out}
            process: subprocess.Popen[bytes] = subprocess.Popen(command, start_new_session=True, **(settings | options))
        self._started.append(process)
        return process

    def start_rppam(self, words: Iterable[str], log: Path, environment: Mapping[str, str]) -> prefork.Process:
        """``rppam WORDS`` on this host; a copy in tests, which need not import the product first."""
        with log.open("ab") as out:
            process = prefork.start(*words, output=out, environment=environment, network=self._file)
        self._started.append(process)
        return process

    def reap(self) -> None:
        """Wait for what was started here and has been killed."""
        for process in self._started:
            with suppress(subprocess.TimeoutExpired):
                process.wait(10)

    def pids(self) -> list[int]:
        """All processes of this host."""
        ours = self._file.stat()
        found = []
        for entry in Path("/proc").iterdir():
            with suppress(OSError, ValueError):
                seen = (entry / "ns" / "net").stat() if entry.name.isdecimal() else None
                if seen is not None and (seen.st_ino, seen.st_dev) == (ours.st_ino, ours.st_dev):
                    found.append(int(entry.name))
        return [pid for pid in found if pid != os.getpid()]

    def send(self, number: signal.Signals) -> None:
        """A signal to every process of this host."""
        for pid in self.pids():
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def kill(self) -> None:
        """SIGKILL to every process. All are stopped first: none is left to act on the death of another."""
        while pids := [pid for pid in self.pids() if _state(pid) not in "ZX"]:
            for number in (signal.SIGSTOP, signal.SIGKILL):
                for pid in pids:
                    with suppress(ProcessLookupError):
                        os.kill(pid, number)
            time.sleep(0.005)
            if all(_state(pid) == "D" for pid in pids):
                return  # they wait for a frozen disk, and end with it

    # ---- sockets ----------------------------------------------------------------------------------------------------

    def connect(self, address: str, port: int, timeout_s: float = 5.0, *, family: int = 4) -> socket.socket:
        """A TCP connection from this host. A socket belongs for good to the namespace in which it was made."""
        with self.inside():
            link = socket.socket(socket.AF_INET6 if family == 6 else socket.AF_INET)
        try:
            link.settimeout(timeout_s)
            link.connect((address, port))
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except BaseException:
            link.close()
            raise
        return link

    @contextmanager
    def inside(self) -> Iterator[None]:
        """This thread stands on this host."""
        with self._file.open("rb") as there, Path(f"/proc/self/task/{threading.get_native_id()}/ns/net").open() as home:
            _enter(there.fileno())
            try:
                yield
            finally:
                _enter(home.fileno())


def _enter(file: int) -> None:
    if _libc.setns(file, 0x40000000):
        number = ctypes.get_errno()
        raise OSError(number, f"setns: {os.strerror(number)}")


def _state(pid: int) -> str:
    """The letter of /proc: R, S, D, T, Z; X for one that is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return "X"


class Net:
    """One switch and its hosts, from ``with`` to its end."""

    def __init__(self) -> None:
        self.tag: Final = f"rpf{os.getpid()}x{started_ticks(os.getpid()):x}-{next(_numbers)}"
        self.hosts: dict[str, Host] = {}
        self._switch: Final = f"{self.tag}-switch"
        self._severed: dict[str, str] = {}
        self._cuts: set[tuple[str, str]] = set()

    def __enter__(self) -> Self:
        sweep()
        ip("netns", "add", self._switch)
        ip("-n", self._switch, "link", "add", "br0", "type", "bridge")
        ip("-n", self._switch, "link", "set", "br0", "up")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for host in self.hosts.values():
            host.kill()
            host.reap()
        for name in [*(host.namespace for host in self.hosts.values()), self._switch]:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False, timeout=20)

    def add(self, name: str) -> Host:
        """A new host. ``name`` is at most 12 characters."""
        host = Host(name, f"{self.tag}-{name}", f"10.78.0.{len(self.hosts) + 1}")
        ip("netns", "add", host.namespace)
        self.hosts[name] = host
        ip(
            "-n",
            self._switch,
            "link",
            "add",
            "name",
            name,
            "type",
            "veth",
            "peer",
            "name",
            "eth0",
            "netns",
            host.namespace,
        )
        ip("-n", self._switch, "link", "set", "dev", name, "master", "br0", "up")
        ip("-n", host.namespace, "addr", "add", f"{host.address}/24", "dev", "eth0")
        ip("-n", host.namespace, "link", "set", "eth0", "up")
        ip("-n", host.namespace, "link", "set", "lo", "up")
        return host

    # ---- verbs ------------------------------------------------------------------------------------------------------

    def isolate(self, host: Host) -> None:
        """Nothing passes to or from this host, and it cannot see why."""
        ip("-n", self._switch, "link", "set", "dev", host.name, "nomaster")
        self._severed[host.name] = "isolated"

    def rejoin(self, host: Host) -> None:
        """The end of :meth:`isolate`."""
        ip("-n", self._switch, "link", "set", "dev", host.name, "master", "br0")
        self._severed.pop(host.name, None)

    def pull(self, host: Host) -> None:
        """The cable is out: the host's interface loses its carrier."""
        ip("-n", self._switch, "link", "set", "dev", host.name, "down")
        self._severed[host.name] = "pulled"

    def plug(self, host: Host) -> None:
        """The end of :meth:`pull`."""
        ip("-n", self._switch, "link", "set", "dev", host.name, "up")
        self._severed.pop(host.name, None)

    def cut(self, sender: Host, receiver: Host) -> None:
        """Packets of ``sender`` to ``receiver`` are lost."""
        words = ("neigh", "replace", receiver.address, "lladdr", NOBODY, "dev", "eth0", "nud", "permanent")
        ip("-n", sender.namespace, *words)
        self._cuts.add((sender.name, receiver.name))

    def mend(self, sender: Host, receiver: Host) -> None:
        """The end of :meth:`cut`."""
        ip("-n", sender.namespace, "neigh", "del", receiver.address, "dev", "eth0")
        self._cuts.discard((sender.name, receiver.name))

    def part(self, ones: Iterable[Host], others: Iterable[Host]) -> None:
        """Cut both ways between two groups."""
        for one in ones:
            for other in others:
                self.cut(one, other)
                self.cut(other, one)

    def heal(self) -> None:
        """Everybody reaches everybody."""
        for sender, receiver in sorted(self._cuts):
            self.mend(self.hosts[sender], self.hosts[receiver])
        for name, how in list(self._severed.items()):
            (self.rejoin if how == "isolated" else self.plug)(self.hosts[name])


def sweep() -> list[str]:
    """Remove namespaces, processes and mounts that runs which are dead have left behind; what was removed."""
    removed = []
    for line in Path("/proc/mounts").read_text().splitlines():
        place = line.split()[1]
        if (found := TAG.search(place)) and not _lives(found):
            subprocess.run(["fsfreeze", "--unfreeze", place], capture_output=True, check=False, timeout=20)
            subprocess.run(["umount", "--lazy", place], capture_output=True, check=False, timeout=20)
            removed.append(place)
    for file in NAMESPACES.iterdir() if NAMESPACES.is_dir() else ():
        if (found := TAG.match(file.name)) and not _lives(found):
            with suppress(OSError):
                Host(file.name, file.name, "").kill()
            subprocess.run(["ip", "netns", "del", file.name], capture_output=True, check=False, timeout=20)
            removed.append(file.name)
    return removed


def _lives(tag: "re.Match[str]") -> bool:
    try:
        return started_ticks(tag[1]) == int(tag[2], 16)
    except (OSError, IndexError):
        return False
