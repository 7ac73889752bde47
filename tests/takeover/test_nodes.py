"""Nodes of this release take over what a cluster of the release before left: its database, its Redis, its orders."""

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from rppam.db.database import BEING_OPENED, NOT_ASKED
from tests.support import prefork
from tests.support.authenticator import code
from tests.support.lab import Answer, LabNode, eventually
from tests.support.lab_fixtures import KIND
from tests.support.placed_witness import RunningWitness
from tests.support.redis_servers import Server, need
from tests.takeover.taken_over import (
    CLUSTER,
    PASSWORD,
    POSTGRESQL,
    fill_postgresql,
    fill_redis,
    fill_sqlite,
    known,
    place_node,
    place_witness,
    token_of_then,
)

pytestmark = [pytest.mark.integration, pytest.mark.server, pytest.mark.slow]

AUTH = "/api/v1/auth"
Started = Callable[[LabNode], LabNode]


@pytest.fixture(scope="module")
def redis() -> Iterator[Server]:
    need(KIND)
    with Server(KIND, password=PASSWORD) as running:
        yield running


def end(node: LabNode) -> None:
    if node.is_running:
        node.kill()


@pytest.fixture
def start() -> Iterator[Started]:
    """Start a node that ends with the test."""
    with ExitStack() as ends:

        def started(node: LabNode) -> LabNode:
            node.start()
            ends.callback(end, node)
            return node

        yield started


def rppam(*words: str) -> subprocess.CompletedProcess[str]:
    return prefork.run(*words, timeout=90)


def until(node: LabNode, holds: Callable[[], Any], what: str) -> None:
    eventually(holds, within_s=90, what=what, say=node.log)


def token(node: LabNode) -> str:
    made = rppam("token", "--config", str(node.file))
    assert made.returncode == 0, made.stderr
    return made.stdout.strip()


def ask(node: LabNode, path: str, *, token: str | None = None, method: str = "GET", send: Any = None) -> Answer:
    return node.ask(path, token=token, timeout_s=30, method=method, send=send)


def login(node: LabNode, name: str, password: str) -> Answer:
    return ask(node, f"{AUTH}/login", method="POST", send={"username": name, "password": password})


def challenge(node: LabNode, first: Answer, word: str) -> Answer:
    return ask(node, f"{AUTH}/mfa/challenge", method="POST", send={"mfaToken": first.body["mfaToken"], "code": word})


def judge_people(node: LabNode, of: Path) -> None:
    """Everybody of then signs in, with a second factor where there is one; who was locked out still is."""
    then = known(of)
    words = then["passwords"]
    until(node, lambda: login(node, "ben", words["ben"]).status == 200, "the database is there, and ben signs in")
    assert login(node, "ben", "another word").status == 401
    anna = login(node, "anna", words["anna"])
    assert anna.body["mfaEnrolled"] is True
    wrong = challenge(node, anna, "00000000")
    assert (wrong.status, wrong.body["code"]) == (401, "RPPAM-3121")
    right = challenge(node, anna, code(then["secret"], digits=8))
    assert right.status == 200, right  # 8 digits: the setting holds, and the sealed secret opens
    spare = challenge(node, login(node, "anna", words["anna"]), then["backupCodes"][3])
    assert spare.status == 200, spare
    assert challenge(node, login(node, "anna", words["anna"]), then["backupCodes"][3]).status == 401, "used"
    dora = login(node, "dora", words["dora"])
    assert (dora.status, dora.body["code"]) == (429, "RPPAM-6029")
    mine = ask(node, "/api/v1/users/me", token=token_of_then(of))
    assert (mine.status, mine.body["id"]) == (200, then["ids"]["ben"]), "a session of then goes on"


