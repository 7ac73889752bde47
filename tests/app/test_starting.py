"""One node as a process: what it starts with, what it refuses, and how it ends."""

import contextlib
import itertools
import json
import signal
import socket
import stat
import time
from pathlib import Path

import pytest

from tests.support.lab import CALM, Answer, LabNode, eventually
from tests.support.lab_fixtures import KIND, MakeLab
from tests.support.ports import free_port
from tests.support.redis_servers import PASSWORD, Server

pytestmark = [pytest.mark.integration, pytest.mark.server]


def started(node: LabNode, **environment: str) -> LabNode:
    node.start(**environment)
    eventually(lambda: node.status_of("/system/health/ping") == 200, within_s=15, what="ping", say=node.log)
    return node


def ended(node: LabNode, within_s: float = 20.0, **environment: str) -> tuple[int, str]:
    node.start(**environment)
    return node.wait(within_s), node.log()


# ---- refusals --------------------------------------------------------------------------------------------------------


def test_a_broken_config_never_starts_a_node_and_every_problem_is_listed(make_lab: MakeLab) -> None:
    lab = make_lab(nodes=1)
    [node], database = lab.nodes, (lab.folder / "rppam.db").read_bytes()
    node.config["node"]["nodeName"] = "Node 1"
    node.config["redis"]["connectionString"] = "localhost:x,abortConect=false"
    node.config["cluster"]["heartbeatMs"] = 60_000
    node.config["api"]["prot"] = 1
    code, log = ended(node)
    assert code == 78
    for word in ("node.nodeName", "redis.connectionString", "abortConnect", "cluster", "api.prot", "port"):
        assert word in log, log
    assert "Traceback" not in log
    assert PASSWORD not in log
    assert [path.name for path in lab.folder.glob("**/rppam.db*")] == ["rppam.db"], "nothing was begun"
    assert (lab.folder / "rppam.db").read_bytes() == database


def test_a_timing_that_could_break_the_rule_is_refused(make_lab: MakeLab) -> None:
    [node] = make_lab(nodes=1, times={"leaseMs": 1_000, "heartbeatMs": 500}).nodes
    code, log = ended(node)
    assert (code, "lease" in log) == (78, True), log


def test_with_abort_connect_a_dead_redis_ends_the_start(make_lab: MakeLab) -> None:
    lab = make_lab(nodes=1, redis_port=free_port(), options="abortConnect=true,connectRetry=2,connectTimeout=500")
    code, log = ended(lab.nodes[0])
    assert code == 69
    assert "Redis" in log
    assert "Traceback" not in log
    assert PASSWORD not in log


def test_with_abort_connect_a_black_hole_ends_the_start_within_the_configured_times(make_lab: MakeLab) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=1) as deaf:
        lab = make_lab(
            nodes=1,
            redis_port=deaf.getsockname()[1],
            options="abortConnect=true,connectRetry=2,connectTimeout=500",
        )
        before = time.monotonic()
        code, log = ended(lab.nodes[0])
        assert code == 69, log
        assert time.monotonic() - before < 10


def test_a_wrong_password_with_abort_connect_is_said_without_it(make_lab: MakeLab) -> None:
    [node] = make_lab(nodes=1, options="abortConnect=true").nodes
    node.config["redis"]["password"] = "wrong-" + PASSWORD
    code, log = ended(node)
    assert code == 69, log
    assert PASSWORD not in log
    assert "password" in log


def test_with_abort_connect_a_replica_or_a_database_that_is_not_there_ends_the_start_alike(make_lab: MakeLab) -> None:
    with Server(KIND) as primary, Server(KIND, "--replicaof", "127.0.0.1", str(primary.port)) as replica:
        for port, options, word in (
            (replica.port, "abortConnect=true,connectRetry=1", "replica"),
            (primary.port, "abortConnect=true,connectRetry=1,defaultDatabase=99", "DB index"),
        ):
            code, log = ended(make_lab(nodes=1, redis_port=port, options=options).nodes[0])
            assert (code, word in log) == (69, True), log
            assert "Traceback" not in log


