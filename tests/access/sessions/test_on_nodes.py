"""Sessions in a cluster of three nodes on a real Redis and a real PostgreSQL, each of them lost in turn.

Every question goes over a connection of its own, so both workers of a node are asked.
"""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple, Self
from urllib.parse import quote

import pytest

from rppam.access.tokens.key_files import ensure_signing_keys
from rppam.access.tokens.service import KeySet, Tokens
from rppam.kernel.system_clock import SystemClock
from rppam.kernel.system_entropy import SystemEntropy
from tests.faults.clock import SteppedClock
from tests.support import postgres
from tests.support.lab import CALM, Answer, Lab, LabNode, eventually
from tests.support.lab_fixtures import KIND, LABS
from tests.support.redis_servers import Server, missing

pytestmark = [pytest.mark.integration, pytest.mark.server, pytest.mark.slow]

PLAIN: Final = "/api/v1/admin/cluster/history?limit=1"
"""Needs a session and no role, and asks nothing itself."""
HEALTH: Final = "/system/health/cluster"
OVER, UNKNOWN, NO_TOKEN = "RPPAM-6005", "RPPAM-6033", "RPPAM-6001"
ASKED: Final = 6
WITHIN_S: Final = 30.0
FIRST_S: Final = 20.0
"""For an answer: each worker makes the document of the API when it is first asked for it, which takes seconds."""
MINUTES_APART: Final = 7
TOKEN_MINUTES: Final = 6
"""So by a clock that is :data:`MINUTES_APART` ahead every token of a log-in is over."""


class Cluster(NamedTuple):
    lab: Lab
    redis: Server
    sql: postgres.Server
    password: str

    def login(self, node: LabNode) -> str:
        answer = self._login(node)
        assert answer.status == 200, answer
        token: str = answer.body["accessToken"]
        return token

    def _login(self, node: LabNode) -> Answer:
        return node.ask(
            "/api/v1/auth/login", method="POST", send={"username": "admin", "password": self.password}, timeout_s=20
        )

    def ask_all(self, token: str, path: str = PLAIN) -> set[tuple[str, int, str]]:
        """What all running nodes say, each asked often enough for both its workers to be."""
        return {
            (node.name, answer.status, code_of(answer))
            for node in self.lab.running()
            for answer in (node.ask(path, token=token, timeout_s=FIRST_S) for _ in range(ASKED))
        }

    def expect(self, token: str, status: int, code: str = "", path: str = PLAIN) -> None:
        """Every node says this, from now on."""
        wanted = {(node.name, status, code) for node in self.lab.running()}
        assert self.ask_all(token, path) == wanted

    def soon(self, token: str, status: int, code: str = "") -> None:
        """Every node says this within moments, and goes on."""
        wanted = {(node.name, status, code) for node in self.lab.running()}
        eventually(lambda: self.ask_all(token) == wanted, within_s=WITHIN_S, what=f"{status} {code} everywhere")
        self.expect(token, status, code)

    @contextmanager
    def without_sql(self) -> Iterator[None]:
        with self.sql.connect() as admin:
            admin.execute("ALTER DATABASE rppam ALLOW_CONNECTIONS false")
            try:
                admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'rppam'")
                yield
            finally:
                admin.execute("ALTER DATABASE rppam ALLOW_CONNECTIONS true")

    def wait_for_sql(self) -> None:
        def lets_in(node: LabNode) -> bool:
            return self._login(node).status == 200

        for node in self.lab.running():
            eventually(partial(lets_in, node), within_s=WITHIN_S, what="SQL is back")


def code_of(answer: Answer) -> str:
    return str(answer.body.get("code", "")) if answer.status >= 400 else ""


class Traffic:
    """Somebody who works on with these sessions on every node that runs, and remembers each answer."""

    def __init__(self, cluster: Cluster, tokens: list[str]) -> None:
        self._cluster, self._tokens = cluster, tokens
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.said: Counter[Any] = Counter()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)

    def _run(self) -> None:
        while not self._stop.is_set():
            for token in self._tokens:
                for node in self._cluster.lab.running():
                    try:
                        answer = node.ask(PLAIN, token=token)
                    except OSError:
                        self.said["no answer"] += 1  # it was killed, or is on its way up
                    except Exception as error:  # noqa: BLE001 - what nobody foresaw is to be read in the assertion
                        self.said[repr(error)] += 1
                    else:
                        self.said[answer.status, code_of(answer)] += 1
            time.sleep(0.02)

    def wait_for(self, more: int) -> None:
        """Until so many more answers were good."""
        wanted = self.said[200, ""] + more
        eventually(lambda: self.said[200, ""] >= wanted, within_s=WITHIN_S, what="good answers", say=self._tell)

    def _tell(self) -> str:
        return str(self.said)


