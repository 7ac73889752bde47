"""Outside observers: for each node one that asks who leads, one that looks at the cluster, and one that writes.

Each stands on its node's own host, so a cut network hides nothing from it, and all share one clock: the machine's.
"""

import http.client
import json
import socket
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

from tests.faults.lab.history import NEVER, Deed, Outcome
from tests.faults.lab.net import Host
from tests.support.watching import Eyes, Sample

API_PORT: Final = 7101


class HostEyes(Eyes):
    """As :class:`Eyes`, each looking from its node's host."""

    def __init__(self, hosts: Mapping[str, Host], every_ms: float = 10.0) -> None:
        super().__init__(dict.fromkeys(hosts, API_PORT), every_ms)
        self._hosts = dict(hosts)

    def last_yes(self, since_ns: int) -> Sample | None:
        """The latest 200 that arrived after ``since_ns``."""
        recent = [sample for of_node in self._samples.values() for sample in of_node[-60:]]
        found = [sample for sample in recent if sample.status == 200 and sample.received_ns > since_ns]
        return max(found, key=lambda sample: sample.received_ns, default=None)

    def _connect(self, name: str) -> socket.socket:
        return self._hosts[name].connect("127.0.0.1", API_PORT, 1.0)


class View(NamedTuple):
    """What one node told of the cluster."""

    at_ns: int
    node: str
    leader: str | None
    epoch: int
    redis_connected: bool
    quorum_met: bool


class Hands:
    """Writes and reads the operator note through every node, and looks at its view of the cluster, in turns."""

    def __init__(self, hosts: Mapping[str, Host], token: str, mark: str, every_ms: float = 150.0) -> None:
        """``mark`` stands before every value that is written: no two pairs of hands may share one."""
        self._mark = mark
        self._hosts, self._token, self._every_s = dict(hosts), token, every_ms / 1000
        self._over = threading.Event()
        self._deeds: dict[str, list[Deed]] = {name: [] for name in hosts}
        self._views: dict[str, list[View]] = {name: [] for name in hosts}
        self._threads = [threading.Thread(target=self._work, args=(name,), daemon=True) for name in hosts]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(15)

    def deeds(self) -> list[Deed]:
        """All so far."""
        return [deed for of_node in self._deeds.values() for deed in tuple(of_node)]

    def views(self) -> list[View]:
        """All so far, by time."""
        return sorted(view for of_node in self._views.values() for view in tuple(of_node))

    def accepted_since(self, at_ns: int) -> list[Deed]:
        """Writes that were asked for after ``at_ns`` and accepted."""
        return [
            deed
            for of_node in self._deeds.values()
            for deed in of_node[-40:]
            if deed.kind == "write" and deed.outcome == "accepted" and deed.sent_ns > at_ns
        ]

    # ---- working ----------------------------------------------------------------------------------------------------

    def _work(self, name: str) -> None:
        number = 0
        link: http.client.HTTPConnection | None = None
        while not self._over.wait(self._every_s):
            number += 1
            try:
                if link is None:
                    link = http.client.HTTPConnection("127.0.0.1", API_PORT)
                    link.sock = self._hosts[name].connect("127.0.0.1", API_PORT, 3.0)
            except OSError:
                link = None
                continue
            kept = self._write(link, name, f"{self._mark}.{name}.{number}")
            kept = kept and self._read(link, name)
            kept = kept and (number % 2 == 0 or self._look(link, name))
            if not kept:
                link.close()
                link = None
        if link is not None:
            link.close()

    def _write(self, link: http.client.HTTPConnection, name: str, value: str) -> bool:
        sent_ns = time.monotonic_ns()
        status, body = self._ask(link, "PUT", "/api/v1/admin/cluster/note", {"text": value})
        outcome: Outcome = "accepted" if status == 200 else "refused" if 400 <= status < 500 else "unknown"
        received_ns = NEVER if outcome == "unknown" else time.monotonic_ns()
        epoch = body["epoch"] if status == 200 else 0
        self._deeds[name].append(Deed(name, "write", sent_ns, received_ns, value, epoch, outcome))
        return status != 0

    def _read(self, link: http.client.HTTPConnection, name: str) -> bool:
        sent_ns = time.monotonic_ns()
        status, body = self._ask(link, "GET", "/api/v1/admin/cluster/note")
        if status == 200:
            self._deeds[name].append(
                Deed(name, "read", sent_ns, time.monotonic_ns(), body["text"], body["epoch"] or 0, "accepted")
            )
        return status != 0

    def _look(self, link: http.client.HTTPConnection, name: str) -> bool:
        status, body = self._ask(link, "GET", "/system/health/cluster")
        if status == 200:
            told = [body[key] for key in ("leaderNode", "epoch", "redisConnected", "quorumMet")]
            self._views[name].append(View(time.monotonic_ns(), name, *told))
        return status != 0

    def _ask(self, link: http.client.HTTPConnection, method: str, path: str, send: Any = None) -> tuple[int, Any]:
        """Status and body; 0 when the connection broke or nothing came in time. Never asked twice."""
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        with suppress(OSError, http.client.HTTPException, ValueError):
            link.request(method, path, None if send is None else json.dumps(send), headers)
            reply = link.getresponse()
            return reply.status, json.loads(reply.read())
        return 0, None