@pytest.mark.parametrize("ends", ["true", "false"])
def test_a_redis_in_cluster_mode_is_refused_with_the_reason(make_lab: MakeLab, ends: str) -> None:
    with Server(KIND, "--cluster-enabled", "yes") as clustered:
        [node] = make_lab(nodes=1, redis_port=clustered.port, options=f"abortConnect={ends}").nodes
        node.start()
        eventually(
            lambda: "runs in cluster mode, where one script" in node.log(), within_s=30, what="why", say=node.log
        )
        assert ends == "false" or node.wait(20) == 69
        assert "Traceback" not in node.log()


def test_without_redis_a_new_node_is_ready_as_soon_as_it_answers_whatever_its_lease(make_lab: MakeLab) -> None:
    """Whether another has its name cannot be asked then, and is asked once Redis is there."""
    [node] = make_lab(nodes=1, times="classic", redis_port=free_port()).nodes
    started(node)
    eventually(lambda: node.status_of("/system/health/ready") == 200, within_s=20, what="ready", say=node.log)


def test_a_port_in_use_is_a_clear_end(make_lab: MakeLab) -> None:
    [node] = make_lab(nodes=1, times=CALM).nodes
    with socket.create_server(("127.0.0.1", node.port)):
        code, log = ended(node)
    assert code not in {0, 1}, log
    assert str(node.port) in log
    assert "Traceback" not in log


@pytest.mark.parametrize(("first", "second"), [("nest:", "nest:in:"), ("outer:in:", "outer:")])
def test_a_prefix_nested_in_another_clusters_is_refused(make_lab: MakeLab, first: str, second: str) -> None:
    one = make_lab(nodes=1, prefix=first, cluster="one", times=CALM)
    started(one.nodes[0])
    one.wait_for_leader()
    two = make_lab(nodes=1, prefix=second, cluster="two", times=CALM)
    code, log = ended(two.nodes[0])
    assert code == 75, log
    assert f"'{first}'" in log
    assert "Traceback" not in log
    assert one.nodes[0].leads()


def test_another_cluster_under_the_same_prefix_is_refused(make_lab: MakeLab) -> None:
    one = make_lab(nodes=1, prefix="same:", cluster="one", times=CALM)
    started(one.nodes[0])
    one.wait_for_leader()
    code, log = ended(make_lab(nodes=1, prefix="same:", cluster="two", times=CALM).nodes[0])
    assert code == 75, log
    assert "cluster 'one'" in log
    assert one.nodes[0].leads()


def test_a_second_node_without_a_licence_for_it_is_refused_and_the_first_goes_on(make_lab: MakeLab) -> None:
    lab = make_lab(nodes=1, licensed=False, times=CALM)
    [first] = lab.nodes
    second = lab.make_node("node2")  # one that no leader has taken in
    started(first)
    leader = lab.wait_for_leader()
    epoch = leader.ask("/system/health/leader").body["epoch"]
    code, log = ended(second)
    assert code == 75, log
    assert "licence" in log.lower()
    assert "Traceback" not in log
    assert first.ask("/system/health/leader").body["epoch"] == epoch
    lab.wait_until_healthy()
    assert [seen["nodeName"] for seen in lab.health(first)["nodes"]] == ["node1"], "it left no seat taken"


def test_a_member_by_the_list_on_its_disk_comes_in_without_a_licence_though_redis_knows_nothing_of_it(
    make_lab: MakeLab,
) -> None:
    lab = make_lab(nodes=2, licensed=False, times=CALM)
    for node in lab.nodes:
        started(node)
    lab.wait_until_healthy()
    assert [seen["nodeName"] for seen in lab.health(lab.nodes[0])["nodes"]] == ["node1", "node2"]


# ---- alone -----------------------------------------------------------------------------------------------------------


def test_a_single_node_needs_no_redis(make_lab: MakeLab) -> None:
    lab = make_lab(nodes=1, redis_port=None, licensed=False)
    [node] = lab.nodes
    node.config["cluster"] = {"enabled": False}
    started(node)
    assert lab.wait_for_leader() is node
    health = lab.health(node)
    assert (health["leaderNode"], health["clusterHealthy"], health["redisConnected"]) == ("node1", True, False)
    epoch = health["epoch"]
    node.kill()
    started(node)
    lab.wait_for_leader()
    assert lab.health(node)["epoch"] > epoch, "the database remembers"


