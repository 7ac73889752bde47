"""Hosts, as network namespaces on one bridge: init on the first, join on the second, a witness on the third.

Needs root for the namespaces; without it the test is skipped, except on CI, where it must run.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rppam.cluster.consensus.membership import QuorumPolicy, VoterSet
from rppam.cluster.store.vote_file import FILE_NAME, FilePromises
from rppam.demo.redis_server import server_binary
from rppam.kernel.system_clock import SystemClock
from rppam.licence import service as licence
from rppam.licence.model import Tier

CAN = os.geteuid() == 0 and shutil.which("ip") is not None
pytestmark = [
    pytest.mark.integration,
    pytest.mark.server,
    pytest.mark.slow,
    pytest.mark.skipif(not CAN and not os.environ.get("CI"), reason="network namespaces need root and iproute2"),
]
PASSWORD = "a-password-of-the-lab"


def ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False, timeout=20)
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"


class Host:
    """One namespace with an address on the bridge."""

    def __init__(self, name: str, switch: str, number: int) -> None:
        self.name, self.address = name, f"10.77.0.{number}"
        link = f"{name}-v"
        ip("netns", "add", name)
        ip("-n", switch, "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", name)
        ip("-n", switch, "link", "set", link, "master", "br0", "up")
        ip("-n", name, "addr", "add", f"{self.address}/24", "dev", "eth0")
        ip("-n", name, "link", "set", "eth0", "up")
        ip("-n", name, "link", "set", "lo", "up")

    def command(self, *argv: str) -> list[str]:
        return ["ip", "netns", "exec", self.name, *argv]

    def rppam(self, *arguments: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
        argv = self.command(sys.executable, "-m", "rppam", *arguments)
        return subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def hosts() -> Iterator[tuple[Host, Host, Host]]:
    stem = f"rp{os.getpid() % 100_000}"
    names = [f"{stem}s", f"{stem}a", f"{stem}b", f"{stem}c"]
    try:
        ip("netns", "add", names[0])
        ip("-n", names[0], "link", "add", "br0", "type", "bridge")
        ip("-n", names[0], "link", "set", "br0", "up")
        yield Host(names[1], names[0], 1), Host(names[2], names[0], 2), Host(names[3], names[0], 3)
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False, timeout=20)


@pytest.fixture
def started() -> Iterator[list["subprocess.Popen[bytes]"]]:
    processes: list[subprocess.Popen[bytes]] = []
    yield processes
    for process in reversed(processes):
        process.send_signal(signal.SIGTERM)
    for process in reversed(processes):
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)


def start_redis(host: Host, folder: Path) -> "subprocess.Popen[bytes]":
    folder.mkdir()
    config = folder / "redis.conf"
    config.write_text(f"bind {host.address}\nport 6379\nrequirepass {PASSWORD}\nappendonly yes\n")
    return subprocess.Popen(host.command(str(server_binary()), str(config)), cwd=folder, stdout=subprocess.DEVNULL)


def start_node(host: Host, folder: Path, word: str = "node", name: str = "rppam.config") -> "subprocess.Popen[bytes]":
    argv = host.command(sys.executable, "-m", "rppam", word, "--config", str(folder / name))
    with (folder / "node.log").open("wb") as log:
        return subprocess.Popen(argv, stdout=log, stderr=log)


def seen(host: Host, folder: Path, *options: str) -> dict[str, Any]:
    done = host.rppam("status", "--config", str(folder / "rppam.config"), "--json", *options)
    found: dict[str, Any] = {**json.loads(done.stdout), "exit": done.returncode}
    return found


def write_licence(folder: Path) -> tuple[Path, str]:
    private, trusted = licence.new_private_key()
    terms = licence.Terms(customer="lab", tier=Tier.ENTERPRISE, max_nodes=2, days=30)
    path = folder / "bought.jwt"
    path.write_text(
        licence.issue(terms, licence.parse_private_key(private, "lab"), "lab-1", SystemClock().wall_ms()) + "\n"
    )
    return path, trusted.text()


def test_init_and_join_make_one_cluster_of_two_hosts_and_a_witness(
    tmp_path: Path, hosts: tuple[Host, Host, Host], started: list["subprocess.Popen[bytes]"]
) -> None:
    first, second, third = hosts
    a, b, bundle, passphrase = (tmp_path / name for name in ("a", "b", "join.bundle", "passphrase"))
    started.append(start_redis(first, tmp_path / "redis"))
    bought, trusted = write_licence(tmp_path)
    made = first.rppam(
        *("init", "--dir", str(a), "--node-name", "node1", "--redis", "-"),
        *("--host", "0.0.0.0", "--advertise-url", f"http://{first.address}:7101"),
        *("--license", str(bought), "--trusted-key", trusted, "--quorum-policy", "majority"),
        *("--bundle", str(bundle), "--passphrase-file", str(passphrase)),
        stdin=f"{first.address}:6379,password={PASSWORD},abortConnect=false\n",
    )
    assert made.returncode == 0, made.stderr
    joined = second.rppam(
        *("init", "--join", str(bundle), "--dir", str(b), "--node-name", "node2"),
        *("--advertise-url", f"http://{second.address}:7101", "--passphrase-file", str(passphrase)),
    )
    assert joined.returncode == 0, joined.stderr
    started += [start_node(first, a), start_node(second, b)]

    deadline = time.monotonic() + 40
    while True:
        views = [seen(first, a), seen(second, b)]
        if all(view["exit"] == 0 and len(view["nodes"]) == 2 for view in views):
            break
        logs = (a / "node.log").read_text() + (b / "node.log").read_text()
        assert time.monotonic() < deadline, f"{views}\n{logs}"
        time.sleep(0.5)
    assert views[0]["leaderNode"] == views[1]["leaderNode"] != None  # noqa: E711 - a chain
    assert [sum(node["role"] == "leader" for node in view["nodes"]) for view in views] == [1, 1]
    assert {node["status"] for view in views for node in view["nodes"]} == {"healthy"}
    assert {node["url"] for node in views[0]["nodes"]} == {f"http://{host.address}:7101" for host in (first, second)}
    # A token made with the first host's keys is good on the second, over the network.
    across = seen(first, a, "--url", f"http://{second.address}:7101")
    assert (across["exit"], across["answeredBy"]) == (0, "node2")

    # The licence is for two nodes; a witness takes no seat. Where others reach it, it finds out by itself.
    c = tmp_path / "c"
    asked = ("init", "--witness", "--join", str(bundle), "--passphrase-file", str(passphrase), "--dir", str(c))
    witness = third.rppam(*asked, "--node-name", "witness1")
    assert witness.returncode == 0, witness.stderr
    assert f"at {third.address}:5201" in witness.stdout
    started.append(start_node(third, c, "witness", "rppam-witness.config"))
    deadline = time.monotonic() + 40
    while not all(votes_with_the_witness(folder) for folder in (a, b, c)):
        assert time.monotonic() < deadline, (a / "node.log").read_text() + (c / "node.log").read_text()
        time.sleep(0.2)
    shown = {node["nodeName"]: node["role"] for node in seen(second, b)["nodes"]}
    assert shown["witness1"] == "witness"
    for host, config in ((first, a / "rppam.config"), (third, c / "rppam-witness.config")):
        said = json.loads(host.rppam("doctor", "--config", str(config), "--json").stdout)
        # The witness enters as the one user that this Redis has, and RD-953 says so.
        assert not [one for one in said["findings"] if one["code"][:4] == "RD-9" and one["code"] != "RD-953"], said


def votes_with_the_witness(folder: Path) -> bool:
    """Whether the list on disk has all three, under the policy that was asked for, and no change is pending."""
    kept = FilePromises(folder / FILE_NAME).load()
    membership = None if kept is None else kept.membership
    return membership is not None and membership[2:4] == (
        VoterSet.of(("node1", "node2", "witness1"), QuorumPolicy.MAJORITY, ("witness1",)),
        None,
    )
