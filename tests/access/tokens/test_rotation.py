"""Secrets are changed while a cluster works: nobody loses leadership, and no token is refused."""

import asyncio
import base64
import json
import shutil
import subprocess
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest

from rppam.cluster.link.data_keys import data_keys_of
from rppam.config.load import load_settings
from rppam.crypto.data_keys import DataKeys
from rppam.db.database import Database
from rppam.kernel.secret import Secret
from tests.support import prefork
from tests.support.lab import CALM, Lab, LabNode, eventually
from tests.support.lab_fixtures import KIND, MakeLab
from tests.support.redis_servers import PASSWORD, Server
from tests.support.told import acts_told

pytestmark = [pytest.mark.integration, pytest.mark.pair]

T = TypeVar("T")
SEALED = Secret("a secret in the database")


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
    return prefork.run(*words, timeout=90)


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

            written = {node.name: since(lab, node) for node in lab.nodes}

            def has_told(node: LabNode) -> bool:
                return "accepted the new password" in node.log() and since(lab, node) != written[node.name]

            replace_file(first.folder / "redis.password", new.read_text())
            eventually(lambda: has_told(first), within_s=40, what="seen", say=lab.logs)
            replace_file(second.folder / "redis.password", PASSWORD + "\n")  # written later, and says nothing new
            eventually(lambda: since(lab, second) != written[second.name], within_s=40, what="seen", say=lab.logs)
            early = rppam("redis", "rotate-password", "finish", *words, "--new", str(new))
            assert early.returncode == 1, early.stdout + early.stderr
            assert "node2: Redis let it in by another password than the new one" in early.stdout
            assert "node1:" not in early.stdout
            assert len(server.ask("ACL", "GETUSER", "rppam")[3]) == 2, "nothing was taken away"

            shutil.copy(new, second.folder / "redis.password")
            eventually(lambda: has_told(second), within_s=40, what="seen", say=lab.logs)
            done = rppam("redis", "rotate-password", "finish", *words, "--new", str(new))
            assert done.returncode == 0, done.stdout + done.stderr
            assert "1 old password taken away" in done.stdout
            assert "write the new password into its secrets.json as 'node'" in done.stdout
            assert len(server.ask("ACL", "GETUSER", "rppam")[3]) == 1
            told_of = acts_told(first.file)
            assert {"redis-password.begin", "redis-password.finish"} <= told_of.keys()
            assert told_of["redis-password.finish"]["actor"]["kind"] == "host"

            before = [node.log().count("connected to Redis") for node in lab.nodes]
            server.ask("CLIENT", "KILL", "USER", "rppam")
            eventually(lambda: all(node.log().count("connected to Redis") > had
                                   for node, had in zip(lab.nodes, before, strict=True)),
                       within_s=40, what="they come back with the new password", say=lab.logs)  # fmt: skip
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
            lambda: any(refused in one for one in lab.health()["warnings"]), within_s=40, what="told", say=lab.logs
        )
        before = node.log().count("connected to Redis")  # the workers' connections for the cache included
        server.ask("CLIENT", "KILL", "TYPE", "pubsub")
        eventually(lambda: node.log().count("connected to Redis") > before, within_s=40, what="back", say=lab.logs)
        lab.wait_until_healthy()
        assert lab.health()["epoch"] == epoch
        server.ask("CONFIG", "SET", "requirepass", "a-password-that-nobody-has-told-redis")
        eventually(lambda: not [one for one in lab.health()["warnings"] if refused in one],
                   within_s=30, what="it is tried again, and works", say=lab.logs)  # fmt: skip
        assert json.dumps(lab.health()).count("nobody-has-told") == 0


def kid_of(token: str) -> str:
    header = token.split(".", maxsplit=1)[0]
    kid: str = json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))["kid"]
    return kid


def test_a_signing_key_is_changed_without_a_restart_and_no_valid_token_is_refused(make_lab: MakeLab) -> None:
    lab = make_lab(nodes=2, times=CALM)
    for node in lab.nodes:
        shutil.copytree(lab.folder / "jwt", node.folder / "jwt")
        node.config["auth"]["jwtKeysDir"] = str(node.folder / "jwt")
    lab.start()
    first, second = lab.nodes
    pids = [node.pids() for node in lab.nodes]
    (old,) = (first.folder / "jwt").glob("*.pem")
    with Traffic(lab).running() as traffic:
        made = rppam("token", "keys", "rotate", "--config", str(first.file), "--in-hours", "0.002", "--json")
        due = time.monotonic() + 0.002 * 3600
        new = Path(json.loads(made.stdout)["file"])
        assert new.stat().st_mode & 0o077 == 0

        def lacking() -> bool:
            asked = rppam("token", "keys", "list", "--config", str(first.file), "--nodes", "--json")
            return (asked.returncode, json.loads(asked.stdout)["missing"]) == (1, {"node2": [new.name]})

        eventually(lacking, within_s=30, what="only the other node misses it", say=lab.logs)
        shutil.copy2(new, second.folder / "jwt")

        def everywhere() -> bool:
            return rppam("token", "keys", "list", "--config", str(first.file), "--nodes").returncode == 0

        eventually(everywhere, within_s=30, what="both nodes have it", say=lab.logs)
        time.sleep(max(0.0, due - time.monotonic()) + 1)
        token = rppam("token", "--config", str(first.file)).stdout.strip()
        assert kid_of(token) != kid_of(lab.token)
        assert [node.ask("/system/health/cluster", token=token).status for node in lab.nodes] == [200, 200]
        listed = json.loads(rppam("token", "keys", "list", "--config", str(first.file), "--json").stdout)["items"]
        assert {key["file"]: key["state"] for key in listed} == {old.name: "verifies", new.name: "signs"}
        early = rppam("token", "keys", "retire", "--config", str(first.file), old.name)
        assert early.returncode == 1
        assert "it is needed until" in early.stderr
    assert set(traffic.answers) == {200}, "the old token was good on both nodes all the time"
    assert [node.pids() for node in lab.nodes] == pids, "nothing was restarted"

    assert rppam("token", "keys", "retire", "--config", str(first.file), old.name, "--force").returncode == 0
    eventually(lambda: first.ask("/system/health/cluster", token=lab.token).status == 401,
               within_s=40, what="a stolen key is refused at once", say=lab.logs)  # fmt: skip
    assert second.ask("/system/health/cluster", token=lab.token).status == 200, "each node for itself"
    (first.folder / "jwt" / "jwt-x.pem").write_text("no key")
    eventually(lambda: "the changed signing keys cannot be used" in first.log(), within_s=40, what="told", say=lab.logs)
    assert first.ask("/system/health/cluster", token=token).status == 200


