"""Two real nodes and a witness on PostgreSQL and Redis, for tests of their ledger.

The database is copied and put back with PostgreSQL's own tools while the nodes run, as an administrator would.
"""

import base64
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from prometheus_client.parser import text_string_to_metric_families

from rppam.ledger.checkpoint import read_checkpoint, verifier_of
from rppam.ledger.cosigner import SEEN_FILE, SeenFile
from rppam.ledger.merkle import leaf_hash, root_from_inclusion
from tests.support import postgres
from tests.support.lab import CALM, START_S, Lab, LabNode, eventually
from tests.support.lab_fixtures import KIND
from tests.support.placed_witness import RunningWitness, place_example
from tests.support.redis_servers import Server, missing

WITNESS: Final = "witness1"
USERS: Final = "/api/v1/users"
EVENTS: Final = "/api/v1/audit/events"
CHECKPOINTS: Final = "/api/v1/audit/checkpoints"
PROOF: Final = "/api/v1/audit/proof"
ANSWER_S: Final = 20.0
"""A process that is asked for the first time makes much that it keeps."""
Gauges = dict[tuple[str, str], float]


class Nodes(NamedTuple):
    """The cluster, and what stands around it."""

    lab: Lab
    witness: RunningWitness
    sql: postgres.Server
    programs: Path

    # ---- acts and what becomes of them -------------------------------------------------------------------------------

    def token(self, node: LabNode) -> str:
        """Of a log-in at this node, good by the database's clock."""
        [file] = self.lab.folder.glob("*/first-admin-password")
        who = {"username": "admin", "password": file.read_text().strip()}
        answer = node.ask("/api/v1/auth/login", method="POST", send=who, timeout_s=ANSWER_S)
        assert answer.status == 200, answer
        token: str = answer.body["accessToken"]
        return token

    def act(self, node: LabNode, name: str, token: str | None = None) -> float:
        """Make an account; when it was answered."""
        new = {"username": name, "displayName": name, "roles": ["pam_user"]}
        token = token or self.lab.token
        answer = node.ask(USERS, method="POST", send=new, token=token, timeout_s=ANSWER_S)
        assert answer.status == 201, answer
        return time.monotonic()

    def asked(self, node: LabNode, path: str, token: str | None = None) -> Any:
        answer = node.ask(path, token=token or self.lab.token, timeout_s=ANSWER_S)
        assert answer.status == 200, answer
        return answer.body

    def event(self, node: LabNode, name: str, token: str | None = None) -> Any:
        """That the account was made."""
        [found] = self.asked(node, f"{EVENTS}?action=user.create&object={name}", token)["events"]
        return found

    def prove(self, node: LabNode, name: str, token: str | None = None, *, within_s: float) -> None:
        """The node proves that the account was made, and the proof holds."""

        def place() -> int | None:
            index: int | None = self.event(node, name, token)["index"]
            return None if index is None else index + 1

        index = eventually(place, within_s=within_s, what=f"{name} has its place in the tree", say=self.lab.logs) - 1
        answer = self.asked(node, f"{PROOF}?index={index}", token)
        key = self.asked(node, f"{CHECKPOINTS}?limit=1", token)["key"]
        signed = read_checkpoint(answer["note"], verifier_of(key))
        with self.sql.connect("rppam") as link:
            row = link.execute("SELECT body FROM audit_events WHERE leaf = %s", (index,)).fetchone()
        assert row is not None
        leaf, path = leaf_hash(row[0].encode()), [base64.b64decode(one) for one in answer["proof"]]
        assert base64.b64decode(answer["leaf"]) == leaf
        assert root_from_inclusion(leaf, index, signed.size, path) == signed.root

    # ---- who has seen what -------------------------------------------------------------------------------------------

    def size(self) -> int:
        """How many events are signed."""
        with self.sql.connect("rppam") as link:
            row = link.execute("SELECT coalesce(max(size), 0) FROM audit_checkpoints").fetchone()
        assert row is not None
        return int(row[0])

    def seen(self) -> dict[str, int]:
        """How many each member remembers."""
        folders = {node.name: node.folder for node in self.lab.nodes} | {WITNESS: self.witness.file.parent}
        found = {name: SeenFile(folder / SEEN_FILE).read() for name, folder in folders.items()}
        return {name: one.checkpoint.size if one else 0 for name, one in found.items()}

    def wait_until_seen(self, size: int) -> None:
        """Every member has cosigned so many events."""
        eventually(lambda: min(self.seen().values()) >= size, within_s=ANSWER_S, what=f"{size} events are cosigned")

    def witness_refuses(self, node: LabNode, because: str) -> bool:
        """This node tells that the witness does not cosign, and why."""
        cosigners = self.asked(node, f"{CHECKPOINTS}?limit=1")["cosigners"]
        return any(one["name"].endswith(f"/{WITNESS}") and because in one["why"] for one in cosigners)

    def has_found(self, node: LabNode, code: str, *, because: str = "", is_there: bool = True) -> bool:
        """Its health has this finding, with these words as evidence, or has it no more."""
        findings = self.lab.health(node)["findings"]
        return any(one["code"] == code and because in str(one["evidence"]) for one in findings) == is_there

    def found(self, node: LabNode, code: str) -> str:
        """The evidence of this finding in its health; empty where it has none."""
        return next((str(one["evidence"]) for one in self.lab.health(node)["findings"] if one["code"] == code), "")

    def gauges(self, node: LabNode) -> Gauges:
        """What monitoring reads, by name and value of the one label."""
        with urllib.request.urlopen(f"http://127.0.0.1:{node.port}/system/metrics", timeout=ANSWER_S) as answer:
            families = text_string_to_metric_families(answer.read().decode())
        return {
            (sample.name, "".join(sample.labels.values())): sample.value
            for family in families
            for sample in family.samples
        }

    # ---- the database ------------------------------------------------------------------------------------------------

    def copy(self, file: Path) -> None:
        """While the cluster works, as docs/operations/backup.md says."""
        self._run("pg_dump", "--format=custom", f"--file={file}", "--dbname=rppam")

    def put_back(self, file: Path) -> float:
        """Under running nodes; when it was there."""
        with self.sql.connect() as admin:
            admin.execute("CREATE DATABASE older")
            self._run("pg_restore", "--exit-on-error", "--dbname=older", str(file))
            admin.execute("DROP DATABASE rppam WITH (FORCE)")
            admin.execute("ALTER DATABASE older RENAME TO rppam")
        return time.monotonic()

    def _run(self, program: str, *words: str) -> None:
        where = [f"--host={self.sql.host}", f"--port={self.sql.port}", "--username=postgres"]
        environment = os.environ | {"PGPASSWORD": postgres.PASSWORD}
        command = [str(self.programs / program), *where, *words]
        subprocess.run(command, check=True, capture_output=True, timeout=60, env=environment)

    # ---- faults ------------------------------------------------------------------------------------------------------

    def other(self, node: LabNode) -> LabNode:
        return next(one for one in self.lab.nodes if one is not node)

    @contextmanager
    def alone(self, node: LabNode) -> Iterator[None]:
        """It has no majority within the block: the other node is killed, the witness frozen."""
        assert self.witness.process is not None
        self.other(node).kill()
        self.witness.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.witness.process.send_signal(signal.SIGCONT)

    def whole(self) -> None:
        """Both nodes run, agree, and say that all is well."""
        for node in self.lab.nodes:
            if not node.is_running:
                node.start()
        self.wait_until_healthy()

    def wait_until_healthy(self, within_s: float = START_S) -> None:
        """As that of the lab, which knows of no witness."""
        eventually(self._is_healthy, within_s=within_s, what="one healthy cluster with a witness", say=self.lab.logs)

    def _is_healthy(self) -> bool:
        try:
            told = [self.lab.health(node) for node in self.lab.nodes]
        except (OSError, AssertionError):
            return False
        return all(
            one["clusterHealthy"]
            and len(one["nodes"]) == len(self.lab.nodes) + 1
            and one["leaderNode"] == told[0]["leaderNode"]
            for one in told
        )

    def has_taken_in(self) -> bool:
        """The witness has cosigned."""
        return self.seen()[WITNESS] > 0


@contextmanager
def running(folder: Path) -> Iterator[Nodes]:
    """A cluster that works, with a witness that has cosigned; skipped where a server is missing."""
    programs = postgres.binaries()
    if KIND.find() is None or programs is None or not (programs / "pg_dump").exists():
        missing("no Redis or no PostgreSQL on this machine: make servers")
    with (
        Server(KIND) as redis,
        postgres.running(programs) as sql,
        Lab(folder / "lab", redis.port, nodes=2, times=CALM, policy="majority") as lab,
    ):
        url = sql.create("rppam")
        for node in lab.nodes:
            node.config["database"]["url"] = url
        lab.start()
        with RunningWitness(place_example(lab, redis.port)) as witness:
            made = Nodes(lab, witness, sql, programs)
            eventually(made.has_taken_in, within_s=60, what="the witness cosigns", say=witness.log)
            yield made


def seconds_until(
    holds: Callable[[], object], *, since: float, within_s: float, what: str, say: Callable[[], str] = str
) -> float:
    """When it held, in seconds after ``since``; AssertionError where that was not in time."""
    eventually(holds, within_s=max(0.1, since + within_s - time.monotonic()), what=what, say=say)
    return time.monotonic() - since
