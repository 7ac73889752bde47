"""Hot configuration in a cluster of three nodes on a real Redis and a real PostgreSQL, each of them lost in turn."""

import http.client
import json
import time
from collections.abc import Iterator
from functools import partial
from typing import Any, Final, NamedTuple

import pytest

from tests.support import postgres
from tests.support.lab import CALM, HOST, Lab, LabNode, eventually
from tests.support.lab_fixtures import KIND, LABS
from tests.support.redis_servers import Server, missing

pytestmark = [pytest.mark.integration, pytest.mark.server, pytest.mark.slow]

PATH: Final = "/api/v1/settings/security/sessions"
HEALTH: Final = "/system/health/cluster"
WORKERS_SEEN: Final = 8
"""New connections that must agree before both workers of a node are believed to."""
WITHIN_S: Final = 30.0


class Reply(NamedTuple):
    status: int
    body: Any
    etag: str | None


class Cluster(NamedTuple):
    lab: Lab
    redis: Server
    sql: postgres.Server

    def ask(self, node: LabNode, method: str, path: str = PATH, send: Any = None, match: str | None = None) -> Reply:
        link = http.client.HTTPConnection(HOST, node.port, timeout=10)
        headers = {"Authorization": f"Bearer {self.lab.token}", "Content-Type": "application/json"}
        headers |= {"If-Match": match} if match else {}
        try:
            link.request(method, path, body=None if send is None else json.dumps(send), headers=headers)
            reply = link.getresponse()
            return Reply(reply.status, json.loads(reply.read()), reply.headers["ETag"])
        finally:
            link.close()

    def put(self, minutes: int, node: LabNode | None = None) -> int:
        """Change it on the leader; the new revision."""
        answer = self.ask(node or self.lab.wait_for_leader(), "PUT", send={"idleMinutes": minutes})
        assert answer.status == 200, answer
        return int((answer.etag or "").strip('"'))

    def newest(self, node: LabNode) -> Any:
        """The newest revision, as ``node`` tells it."""
        return self.ask(node, "GET", f"{PATH}/history?limit=1").body["revisions"][0]

    def obeys(self, node: LabNode) -> int:
        """The revision that the worker which answers obeys."""
        lines = self.ask(node, "GET", "/api/v1/settings").body["settings"]
        revision: int = next(line["revisionHere"] for line in lines if line["name"] == "security/sessions")
        return revision

    def wait_until_all_obey(self, revision: int) -> None:
        def all_obey(node: LabNode) -> bool:
            return all(self.obeys(node) == revision for _ in range(WORKERS_SEEN))

        for node in self.lab.running():
            eventually(
                partial(all_obey, node),
                within_s=WITHIN_S,
                what=f"{node.name} obeys revision {revision}",
            )

    def told(self, node: LabNode) -> set[int | None]:
        """What each node of the cluster obeys, as ``node`` tells it."""
        return {one["settingsRevision"] for one in self.ask(node, "GET", HEALTH).body["nodes"]}

    def changes(self) -> int:
        """How many changes of settings there were, by the database."""
        lines = self.ask(self.lab.wait_for_leader(), "GET", "/api/v1/settings").body["settings"]
        return sum(line["revision"] for line in lines)

    def wait_until_all_tell(self, changes: int) -> None:
        """Every node says of all that they obey so many changes."""

        def tells(node: LabNode) -> bool:
            return self.told(node) == {changes}

        for node in self.lab.running():
            eventually(
                partial(tells, node),
                within_s=WITHIN_S,
                what=f"{node.name} tells of {changes} changes everywhere",
            )


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    programs = postgres.binaries()
    if KIND.find() is None or programs is None:
        missing("no Redis or no PostgreSQL on this machine: make servers")
    with (
        Server(KIND) as redis,
        postgres.running(programs) as sql,
        Lab(tmp_path_factory.mktemp("settings") / "lab", redis.port, times=CALM, votes=True) as lab,
    ):
        url = sql.create("rppam")
        for node in lab.nodes:
            node.config["database"]["url"] = url
        lab.start()
        yield Cluster(lab, redis, sql)


@pytest.fixture(autouse=True)
def _whole(cluster: Cluster, request: pytest.FixtureRequest) -> None:
    request.node.stash.setdefault(LABS, []).append(cluster.lab)
    cluster.lab.wait_until_healthy(within_s=WITHIN_S)


