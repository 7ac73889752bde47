"""A cluster of real processes on a real server, with verbs to be cruel to them.

    with Lab(folder, server.port, nodes=3, times="lan") as lab:
        lab.start()
        leader = lab.wait_for_leader()
        leader.kill()                      # SIGKILL to all its processes
        lab.wait_for_leader(other_than=leader)

Nodes are ``rppam node --config FILE`` in sessions of their own and die with this process. Their logs stand
in the lab's folder; :meth:`Lab.logs` gives them for the message of a failed test.
"""

import http.client
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self, TypeVar

from rppam.access.tokens.key_files import ensure_signing_keys
from rppam.access.tokens.service import KeySet, Tokens
from rppam.cluster.consensus.membership import QuorumPolicy
from rppam.cluster.consensus.timing import PROFILES
from rppam.cluster.store.vote_file import found
from rppam.kernel.system_clock import SystemClock
from rppam.kernel.system_entropy import SystemEntropy
from rppam.licence import service as licence
from rppam.licence.model import Tier
from tests.support import prefork
from tests.support.ports import free_port
from tests.support.redis_servers import PASSWORD
from tests.support.tables import new_sqlite

HOST: Final = "127.0.0.1"
CALM: Final = {"leaseMs": 2_000, "heartbeatMs": 200, "requestTimeoutMs": 500, "stepDownMs": 100}
"""Times for tests on a busy machine: quick to elect, and patient enough that nothing changes without a fault."""
START_S: Final = 60.0
LOOK_S: Final = 0.1
"""What is waited for is looked for as often as this at least."""

T = TypeVar("T")


class Answer(NamedTuple):
    """A reply of a node's API."""

    status: int
    body: Any


def eventually(holds: Callable[[], T | None], *, within_s: float, what: str, say: Callable[[], str] = str) -> T:
    """The first true value of ``holds()``; AssertionError with the last one when there is none in time.

    The longer it has waited, the longer it waits: to ask all nodes a hundred times a second takes a core from them.
    """
    begun = time.monotonic()
    while True:
        found = holds()
        if found:
            return found
        waited = time.monotonic() - begun
        if waited > within_s:
            raise AssertionError(f"not within {within_s:g} s: {what}; last observation: {found!r}\n{say()}")
        time.sleep(min(LOOK_S, max(0.01, waited / 20)))


