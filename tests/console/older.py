"""A node of the release before, as a page meets it behind an address: real answers without what is new in them.

What is new is what the contract has gained since the console's first day (`docs/reference/openapi.json` of then and
of now): fields in answers, and routes, which such a node answers by 404. It stands before a real node and changes
nothing else, so what a page shows of it is what the cluster says.
"""

import http.client
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from tests.support.lab import HOST

_STATE: Final = frozenset(
    {
        "databaseConnected", "databaseErrors", "databaseLatencyMs", "databaseReason", "dnsName", "acknowledged",
        "hasVirtualIp", "hasVote", "tellsConfig",
    }
)  # fmt: skip
_KEPT: Final = frozenset({"hold", "heldBy", "keptBy", "keptTag", "keptUntil", "store"})
NEW_FIELDS: Final[dict[str, frozenset[str]]] = {
    "/api/v1/access/sessions": frozenset({"detachedAt", "kept"}),
    "/api/v1/admin/cluster/failover-tests/redis": frozenset({"sentinels"}),
    "/api/v1/admin/cluster/status": _STATE,
    "/api/v1/admin/nodes": frozenset({"warnings"}),
    "/api/v1/audit/events": frozenset({"leftOut"}),
    "/api/v1/events": _STATE,
    "/api/v1/recordings": _KEPT,
    "/api/v1/siem/targets": frozenset({"lagSeconds", "batchBytes", "revision"}),
    "/api/v1/users": frozenset({"allowedFrom"}),
    "/api/v1/vault/entries": frozenset({"ownerId", "ownerName", "rights", "tags", "secondsLeft"}),
    "/api/v1/vault/generate": frozenset({"entropyBits", "field"}),
    "/system/health": _STATE,
}
"""By the beginning of a path: what an answer of it had not, however deep it stands."""
NEW_ROUTES: Final = (
    *("access-requests", "access/ca", "access/sessions/[^/]+/files", "access/targets", "access/terminals"),
    *("admin/cluster/failover-tests", "admin/licence", "approval-policies", "approvals", "audit/erasures"),
    *("audit/holds", "auth/webauthn", "grants", "host-keys", "notifications", "recordings/search", "settings/trial"),
    *("recordings/[^/]+/(hold|release|watch)", "user-groups", "users/me/ssh-", "users/[^/]+/(contact|passkeys)"),
    *("vault/entries/[^/]+/rotat", "vault/folders/[^/]+", "vault/rotations"),
)
NOWHERE: Final = "/api/v1/of-the-next-release"
"""What the real node has not, either: it says so in its own words."""
_NEW_ROUTE: Final = re.compile(rf"/api/v1/({'|'.join(NEW_ROUTES)})")
_OF_THE_HOP: Final = frozenset({"connection", "transfer-encoding", "content-length", "keep-alive"})


def is_new_route(path: str) -> bool:
    return _NEW_ROUTE.match(path) is not None


def without_the_new(path: str, answer: Any) -> Any:
    """Return ``answer`` as a node of the release before gives it at ``path``."""
    matching = [fields for start, fields in NEW_FIELDS.items() if path.partition("?")[0].startswith(start)]
    gone = frozenset[str]().union(*matching)
    return _without(answer, gone)


def _without(value: Any, gone: frozenset[str]) -> Any:
    if isinstance(value, dict):
        return {name: _without(held, gone) for name, held in value.items() if name not in gone}
    if isinstance(value, list):
        return [_without(held, gone) for held in value]
    return value


class OlderNode(ThreadingHTTPServer):
    """See the module. ``routes``: whether it has the new ones."""

    daemon_threads = True

    def __init__(self, behind: int, *, routes: bool) -> None:
        super().__init__((HOST, 0), _Handler)
        self.behind, self.routes = behind, routes


class _Handler(BaseHTTPRequestHandler):
    server: OlderNode
    protocol_version = "HTTP/1.1"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):
            return self._serve
        raise AttributeError(name)

    def log_message(self, *_: object) -> None:
        pass

    def _serve(self) -> None:
        sent = self.rfile.read(int(self.headers.get("content-length") or 0))
        if not self.server.routes and is_new_route(self.path):
            self.path = NOWHERE
        node = http.client.HTTPConnection(HOST, self.server.behind, timeout=90)
        with suppress(OSError, http.client.HTTPException):
            node.request(self.command, self.path, sent, dict(self.headers.items()))
            answer = node.getresponse()
            headers = [one for one in answer.getheaders() if one[0].lower() not in _OF_THE_HOP]
            kind = answer.getheader("content-type", "")
            if kind.startswith("text/event-stream"):
                self._stream(answer, headers)
            else:
                body = answer.read()
                if kind.startswith("application/json"):
                    body = json.dumps(without_the_new(self.path, json.loads(body))).encode()
                self._answer(answer.status, headers, body)
        node.close()

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        if status not in {204, 304}:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _stream(self, answer: http.client.HTTPResponse, headers: list[tuple[str, str]]) -> None:
        """Line by line, until either side is gone."""
        self.close_connection = True
        self.send_response_only(answer.status)
        for name, value in [*headers, ("Connection", "close")]:
            self.send_header(name, value)
        self.end_headers()
        while line := answer.readline():
            if line.startswith(b"data:"):
                line = b"data: " + json.dumps(without_the_new(self.path, json.loads(line[5:]))).encode() + b"\n"
            self.wfile.write(line)
            self.wfile.flush()


@contextmanager
def node_of_the_release_before(behind: int, *, routes: bool) -> Iterator[OlderNode]:
    """Serve what the node at port ``behind`` answers, without the new fields and, if asked, routes."""
    with OlderNode(behind, routes=routes) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()