def test_a_change_on_the_leader_holds_everywhere_and_every_node_tells_so(cluster: Cluster) -> None:
    before = cluster.changes()
    first = cluster.put(11)
    cluster.wait_until_all_obey(first)
    second = cluster.put(12)
    assert second == first + 1
    cluster.wait_until_all_obey(second)
    for node in cluster.lab.nodes:
        answer = cluster.ask(node, "GET")
        assert (answer.body["idleMinutes"], answer.etag) == (12, f'"{second}"')
    cluster.wait_until_all_tell(before + 2)


def test_every_node_takes_a_change_under_the_leaders_epoch_and_a_stale_one_is_refused(cluster: Cluster) -> None:
    leader = cluster.lab.wait_for_leader()
    revision = cluster.put(13)
    for node in cluster.lab.nodes:
        for minutes in (14, 13):
            answer = cluster.ask(node, "PUT", send={"idleMinutes": minutes}, match=f'"{revision}"')
            revision += 1
            assert (answer.status, answer.etag) == (200, f'"{revision}"'), answer
        assert cluster.newest(node)["node"] == leader.name
    cluster.wait_until_all_obey(revision)
    stale = cluster.ask(leader, "PUT", send={"idleMinutes": 14}, match=f'"{revision - 1}"')
    assert (stale.status, stale.body["revision"], stale.etag) == (412, revision, f'"{revision}"')
    assert cluster.ask(leader, "GET").body["idleMinutes"] == 13


def test_without_redis_a_change_holds_everywhere_within_seconds(cluster: Cluster) -> None:
    leader = cluster.lab.wait_for_leader()
    cluster.redis.kill()
    try:
        revision = cluster.put(15, leader)
        cluster.wait_until_all_obey(revision)
    finally:
        cluster.redis.restart()
    cluster.lab.wait_until_healthy(within_s=WITHIN_S)
    cluster.wait_until_all_obey(cluster.put(16))


def test_without_sql_nothing_changes_and_what_was_in_force_stays(cluster: Cluster) -> None:
    leader = cluster.lab.wait_for_leader()
    cluster.wait_until_all_obey(cluster.put(17))
    before = cluster.changes()
    cluster.wait_until_all_tell(before)
    with cluster.sql.connect() as admin:
        admin.execute("ALTER DATABASE rppam ALLOW_CONNECTIONS false")
        try:
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'rppam'")
            for node in cluster.lab.nodes:
                assert cluster.ask(node, "PUT", send={"idleMinutes": 18}).status in {421, 503}
            assert cluster.ask(leader, "PUT", send={"idleMinutes": 18}).status == 503
            time.sleep(3.0)  # longer than it takes to look at the database again
            assert [cluster.told(node) for node in cluster.lab.nodes] == [{before}] * 3
            assert leader.leads(), "leadership does not need it"
        finally:
            admin.execute("ALTER DATABASE rppam ALLOW_CONNECTIONS true")

    def put() -> bool:
        return cluster.ask(leader, "PUT", send={"idleMinutes": 18}).status == 200

    eventually(put, within_s=WITHIN_S, what="a change once SQL is back", say=cluster.lab.logs)
    assert cluster.ask(leader, "GET").body["idleMinutes"] == 18
    cluster.wait_until_all_tell(before + 1)


def test_a_leader_that_was_overtaken_in_its_sleep_changes_nothing(cluster: Cluster) -> None:
    old = cluster.lab.wait_for_leader()
    cluster.put(19)
    old.stop()
    try:
        new = cluster.lab.wait_for_leader(other_than=old)
        revision = cluster.put(20, new)
    finally:
        old.cont()
    until = time.monotonic() + 2.0
    told: set[int] = set()
    while time.monotonic() < until:
        try:
            told.add(cluster.ask(old, "PUT", send={"idleMinutes": 21}).status)
        except OSError:
            continue  # its processes are being replaced
    # Once it knows that it is a standby, it asks the new leader for an epoch; under its own it changes nothing.
    assert told <= {200, 409, 421, 503}, told
    newest = cluster.newest(new)
    assert (newest["node"], newest["epoch"]) == (new.name, new.ask("/system/health/leader").body["epoch"])
    assert newest["value"]["idleMinutes"] == (21 if 200 in told else 20)
    cluster.lab.wait_until_healthy(within_s=WITHIN_S)
    cluster.wait_until_all_obey(newest["revision"])
    assert revision <= newest["revision"] <= revision + 1