class LabNode:
    """One node's files and, while it runs, its process."""

    def __init__(self, name: str, folder: Path, config: dict[str, Any]) -> None:
        self.name: Final = name
        self.folder: Final = folder
        self.config = config
        self.file: Final = folder / "rppam.config"
        self.log_file: Final = folder / "log"
        self.process: prefork.Process | None = None
        folder.mkdir(exist_ok=True)

    @property
    def port(self) -> int:
        """Port of its API."""
        port: int = self.config["api"]["port"]
        return port

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def write_config(self) -> None:
        self.file.write_text(json.dumps(self.config), encoding="utf-8")
        self.file.chmod(0o600)

    # ---- verbs ------------------------------------------------------------------------------------------------------

    def start(self, **environment: str) -> None:
        assert not self.is_running
        self.write_config()
        self._wait_for_port()
        with self.log_file.open("ab") as out:
            self.process = prefork.start(
                "node", "--config", self.file, output=out, environment=prefork.clean(**environment)
            )

    def _wait_for_port(self) -> None:
        """A copy starts within milliseconds: the kernel may still be closing what was killed before."""
        for _ in range(60):
            with socket.socket() as place, suppress(OSError):
                place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                place.bind(("127.0.0.1", self.port))
                return
            time.sleep(0.05)

    def send(self, number: signal.Signals) -> None:
        """A signal to all its processes."""
        assert self.process is not None
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.send(signal.SIGKILL)
        self.wait()

    def stop(self) -> None:
        """SIGSTOP: it is frozen, and its sockets stay open."""
        self.send(signal.SIGSTOP)

    def cont(self) -> None:
        """SIGCONT."""
        self.send(signal.SIGCONT)

    def term(self) -> None:
        """SIGTERM: what a service manager sends."""
        self.send(signal.SIGTERM)

    def wait(self, timeout_s: float = 15.0) -> int:
        """Its exit code."""
        assert self.process is not None
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} did not end within {timeout_s} s:\n{self.log()}") from None

    # ---- what it says -----------------------------------------------------------------------------------------------

    def log(self) -> str:
        return self.log_file.read_text(encoding="utf-8", errors="replace") if self.log_file.exists() else ""

    def ask(
        self,
        path: str,
        *,
        token: str | None = None,
        timeout_s: float = 5.0,
        method: str = "GET",
        send: Any = None,
        key: str = "",
    ) -> Answer:
        """One request over a fresh connection; ``key`` makes it one that may be sent again. OSError when there is no
        answer in time."""
        link = http.client.HTTPConnection(HOST, self.port, timeout=timeout_s)
        try:
            self._reach(link, timeout_s)
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            if key:
                headers["Idempotency-Key"] = key
            body = None
            if send is not None:
                body = json.dumps(send)
                headers["Content-Type"] = "application/json"
            link.request(method, path, body=body, headers=headers)
            reply = link.getresponse()
            text = reply.read()
        except http.client.HTTPException as error:
            raise ConnectionError(repr(error)) from error
        finally:
            link.close()
        return Answer(reply.status, json.loads(text) if text else None)

    def _reach(self, link: http.client.HTTPConnection, timeout_s: float) -> None:
        """Connect ``link``, where that takes more than its address."""

    def status_of(self, path: str, timeout_s: float = 2.0) -> int:
        """The status of a GET, 0 without an answer."""
        try:
            return self.ask(path, timeout_s=timeout_s).status
        except OSError:
            return 0

    def leads(self) -> bool:
        return self.is_running and self.status_of("/system/health/leader") == 200

    def pids(self) -> list[int]:
        """All processes of its session."""
        assert self.process is not None
        found = []
        for entry in Path("/proc").iterdir():
            with suppress(OSError, ValueError):
                if entry.name.isdecimal() and os.getsid(int(entry.name)) == self.process.pid:
                    found.append(int(entry.name))
        return found


