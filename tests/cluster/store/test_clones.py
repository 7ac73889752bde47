"""A data directory that was copied, moved or restored: nobody votes with it before an operator has said a word."""

import http.client
import json
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from rppam.cluster.store.home import born_ns
from rppam.cluster.store.vote_file import FILE_NAME, FilePromises
from tests.support import prefork
from tests.support.lab import CALM, HOST, Lab, LabNode, eventually
from tests.support.lab_fixtures import MakeLab
from tests.support.ports import free_port
from tests.support.told import acts_told

pytestmark = [pytest.mark.integration, pytest.mark.server, pytest.mark.slow]

LEASE_S = CALM["leaseMs"] / 1000
NOBODY_S = 4 * LEASE_S
"""Longer than an election may take."""


@pytest.fixture(autouse=True)
def told_birth(tmp_path: Path) -> None:
    """Skip where the disk does not tell when a file was made: there a copy on the same host cannot be told."""
    probe = tmp_path / "probe"
    with probe.open("wb") as file:
        if not born_ns(file.fileno(), probe):
            pytest.skip(f"the file system of {tmp_path} does not keep when a file was made")


def file_of(node: LabNode) -> FilePromises:
    return FilePromises(Path(node.config["node"]["dataDir"]) / FILE_NAME)


def cloned(lab: Lab, node: LabNode, apart: Lab) -> LabNode:
    """A copy of a node, with everything on its disk, that runs in a network of its own (another Redis prefix)."""
    time.sleep(0.1)  # longer than two files may seem to be made at once
    copy = apart.make_node(node.name)
    shutil.copytree(node.config["node"]["dataDir"], copy.folder, dirs_exist_ok=True)
    for kind in ("database", "auth", "license"):
        copy.config[kind] = node.config[kind]
    copy.config["cluster"]["clusterId"] = lab.cluster
    copy.config["cluster"]["memberPort"] = free_port()
    (copy.folder / "log").unlink(missing_ok=True)
    apart.nodes.append(copy)
    return copy


def wait_for(node: LabNode) -> None:
    def answers() -> bool:
        return node.status_of("/system/health/ping") == 200

    eventually(answers, within_s=20, what="it answers", say=node.log)


def adopt(node: LabNode, *words: str) -> subprocess.CompletedProcess[str]:
    node.write_config()
    return prefork.run("cluster", "adopt", "--config", node.file, *words)


def codes(lab: Lab, node: LabNode) -> set[str]:
    return {one["code"] for one in lab.health(node)["findings"]}


def test_a_cloned_data_directory_in_a_partition_makes_no_second_leader(make_lab: MakeLab) -> None:
    """A third of the cluster and copies of the rest, in a network of their own, have a majority by their names."""
    lab = make_lab(times=CALM, policy="majority")
    lab.start()
    lab.wait_for_leader()
    apart = make_lab(times=CALM, policy="majority", nodes=0, cluster=lab.cluster)
    apart.tokens, apart.token = lab.tokens, lab.token  # type: ignore[misc]
    copies = [cloned(lab, node, apart) for node in lab.nodes[:2]]
    for copy in copies:
        copy.start()
    for copy in copies:
        wait_for(copy)
    until = time.monotonic() + NOBODY_S
    while time.monotonic() < until:
        assert not apart.leaders(), "two leaders in two halves of a cluster that was copied"
        assert len(lab.leaders()) <= 1
        time.sleep(0.1)
    health = lab.health(copies[0])
    assert any("rppam cluster adopt" in warning for warning in health["warnings"]), health["warnings"]
    assert "RD-618" in codes(lab, copies[0])
    assert "is a copy" in copies[0].log()
    assert "rppam_promises_kept 0" in metrics(copies[0])
    before = [file_of(copy).path.read_bytes() for copy in copies]
    for copy in copies:
        copy.kill()
        copy.start()
    time.sleep(LEASE_S)
    assert not apart.leaders(), "a restart is no operator's word"
    assert [file_of(copy).path.read_bytes() for copy in copies] == before


def metrics(node: LabNode) -> str:
    link = http.client.HTTPConnection(HOST, node.port, timeout=5)
    try:
        link.request("GET", "/system/metrics")
        return link.getresponse().read().decode()
    finally:
        link.close()


def test_a_restored_node_votes_again_once_an_operator_has_said_that_the_other_is_off(make_lab: MakeLab) -> None:
    lab = make_lab(times=CALM, policy="majority")
    lab.start()
    leader = lab.wait_for_leader()
    node = next(one for one in lab.nodes if one is not leader)
    running = adopt(node, "--yes")
    assert running.returncode == 73, running.stderr
    node.kill()
    folder = Path(node.config["node"]["dataDir"])
    backup = folder.with_name("backup")
    shutil.copytree(folder, backup)
    shutil.rmtree(folder)
    time.sleep(0.1)
    shutil.copytree(backup, folder)
    node.start()
    wait_for(node)
    eventually(lambda: "RD-618" in codes(lab, node), within_s=20, what="it waits for a word", say=lab.logs)

    def missing() -> str:
        return next(str(line["reason"]) for line in lab.health(leader)["votes"] if line["voter"] == node.name)

    eventually(lambda: "adopt" in missing(), within_s=20, what="the leader says why its vote is missing", say=missing)
    node.term()
    node.wait()
    unasked = adopt(node)
    assert unasked.returncode == 2, unasked
    assert "give --yes" in unasked.stderr
    assert "two leaders" in unasked.stderr
    assert file_of(node).load() is not None
    done = adopt(node, "--yes", "--json")
    assert (done.returncode, json.loads(done.stdout)) == (0, {"node": node.name, "adopted": True}), done
    assert adopt(node, "--yes").stdout.endswith("nothing was changed\n")
    assert acts_told(node.file)["member.adopt"]["object"]["name"] == node.name
    node.start()
    lab.wait_until_healthy()
    assert "RD-618" not in codes(lab, node)
    leader.kill()
    lab.wait_for_leader(other_than=leader)


def test_what_is_moved_or_started_again_needs_no_word_and_its_starts_are_counted(make_lab: MakeLab) -> None:
    lab = make_lab(nodes=1, times=CALM)
    (node,) = lab.nodes
    node.start()
    lab.wait_for_leader()
    node.kill()
    place = Path(node.config["node"]["dataDir"])
    moved = place.with_name("moved")
    place.rename(moved)
    place.mkdir()
    node.config["node"]["dataDir"] = str(moved)
    node.start()
    lab.wait_for_leader()
    promises = file_of(node)
    assert promises.load() is not None
    assert (promises.strange, promises.starts) == ("", 2)