@contextmanager
def _restored(cluster: Cluster) -> Iterator[None]:
    """Whatever ends the test, the next one finds its nodes and its Redis running."""
    try:
        yield
    except BaseException:
        cluster.redis.restart()
        for node in cluster.lab.nodes:
            if not node.is_running:
                node.start()
        raise


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    programs = postgres.binaries()
    if KIND.find() is None or programs is None:
        missing("no Redis or no PostgreSQL on this machine: make servers")
    with (
        Server(KIND) as redis,
        postgres.running(programs) as sql,
        Lab(tmp_path_factory.mktemp("sessions") / "lab", redis.port, times=CALM) as lab,
    ):
        with sql.connect() as admin:
            admin.execute("CREATE DATABASE rppam")
        for node in lab.nodes:
            node.config["database"]["url"] = (
                f"postgresql://postgres:{quote(postgres.PASSWORD, safe='')}@{sql.host}:{sql.port}/rppam"
            )
            node.config["auth"]["tokenMinutes"] = TOKEN_MINUTES
        lab.start()
        [file] = eventually(
            lambda: list(lab.folder.glob("*/first-admin-password")), within_s=WITHIN_S, what="an administrator"
        )
        yield Cluster(lab, redis, sql, file.read_text().strip())


@pytest.fixture(autouse=True)
def _whole(cluster: Cluster, request: pytest.FixtureRequest) -> None:
    request.node.stash.setdefault(LABS, []).append(cluster.lab)
    cluster.lab.wait_until_healthy(within_s=WITHIN_S)


def test_begun_on_one_node_known_on_all_and_ended_on_all(cluster: Cluster) -> None:
    first, second, third = cluster.lab.nodes
    token, other = cluster.login(first), cluster.login(first)
    cluster.expect(token, 200)
    newer = second.ask("/api/v1/auth/refresh", token=token, method="POST").body["accessToken"]
    cluster.expect(newer, 200)
    assert third.ask("/api/v1/auth/logout", token=newer, method="POST").status == 204
    for ended in (token, newer):
        cluster.soon(ended, 401, OVER)
        cluster.expect(ended, 401, OVER, HEALTH)
    cluster.expect(other, 200)


def test_nobody_is_signed_out_by_the_death_of_a_node_or_of_redis_or_by_an_empty_one(cluster: Cluster) -> None:
    first, second, _ = cluster.lab.nodes
    tokens = [cluster.login(node) for node in (first, first, second)]
    with _restored(cluster), Traffic(cluster, tokens) as traffic:
        traffic.wait_for(20)
        first.kill()
        traffic.wait_for(20)
        cluster.redis.kill()
        traffic.wait_for(20)
        cluster.redis.restart()
        traffic.wait_for(20)
        cluster.redis.ask("FLUSHALL")
        traffic.wait_for(20)
        first.start()
        cluster.lab.wait_until_healthy(within_s=WITHIN_S)
        traffic.wait_for(20)
    assert set(traffic.said) <= {(200, ""), "no answer"}, traffic.said
    for token in tokens:
        cluster.expect(token, 200)


def test_a_session_ended_without_redis_is_over_everywhere_and_stays_so(cluster: Cluster) -> None:
    first, second, _ = cluster.lab.nodes
    token, kept = cluster.login(first), cluster.login(first)
    cluster.expect(token, 200)
    cluster.redis.kill()
    try:
        assert second.ask("/api/v1/auth/logout", token=token, method="POST").status == 204
        cluster.soon(token, 401, OVER)
        cluster.expect(kept, 200)
    finally:
        cluster.redis.restart()
    cluster.lab.wait_until_healthy(within_s=WITHIN_S)
    # A worker that was not asked meanwhile hears of it by the log of changes; Redis came back with the old copy.
    cluster.soon(token, 401, OVER)
    cluster.redis.ask("FLUSHALL")
    cluster.expect(token, 401, OVER)
    cluster.expect(kept, 200)