def signed_in(node: LabNode, password: str) -> Answer | None:
    """The answer to a login; ``None`` while the database is not there yet. Anything else fails."""
    answer = node.ask("/api/v1/auth/login", method="POST", send={"username": "admin", "password": password})
    assert answer.status in {200, 503}, answer
    return answer if answer.status == 200 else None


def test_the_first_administrator_is_made_once_and_can_log_in(make_lab: MakeLab) -> None:
    lab = make_lab(nodes=1, redis_port=None, licensed=False)
    [node] = lab.nodes
    node.config["cluster"] = {"enabled": False}
    started(node)
    file = node.folder / "first-admin-password"
    eventually(file.exists, within_s=10, what="the password file", say=node.log)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    password = file.read_text().strip()
    assert password not in node.log()
    # Another worker than the one that made the tables may answer, a moment before it sees them.
    answer = eventually(
        lambda: signed_in(node, password), within_s=5, what="the administrator can sign in", say=node.log
    )
    assert answer.body["tokenType"] == "Bearer"
    assert node.ask("/system/health/cluster", token=answer.body["accessToken"]).status == 200
    assert node.ask("/system/health/cluster").status == 401
    wrong = node.ask("/api/v1/auth/login", method="POST", send={"username": "admin", "password": password + "x"})
    assert wrong.status == 401
    file.unlink()
    node.term()
    assert node.wait() == 0
    started(node)
    eventually(lambda: node.status_of("/system/health/ready") == 200, within_s=10, what="ready", say=node.log)
    again = node.ask("/api/v1/auth/login", method="POST", send={"username": "admin", "password": password})
    assert again.status == 200, "the same password"
    assert not file.exists()


# ---- the service manager ---------------------------------------------------------------------------------------------


def test_the_service_manager_hears_ready_alive_and_stopping(make_lab: MakeLab, tmp_path: Path) -> None:
    [node] = make_lab(nodes=1, times=CALM).nodes
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        address = tmp_path / "notify"
        manager.bind(str(address))
        manager.settimeout(15)
        node.start(NOTIFY_SOCKET=str(address), WATCHDOG_USEC="1000000")
        heard = [manager.recv(4096).decode()]
        assert heard[0].startswith("READY=1\n"), heard
        assert node.status_of("/system/health/ready") == 200
        until = time.monotonic() + 15
        while not {"WATCHDOG=1"} < set(heard) or not any("leader at epoch" in line for line in heard):
            assert time.monotonic() < until, heard
            heard.append(manager.recv(4096).decode())
        alive = [time.monotonic()]
        while len(alive) < 4:
            if manager.recv(4096) == b"WATCHDOG=1":
                alive.append(time.monotonic())
        assert max(b - a for a, b in itertools.pairwise(alive)) < 1.0, "within the watchdog's second"
        node.term()
        assert node.wait() == 0
        rest = []
        manager.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                rest.append(manager.recv(4096).decode())
        assert any(line.startswith("STOPPING=1") for line in rest), rest


def test_sighup_is_answered_with_what_a_restart_would_change(make_lab: MakeLab) -> None:
    [node] = make_lab(nodes=1, times=CALM).nodes
    started(node)
    node.config["auth"]["tokenMinutes"] = 5
    node.write_config()
    node.send(signal.SIGHUP)
    eventually(lambda: "restart to apply" in node.log(), within_s=5, what="an answer", say=node.log)
    assert "auth.tokenMinutes" in node.log()
    node.file.write_text(json.dumps(node.config).replace("tokenMinutes", "tokenMinuts"))
    node.send(signal.SIGHUP)
    eventually(lambda: "tokenMinuts" in node.log(), within_s=5, what="what is wrong", say=node.log)
    assert node.status_of("/system/health/live") == 200


def test_sigterm_in_the_middle_of_the_start_is_a_clean_end(make_lab: MakeLab, redis: Server) -> None:
    for after_s in (0.5, 0.7, 0.9, 1.2):
        [node] = make_lab(nodes=1, times=CALM).nodes
        node.start()
        time.sleep(after_s)
        node.term()
        code = node.wait()
        assert code in {0, -signal.SIGTERM}, node.log()  # before the node listens to signals, SIGTERM just ends it
        assert "Traceback" not in node.log()
