"""The demo as people run it: real processes, killed and stopped from outside, and nothing left behind."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.demo.running import demo, gone, of
from tests.support.ports import free_base

NODE_FACTS = {"nodeName", "url", "pid", "role", "supervisorPid", "controlPid", "workerPids", "gatewayPids", "sshPort"}

pytestmark = [pytest.mark.integration, pytest.mark.server, pytest.mark.slow, pytest.mark.pair]


def test_a_killed_leader_is_told_and_the_end_leaves_nothing(tmp_path: Path) -> None:
    with demo(tmp_path) as running:
        ready = running.ready()
        assert set(ready) >= {"event", "nodes", "adminUser", "adminPassword", "adminToken", "redis"}
        assert set(ready["redis"]) == {"host", "port", "password", "pid"}
        assert [set(node) for node in ready["nodes"]] == [NODE_FACTS] * 3
        for node in ready["nodes"]:
            assert node["supervisorPid"] == node["pid"]
            names = {pid: psutil.Process(pid).name() for pid in (node["controlPid"], *node["workerPids"])}
            assert list(names.values()) == ["rppam-control", *["rppam-worker"] * 2]
        (leader,) = of(ready, role="leader")
        config = Path(ready["directory"]) / leader["nodeName"] / "rppam.config"
        words = [sys.executable, "-m", "rppam", "doctor", "--config", str(config), "--json"]
        doctor = subprocess.run(words, capture_output=True, text=True, check=False)
        severities = {one["severity"] for one in json.loads(doctor.stdout)["findings"]}
        assert severities <= {"note"}, f"the demo itself has what it warns of: {doctor.stdout}"
        argv = " ".join(part for pid in running.pids for part in psutil.Process(pid).cmdline())
        assert ready["redis"]["password"] not in argv
        os.kill(leader["pid"], signal.SIGKILL)
        exited = running.until("node-exited")
        assert (exited["node"], exited["how"]) == (leader["nodeName"], "by SIGKILL")
        assert running.until("leader-lost")["node"] == leader["nodeName"]
        elected = running.until("leader-elected")
        assert elected["node"] in {node["nodeName"] for node in of(ready, role="standby")}
        assert elected["epoch"] > exited["epoch"]
        assert {"event", "time", "node", "epoch"} <= set(elected)
        assert not psutil.pid_exists(leader["pid"]), "a dead node was restarted or left as a zombie"
        survivors = [Path(ready["directory"]) / node["nodeName"] / "node.log" for node in of(ready, role="standby")]
        assert all_say(survivors, f"{elected['node']} leads at epoch {elected['epoch']}"), "each log tells who leads"
        logs = "".join(log.read_text() for log in survivors)
        for secret in (ready["redis"]["password"], ready["adminPassword"], ready["adminToken"]):
            assert secret not in logs
        running.process.send_signal(signal.SIGTERM)
        assert running.end() == 0
        assert running.alive() == []
        assert list(tmp_path.iterdir()) == []
        kinds = [event["event"] for event in running.told]
        assert kinds.count("leader-elected") == 1
        assert kinds.count("leader-lost") == 1


def test_with_a_witness_the_other_node_leads_although_redis_and_the_leader_are_both_dead(tmp_path: Path) -> None:
    with demo(tmp_path, "--witness", nodes=2) as running:
        ready = running.ready()
        (witness,) = of(ready, role="witness")
        assert set(witness) == {"nodeName", "role", "pid"}
        processes = [psutil.Process(witness["pid"]), *psutil.Process(witness["pid"]).children(recursive=True)]
        assert sum(process.memory_info().rss for process in processes) < 64 * 2**20
        os.kill(ready["redis"]["pid"], signal.SIGKILL)
        running.until("redis-exited")
        (leader,) = of(ready, role="leader")
        (standby,) = of(ready, role="standby")
        os.kill(leader["pid"], signal.SIGKILL)
        assert running.until("leader-elected")["node"] == standby["nodeName"]
        running.process.send_signal(signal.SIGTERM)
        assert running.end() == 0
        assert running.alive() == []


def all_say(logs: list[Path], text: str, within_s: float = 5.0) -> bool:
    deadline = time.monotonic() + within_s
    while not all(text in log.read_text() for log in logs):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def test_a_stopped_node_and_a_stopped_redis_are_told_and_come_back(tmp_path: Path) -> None:
    with demo(tmp_path) as running:
        ready = running.ready()
        standby = of(ready, role="standby")[0]
        os.kill(standby["pid"], signal.SIGSTOP)
        assert running.until("node-suspect")["node"] == standby["nodeName"]
        assert running.until("node-unreachable")["node"] == standby["nodeName"]
        os.kill(standby["pid"], signal.SIGCONT)
        assert running.until("node-healthy")["node"] == standby["nodeName"]
        os.kill(ready["redis"]["pid"], signal.SIGSTOP)
        assert "Redis" in running.until("redis-lost")["text"]
        os.kill(ready["redis"]["pid"], signal.SIGCONT)
        running.until("redis-back")
        os.kill(standby["pid"], signal.SIGSTOP)  # a stopped child must not hold the end up
        running.process.send_signal(signal.SIGINT)
        assert running.end() == 0
        assert running.alive() == []


def test_a_demo_killed_with_9_takes_its_children_along_and_the_next_one_cleans_up(tmp_path: Path) -> None:
    with demo(tmp_path, nodes=1) as running:
        ready = running.ready()
        os.kill(ready["redis"]["pid"], signal.SIGSTOP)  # also one that is stopped
        running.process.kill()
        running.end()
        assert gone(running)
        (left,) = tmp_path.iterdir()
    with demo(tmp_path, "--for", "0.5", nodes=1) as following:
        assert following.end() == 0
    assert not left.exists()


def test_it_ends_after_for_seconds_and_keeps_what_was_in_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "keys").write_text("earlier")
    for _ in range(2):  # what the first run left is used again
        started = time.monotonic()
        with demo(tmp_path, "--dir", str(folder), "--for", "20", nodes=1) as running:
            ready = running.ready()
            assert running.end(31) == 0
            assert 20 <= time.monotonic() - started < 26
            assert running.alive() == []
        assert (folder / "keys").read_text() == "earlier"
        place = Path(ready["directory"])
        assert place.parent == folder
        private = [path for path in place.rglob("*") if path.is_file() and path.stat().st_mode & 0o077]
        assert [path.name for path in private if path.suffix in {".config", ".conf", ".pem", ".header"}] == []


def test_nobody_reading_any_more_ends_it(tmp_path: Path) -> None:
    base = free_base(1)
    with subprocess.Popen(
        [sys.executable, "-m", "rppam", "demo", "--json", "--nodes", "1", "--base-port", str(base)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    ) as process:
        try:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline())
            process.stdout.close()
            assert process.wait(12) == 0
        finally:
            process.kill()
    assert not psutil.pid_exists(ready["nodes"][0]["pid"])
    assert not psutil.pid_exists(ready["redis"]["pid"])


def test_a_taken_port_is_named_and_nothing_is_started(tmp_path: Path) -> None:
    base = free_base(2)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", base + 10))
        taken.listen()
        done = subprocess.run(  # noqa: PLW1510
            [sys.executable, "-m", "rppam", "demo", "--json", "--nodes", "2", "--base-port", str(base)],
            capture_output=True,
            text=True,
            timeout=20,
            env={**os.environ, "TMPDIR": str(tmp_path)},
        )
    assert done.returncode == 1
    told = json.loads(done.stdout)
    assert (set(told), told["code"]) == ({"error", "code"}, "RPPAM-7101"), "no event, but the error alone"
    assert f"port {base + 10}" in done.stderr
    assert "--base-port" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_base_port_that_leaves_no_room_is_wrong_usage(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "rppam", "demo", "--base-port", "65530"],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "node3 would listen on port 65550; the highest port is 65535" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_second_demo_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    with demo(tmp_path, "--dir", str(tmp_path / "d"), nodes=1) as running:
        running.ready()
        with demo(tmp_path, "--dir", str(tmp_path / "d"), nodes=1) as other:
            assert other.end() == 1
            assert "another demo is running" in "".join(other.people)


def test_fewer_nodes_get_ready_where_a_demo_of_more_was_killed(tmp_path: Path) -> None:
    folder = ("--dir", str(tmp_path / "d"))
    with demo(tmp_path, *folder, nodes=2) as running:
        running.ready()
        running.process.kill()
        running.end()
        assert gone(running)
    with demo(tmp_path, *folder, nodes=1) as following:
        assert [node["nodeName"] for node in following.ready()["nodes"]] == ["node1"]


@pytest.mark.parametrize("name", ["redis", "lock"])
def test_what_is_in_the_way_in_the_folder_is_named(tmp_path: Path, name: str) -> None:
    place = tmp_path / "rppam-demo"
    place.mkdir()
    if name == "lock":
        (place / name).mkdir()
    else:
        (place / name).write_text("no folder")
    done = subprocess.run(
        [sys.executable, "-m", "rppam", "demo", "--nodes", "1", "--base-port", str(free_base(1)), "--dir", tmp_path],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert f"{place / name} cannot be" in done.stderr
    assert "--dir" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_json_it_speaks_in_plain_lines(tmp_path: Path) -> None:
    done = subprocess.run(  # noqa: PLW1510
        [sys.executable, "-m", "rppam", "demo", "--nodes", "1", "--base-port", str(free_base(1)), "--for", "20"],
        capture_output=True,
        text=True,
        timeout=40,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    assert "node1 leads" in done.stdout
    assert "curl -s -H @" in done.stdout
    assert "ADMIN_JWT=$(" in done.stdout
    assert "\x1b" not in done.stdout
