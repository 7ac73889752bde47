"""Disks that fill up: it is told within 40 s, nobody hands leadership to nobody, and no process ends by it."""

import http.client
import itertools
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from rppam.cluster.consensus.membership import QuorumPolicy
from rppam.cluster.store.vote_file import found
from rppam.kernel.system_entropy import SystemEntropy
from tests.support.lab import CALM, HOST, Lab, LabNode, eventually
from tests.support.lab_fixtures import MakeLab
from tests.support.ordering import cluster
from tests.support.tables import new_sqlite

pytestmark = [pytest.mark.integration, pytest.mark.server, pytest.mark.slow]

TOLD_S = 40.0
"""A quarter of a minute between two trials, and some time for a busy machine."""
SWITCHOVER = "/api/v1/admin/cluster/switchover"


class SmallDisk:
    """A tmpfs of one node's own."""

    def __init__(self, place: Path, options: str) -> None:
        self.place = place
        place.mkdir(parents=True)
        words = ["mount", "-t", "tmpfs", "-o", options, "rppam-test", str(place)]
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=30)
        if done.returncode:
            pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")

    def fill(self) -> None:
        """Until not a byte is left."""
        with (self.place / "filler").open("wb", buffering=0) as file:
            for size in (1 << 20, 1 << 12, 1 << 9, 1):
                try:
                    while file.write(b"x" * size) == size:
                        pass
                except OSError:
                    continue

    def use_up_inodes(self) -> None:
        """Until not a file can be made."""
        (self.place / "many").mkdir()
        until = time.monotonic() + 2  # a file that is being replaced takes two for a moment
        for number in itertools.count():
            try:
                (self.place / "many" / str(number)).touch()
            except OSError:
                if time.monotonic() > until:
                    return
                time.sleep(0.05)

    def free(self) -> None:
        """Room again."""
        (self.place / "filler").unlink(missing_ok=True)
        for file in (self.place / "many").glob("*"):
            file.unlink()

    def close(self) -> None:
        subprocess.run(["umount", "--lazy", str(self.place)], capture_output=True, check=False, timeout=30)


@pytest.fixture
def disks() -> Iterator[dict[str, SmallDisk]]:
    made: dict[str, SmallDisk] = {}
    yield made
    for disk in made.values():
        disk.close()


def on_small_disks(lab: Lab, disks: dict[str, SmallDisk], options: str = "size=2m,nr_inodes=512") -> None:
    """Each node has its data on a disk of its own, and is a member from there."""
    for node in lab.nodes:
        disk = disks[node.name] = SmallDisk(node.folder / "disk", options)
        node.config["node"]["dataDir"] = str(disk.place / "data")
        node.config["api"]["workers"] = 1
        (disk.place / "data").mkdir(mode=0o700)
    found({node.name: disks[node.name].place / "data" for node in lab.nodes}, QuorumPolicy(lab.policy), SystemEntropy())


def findings(lab: Lab, node: LabNode) -> dict[str, str]:
    return {one["code"]: one["evidence"] for one in lab.health(node)["findings"]}


def wait_for(lab: Lab, node: LabNode, code: str) -> None:
    eventually(lambda: code in findings(lab, node), within_s=TOLD_S, what=f"{code} is told", say=lab.logs)


def votes_for(lab: Lab, leader: LabNode, name: str) -> bool:
    """Whether the leader holds the member's promise."""
    return any(line["voter"] == name and line["counted"] for line in lab.health(leader)["votes"])


def metric(node: LabNode, line: str) -> bool:
    link = http.client.HTTPConnection(HOST, node.port, timeout=5)
    try:
        link.request("GET", "/system/metrics")
        return f"\n{line}\n" in link.getresponse().read().decode()
    finally:
        link.close()


def order(lab: Lab, node: LabNode, method: str, path: str, body: Any) -> tuple[int, str, str]:
    """Status, code and detail."""
    answer = node.ask(path, token=lab.token, method=method, send=body, timeout_s=10)
    return answer.status, str(answer.body.get("code", "")), str(answer.body.get("detail", ""))


