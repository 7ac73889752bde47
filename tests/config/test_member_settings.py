"""The settings of member votes: who decides, where members meet, and which of two is the better successor."""

from typing import Any

import pytest

from rppam.cluster.consensus.membership import QuorumPolicy
from rppam.config.advertised import member_address
from tests.support.parsing import only, parse

SINGLE = {"enabled": True, "connectionString": "10.0.1.20:6379,abortConnect=false"}
SENTINEL = {"enabled": True, "connectionString": "10.0.1.20:26379,10.0.1.21:26379,serviceName=rppam"}


def test_the_documented_defaults() -> None:
    cluster = parse({}).cluster
    assert cluster.member_port == 5201
    assert cluster.member_host is None
    assert cluster.member_address is None
    assert cluster.priority == 100
    assert cluster.quorum_policy is QuorumPolicy.LAST_MAN_STANDING


@pytest.mark.parametrize(
    ("redis", "given", "policy"),
    [
        (SINGLE, None, QuorumPolicy.LAST_MAN_STANDING),
        (SENTINEL, None, QuorumPolicy.MAJORITY),
        (SINGLE, "majority", QuorumPolicy.MAJORITY),
        (SENTINEL, "Last-Man-Standing", QuorumPolicy.LAST_MAN_STANDING),
    ],
)
def test_redis_decides_alone_only_where_it_cannot_lose_a_write_unless_somebody_says_so(
    redis: dict[str, Any], given: str | None, policy: QuorumPolicy
) -> None:
    cluster: dict[str, Any] = {"enabled": True} | ({"quorumPolicy": given} if given else {})
    assert parse({"redis": redis, "cluster": cluster}).cluster.quorum_policy is policy


@pytest.mark.parametrize(
    ("key", "value", "fix"),
    [
        ("quorumPolicy", "majorty", "Did you mean 'majority'?"),
        ("priority", 1001, "from 0 to 1000"),
        ("priority", -1, "from 0 to 1000"),
        ("memberPort", 0, "from 1 to 65535"),
        ("memberPort", "5201", "Take the quotes away"),
        ("memberHost", "10.0.0.1:5201", "without a port"),
        ("memberAddress", "10.0.0.1", "such as node1.example.com:5201"),
        ("memberAddress", "10.0.0.1:99999", "such as node1.example.com:5201"),
        ("memberAddress", "https://node1:5201", "such as node1.example.com:5201"),
        ("memberAddress", ":5201", "such as node1.example.com:5201"),
        ("virtualIp", "10.0.1.50", "with the prefix length"),
        ("virtualIp", "10.0.1.0/24", "that no host has"),
        ("virtualIp", "10.0.1.255/24", "that no host has"),
        ("virtualIp", "127.0.0.5/8", "that no host has"),
        ("virtualIp", "224.0.0.5/4", "that no host has"),
        ("virtualIp", "the-cluster/24", "such as 10.0.1.50/24"),
        ("virtualIp", 7, "such as 10.0.1.50/24"),
        ("virtualIpInterface", "an interface of sixteen", "Write a text"),
    ],
)
def test_a_wrong_value_is_told_with_its_fix(key: str, value: object, fix: str) -> None:
    problem = only({"cluster": {key: value}})
    assert problem.path == f"cluster.{key}"
    assert fix in problem.fix


def test_the_api_and_the_member_link_cannot_share_a_port() -> None:
    tree = {"redis": SINGLE, "cluster": {"enabled": True, "memberPort": 7101}}
    problem = only(tree)
    assert problem.path == "cluster.memberPort"
    assert "7101 for both" in problem.found
    assert parse(tree | {"api": {"port": 7102}}).cluster.member_port == 7101


@pytest.mark.parametrize(
    ("tree", "address"),
    [
        ({}, "127.0.0.1:5201"),
        ({"api": {"host": "0.0.0.0"}}, "host7:5201"),
        ({"api": {"host": "::"}}, "host7:5201"),
        ({"api": {"host": "10.0.0.1"}}, "10.0.0.1:5201"),
        ({"api": {"host": "fd00::1"}}, "[fd00::1]:5201"),
        ({"node": {"advertiseUrl": "https://pam1.example.com:7101"}}, "pam1.example.com:5201"),
        ({"cluster": {"memberHost": "10.9.9.9", "memberPort": 7}, "api": {"host": "10.0.0.1"}}, "10.9.9.9:7"),
        ({"cluster": {"memberHost": "0.0.0.0"}, "api": {"host": "10.0.0.1"}}, "10.0.0.1:5201"),
        ({"cluster": {"memberAddress": "[FD00::1]:7", "memberPort": 8}}, "[fd00::1]:7"),
    ],
)
def test_the_address_told_to_others_is_the_best_one_written_anywhere(tree: dict[str, Any], address: str) -> None:
    assert member_address(parse(tree), hostname="host7") == address


@pytest.mark.parametrize("value", ["10.0.1.50/24", "10.0.1.50/32", "fd00::50/64", "10.0.1.0/31"])
def test_an_address_with_its_prefix_length_is_taken_as_it_is(value: str) -> None:
    cluster = {"enabled": True, "virtualIp": value, "virtualIpInterface": "eth0.7"}
    settings = parse({"redis": SINGLE, "cluster": cluster, "api": {"host": "0.0.0.0"}})
    assert (settings.cluster.virtual_ip, settings.cluster.virtual_ip_interface) == (value, "eth0.7")
    assert not any("virtualIp" in warning for warning in settings.warnings)


@pytest.mark.parametrize(
    ("cluster", "host", "words"),
    [
        ({"virtualIp": "10.0.1.50/24"}, "0.0.0.0", "cluster.virtualIp: has no effect, since cluster.enabled is false"),
        ({"virtualIpInterface": "eth0"}, "0.0.0.0", "virtualIpInterface: has no effect without cluster.virtualIp"),
        ({"enabled": True, "virtualIp": "10.0.1.50/24"}, "127.0.0.1", "set api.host to 0.0.0.0"),
    ],
)
def test_an_address_that_nobody_will_reach_is_told(cluster: dict[str, Any], host: str, words: str) -> None:
    settings = parse({"redis": SINGLE, "cluster": cluster, "api": {"host": host}})
    assert any(words in warning for warning in settings.warnings), settings.warnings