def with_keys_of_their_own(make_lab: MakeLab) -> Lab:
    """Three members that vote, each with the cluster key in a file of its own, as on hosts of their own."""
    lab = make_lab(nodes=3, times=CALM, policy="majority")
    for node in lab.nodes:
        shutil.copy2(lab.folder / "cluster.key", node.folder / "cluster.key")
        node.config["auth"]["clusterKeyPath"] = str(node.folder / "cluster.key")
    lab.start()
    return lab


def test_the_cluster_key_is_changed_while_the_members_vote(make_lab: MakeLab) -> None:
    lab = with_keys_of_their_own(make_lab)
    first, second, third = lab.nodes
    begun = lab.health()["epoch"]
    old = (first.folder / "cluster.key").read_text()
    sealed = asyncio.run(with_data_keys(third, lambda keys: keys.seal(SEALED, "a place")))

    def step(node: LabNode, *words: str) -> subprocess.CompletedProcess[str]:
        return rppam("cluster", "key", *words, "--config", str(node.file))

    def seen_at(node: LabNode, times: int) -> bool:
        return node.log().count("the files of the cluster key changed") >= times

    def noticed(times: int) -> None:
        for node in lab.nodes:
            eventually(partial(seen_at, node, times), within_s=40, what="the files are seen", say=lab.logs)

    with Traffic(lab).running() as traffic:
        assert step(first, "begin").returncode == 0
        made = first.folder / "cluster.key.next"
        assert made.stat().st_mode & 0o777 == 0o600
        early = step(first, "switch")
        assert early.returncode == 1, early.stdout + early.stderr
        assert "node2 at 127.0.0.1:" in early.stdout
        for node in (second, third):
            shutil.copy2(made, node.folder)
        noticed(1)
        for node in lab.nodes:
            done = step(node, "switch")
            assert done.returncode == 0, done.stdout + done.stderr
        too_early = step(first, "begin")
        assert too_early.returncode == 0, "the next change may begin"
        (first.folder / "cluster.key.next").unlink()
        noticed(2)
        for node in lab.nodes:
            done = step(node, "finish")
            assert done.returncode == 0, done.stdout + done.stderr
        lab.wait_until_healthy()
    assert set(traffic.answers) == {200}
    assert traffic.epochs == {begun}, "leadership never changed hands"
    assert {"cluster-key.begin", "cluster-key.switch", "cluster-key.finish"} <= acts_told(first.file).keys()
    assert {(node.folder / "cluster.key").read_text() for node in lab.nodes} == {made_text(first)}
    assert made_text(first) != old
    assert asyncio.run(with_data_keys(first, lambda keys: keys.unseal(sealed, "a place"))) == SEALED

    standby = next(node for node in lab.nodes if not node.leads())
    standby.kill()
    (standby.folder / "cluster.key").write_text(old)
    standby.start()
    eventually(lambda: "does not hold the key of this cluster" in lab.logs(), within_s=30,
               what="the old key alone is refused", say=lab.logs)  # fmt: skip
    replace_file(standby.folder / "cluster.key", made_text(next(node for node in lab.nodes if node is not standby)))
    lab.wait_until_healthy()


def test_the_cluster_key_waits_for_a_member_that_is_down(make_lab: MakeLab) -> None:
    lab = with_keys_of_their_own(make_lab)
    first, second, third = lab.nodes
    third.term()
    third.wait()
    assert rppam("cluster", "key", "begin", "--config", str(first.file)).returncode == 0
    shutil.copy2(first.folder / "cluster.key.next", second.folder)

    def refused() -> str:
        done = rppam("cluster", "key", "switch", "--config", str(first.file))
        assert done.returncode == 1, done.stdout + done.stderr
        return done.stdout

    eventually(lambda: "node2" not in refused(), within_s=40, what="node2 knows the next key", say=lab.logs)
    assert "node3: it is a member and shows no heartbeat in Redis" in refused()
    assert (first.folder / "cluster.key.next").exists(), "nothing was changed"
    assert rppam("cluster", "key", "switch", "--config", str(first.file), "--force").returncode == 0


async def with_data_keys(node: LabNode, ask: Callable[[DataKeys], Awaitable[T]]) -> T:
    """What a node's data keys answer."""
    settings = load_settings(node.file)
    database = Database(settings.database.url)
    await database.start()
    try:
        return await ask(data_keys_of(settings, database))
    finally:
        await database.stop()


def made_text(node: LabNode) -> str:
    return (node.folder / "cluster.key").read_text()
