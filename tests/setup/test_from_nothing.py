"""The way from nothing to a cluster, typed from the page on hosts of their own, and what can be done with it after."""

import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from rppam.kernel.system_clock import SystemClock
from rppam.licence import service as licence
from rppam.licence.model import Tier
from tests.support.lab import eventually
from tests.support.pages import Page, parse
from tests.support.typed_hosts import CAN, ROOT, WHY_NOT, Hosts

pytestmark = pytest.mark.integration
asked_for = pytest.mark.skipif("FROM_NOTHING" not in os.environ, reason="make from-nothing types it, in some minutes")
possible = pytest.mark.skipif(not CAN, reason=WHY_NOT)
ADDRESSES: Final = {
    "desk": "10.0.1.5",
    "db1": "10.0.1.20",
    "node1": "10.0.1.11",
    "node2": "10.0.1.12",
    "witness1": "10.0.1.13",
}
COMMANDS_MAX: Final = 40
PROGRAM_HOSTS: Final = 3
MINUTES_MAX: Final = 15


def page_of(name: str) -> Page:
    return parse(name, (ROOT / "docs" / "operations" / name).read_text(encoding="utf-8"))


def commands_of(text: str) -> list[str]:
    """The commands of a block: lines that are continued, and what is read from them, belong to one."""
    found: list[str] = []
    lines = iter(text.splitlines())
    for line in lines:
        taken = [line]
        while taken[-1].endswith("\\"):
            taken.append(next(lines))
        if here := re.search(r"<<(\w+)$", line):
            while taken[-1] != here[1]:
                taken.append(next(lines))
        found.append("\n".join(taken))
    return found


def deliver_licence(home: Path, max_nodes: int = 2) -> None:
    private, trusted = licence.new_private_key()
    terms = licence.Terms(customer="lab", tier=Tier.ENTERPRISE, max_nodes=max_nodes, days=30)
    issued = licence.issue(terms, licence.parse_private_key(private, "lab"), "lab-1", SystemClock().wall_ms())
    (home / "license.jwt").write_text(issued + "\n")
    (home / "issuer.pub.pem").write_text(trusted.text() + "\n")


def type_page(hosts: Hosts, page: Page) -> None:
    for block in page.commands:
        for command in commands_of(block.text):
            code, said = hosts.code_of(block.host, command)
            is_doctor = "rppam doctor" in command
            print(f"{hosts.typed[-1][2]:6.1f} s  {block.host:9} {command.splitlines()[0]}", flush=True)
            if code == 0 or (is_doctor and code == 1):
                continue
            logs = hosts.log("node1", "rppam") + hosts.log("node2", "rppam")
            raise AssertionError(f"{block.host}: {command}\nexit {code}\n{said}\n{logs}")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Hosts]:
    with Hosts(ADDRESSES) as hosts:
        deliver_licence(hosts.home("desk"))
        begun = time.monotonic()
        type_page(hosts, page_of("from-nothing.md"))
        hosts.took_s = time.monotonic() - begun
        yield hosts


def test_the_page_has_no_more_commands_than_it_says() -> None:
    page = page_of("from-nothing.md")
    blocks = [block for block in page.blocks if block.language == "sh"]
    program = [len(commands_of(block.text)) for block in blocks if block.not_run][:2]
    typed = sum(len(commands_of(block.text)) for block in page.commands)
    assert {block.host for block in page.commands} == set(ADDRESSES)
    assert program[0] * PROGRAM_HOSTS + program[1] + typed <= COMMANDS_MAX


def settled(hosts: Hosts) -> dict[str, Any]:
    """What node2 says once no running node warns of the voters: the witness votes some seconds after it has joined."""
    said: list[dict[str, Any]] = []

    def agree() -> dict[str, Any] | None:
        said[:] = [json.loads(hosts.type(host, "sudo -u rppam rppam status --json")) for host in ("node1", "node2")]
        return None if any("voters" in warning for one in said for warning in one["warnings"]) else said[1]

    return eventually(agree, within_s=30, what="no warning of the voters", say=lambda: str(said))


@pytest.mark.slow
@asked_for
@possible
def test_five_bare_hosts_become_a_healthy_cluster(cluster: Hosts) -> None:
    assert cluster.took_s < MINUTES_MAX * 60
    view = settled(cluster)
    assert {one["nodeName"]: one["status"] for one in view["nodes"]} == dict.fromkeys(
        ("node1", "node2", "witness1"), "healthy"
    )
    assert view["leaderNode"] == "node1"
    for host, config in (("node1", "rppam"), ("node2", "rppam"), ("witness1", "rppam-witness")):
        words = f"sudo -u rppam rppam doctor --json --config /etc/rppam/{config}.config"
        _, said = cluster.code_of(host, f"{words} 2>/dev/null")
        found = json.loads(said)["findings"]
        assert [one for one in found if one["severity"] == "error"] == [], said
        assert not {"RD-955", "RD-909", "RD-615"} & {one["code"] for one in found}, said
        warned = {one["code"] for one in found if one["severity"] == "warning"}
        traces = "grep -h -A60 Traceback /var/log/*.log | tail -200"  # a finding may refer to one
        assert warned <= {"RD-606", "RD-610"}, (
            f"the licence is short, the password to be removed: {said}\n{cluster.code_of(host, traces)[1]}"
        )
    asked = "curl -sf --cacert tls/ca.pem https://10.0.1.50:7101/system/health/ping"
    assert json.loads(cluster.type("desk", asked))["node"] == "node1"


@pytest.mark.slow
@asked_for
@possible
def test_the_leader_may_go_and_no_host_has_what_it_must_not(cluster: Hosts) -> None:
    cluster.type("node1", "sudo -u rppam rppam cluster switchover --to node2")
    asked = "curl -sf --cacert tls/ca.pem https://10.0.1.50:7101/system/health/ping"

    def moved() -> bool:
        return bool(json.loads(cluster.type("desk", asked))["node"] == "node2")

    eventually(moved, within_s=20, what="node2 behind the address")
    held = cluster.type("witness1", "find /etc/rppam /var/lib/rppam-witness -type f | sort").splitlines()
    assert {Path(one).name for one in held} >= {"cluster.key", "redis-ca.crt", "redis.password"}
    assert not {"sealing.key", "config.key", "license.jwt"} & {Path(one).name for one in held}
    open_ = cluster.type("node2", "find /etc/rppam /var/lib/rppam -not -user rppam -o -type f -perm /077")
    assert open_ == ""


@pytest.mark.slow
@asked_for
@possible
@pytest.mark.parametrize("name", ["licence.md", "upgrade.md", "backup.md"])
def test_what_follows_is_typed_as_well_and_leaves_a_healthy_cluster(cluster: Hosts, name: str) -> None:
    type_page(cluster, page_of(name))
    view = json.loads(cluster.type("node1", "sudo -u rppam rppam status --json"))
    assert {one["status"] for one in view["nodes"]} == {"healthy"}
    _, said = cluster.code_of("node2", "sudo -u rppam rppam doctor --json 2>/dev/null")
    assert [one for one in json.loads(said)["findings"] if one["severity"] == "error"] == [], said
