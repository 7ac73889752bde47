"""The outermost layer: whatever happens inside, the caller gets one complete, harmless answer with a request id.

Decides headers that every answer carries, turns every error into a problem document, and logs it once. Written on bare
ASGI: no task switch lies between an inner ``send`` and the socket, so that a probe's answer is as fresh as its check.
"""

import asyncio
import logging
import re
from collections.abc import Callable
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rppam.api.limits import ApiLimits
from rppam.api.problems import Answer, problem
from rppam.domain.errors import RppamError
from rppam.domain.errors.request import HeadersTooLargeError, LeavingError, UnauthenticatedError, UnexpectedError
from rppam.domain.instant import US_PER_MS
from rppam.domain.limit import Decision, rate_headers
from rppam.ports.clock import Clock

_LOG: Final = logging.getLogger("rppam.api")
_ACCESS: Final = logging.getLogger("rppam.api.access")
_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_ALWAYS: Final = [
    (b"server", b"rppam"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
]


class Envelope:
    """Wraps the whole application."""

    def __init__(
        self, app: ASGIApp, *, clock: Clock, new_id: Callable[[], str], limits: ApiLimits, access_log: bool
    ) -> None:
        self._app, self._clock, self._new_id = app, clock, new_id
        self._limits, self._access_log = limits, access_log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            # Never a websocket: the server is built without. What is left is the server's own lifespan.
            await self._app(scope, receive, send)
            return
        request = _Request(scope, send, _caller_id(scope) or self._new_id())
        started = self._clock.now()
        try:
            self._check_size(scope)
            await self._app(scope, receive, request.send)
        except asyncio.CancelledError:
            # Only the server's shutdown cancels a request here, after the drain time: say so and end the task.
            await request.fail(LeavingError("the node is shutting down"))
        except RppamError as error:
            await request.fail(error)
        except Exception as error:  # noqa: BLE001 - the boundary: nothing of ours may reach the caller, all of it the log
            _LOG.error("request %s: %s %.200r failed", request.id, scope["method"], scope["path"], exc_info=error)
            await request.fail(UnexpectedError("the request met an error of the node"), logged=True)
        if self._access_log:
            elapsed_ms = (self._clock.now() - started) // US_PER_MS
            _ACCESS.info(
                "%s %.200r %s %d ms request=%s", scope["method"], scope["path"], request.status, elapsed_ms, request.id
            )

    def _check_size(self, scope: Scope) -> None:
        # The parser bounds only headers that are not complete yet; many kilobytes may come complete in one packet.
        size = len(scope.get("raw_path") or b"") + len(scope["query_string"])
        size += sum(len(name) + len(value) + len(": \r\n") for name, value in scope["headers"])
        if size > self._limits.header_bytes:
            raise HeadersTooLargeError(f"{size} bytes of request line and headers, at most {self._limits.header_bytes}")


class _Request:
    """One request on its way: its id, and whether an answer has begun."""

    def __init__(self, scope: Scope, send: Send, request_id: str) -> None:
        self.id: Final = request_id
        self.status: int | None = None
        self._scope, self._send = scope, send
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

    def _dressed(self, headers: object) -> list[tuple[bytes, bytes]]:
        present = list(headers) if isinstance(headers, (list, tuple)) else []
        names = {name.lower() for name, _ in present}
        present.extend(header for header in _ALWAYS if header[0] not in names)
        decision: Decision | None = self._scope["state"].get("rate")
        if decision is not None and b"ratelimit" not in names:
            told = rate_headers(decision.limit, decision.remaining, decision.reset_after_ms)
            present.extend((name.lower().encode(), text.encode()) for name, text in told.items())
        if b"cache-control" not in names:
            present.append((b"cache-control", b"no-store"))
        present.append((b"x-request-id", self.id.encode("ascii")))
        return present

    def _log(self, error: RppamError) -> None:
        client = self._scope.get("client")
        reason = error.flaw.value if isinstance(error, UnauthenticatedError) else str(error)
        _LOG.log(
            _LEVELS[error.row.level],
            "%s: %s %.200r from %s: %s (request %s)",
            error.row.code,
            self._scope["method"],
            self._scope["path"],
            client[0] if client else "an unknown address",
            reason,
            self.id,
        )


async def send_answer(answer: Answer, send: Send) -> None:
    """Send a complete answer."""
    await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
    await send({"type": "http.response.body", "body": answer.body})


def _caller_id(scope: Scope) -> str | None:
    """The caller's own request id where it is harmless, so that one id runs through a load balancer's log and ours."""
    found = [value for name, value in scope["headers"] if name == b"x-request-id"]
    return found[0].decode("ascii") if len(found) == 1 and _REQUEST_ID.fullmatch(found[0]) else None
