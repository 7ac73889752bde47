"""Nodes that answer a failover test as they are told to: real sockets and HTTP, and a promise broken on purpose."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

TEST = "01234567-89ab-cdef-0123-456789abcdef"
NAMES = ("node1", "node2", "node3")


class Doctored:
    """Three nodes in one process; ``node1`` leads until the fault."""

    def __init__(self) -> None:
        self.leader: str | None = "node1"
        self.view: dict[str, Any] = {}
        """What each view of the cluster says otherwise."""
        self.members: dict[str, dict[str, Any]] = {}
        self.urls: dict[str, str] = {}
        self.allowed = {"switchover": True, "stop": True, "kill": True, "isolate": True, "redisFailover": True}
        self.written: set[int] = set()
        self.lost_by: dict[str, set[int]] = {}
        self.sessions_end = False
        self.promotes: Callable[[], None] = self.promote
        self.asked: list[str] = []
        self.reports: list[dict[str, Any]] = []
        self.users = 0
        self.names = list(NAMES)

    def promote(self, who: str = "node2") -> None:
        self.leader = who

    def health(self, node: str) -> dict[str, Any]:
        return {
            "clusterId": "doctored", "answeredBy": node, "clusterHealthy": True, "leaderNode": self.leader, "epoch": 7,
            "role": "leader" if node == self.leader else "standby", "redisConnected": True, "quorumMet": True,
            "nodes": [
                {"nodeName": name, "role": "leader" if name == self.leader else "standby", "status": "healthy",
                 "url": self.urls[name], "addressProven": True, "redisConnected": True, **self.members.get(name, {})}
                for name in self.names
            ],
            **self.view,
        }  # fmt: skip

    def answer(self, node: str, method: str, path: str, token: str, body: Any) -> tuple[int, Any]:
        self.asked.append(f"{method} {path}")
        tests = "/api/v1/admin/cluster/failover-tests"
        match method, path.removeprefix(tests):
            case "GET", "/system/health/cluster":
                return 200, self.health(node)
            case "GET", "/system/health/leader":
                return (200 if node == self.leader else 503), {}
            case "GET", "/api/v1/settings/failoverTest/allowedMethods":
                return 200, self.allowed
            case "POST", "":
                return 201, {"id": TEST, "by": "admin", "startedAt": "2026-03-01T12:00:00.000Z"}
            case "POST", "/api/v1/users":
                self.users += 1
                return 201, {"id": "u1"}
            case "DELETE", "/api/v1/users/u1":
                self.users -= 1
                return 204, None
            case "POST", "/api/v1/auth/login":
                return 200, {"accessToken": "session"}
            case "GET", "/api/v1/users/me":
                ended = self.sessions_end and self.leader != "node1"
                return (401, {"detail": "it is over", "code": "RPPAM-6005", "fix": ""}) if ended else (200, {})
            case "POST", rest if rest.endswith("/fault"):
                self.promotes()
                return 200, {"said": "node1 is gone", "node": "node1", "seconds": 0, "beginsAfterMs": 0}
            case "PUT", rest if "/writes/" in rest:
                self.written.add(int(rest.rpartition("/")[2]))
                return 200, {"number": 1, "node": node}
            case "GET", rest if rest.endswith("/writes"):
                here = sorted(self.written - self.lost_by.get(node, set()))
                return 200, {"node": node, "count": len(here), "ranges": [[one, one] for one in here]}
            case "PUT", rest if rest.endswith("/report"):
                self.reports.append(body)
                return 200, {"event": "e1"}
        return 404, {"detail": "no such page", "code": "RPPAM-6003", "fix": ""}

    @asynccontextmanager
    async def served(self) -> AsyncIterator[None]:
        servers = []
        for name in self.names:
            server = await asyncio.start_server(self._handler(name), "127.0.0.1", 0)
            self.urls[name] = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            servers.append(server)
        try:
            yield
        finally:
            for server in servers:
                server.close()

    def _handler(self, node: str) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                first, *lines = head.split("\r\n")
                fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
                raw = await reader.readexactly(int(fields.get("content-length", "0")))
                method, path, _ = first.split(" ")
                sent = json.loads(raw) if raw else None
                status, said = self.answer(node, method, path, fields.get("authorization", ""), sent)
                text = b"" if said is None else json.dumps(said).encode()
                writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: {len(text)}\r\n\r\n".encode() + text)
                await writer.drain()
            finally:
                writer.close()

        return handle
