"""Three nodes from bare hosts to healthy, typed from the page on hosts of their own; and what is refused."""

import json
import os
import time
from collections.abc import Iterator
from typing import Final

import pytest

from tests.setup.test_from_nothing import commands_of, deliver_licence, page_of, type_page
from tests.support.typed_hosts import CAN, WHY_NOT, Hosts

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]
asked_for = pytest.mark.skipif("FROM_NOTHING" not in os.environ, reason="make from-nothing types it, in some minutes")
possible = pytest.mark.skipif(not CAN, reason=WHY_NOT)
PAGE: Final = "three-nodes.md"
ADDRESSES: Final = {"db1": "10.0.1.20", "node1": "10.0.1.11", "node2": "10.0.1.12", "node3": "10.0.1.13"}
NODES: Final = ("node1", "node2", "node3")
COMMANDS_MAX: Final = 12
MINUTES_MAX: Final = 10


KILLED_AT: Final = {
    "node1": "cluster/redis/redis-2/redis.conf",
    "node2": "/var/lib/rppam/keys/cluster.key",
    "node3": "/etc/redis/users.acl",
}
"""A file that is there while others are not, in the middle of what a command writes."""


def killed_at(hosts: Hosts, host: str, command: str, file: str) -> None:
    """Type a command, and kill it with all its children once a file is there."""
    hosts.type(
        host,
        f"setsid {command} & until [ -e {file} ]; do kill -0 $! || break; done; kill -KILL -- -$!; "
        "if wait $!; then false; else [ $? = 137 ]; fi",
    )


def first_command() -> str:
    """The one on node1 that makes everything."""
    block = next(block for block in page_of(PAGE).commands if block.host == "node1")
    return commands_of(block.text)[0]


def joining(host: str) -> str:
    (block,) = (block for block in page_of(PAGE).commands if block.host == host)
    return block.text.strip()


@pytest.fixture(scope="module")
def cluster() -> Iterator[Hosts]:
    with Hosts(ADDRESSES) as hosts:
        deliver_licence(hosts.home("node1"), max_nodes=3)
        begun = time.monotonic()
        type_page(hosts, page_of(PAGE))
        hosts.took_s = time.monotonic() - begun
        yield hosts


def test_the_page_has_no_more_commands_than_it_says() -> None:
    page = page_of(PAGE)
    typed = [command for block in page.commands for command in commands_of(block.text)]
    assert len(typed) == 11, "as its title says"
    assert len(typed) <= COMMANDS_MAX
    assert {block.host for block in page.commands} == set(ADDRESSES)


@pytest.mark.slow
@asked_for
@possible
def test_a_joining_that_was_killed_is_typed_again_and_ends_as_a_member() -> None:
    page = page_of(PAGE)
    with Hosts(ADDRESSES) as hosts:
        deliver_licence(hosts.home("node1"), max_nodes=3)
        planned = hosts.type("node1", f"{first_command()} --dry-run")
        assert "would write /etc/rppam/rppam.config" in planned
        assert "cluster/node3.bundle" in planned
        assert hosts.code_of("node1", "ls cluster /etc/rppam")[0] != 0, "a dry run wrote something"
        for block in page.commands:
            for command in commands_of(block.text):
                if block.host in NODES and "rppam init" in command:
                    killed_at(hosts, block.host, command.removeprefix("sudo "), KILLED_AT[block.host])
                code, said = hosts.code_of(block.host, command)
                assert code == 0 or ("doctor" in command and code == 1), f"{block.host}: {command}\n{said}"
        assert json.loads(hosts.type("node2", "sudo -u rppam rppam status --json"))["clusterHealthy"]


@pytest.mark.slow
@asked_for
@possible
def test_three_bare_hosts_become_a_healthy_cluster(cluster: Hosts) -> None:
    typed, took_s = len(cluster.typed), cluster.took_s
    print(f"{typed} commands, {took_s:.0f} s")
    assert typed <= COMMANDS_MAX
    assert took_s < MINUTES_MAX * 60
    for host in NODES:
        view = json.loads(cluster.type(host, "sudo -u rppam rppam status --json"))
        assert view["clusterHealthy"]
        assert view["leaderNode"] == "node1"
        assert {one["nodeName"]: one["status"] for one in view["nodes"]} == dict.fromkeys(NODES, "healthy")
        _, said = cluster.code_of(host, "sudo -u rppam rppam doctor --json 2>/dev/null")
        found = json.loads(said)["findings"]
        assert [one for one in found if one["severity"] == "error"] == [], said
        warned = {one["code"] for one in found if one["severity"] == "warning"}
        assert warned <= {"RD-606", "RD-610"}, f"the licence is short, the password to be removed: {said}"
    asked = "curl -sf --cacert cluster/tls/ca.pem https://10.0.1.50:7101/system/health/ping"
    assert json.loads(cluster.type("node1", asked))["node"] == "node1"


