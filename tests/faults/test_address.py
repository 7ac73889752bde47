"""The virtual address on real hosts: one host has it, a neighbour finds it at once, and no death leaves it behind."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from ipaddress import ip_address
from pathlib import Path

import pytest

from rppam.cluster.vip.errors import AddressTaken, DeviceUnknown
from rppam.cluster.vip.host_address import LinuxAddress
from rppam.cluster.vip.listeners import Listeners
from rppam.cluster.vip.model import virtual_address
from rppam.cluster.vip.netlink import MARK, host_addresses
from tests.faults.lab.cluster import FaultLab, FaultNode
from tests.faults.lab.net import CAN, WHY_NOT, Host, Net, ip
from tests.faults.lab.observers import API_PORT
from tests.faults.lab.through import Client
from tests.faults.lab.wire import Asking, Kernels, has
from tests.support.lab import eventually

pytestmark = [pytest.mark.integration, pytest.mark.skipif(not CAN and not os.environ.get("CI"), reason=WHY_NOT)]

SHARED = "10.78.0.200"
SHARED_6 = "fd00:78::200"
SSH_PORT = 2222
SAYS_WHO = """
import socket, sys
with socket.create_server(("::", 7), family=socket.AF_INET6, dualstack_ipv6=True) as server:
    while True:
        link, _ = server.accept()
        link.sendall(sys.argv[1].encode())
        link.close()