def test_without_sql_what_is_cached_works_the_rest_is_503_and_nobody_is_signed_out(cluster: Cluster) -> None:
    first, *_ = cluster.lab.nodes
    token, ended = cluster.login(first), cluster.login(first)
    cluster.expect(token, 200)
    assert first.ask("/api/v1/auth/logout", token=ended, method="POST").status == 204
    cluster.soon(ended, 401, OVER)
    strange = cluster.lab.new_token()

    def knows_nothing(node: LabNode) -> bool:
        return node.ask(PLAIN, token=token).status == 503

    with cluster.without_sql():
        cluster.expect(token, 200)
        cluster.expect(ended, 401, OVER)
        cluster.expect(strange, 503, UNKNOWN)
        cluster.expect(strange, 200, path=HEALTH)
        assert first.ask("/api/v1/auth/logout", token=token, method="POST").status == 503
        assert cluster._login(first).status == 503
        cluster.lab.wait_for_leader()
        cluster.redis.kill()
        try:
            for node in cluster.lab.running():
                eventually(partial(knows_nothing, node), within_s=WITHIN_S, what="neither")
            assert {code for _, _, code in cluster.ask_all(token)} == {UNKNOWN}
            cluster.expect(token, 200, path=HEALTH)
            assert not [said for said in cluster.ask_all(ended) if said[1] == 200]
        finally:
            cluster.redis.restart()
    cluster.wait_for_sql()
    cluster.soon(token, 200)
    cluster.soon(strange, 200)
    cluster.soon(ended, 401, OVER)


def test_clocks_of_nodes_minutes_apart_refuse_nobody(cluster: Cluster, tmp_path: Path) -> None:
    first, second, third = cluster.lab.nodes
    earlier = cluster.login(first)
    cluster.expect(earlier, 200)
    skews = {}
    for node, sign in ((second, 1), (third, -1)):
        (tmp_path / node.name).mkdir()
        skews[node.name] = clock = SteppedClock(tmp_path / node.name)
        clock.step(sign * MINUTES_APART * 60)
        node.kill()
        node.start(**clock.environment)
    try:
        cluster.lab.wait_until_healthy(within_s=2 * WITHIN_S)
        # They have just started and find it in Redis, so nothing but the log of changes has told them the time.
        cluster.expect(earlier, 200)
        times = [first.ask(HEALTH, token=cluster.lab.token).body["time"]]
        times += [node.ask(HEALTH, token=cluster.login(node)).body["time"] for node in (second, third)]
        assert len({time[:16] for time in times}) == 3, "their clocks do differ"
        for node in cluster.lab.nodes:
            token = cluster.login(node)
            cluster.expect(token, 200)
            for other in cluster.lab.nodes:
                token = other.ask("/api/v1/auth/refresh", token=token, method="POST").body["accessToken"]
                cluster.expect(token, 200)
            assert node.ask("/api/v1/auth/logout", token=token, method="POST").status == 204
            cluster.soon(token, 401, OVER)
    finally:
        for node in (second, third):
            node.kill()
            node.start()
        cluster.lab.wait_until_healthy(within_s=2 * WITHIN_S)


def test_tokens_of_another_cluster_are_refused(cluster: Cluster, tmp_path: Path) -> None:
    clock, entropy = SystemClock(), SystemEntropy()

    def tokens(keys: Path) -> Tokens:
        signing = KeySet(ensure_signing_keys(keys, now_ms=clock.wall_ms()))
        return Tokens(signing, issuer="rppam", audience="rppam-api", node="x", clock=clock, entropy=entropy)

    cluster.expect(tokens(tmp_path / "keys").issue_admin("admin", 5).token.reveal(), 401, NO_TOKEN)
    # Even with our keys: a log-in of which this cluster's database knows nothing never happened.
    ours, now = tokens(cluster.lab.folder / "jwt"), clock.wall_ms()
    forged = ours.issue_for_session("admin", ["pam_admin"], ours.new_sid(), now, 5, now)
    assert forged.claims.expires_at_s <= now // 1000, "ends with its session"
    later = type(now)(now + 600_000)
    forged = ours.issue_for_session("admin", ["pam_admin"], ours.new_sid(), now, 5, later)
    cluster.expect(forged.token.reveal(), 401, OVER)
    cluster.expect(forged.token.reveal(), 401, OVER, HEALTH)
