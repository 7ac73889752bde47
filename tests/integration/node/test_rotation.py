"""Secrets are changed while a cluster works: nobody loses leadership, and no token is refused."""

import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.contract.servers import PASSWORD, Server
from tests.integration.node.conftest import KIND, MakeLab
from tests.integration.node.lab import CALM, Lab, LabNode, eventually

pytestmark = pytest.mark.alone


class Traffic:
    """Someone who signs every request with the same token, at every node in turn."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.answers: list[int] = []
        self.epochs: set[int] = set()
        self._over = threading.Event()

    @contextmanager
    def running(self) -> Iterator["Traffic"]:
        worker = threading.Thread(target=self._go)
        worker.start()
        try:
            yield self
        finally:
            self._over.set()
            worker.join()

    def _go(self) -> None:
        while not self._over.is_set():
            for node in self.lab.running():
                answer = node.ask("/system/health/cluster", token=self.lab.token)
                self.answers.append(answer.status)
                if answer.status == 200 and answer.body["leaderNode"]:
                    self.epochs.add(answer.body["epoch"])
            time.sleep(0.05)


def rppam(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "rppam", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)


def replace_file(path: Path, text: str) -> None:
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(text)
    fresh.chmod(0o600)
    fresh.rename(path)


def since(lab: Lab, node: LabNode) -> Any:
    return lab.health(node)["redisPasswordSince"]


def test_the_redis_password_is_changed_under_traffic(make_lab: MakeLab, tmp_path: Path) -> None:
    with Server(KIND) as server:
        lab = make_lab(nodes=2, times=CALM, redis_port=server.port, policy="last-man-standing")
        server.ask("ACL", "SETUSER", "rppam", "on", f">{PASSWORD}", "~*", "&*", "+@all")
        for node in lab.nodes:
            replace_file(node.folder / "redis.password", PASSWORD + "\n")
            node.config["redis"]["password"] = {"file": "redis.password"}
            node.config["redis"]["connectionString"] += ",user=rppam"
        lab.start()
        first, second = lab.nodes
        begun = lab.health()["epoch"]
        admin = tmp_path / "admin.pw"
        replace_file(admin, PASSWORD)
        new = tmp_path / "new.pw"
        words = ("--config", str(first.file), "--admin-password-file", str(admin), "--json")
        with Traffic(lab).running() as traffic:
            told = rppam("redis", "rotate-password", "begin", *words, "--out", str(new))
            assert told.returncode == 0, told.stderr
            assert "the user 'rppam' has the new password, and the old one still" in told.stdout
            assert new.read_text().strip() not in told.stdout
            assert new.stat().st_mode & 0o077 == 0

            replace_file(first.folder / "redis.password", new.read_text())
            eventually(lambda: "accepted the new password" in first.log(), within_s=20, what="seen", say=lab.logs)
            early = rppam("redis", "rotate-password", "finish", *words, "--new", str(new))
            assert early.returncode == 1, early.stdout + early.stderr
            assert "node2: uses the password of a file written" in early.stdout
            assert "node1:" not in early.stdout
            assert len(server.ask("ACL", "GETUSER", "rppam")[3]) == 2, "nothing was taken away"

            shutil.copy(new, second.folder / "redis.password")
            eventually(lambda: "accepted the new password" in second.log(), within_s=20, what="seen", say=lab.logs)
            done = rppam("redis", "rotate-password", "finish", *words, "--new", str(new))
            assert done.returncode == 0, done.stdout + done.stderr
            assert "1 old password taken away" in done.stdout
            assert len(server.ask("ACL", "GETUSER", "rppam")[3]) == 1

            server.ask("CLIENT", "KILL", "USER", "rppam")
            eventually(lambda: all(node.log().count("connected to Redis") >= 2 for node in lab.nodes),
                       within_s=20, what="they come back with the new password", say=lab.logs)  # fmt: skip
            lab.wait_until_healthy()
        assert set(traffic.answers) == {200}
        assert len(traffic.answers) > 20
        assert traffic.epochs == {begun}, "leadership never changed hands"
        assert PASSWORD not in lab.logs()
        assert new.read_text().strip() not in lab.logs()


def test_a_password_that_redis_does_not_know_is_told_and_costs_nothing(make_lab: MakeLab) -> None:
    with Server(KIND) as server:
        lab = make_lab(nodes=1, votes=False, times=CALM, redis_port=server.port)
        (node,) = lab.nodes
        file = node.folder / "redis.password"
        replace_file(file, PASSWORD)
        node.config["redis"]["password"] = {"file": str(file)}
        lab.start()
        epoch = lab.health()["epoch"]
        replace_file(file, "a-password-that-nobody-has-told-redis")
        refused = f"Redis refuses the password that stands in {file} now"
        eventually(
            lambda: any(refused in one for one in lab.health()["warnings"]), within_s=20, what="told", say=lab.logs
        )
        server.ask("CLIENT", "KILL", "TYPE", "pubsub")
        eventually(lambda: node.log().count("connected to Redis") == 2, within_s=20, what="back", say=lab.logs)
        lab.wait_until_healthy()
        assert lab.health()["epoch"] == epoch
        server.ask("CONFIG", "SET", "requirepass", "a-password-that-nobody-has-told-redis")
        eventually(lambda: not [one for one in lab.health()["warnings"] if refused in one],
                   within_s=30, what="it is tried again, and works", say=lab.logs)  # fmt: skip
        assert json.dumps(lab.health()).count("nobody-has-told") == 0