"""


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Net]:
    """Hosts one and two, each with a server that says its name, and client."""
    log = tmp_path_factory.mktemp("net") / "log"
    with Net() as made:
        for name in ("one", "two", "client"):
            host = made.add(name)
            ip("-n", host.namespace, "addr", "add", f"fd00:78::{len(made.hosts)}/64", "dev", "eth0", "nodad")
            host.start(["python3", "-c", SAYS_WHO, name], log)
        yield made


@pytest.fixture(autouse=True)
def clean(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "net" in request.fixturenames:
        for host in request.getfixturevalue("net").hosts.values():
            for address in (SHARED, SHARED_6):
                if has(host, address):
                    ip("-n", host.namespace, "addr", "del", f"{address}/{24 if '.' in address else 64}", "dev", "eth0")


def take(host: Host, life_s: int, text: str = f"{SHARED}/24", device: str = "") -> bool:
    address = LinuxAddress(virtual_address(text, device))
    with host.inside():
        is_new = address.take(life_s)
        address.announce()
    return is_new


def drop(host: Host, text: str = f"{SHARED}/24") -> bool:
    with host.inside():
        return LinuxAddress(virtual_address(text, "")).drop()


def who_answers(client: Host, address: str) -> str:
    """Which host the client reaches there."""
    family = 6 if ":" in address else 4

    def asked() -> str:
        try:
            with client.connect(address, 7, 1.0, family=family) as link:
                return link.recv(100).decode()
        except OSError:
            return ""

    return eventually(asked, within_s=5, what=f"an answer at {address}")


@pytest.mark.parametrize("text", [f"{SHARED}/24", f"{SHARED_6}/64"])
def test_a_neighbour_finds_it_where_it_is_now_although_it_remembers_where_it_was(net: Net, text: str) -> None:
    one, two, client = (net.hosts[name] for name in ("one", "two", "client"))
    address = text.partition("/")[0]
    assert take(one, 60, text) is True
    assert take(one, 60, text) is False, "a renewal"
    assert who_answers(client, address) == "one"
    assert drop(one, text) is True
    assert drop(one, text) is False
    assert take(two, 60, text) is True
    assert who_answers(client, address) == "two"


@pytest.mark.parametrize("text", [f"{SHARED}/24", f"{SHARED_6}/64"])
def test_another_host_that_has_it_is_found_before_it_is_claimed(net: Net, text: str) -> None:
    one, two = net.hosts["one"], net.hosts["two"]
    holder = LinuxAddress(virtual_address(text, ""))
    with two.inside():
        begun = time.monotonic()
        assert holder.claimed_by() == ""
        assert time.monotonic() - begun < 1
    take(one, 60, text)
    with two.inside():
        assert holder.claimed_by() == hardware_address(one)
    with one.inside():
        assert holder.claimed_by() == "", "its own is nobody else's"
    drop(one, text)
    with two.inside():
        assert holder.claimed_by() == ""


@pytest.mark.parametrize("text", [f"{SHARED}/24", f"{SHARED_6}/64"])
def test_two_hosts_that_have_it_at_one_time_are_found_by_both_witnesses(net: Net, text: str) -> None:
    one, two, client = (net.hosts[name] for name in ("one", "two", "client"))
    address = text.partition("/")[0]
    with Kernels([one, two], address) as kernels, Asking(client, address) as wire:
        take(one, 60, text)
        eventually(lambda: wire.claims, within_s=5, what="an answer on the wire")
        drop(one, text)
        take(two, 60, text)
        eventually(lambda: wire.claims[-1].hardware == hardware_address(two), within_s=5, what="the other's answer")
        assert kernels.violations() == wire.violations() == [], "it went from one to the other, as it should"
        take(one, 60, text)
        eventually(wire.violations, within_s=5, what="two hosts that answer in turn")
        eventually(kernels.violations, within_s=5, what="two kernels that have it")
    told = ", ".join(hardware_address(host) for host in (one, two, one))
    assert wire.violations()[0].startswith(f"{address} was answered for by {told}")
    assert kernels.violations()[0].startswith(f"one and two had {address} at one time")


def hardware_address(host: Host) -> str:
    said = subprocess.run(
        ["ip", "-n", host.namespace, "-j", "link", "show", "eth0"], capture_output=True, text=True, check=True
    )
    return str(json.loads(said.stdout)[0]["address"])


def test_it_goes_by_itself_when_nobody_renews_it(net: Net) -> None:
    one = net.hosts["one"]
    take(one, 1)
    for _ in range(6):  # renewed, it outlives the second
        time.sleep(0.3)
        take(one, 1)
    assert has(one, SHARED)
    eventually(lambda: not has(one, SHARED), within_s=4, what="its end")
    assert drop(one) is False


def test_what_the_host_has_of_its_own_is_never_taken_nor_removed(net: Net) -> None:
    one = net.hosts["one"]
    ip("-n", one.namespace, "addr", "add", f"{SHARED}/24", "dev", "eth0")
    with pytest.raises(AddressTaken, match=rf"{SHARED}: cluster.virtualIp is an address that this host has of its own"):
        take(one, 60)
    assert drop(one) is False
    assert has(one, SHARED)


def test_the_kernel_notes_whose_it_is_and_that_it_is_never_a_source(net: Net) -> None:
    one = net.hosts["one"]
    take(one, 60)
    with one.inside():
        (ours,) = [found for found in host_addresses() if str(found.ip) == SHARED]
    assert not ours.is_fixed
    assert ours.mark in {None, MARK}
    assert str(ours.interface) == f"{SHARED}/24"


def test_an_interface_that_is_not_there_is_named(net: Net) -> None:
    with pytest.raises(DeviceUnknown, match=r"10\.78\.0\.200/24 on eth7: expected an interface named eth7, found none"):
        take(net.hosts["one"], 60, device="eth7")
    with pytest.raises(DeviceUnknown, match=r"expected an interface with an address in 10\.99\.0\.0/24, found none"):
        take(net.hosts["one"], 60, "10.99.0.1/24")


UNPRIVILEGED = """
import sys
from rppam.cluster.vip.errors import AddressError
from rppam.cluster.vip.host_address import LinuxAddress
from rppam.cluster.vip.model import virtual_address
address = LinuxAddress(virtual_address(sys.argv[1], ""))
for wish in (lambda: address.take(60), address.claimed_by, address.announce):
    try:
        wish()
    except AddressError as error:
        print(error.row.code, error)
