"""Lockouts in a cluster of three nodes with two workers each, on one Redis that is flushed, killed and brought back.

The nodes trust a proxy at 127.0.0.1, so that each test comes from an address of its own.
"""

import http.client
import json
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from tests.support.lab import CALM, HOST, Lab, LabNode, eventually
from tests.support.lab_fixtures import KIND, LABS
from tests.support.redis_servers import Server

pytestmark = [pytest.mark.integration, pytest.mark.server, pytest.mark.slow]

WITHIN_S = 30.0
LOCKOUTS = "/api/v1/lockouts"


class Cluster:
    def __init__(self, lab: Lab, redis: Server) -> None:
        self.lab, self.redis = lab, redis
        [file] = eventually(
            lambda: list(lab.folder.glob("*/first-admin-password")), within_s=WITHIN_S, what="an administrator"
        )
        self.password = file.read_text().strip()

    def sign_in(self, node: LabNode, name: str, password: str, client: str = "198.51.100.1") -> int:
        """The status of the answer."""
        link = http.client.HTTPConnection(HOST, node.port, timeout=30)
        try:
            headers = {"Content-Type": "application/json", "X-Forwarded-For": f"127.0.0.1, {client}"}
            body = json.dumps({"username": name, "password": password})
            link.request("POST", "/api/v1/auth/login", body=body, headers=headers)
            return link.getresponse().status
        finally:
            link.close()

    def guess(self, name: str, times: int, client: str) -> Counter[int]:
        """Wrong passwords at all nodes at once: how they were answered."""
        nodes = self.lab.running()
        start = threading.Barrier(times)

        def one(number: int) -> int:
            start.wait(30)
            return self.sign_in(nodes[number % len(nodes)], name, f"guess {number}", client)

        with ThreadPoolExecutor(times) as pool:
            return Counter(pool.map(one, range(times)))

    def expect_locked(self, name: str, client: str = "198.51.100.1") -> None:
        """Every node says so, several times, so that both its workers do."""
        for node in self.lab.running():
            assert [self.sign_in(node, name, self.password, client) for _ in range(4)] == [429] * 4

    def unlock_all(self) -> None:
        node = self.lab.running()[-1]
        for one in node.ask(LOCKOUTS, token=self.lab.token).body["items"]:
            assert node.ask(f"{LOCKOUTS}/{one['id']}", method="DELETE", token=self.lab.token).status == 204


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    if KIND.find() is None:
        pytest.fail("no Redis on this machine: make servers")
    with (
        Server(KIND) as redis,
        Lab(tmp_path_factory.mktemp("lockouts") / "lab", redis.port, times=CALM) as lab,
    ):
        for node in lab.nodes:
            node.config["api"]["trustedProxies"] = ["127.0.0.1"]
            # One SQLite file for six processes: on a busy disk a write waits for many others before it is its turn.
            node.config["database"]["timeoutMs"] = 15_000
        lab.start()
        yield Cluster(lab, redis)


@pytest.fixture(autouse=True)
def _whole(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[None]:
    request.node.stash.setdefault(LABS, []).append(cluster.lab)
    cluster.lab.wait_until_healthy(within_s=WITHIN_S)
    yield
    cluster.unlock_all()


def test_guesses_at_all_nodes_at_once_are_ten_and_an_unlock_lets_in_everywhere(cluster: Cluster) -> None:
    assert cluster.guess("admin", 30, "192.0.2.1") == {401: 10, 429: 20}
    cluster.expect_locked("admin")
    first, second, third = cluster.lab.nodes
    users = first.ask("/api/v1/users", token=cluster.lab.token).body["items"]
    unlock = f"/api/v1/users/{users[0]['id']}/unlock"
    answer = second.ask(unlock, method="POST", token=cluster.lab.token)
    assert (answer.status, answer.body) == (200, {"wasLocked": True})

    def is_let_in(node: LabNode) -> bool:
        return cluster.sign_in(node, "admin", cluster.password) == 200

    for node in (first, second, third):
        eventually(partial(is_let_in, node), within_s=WITHIN_S, what=f"{node.name} lets in")


def test_an_address_is_locked_for_all_names_on_all_nodes(cluster: Cluster) -> None:
    said = Counter[int]()
    for name in ("anna", "bert", "carl"):
        said += cluster.guess(name, 9, "2001:db8:1:2::3")
    assert said == {401: 20, 429: 7}
    cluster.expect_locked("admin", "2001:db8:1:2:ffff::1")
    for node in cluster.lab.nodes:
        assert cluster.sign_in(node, "admin", cluster.password, "2001:db8:1:3::3") == 200


def test_right_passwords_are_not_limited(cluster: Cluster) -> None:
    nodes = cluster.lab.nodes
    with ThreadPoolExecutor(8) as pool:  # ten at a time may be under way for one name; more wait in line for 5 s
        answers = pool.map(lambda at: cluster.sign_in(nodes[at % 3], "admin", cluster.password), range(60))
        assert Counter(answers) == {200: 60}


def test_a_flushed_a_killed_and_a_new_redis_unlock_nobody(cluster: Cluster) -> None:
    # The last one: a worker that has not found Redis again counts in SQL, beside those that have.
    assert cluster.guess("admin", 12, "192.0.2.2") == {401: 10, 429: 2}
    cluster.redis.ask("FLUSHALL")
    cluster.expect_locked("admin")
    cluster.redis.kill()
    try:
        cluster.expect_locked("admin")
        # Wrong ones are counted for all nodes together without Redis as well.
        assert cluster.guess("nobody", 20, "192.0.2.3")[401] == 10
    finally:
        cluster.redis.restart()
    cluster.lab.wait_until_healthy(within_s=WITHIN_S)
    cluster.expect_locked("admin")
    cluster.expect_locked("nobody")
