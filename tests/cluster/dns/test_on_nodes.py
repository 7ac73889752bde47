"""Real nodes and a real name server: the name follows the leader, and what is wrong with it stands in health."""

import json
import urllib.request
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support import prefork
from tests.support.lab import CALM, Lab, LabNode, eventually
from tests.support.lab_fixtures import MakeLab
from tests.support.named import KEY, NAME, STRANGER, Named, missing, secret_of

pytestmark = [
    pytest.mark.integration,
    pytest.mark.server,
    pytest.mark.slow,
    pytest.mark.skipif(bool(missing()), reason=f"needs {missing()}"),
]


def named_lab(make_lab: MakeLab, server: Named, **keys: str) -> Lab:
    """A lab of two nodes with the name, ``keys`` by node where it is not the right one."""
    lab = make_lab(nodes=2, times=CALM)
    for number, node in enumerate(lab.nodes, 1):
        key = keys.get(node.name, KEY)
        file = node.folder / "tsig.key"
        file.write_text(secret_of(key))
        file.chmod(0o600)
        node.config["dns"] = {
            "name": NAME, "server": "127.0.0.1", "port": server.port, "addresses": [f"10.0.1.1{number}"],
            "keyName": key, "keySecret": {"file": str(file)},
        }  # fmt: skip
    return lab


def address_of(lab: Lab, node: LabNode) -> list[str]:
    return [f"10.0.1.1{lab.nodes.index(node) + 1}"]


def finding(lab: Lab, node: LabNode, code: str) -> str:
    """Its evidence; empty: the node does not tell of it, or not yet of anything."""
    try:
        body: dict[str, Any] = lab.health(node)
    except (OSError, AssertionError):
        return ""
    return next((one["evidence"] for one in body["findings"] if one["code"] == code), "")


def gauge(node: LabNode) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{node.port}/system/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    return next(line.split()[-1] for line in lines if line.startswith("rppam_dns_name "))


def test_the_name_follows_the_leader_and_an_old_one_that_wakes_changes_nothing(
    make_lab: MakeLab, tmp_path: Path
) -> None:
    with Named(tmp_path / "named") as server:
        lab = named_lab(make_lab, server)
        lab.start()
        first = lab.wait_for_leader()
        eventually(lambda: server.ask() == address_of(lab, first), within_s=10, what="the name points to the leader")
        eventually(lambda: gauge(first) == "1", within_s=10, what="the metric says so")
        (second,) = (node for node in lab.nodes if node is not first)
        assert gauge(second) == "0"
        told = eventually(partial(the_same_everywhere, lab, first), within_s=20, what="both nodes show it alike")
        assert (told["name"], told["addresses"], told["problem"]) == (NAME, address_of(lab, first), "")
        assert told["epoch"] == lab.health(second)["epoch"]
        screen = prefork.run("status", "--config", second.file).stdout
        assert f"{NAME} -> {address_of(lab, first)[0]} ({first.name}, epoch {told['epoch']} since {told['since']})" in (
            " ".join(screen.split())
        )
        first.stop()
        assert lab_leader(lab, second) is second
        eventually(lambda: server.ask() == address_of(lab, second), within_s=20, what="the name has followed")
        mark = server.ask(f"_rppam.{NAME}", "TXT")
        first.cont()
        lab.wait_until_healthy()
        assert (server.ask(), server.ask(f"_rppam.{NAME}", "TXT")) == (address_of(lab, second), mark)
        assert second.leads()
        later = eventually(partial(the_same_everywhere, lab, second), within_s=20, what="both show that it followed")
        assert later["since"] > told["since"]
        second.kill()
        assert lab.wait_for_leader(other_than=second) is first
        eventually(lambda: server.ask() == address_of(lab, first), within_s=20, what="the name has come back")
        assert f"the name {NAME} points here now: {address_of(lab, first)[0]}" in first.log()


def the_same_everywhere(lab: Lab, leader: LabNode) -> dict[str, Any]:
    """What both nodes show of the name, in all answers; empty: not yet the same, or not yet of ``leader``."""
    shown = [lab.health(node)["dnsName"] for node in lab.nodes]
    admins = [node.ask("/api/v1/admin/cluster/status", token=lab.token).body["dnsName"] for node in lab.nodes]
    facts = [{name: value for name, value in one.items() if name != "readAt"} for one in (*shown, *admins)]
    is_settled = all(one == facts[0] for one in facts) and facts[0]["node"] == leader.name
    return facts[0] if is_settled else {}


def lab_leader(lab: Lab, expected: LabNode) -> LabNode:
    """The node that leads, asking ``expected`` alone: the other one is frozen."""
    eventually(expected.leads, within_s=30, what=f"{expected.name} leads", say=lab.logs)
    return expected


def test_a_wrong_key_is_told_on_a_standby_too_and_goes_with_the_right_one(make_lab: MakeLab, tmp_path: Path) -> None:
    with Named(tmp_path / "named") as server:
        lab = named_lab(make_lab, server, node1=STRANGER, node2=STRANGER)
        for node in lab.nodes:
            node.start()
        leader = lab.wait_for_leader()
        for node in lab.nodes:
            refused = partial(finding, lab, node, "RD-634")
            told = eventually(refused, within_s=30, what=f"{node.name} tells", say=lab.logs)
            assert told.startswith(f"127.0.0.1 port {server.port}: it answers REFUSED for {NAME}")
        assert server.ask() == []
        told = prefork.run("doctor", "--config", leader.file, "--json").stdout
        (found,) = (one for one in json.loads(told)["findings"] if one["code"] == "RD-634")
        assert found["evidence"].startswith(f"127.0.0.1 port {server.port}: it answers REFUSED"), "its own look"
        assert f"the name {NAME} does not follow this leader" in leader.log()
        assert secret_of(STRANGER) not in lab.logs()
        server.kill()
        eventually(lambda: finding(lab, leader, "RD-633"), within_s=40, what="it is away", say=lab.logs)
        assert leader.leads()
