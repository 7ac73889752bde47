"""Receivers of events that do as a test says: answer late, half, or not at all."""

import asyncio
import hashlib
import hmac
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from rppam.kernel.secret import Secret
from rppam.siem.model import Format, Options, Target, TargetKind


def target(kind: TargetKind, url: str, secret: str | None = "s3cret", **changes: Any) -> Target:
    made = Target("id-1", "siem", kind, Format.JSON, url, Options(flush_seconds=0), None, True, 1, 0, None, None, "")
    return made._replace(secret=None if secret is None else Secret(secret), **changes)


def event(index: int | None = 0, **changes: Any) -> dict[str, Any]:
    actor = {"kind": "user", "id": "id-sue", "name": "sue", "session": "s", "address": "10.0.0.7"}
    made = {"id": f"id-{index}", "index": index, "time": 1_772_366_400_123, "action": "user.create", "actor": actor}
    made |= {"object": {"kind": "user", "id": "x", "name": "anna"}, "outcome": "success", "reason": "", "node": "node1"}
    return made | {"epoch": None, "request": "", "details": {}} | changes


class Syslog:
    """A receiver with octet counting."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.port = 0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self, port: int = 0) -> None:
        self._server = await asyncio.start_server(self._take, "127.0.0.1", port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def kill(self) -> None:
        """Hang up on everybody and listen no more."""
        assert self._server is not None
        self._server.close()
        for writer in tuple(self._writers):
            writer.transport.abort()
        await asyncio.sleep(0)

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while True:
                length = int(await reader.readuntil(b" "))
                self.messages.append(await reader.readexactly(length))
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()


Handler = Callable[[str, dict[str, str], bytes], Awaitable[tuple[int, object]]]


@asynccontextmanager
async def http(handle: Handler, context: ssl.SSLContext | None = None, port: int = 0) -> AsyncIterator[str]:
    """An HTTP server; ``handle(path, headers, body)`` gives status and JSON. With ``context`` over TLS."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            lines = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, OSError):
            writer.close()  # nobody asks: the certificate was not believed
            return
        head = lines.decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        status, answer = await handle(head[0].split(" ")[1], headers, body)
        said = json.dumps(answer).encode()
        kind = "Content-Type: application/json"
        writer.write(f"HTTP/1.1 {status} X\r\n{kind}\r\nContent-Length: {len(said)}\r\n\r\n".encode() + said)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port, ssl=context)
    found = server.sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{found}" if context is None else f"https://localhost:{found}"
    finally:
        server.close()


def is_signed(secret: str, headers: dict[str, str], body: bytes) -> bool:
    """As a receiver of a webhook checks it."""
    stamped = headers["x-rppam-timestamp"].encode() + b"." + body
    code = hmac.new(secret.encode(), stamped, hashlib.sha256).hexdigest()
    return hmac.compare_digest(f"sha256={code}", headers["x-rppam-signature"])
