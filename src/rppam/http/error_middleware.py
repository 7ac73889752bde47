"""The outermost layer: whatever happens inside, the caller gets one complete, harmless answer with a request id.

Decides headers that every answer carries, turns every error into a problem document, and logs it once. Written on bare
ASGI: no task switch lies between an inner ``send`` and the socket, so that a probe's answer is as fresh as its check.
"""

import asyncio
import logging
import re
from collections.abc import Callable, Iterable
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rppam.http.bounds import ApiLimits
from rppam.http.errors import HeadersTooLargeError, LeavingError, UnauthenticatedError, UnexpectedError
from rppam.http.problems import Answer, problem
from rppam.http.rate_headers import rate_header_pairs
from rppam.http.refusal_log import WORDS_CHARS, RefusalLog
from rppam.kernel.clock import Clock
from rppam.kernel.errors import RppamError
from rppam.kernel.instant import US_PER_MS
from rppam.kernel.limit import Decision

_LOG: Final = logging.getLogger("rppam.api")
_ACCESS: Final = logging.getLogger("rppam.api.access")
_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_ALWAYS: Final = [
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
"""Each header costs every request. What forbids framing is ``frame-ancestors``; browsers that know it heed no
X-Frame-Options. A Referrer-Policy concerns documents with links, and there are none among our answers."""
_NO_STORE: Final = (b"cache-control", b"no-store")
_OWN: Final = frozenset({name for name, _ in _ALWAYS} | {_NO_STORE[0], b"ratelimit"})


class ErrorMiddleware:
    """Wraps the whole application."""

    def __init__(
        self, app: ASGIApp, *, clock: Clock, new_id: Callable[[], str], limits: ApiLimits, access_log: bool
    ) -> None:
        self._app, self._clock, self._new_id = app, clock, new_id
        self._limits, self._access_log = limits, access_log
        self._refusals = RefusalLog(_LOG)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            # Never a WebSocket: its handshake comes as a request (rppam.http.sockets). What is left is the lifespan.
            await self._app(scope, receive, send)
            return
        size, caller_id = _looked_through(scope)
        request = _Request(scope, send, caller_id or self._new_id(), self._refusals)
        started = self._clock.now() if self._access_log else None
        try:
            if size > self._limits.header_bytes:
                raise HeadersTooLargeError(
                    f"{size} bytes of request line and headers, at most {self._limits.header_bytes}"
                )
            await self._app(scope, receive, request.send)
        except asyncio.CancelledError:
            # Only the server's shutdown cancels a request here, after the drain time: say so and end the task.
            await request.fail(LeavingError("the node is shutting down"))
        except RppamError as error:
            await request.fail(error)
        except Exception as error:  # noqa: BLE001 - the boundary: nothing of ours may reach the caller, all of it the log
            _LOG.error("request %s: %s %.200r failed", request.id, scope["method"], scope["path"], exc_info=error)
            await request.fail(UnexpectedError("the request met an error of the node"), logged=True)
        if started is not None:
            elapsed_ms = (self._clock.now() - started) // US_PER_MS
            _ACCESS.info(
                "%s %.200r %s %d ms request=%s", scope["method"], scope["path"], request.status, elapsed_ms, request.id
            )


class _Request:
    """One request on its way: its id, and whether an answer has begun."""

    def __init__(self, scope: Scope, send: Send, request_id: str, refusals: RefusalLog) -> None:
        self.id: Final = request_id
        self.status: int | None = None
        self._scope, self._send, self._refusals = scope, send, refusals
        scope.setdefault("state", {})["request_id"] = request_id

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message = {**message, "headers": self._dressed(message.get("headers", ()))}
        await self._send(message)

    async def fail(self, error: RppamError, *, logged: bool = False) -> None:
        """Answer with ``error``; with half an answer out already, the server closes the connection."""
        if not logged:
            self._log(error)
        if self.status is not None:
            return
        await send_answer(problem(error, instance=self._scope["path"], request_id=self.id), self.send)

    def _dressed(self, headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """With what every answer carries. Names are in small letters, as ASGI asks."""
        present = list(headers)
        names = {name for name, _ in present if name in _OWN}
        present.extend([header for header in _ALWAYS if header[0] not in names] if names else _ALWAYS)
        decision: Decision | None = self._scope["state"].get("rate")
        if decision is not None and b"ratelimit" not in names:
            present += rate_header_pairs(decision)
        if _NO_STORE[0] not in names:
            present.append(_NO_STORE)
        present.append((b"x-request-id", self.id.encode("ascii")))
        return present

    def _log(self, error: RppamError) -> None:
        client = self._scope.get("client")
        reason = error.flaw.value if isinstance(error, UnauthenticatedError) else str(error)
        self._refusals.write(
            _LEVELS[error.row.level],
            error.row.code,
            "%s: %.20s %.200r from %s: %s (request %s)",
            error.row.code,
            self._scope["method"],
            self._scope["path"][:200],
            client[0] if client else "an unknown address",
            reason if len(reason) <= WORDS_CHARS else f"{reason[:WORDS_CHARS]}...",
            self.id,
        )


async def send_answer(answer: Answer, send: Send) -> None:
    """Send a complete answer."""
    await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
    await send({"type": "http.response.body", "body": answer.body})


def _looked_through(scope: Scope) -> tuple[int, str | None]:
    """How large request line and headers are; and the caller's own request id where it is harmless, so that one id runs
    through a load balancer's log and ours.

    The parser bounds only headers that are not complete yet; many kilobytes may come complete in one packet.
    """
    size = len(scope.get("raw_path") or b"") + len(scope["query_string"])
    found: list[bytes] = []
    for name, value in scope["headers"]:
        size += len(name) + len(value) + 4  # ": " and the end of the line
        if name == b"x-request-id":
            found.append(value)
    harmless = len(found) == 1 and _REQUEST_ID.fullmatch(found[0])
    return size, found[0].decode("ascii") if harmless else None