class Lab:
    """Nodes of one cluster that share keys, licence, database and Redis."""

    def __init__(
        self,
        folder: Path,
        redis_port: int | None,
        *,
        nodes: int = 3,
        times: str | dict[str, int] = "lan",
        prefix: str = "rppam:",
        cluster: str = "lab",
        licensed: bool = True,
        options: str = "abortConnect=false",
        policy: str = "last-man-standing",
        votes: bool = True,
    ) -> None:
        """``votes``: the nodes are members that vote; else they have no cluster key, and the record alone decides."""
        self.folder = folder
        self.policy = policy
        self.votes = votes
        self.prefix = prefix
        self.cluster = cluster
        self.times = {"timingProfile": times} if isinstance(times, str) else times
        self.lease_ms: Final = PROFILES[times].lease_ms if isinstance(times, str) else times["leaseMs"]
        clock = SystemClock()
        folder.mkdir(parents=True, exist_ok=True)
        keys = KeySet(ensure_signing_keys(folder / "jwt", now_ms=clock.wall_ms()))
        self.tokens: Final = Tokens(
            keys, issuer="rppam", audience="rppam-api", node="lab", clock=clock, entropy=SystemEntropy()
        )
        self.token: Final = self.new_token()
        if votes:
            for name, digits in (("cluster.key", "ab"), ("sealing.key", "5e")):
                (folder / name).write_text(digits * 32 + "\n")
                (folder / name).chmod(0o600)
        if not (folder / "rppam.db").exists():
            new_sqlite(folder / "rppam.db")  # else all nodes make its tables at once, and wait for each other
        self.database: Final = f"sqlite:///{folder / 'rppam.db'}"
        self.licence = self._make_licence(clock) if licensed else {"path": str(folder / "none.jwt")}
        self._redis_port = redis_port
        self._options = options
        self.nodes: list[LabNode] = [self.make_node(f"node{number}") for number in range(1, nodes + 1)]
        if votes:
            found({node.name: node.folder for node in self.nodes}, QuorumPolicy(policy), SystemEntropy())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        if error is not None:
            error.add_note(self.logs())

    def make_node(self, name: str, folder: str | None = None) -> LabNode:
        """A further node's files; it is not among :attr:`nodes`."""
        place = self.folder / (folder or name)
        config: dict[str, Any] = {
            "node": {"nodeName": name, "dataDir": str(place)},
            "cluster": {
                "enabled": True,
                "clusterId": self.cluster,
                "quorumPolicy": self.policy,
                "memberHost": HOST,
                "memberPort": free_port(),
                **self.times,
            },
            "database": {"url": self.database},
            "auth": {"jwtKeysDir": str(self.folder / "jwt"), "clusterKeyPath": str(self.folder / "cluster.key")},
            "license": self.licence,
            "api": {"host": HOST, "port": free_port(), "drainSeconds": 2},
            "settings": {"security/mfa": {"mfaRequirement": "optional"}},  # tests log in with a password alone
        }
        if self._redis_port is not None:
            config["redis"] = {
                "enabled": True,
                "connectionString": f"{HOST}:{self._redis_port},{self._options}",
                "keyPrefix": self.prefix,
                "password": PASSWORD,
            }
        return LabNode(name, place, config)

    def new_token(self) -> str:
        """An administrator's, as ``rppam token`` makes them."""
        return self.tokens.issue_admin("admin", 60).token.reveal()

    def _make_licence(self, clock: SystemClock) -> dict[str, Any]:
        private, trusted = licence.new_private_key()
        terms = licence.Terms(customer="lab", tier=Tier.ENTERPRISE, max_nodes=10, days=365)
        key = licence.parse_private_key(private, "the lab's key")
        path = self.folder / "license.jwt"
        path.write_text(licence.issue(terms, key, "lab", clock.wall_ms()) + "\n")
        return {"path": str(path), "trustedKeys": [trusted.text()]}

    def start(self) -> None:
        """Start every node, and wait until they are one healthy cluster."""
        for node in self.nodes:
            node.start()
        self.wait_until_healthy()

    def close(self) -> None:
        for node in self.nodes:
            if node.is_running:
                node.kill()

    # ---- what the cluster says --------------------------------------------------------------------------------------

    def running(self) -> list[LabNode]:
        return [node for node in self.nodes if node.is_running]

    def leaders(self) -> list[LabNode]:
        return [node for node in self.running() if node.leads()]

    def wait_for_leader(self, *, other_than: LabNode | None = None, within_s: float = START_S) -> LabNode:
        def found() -> list[LabNode]:
            return [node for node in self.leaders() if node is not other_than]

        return eventually(found, within_s=within_s, what="a leader", say=self.logs)[0]

    def health(self, node: LabNode | None = None) -> dict[str, Any]:
        answer = (node or self.running()[0]).ask("/system/health/cluster", token=self.token)
        assert answer.status == 200, answer
        body: dict[str, Any] = answer.body
        return body

    def wait_until_healthy(self, within_s: float = START_S) -> None:
        """Every running node reports the same leader, and a healthy cluster of all of them."""

        def agreed() -> bool:
            try:
                if not all(node.status_of("/system/health/ready") == 200 for node in self.running()):
                    return False  # it has not taken its place yet
                seen = [self.health(node) for node in self.running()]
            except OSError:
                return False
            return (
                all(report["clusterHealthy"] and len(report["nodes"]) == len(seen) for report in seen)
                and len({report["leaderNode"] for report in seen}) == 1
            )

        eventually(agreed, within_s=within_s, what="one healthy cluster", say=self.logs)

    def logs(self) -> str:
        """All logs, each line with its node."""
        return "\n".join(f"{node.name} | {line}" for node in self.nodes for line in node.log().splitlines()[-60:])
