"""The verbs of the net do what they are named for, and nothing of a lab outlives its process for long."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.lab import disk
from tests.faults.lab.net import CAN, NAMESPACES, WHY_NOT, Host, Net, _state, ip, sweep
from tests.faults.lab.proxy import Proxy

pytestmark = [pytest.mark.integration, pytest.mark.skipif(not CAN and not os.environ.get("CI"), reason=WHY_NOT)]

ECHO = """
import socket, threading
def serve(link):
    while data := link.recv(100):
        link.sendall(data)
with socket.create_server(("0.0.0.0", 7)) as server:
    while True:
        threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
"""
LOST_S = 0.25


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Net]:
    """Hosts one, two and three; an echo server on two."""
    with Net() as made:
        for name in ("one", "two", "three"):
            made.add(name)
        serve_echo(made, tmp_path_factory.mktemp("net") / "log")
        yield made


def serve_echo(net: Net, log: Path) -> None:
    net.hosts["two"].start([sys.executable, "-c", ECHO], log)
    until = time.monotonic() + 10
    while not reaches(net, "two"):
        assert time.monotonic() < until, log.read_text()


def reaches(net: Net, name: str) -> bool:
    """Whether a new connection to the echo server comes about."""
    try:
        net.hosts[name].connect(net.hosts["two"].address, 7, LOST_S).close()
    except OSError:
        return False
    return True


def echo(link: socket.socket, timeout_s: float = LOST_S) -> bool:
    """Whether one byte comes back; what is lost now may come later."""
    link.settimeout(timeout_s)
    try:
        link.sendall(b"x")
        return link.recv(1) == b"x"
    except TimeoutError:
        return False


Verb = Callable[[Net, Host, Host], None]
CASES: dict[str, tuple[Verb, Verb, bool]] = {
    "isolate": (lambda net, _, two: net.isolate(two), lambda net, _, two: net.rejoin(two), False),
    "pull": (lambda net, _, two: net.pull(two), lambda net, _, two: net.plug(two), False),
    "cut there": (lambda net, one, two: net.cut(one, two), lambda net, one, two: net.mend(one, two), True),
    "cut back": (lambda net, one, two: net.cut(two, one), lambda net, one, two: net.mend(two, one), True),
    "part": (lambda net, one, two: net.part([one], [two]), lambda net, *_: net.heal(), True),
}


@pytest.mark.parametrize("verb", CASES)
def test_a_net_fault_stops_what_it_should_and_ends(net: Net, verb: str) -> None:
    begin, end, others_pass = CASES[verb]
    one, two = net.hosts["one"], net.hosts["two"]
    with one.connect(two.address, 7) as link:
        assert echo(link, 5)
        begin(net, one, two)
        try:
            assert not echo(link), "an open connection"
            assert not reaches(net, "one"), "a new one"
            assert reaches(net, "three") is others_pass
            assert reaches(net, "two"), "its own host always reaches it: that is where observers stand"
        finally:
            end(net, one, two)
        link.settimeout(5)
        assert link.recv(1) == b"x", "what was lost is sent again"
        assert echo(link, 5)
        assert reaches(net, "one")


def test_only_one_way_is_cut(net: Net) -> None:
    one, two = net.hosts["one"], net.hosts["two"]
    with one.inside():
        ours = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with two.inside():
        theirs = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with ours, theirs:
        ours.bind((one.address, 99))
        theirs.bind((two.address, 99))
        for sender, receiver, address in ((ours, theirs, two.address), (theirs, ours, one.address)):
            sender.sendto(b"before", (address, 99))
            receiver.settimeout(5)
            assert receiver.recv(10) == b"before"
        net.cut(one, two)
        try:
            ours.sendto(b"lost", (two.address, 99))
            theirs.sendto(b"arrives", (one.address, 99))
            ours.settimeout(5)
            theirs.settimeout(LOST_S)
            assert ours.recv(10) == b"arrives"
            with pytest.raises(TimeoutError):
                theirs.recv(10)
        finally:
            net.mend(one, two)


def test_nets_side_by_side_have_the_same_addresses_and_never_meet(net: Net) -> None:
    with Net() as other:
        two = other.add("one"), other.add("two")
        assert [host.address for host in two] == [net.hosts["one"].address, net.hosts["two"].address]
        with pytest.raises(ConnectionRefusedError):
            two[0].connect(two[1].address, 7, 1)


def test_killing_a_host_kills_all_that_runs_on_it_and_nobody_else(net: Net, tmp_path: Path) -> None:
    with Net() as other:
        host = other.add("lone")
        shell = host.start(["sh", "-c", "sleep 50 & sleep 50 & setsid sleep 50 & wait"], tmp_path / "log")
        while len(host.pids()) < 4:
            time.sleep(0.01)
        host.kill()
        assert shell.wait(5) == -signal.SIGKILL
        assert host.pids() == []
    assert reaches(net, "one")


def test_the_proxy_delays_holds_and_drops(net: Net, tmp_path: Path) -> None:
    one, two, three = (net.hosts[name] for name in ("one", "two", "three"))
    proxy = Proxy(three, f"{two.address}:7", ["a", "b"], tmp_path / "log")
    try:
        with one.connect(three.address, proxy.ports["a"]) as a, one.connect(three.address, proxy.ports["b"]) as b:
            assert echo(a, 5)
            assert echo(b, 5)
            proxy.order("a", delay_ms=100)
            began = time.monotonic()
            assert echo(a, 5)
            assert time.monotonic() - began > 0.2
            proxy.order("a", delay_ms=0)
            for way in ("requests", "replies", "both"):
                proxy.order("a", hold=way)
                assert not echo(a)
                assert echo(b, 5), "the other link goes on"
                proxy.order("a", hold="")
                a.settimeout(5)
                assert a.recv(1) == b"x", "what was held is delivered"
            proxy.order("a", drop=True)
            with pytest.raises(ConnectionResetError):
                echo(a, 5)
            assert echo(b, 5)
    finally:
        proxy.close()


ABANDONED = """
import os, signal, sys
from pathlib import Path
from tests.faults.lab import disk
from tests.faults.lab.net import NAMESPACES, Net
folder = Path(sys.argv[1])
with Net() as net:
    net.add("one").start(["sleep", "100"], folder / "log")
    if not disk.why_not():
        disk.Disk(folder / f"{net.tag}-one").freeze()
    here = any(file.name.startswith(net.tag) for file in NAMESPACES.iterdir())
    mounted = f"/{net.tag}-one " in Path("/proc/mounts").read_text()
    print(net.tag, net.hosts["one"].pids()[0], here, mounted, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_dead_run_left_behind_is_swept_up(tmp_path: Path) -> None:
    ip("netns", "add", f"rpf{os.getpid()}x0-9-another-of-our-number")  # our id, but not our start
    words = [sys.executable, "-c", ABANDONED, str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL, done.stderr
    # Tests beside this one sweep too: what was there is told by the dead run itself.
    tag, pid, *was_there = done.stdout.split()
    assert was_there == ["True", str(not disk.why_not())]
    with Net() as living:
        sweep()
        assert list(NAMESPACES.glob(f"{living.tag}-*")), "what belongs to a living process stays"
    assert not list(NAMESPACES.glob(f"{tag}-*"))
    assert not list(NAMESPACES.glob(f"rpf{os.getpid()}x0-*"))
    assert _state(int(pid)) in "XZ"
    assert f"/{tag}-one " not in Path("/proc/mounts").read_text()


@pytest.mark.skipif(bool(disk.why_not()) if CAN else True, reason=disk.why_not() if CAN else WHY_NOT)
def test_a_frozen_disk_holds_up_who_writes(tmp_path: Path) -> None:
    with Net() as net:
        host = net.add("one")
        place = disk.Disk(tmp_path / f"{net.tag}-one")
        try:
            place.freeze()
            writer = host.start(["sh", "-c", f"echo word > {place.place}/file"], tmp_path / "log")
            with pytest.raises(subprocess.TimeoutExpired):
                writer.wait(0.3)
            place.thaw()
            assert writer.wait(5) == 0
            assert (place.place / "file").read_text() == "word\n"
        finally:
            place.close()