@pytest.mark.slow
@asked_for
@possible
def test_no_secret_is_on_a_command_line_or_open_to_others(cluster: Hosts) -> None:
    secrets = json.loads(cluster.type("node1", "cat cluster/redis/secrets.json")).values()
    passwords = [
        cluster.type("node1", f"cat cluster/{name}").strip() for name in ("database.password", "node2.passphrase")
    ]
    for host in ADDRESSES:
        seen = cluster.type(
            host, "cat /proc/[0-9]*/cmdline /var/log/*.log /var/log/postgresql/* 2>/dev/null | tr '\\0' ' '"
        )
        for secret in (*secrets, *passwords):
            assert secret not in seen, f"{host}: a secret is in a log or a command line"
    handed = cluster.type("db1", "cat database/*")
    assert not [secret for secret in (*secrets, *passwords) if secret in handed]
    for host in ("node2", "node3", "db1"):
        assert cluster.type(host, "find . /etc /var/lib -name ca.key -newer /etc/hosts") == "", "an authority's key"
    assert cluster.type("node1", "find cluster ! -user root -o -maxdepth 0 -perm /077") == ""
    for host in NODES:
        open_ = cluster.type(host, "find /etc/rppam /var/lib/rppam -not -user rppam -o -type f -perm /077")
        assert open_ == "", f"{host}: {open_}"
        assert cluster.type(host, "find /etc/redis -maxdepth 0 -perm /007") == "", "Sentinel rewrites its file as 0644"
        found = cluster.type(host, "find /etc/redis -type f -perm /077 -newer /etc/hosts ! -name sentinel.conf")
        assert found == "", f"{host}: {found}"


@pytest.mark.slow
@asked_for
@possible
def test_every_command_may_be_typed_again_and_changes_nothing(cluster: Hosts) -> None:
    cluster.type("node1", "sudo -u rppam rppam cluster switchover --to node2")
    files = "find /etc/rppam /etc/redis -type f ! -name '*.conf' ! -name '*.config' | sort | xargs sha256sum"
    before = {host: cluster.type(host, files) for host in NODES}
    confs = "sudo cat /etc/redis/redis.conf /etc/redis/sentinel.conf"
    redis = {host: cluster.type(host, confs) for host in NODES}
    held = cluster.type("node1", "find cluster -type f | sort | xargs sha256sum")
    said = cluster.type("node1", first_command())
    assert "nothing was changed" in said or "/etc/systemd" in said, said
    assert cluster.type("node1", "find cluster -type f | sort | xargs sha256sum") == held
    cluster.type("db1", "sudo sh database/install.sh")
    for host in ("node2", "node3"):
        assert "is a member of the cluster" in cluster.type(host, joining(host))
    assert {host: cluster.type(host, files) for host in NODES} == before
    assert {host: cluster.type(host, confs) for host in NODES} == redis, "Redis and Sentinel go on as they were"
    view = json.loads(cluster.type("node3", "sudo -u rppam rppam status --json"))
    assert view["clusterHealthy"]
    assert view["leaderNode"] == "node2", "nothing was started anew"


@pytest.mark.slow
@asked_for
@possible
@pytest.mark.parametrize(
    ("host", "command", "told"),
    [
        ("node3", "rppam init --join HOMES/node2/node2.bundle --passphrase-file HOMES/node2/node2.passphrase --dry-run",
         "node2 is the host with the address 10.0.1.12, and this host has no such address"),
        ("node3", "rppam init --join node3.bundle --passphrase-file node3.passphrase --node-name node4",
         "'node4' is not whom the bundle is for, which is 'node3'"),
        ("node3", "rppam init --join node3.bundle --passphrase-file HOMES/node2/node2.passphrase",
         "the passphrase does not open it"),
    ],
)  # fmt: skip
def test_a_bundle_is_for_one_host_alone(cluster: Hosts, host: str, command: str, told: str) -> None:
    code, said = cluster.code_of(host, command.replace("HOMES", str(cluster.home(host).parent)))
    assert code == 2, said
    assert told in said


@pytest.mark.slow
@asked_for
@possible
def test_a_database_of_another_cluster_is_left_as_it_is(cluster: Hosts) -> None:
    cluster.type("db1", "cp -r database other && sed -i 's/SCRAM-SHA-256.4096:/&A/' other/setup.sql")
    code, said = cluster.code_of("db1", "sudo sh other/install.sh")
    assert code != 0
    assert "the role rppam is there already, with another password" in said
    assert "healthy" in cluster.type("node1", "sudo -u rppam rppam status")