@pytest.mark.parametrize("short_of", ["bytes", "inodes"])
def test_full_disks_are_told_within_a_minute_and_a_switchover_that_nobody_could_follow_is_refused(
    make_lab: MakeLab, disks: dict[str, SmallDisk], short_of: str
) -> None:
    lab = make_lab(times=CALM, policy="majority")
    on_small_disks(lab, disks)
    lab.start()
    leader = lab.wait_for_leader()
    lab.wait_until_healthy()
    others = [node for node in lab.nodes if node is not leader]
    for node in others:  # a promise that is not on disk yet would silence it
        eventually(partial(votes_for, lab, leader, node.name), within_s=20, what="a kept promise", say=lab.logs)
    for node in others:
        disks[node.name].fill() if short_of == "bytes" else disks[node.name].use_up_inodes()
    for node in others:
        wait_for(lab, node, "RD-619")
        assert "No space left on device" in findings(lab, node)["RD-619"]
        wait_for(lab, node, "RD-620")
        assert ("inodes are left" in findings(lab, node)["RD-620"]) is (short_of == "inodes")
        assert any("No space left" in line for line in lab.health(node)["warnings"])
        assert metric(node, "rppam_promises_kept 0")
        left = "rppam_disk_free_bytes" if short_of == "bytes" else "rppam_disk_free_inodes"
        assert metric(node, f'{left}{{place="data"}} 0')
    assert metric(leader, "rppam_promises_kept 1")
    epoch = leader.ask("/system/health/leader").body["epoch"]
    for method, path, body in (
        ("POST", SWITCHOVER, {"target": None}),
        ("PUT", f"/api/v1/admin/nodes/{leader.name}/maintenance", {"maintenance": True}),
    ):
        status, code, detail = order(lab, leader, method, path, body)
        assert (status, code) == (409, "RPPAM-5204"), detail
        assert all(f"{node.name} could not keep its promises" in detail for node in others), detail
    status, code, detail = order(lab, leader, "POST", SWITCHOVER, {"target": others[0].name})
    assert (status, code) == (409, "RPPAM-5205"), detail
    assert leader.leads()
    assert leader.ask("/system/health/leader").body["epoch"] == epoch
    disks[others[0].name].free()
    eventually(lambda: "RD-619" not in findings(lab, others[0]), within_s=20, what="room again", say=lab.logs)
    done = cluster(leader, "switchover")
    assert done.returncode == 0, done.stderr
    assert others[0].leads()
    assert all(node.is_running for node in lab.nodes)


def test_a_node_whose_every_disk_is_full_goes_on_and_names_each_thing_that_is_not_kept(
    make_lab: MakeLab, disks: dict[str, SmallDisk]
) -> None:
    """Log files, history, orders, a database in a file, promises: all on one full disk."""
    lab = make_lab(times=CALM, nodes=1)
    on_small_disks(lab, disks, "size=8m,nr_inodes=512")
    (node,) = lab.nodes
    disk = disks[node.name]
    node.config["database"]["url"] = f"sqlite:///{disk.place / 'db' / 'rppam.db'}"
    (disk.place / "db").mkdir()
    new_sqlite(disk.place / "db" / "rppam.db")
    node.config["logging"] = {"directory": str(disk.place / "logs")}
    node.start()
    lab.wait_for_leader()
    lab.wait_until_healthy()
    pids = set(node.pids())
    disk.fill()
    status, code, detail = order(lab, node, "PUT", "/api/v1/admin/cluster/pause", {"paused": True})
    assert (status, code) == (503, "RPPAM-5212"), detail
    assert "No space left" in detail
    user = {"username": "anna", "password": "a long enough pass phrase 1", "roles": ["pam_user"]}
    status, code, detail = order(lab, node, "POST", "/api/v1/users", user)
    assert status == 503, detail
    assert code.startswith("RPPAM-"), detail
    wait_for(lab, node, "RD-619")
    wait_for(lab, node, "RD-620")
    told = findings(lab, node)["RD-620"]
    assert all(f"{place} {disk.place}" in told for place in ("data", "logs", "database")), told
    eventually(lambda: "cannot write to" in node.log(), within_s=5, what="lines go to stderr", say=node.log)
    assert node.leads()
    assert node.is_running
    assert pids <= set(node.pids()), "no process has ended"
    disk.free()
    eventually(lambda: "RD-619" not in findings(lab, node), within_s=20, what="room again", say=lab.logs)
    assert order(lab, node, "PUT", "/api/v1/admin/cluster/pause", {"paused": False})[0] == 200
    assert "Traceback" not in node.log()