"""


@pytest.mark.parametrize("text", [f"{SHARED}/24", f"{SHARED_6}/64"])
def test_an_account_without_the_right_is_told_where_it_comes_from(net: Net, tmp_path: Path, text: str) -> None:
    one, log = net.hosts["one"], tmp_path / "said"
    without = ["setpriv", "--bounding-set=-net_admin,-net_raw", "--inh-caps=-net_admin,-net_raw"]
    assert one.start([*without, sys.executable, "-c", UNPRIVILEGED, text], log).wait(300) == 0, log.read_text()
    told = (
        f"RPPAM-5301 {text}: The account that runs RP-PAM may not change the addresses of this host. Copy "
        "packaging/rppam-virtual-ip.conf to /etc/systemd/system/rppam.service.d/, then systemctl daemon-reload."
    )
    assert log.read_text().splitlines() == [told] * 3
    assert not has(one, text.partition("/")[0])


@pytest.mark.parametrize("text", [f"{SHARED}/24", f"{SHARED_6}/64"])
def test_who_comes_by_a_socket_of_both_kinds_while_it_moves_reaches_the_next_host(net: Net, text: str) -> None:
    one, two, client = (net.hosts[name] for name in ("one", "two", "client"))
    address = text.partition("/")[0]
    family = 6 if ":" in address else 4
    with ExitStack() as stack:
        first = stack.enter_context(both_kinds(one))
        second = stack.enter_context(both_kinds(two))
        take(one, 60, text)
        with client.connect(address, SSH_PORT, family=family) as early:
            early_end, _ = first.accept()
            with early_end, one.inside():
                gate = Listeners([first], ip_address(address))
                assert gate.is_used()
                gate.hold_off()
                late: list[socket.socket] = []
                coming = threading.Thread(
                    target=lambda: late.append(client.connect(address, SSH_PORT, 5.0, family=family)), daemon=True
                )
                coming.start()
                early_end.sendall(b"the answer")
                assert early.recv(100) == b"the answer", "who is connected goes on"
                first.settimeout(0.4)
                with pytest.raises(TimeoutError):
                    first.accept()
        drop(one, text)
        take(two, 60, text)
        second.settimeout(5)
        link, _ = second.accept()
        link.close()
        coming.join()
        late[0].close()


def both_kinds(host: Host) -> socket.socket:
    """One socket that listens there for IPv4 and IPv6."""
    with host.inside():
        return socket.create_server(("::", SSH_PORT), family=socket.AF_INET6, dualstack_ipv6=True)


# ---- with a cluster --------------------------------------------------------------------------------------------------


def only(lab: FaultLab, node: FaultNode, address: str = SHARED) -> bool:
    return [one.name for one in lab.nodes if has(one.host, address)] == [node.name]


@pytest.mark.server
@pytest.mark.pair
def test_it_follows_leadership_through_an_order_and_two_kinds_of_death(tmp_path: Path) -> None:
    with FaultLab(tmp_path / "lab", times="default", policy="majority", virtual_ip=f"{SHARED}/24") as lab:
        for node in lab.nodes:
            node.config["access"] = {"enabled": True, "host": "0.0.0.0", "port": SSH_PORT}
        lab.start()
        client = lab.net.add("client")
        with Kernels([node.host for node in lab.nodes], SHARED) as kernels:
            first = lab.wait_for_leader()
            eventually(lambda: only(lab, first), within_s=5, what="the leader has it")
            # The kernel has it a moment before the workers' picture of the node shows it.
            eventually(lambda: _shown(lab, first) == (SHARED, True), within_s=5, what="health shows it")

            eventually(lambda: greeted(client), within_s=20, what="the gateway greets")
            over, greetings = threading.Event(), list[bool]()
            coming = threading.Thread(target=keep_coming, args=(client, over, greetings), daemon=True)
            with Client(client, SHARED, API_PORT, lab.token) as asking, Asking(client, SHARED) as wire:
                coming.start()
                time.sleep(0.5)
                second = _switched_over(lab, first)
                eventually(lambda: only(lab, second), within_s=2, what="it went along")
                since_ns = time.monotonic_ns()
                eventually(lambda: asking.is_answered(since_ns), within_s=10, what="answers of the next leader")
                come = len(greetings)
                eventually(lambda: len(greetings) > come + 1, within_s=20, what="greetings of the next leader")
            over.set()
            coming.join()
            assert all(greetings), "nobody who comes over SSH is lost on the way"
            assert asking.failed() == [], "what ran may end, and who comes waits"
            assert wire.violations() == []
            assert wire.claims
            with client.connect(SHARED, 7101, 2.0):
                pass  # whoever keeps the one address reaches the leader

            lab.kill_control(second)
            third = eventually(lambda: _other(lab, second), within_s=5, what="another leader")
            eventually(lambda: only(lab, third), within_s=2, what="it went along with the control process")
            lab.wait_until_healthy()

            third.kill()  # everything on the host, so that nothing is left to remove it
            eventually(lambda: not has(third.host, SHARED), within_s=6, what="the kernel has removed it")
            fourth = eventually(lambda: _other(lab, third), within_s=10, what="another leader")
            eventually(lambda: only(lab, fourth), within_s=2, what="it came to the next leader")
            third.start()
            lab.wait_until_healthy(within_s=60)
            assert only(lab, fourth)
        assert kernels.violations() == []
        for node in lab.nodes:
            node.term()
            node.wait()
        assert not any(has(node.host, SHARED) for node in lab.nodes)


@pytest.mark.server
@pytest.mark.alone
def test_an_address_of_ipv6_follows_leadership_waits_for_whoever_has_it_and_goes(tmp_path: Path) -> None:
    with FaultLab(tmp_path / "lab", times="default", policy="majority", virtual_ip=f"{SHARED_6}/64") as lab:
        client, squatter = lab.net.add("client"), lab.net.add("squatter")
        for number, host in enumerate([*(node.host for node in lab.nodes), client, squatter], 1):
            ip("-n", host.namespace, "addr", "add", f"fd00:78::{number}/64", "dev", "eth0", "nodad")
        with Kernels([node.host for node in lab.nodes], SHARED_6) as kernels:
            lab.start()
            first = lab.wait_for_leader()
            eventually(lambda: only(lab, first, SHARED_6), within_s=5, what="the leader has it")
            eventually(lambda: _reaches(client, first.host), within_s=5, what="the client reaches it")

            ip("-n", squatter.namespace, "addr", "add", f"{SHARED_6}/64", "dev", "eth0", "nodad")
            second = _switched_over(lab, first)
            told = f"{SHARED_6}/64: the host {hardware_address(squatter)} has it."
            eventually(lambda: told in second.log(), within_s=5, what="the leader says who has it", say=second.log)
            assert not any(has(node.host, SHARED_6) for node in lab.nodes)
            ip("-n", squatter.namespace, "addr", "del", f"{SHARED_6}/64", "dev", "eth0")
            eventually(lambda: only(lab, second, SHARED_6), within_s=5, what="it is free, and the leader has it")
            eventually(lambda: _reaches(client, second.host), within_s=2, what="the client heard where it is now")

            lab.wait_until_healthy()
            second.kill()
            eventually(lambda: not has(second.host, SHARED_6), within_s=6, what="the kernel has removed it")
            third = eventually(lambda: _other(lab, second), within_s=10, what="another leader")
            eventually(lambda: only(lab, third, SHARED_6), within_s=2, what="it came to the next leader")
            eventually(lambda: _reaches(client, third.host), within_s=2, what="the client heard it again")
        assert kernels.violations() == []
        for node in lab.nodes:
            if node is not second:
                node.term()
                node.wait()
        assert not any(has(node.host, SHARED_6) for node in lab.nodes)


def _switched_over(lab: FaultLab, first: FaultNode) -> FaultNode:
    """Who leads once ``first`` was ordered to hand over."""
    lab.switch_over(first)
    return eventually(lambda: _other(lab, first), within_s=5, what="another leader")


def _reaches(client: Host, host: Host) -> bool:
    """Whether the client reaches ``host`` at the shared address: somebody refuses it there, and it sent to that one."""
    try:
        client.connect(SHARED_6, 9, 1.0, family=6).close()
    except ConnectionRefusedError:
        words = ["ip", "-n", client.namespace, "-j", "neigh", "show", SHARED_6]
        said = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
        return [one.get("lladdr") for one in said] == [hardware_address(host)]
    except OSError:
        pass
    return False


def greeted(client: Host) -> bool:
    """Whether the SSH gateway at the address greets who comes now."""
    try:
        with client.connect(SHARED, SSH_PORT, 10.0) as link:
            return link.recv(100).startswith(b"SSH-2.0-RP-PAM")
    except OSError:
        return False


def keep_coming(client: Host, over: threading.Event, greetings: list[bool]) -> None:
    """One newcomer after another."""
    while not over.is_set():
        greetings.append(greeted(client))


def _shown(lab: FaultLab, node: FaultNode) -> tuple[object, object]:
    health = node.ask("/system/health/cluster", token=lab.token).body
    return health["virtualIp"], health["virtualIpHere"]


def _other(lab: FaultLab, than: FaultNode) -> FaultNode | None:
    for node in lab.nodes:
        if node is not than and node.is_running and node.ask("/system/health/leader").status == 200:
            return node
    return None