def judge_rest(node: LabNode, of: Path) -> None:
    """Settings, the note and the lockout are what they were, and can be changed."""
    then, admin = known(of), token(node)
    listed = ask(node, "/api/v1/settings", token=admin)
    found = {one["name"]: one for one in listed.body["settings"]}
    for name, value in then["settings"].items():
        assert (found[name]["value"] | value, found[name]["revision"]) == (found[name]["value"], 1), name
    assert ask(node, "/api/v1/admin/cluster/note", token=admin).body["text"] == then["note"]
    locked = ask(node, "/api/v1/lockouts", token=admin).body
    assert "dora" in str(locked)
    dora = f"/api/v1/users/{then['ids']['dora']}/unlock"
    assert ask(node, dora, token=admin, method="POST").status == 200
    assert login(node, "dora", then["passwords"]["dora"]).status == 200
    path, fewer = "/api/v1/settings/security/mfa", then["settings"]["security/mfa"] | {"totpDigits": 6}
    changed = ask(node, path, token=admin, method="PUT", send=fewer)
    assert (changed.status, changed.body["totpDigits"]) == (200, 6), changed


def no_errors(node: LabNode) -> None:
    found = re.findall(r".*\b(?:ERROR|Error|FATAL|Fatal|Traceback)\b.*", node.log())
    # Who asks while the steps of the schema are taken is told so.
    told = (f"the database is not open: {NOT_ASKED}", f"the database is not open: {BEING_OPENED}")
    assert [line for line in found if not any(one in line for one in told)] == [], node.log()


def test_a_cluster_that_died_goes_on_as_this_release(tmp_path: Path, redis: Server, start: Started) -> None:
    """Redis still has the record of a leader, unsigned, and heartbeats and cached values of then."""
    fill_redis(redis, "redis-running.json")
    fill_sqlite(tmp_path / "rppam.db")
    node = start(place_node(CLUSTER / "node1", tmp_path, redis))
    until(node, node.leads, "node1 leads")
    judge_people(node, CLUSTER)
    judge_rest(node, CLUSTER)
    assert (node.folder / "promise").read_text().startswith("rppam-promise2\n")
    assert redis.ask("GET", "rppam:leader").startswith(b"rppam1 held node1 "), "written over the old one"
    no_errors(node)


def test_a_cluster_that_was_stopped_is_updated_as_the_page_says(tmp_path: Path, redis: Server, start: Started) -> None:
    """Both nodes and the witness; then the nodes get a sealing key, and what the cluster key sealed still opens."""
    fill_redis(redis, "redis-stopped.json")
    fill_sqlite(tmp_path / "rppam.db")
    first = start(place_node(CLUSTER / "node1", tmp_path, redis))
    until(first, first.leads, "node1 leads")
    second = start(place_node(CLUSTER / "node2", tmp_path, redis))
    with RunningWitness(place_witness(tmp_path, redis)):
        admin = token(first)

        def members() -> dict[str, str]:
            found = ask(first, "/system/health/cluster", token=admin).body["nodes"]
            return {node["nodeName"]: node["status"] for node in found}

        whole = {"node1": "healthy", "node2": "maintenance", "witness1": "healthy"}
        until(first, lambda: {name: status.lower() for name, status in members().items()} == whole, f"{whole}")
        give_sealing_key(first, second)
        judge_people(first, CLUSTER)
        judge_people_elsewhere(second)
        for node in (first, second):
            no_errors(node)


def give_sealing_key(first: LabNode, second: LabNode) -> None:
    def step(node: LabNode, word: str) -> bool:
        return rppam("cluster", "key", word, "--sealing", "--config", str(node.file)).returncode == 0

    assert step(first, "begin")
    shutil.copy2(first.folder / "keys" / "sealing.key.next", second.folder / "keys")
    for word in ("switch", "finish"):
        for node in (first, second):
            until(node, partial(step, node, word), f"{node.name}: {word}")


def judge_people_elsewhere(node: LabNode) -> None:
    then = known(CLUSTER)
    found = challenge(node, login(node, "anna", then["passwords"]["anna"]), then["backupCodes"][4])
    assert found.status == 200, found


def test_a_node_with_postgresql(tmp_path: Path, redis: Server, start: Started, postgresql_url: str) -> None:
    redis.ask("FLUSHALL")
    fill_postgresql(postgresql_url)
    node = start(place_node(POSTGRESQL / "node1", tmp_path, redis, postgresql_url))
    until(node, node.leads, "the node leads")
    judge_people(node, POSTGRESQL)
    judge_rest(node, POSTGRESQL)
    no_errors(node)
