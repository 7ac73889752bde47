"""WebSockets: a handshake passes every layer that a request passes, then a conversation has the budget of a stream.

The handshake goes through the application as the GET request that it is, so authentication, limits, refusals and the
log are those of requests; a refusal is answered with its problem document. What it does not decide: whether the origin
may (the auth middleware), nor who has a WebSocket at all: the server upgrades at declared paths only.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rppam.http.errors import FieldFlaw, InvalidRequestError
from rppam.http.streams import Stream, StreamEndedError, Streams

HANDSHAKE: Final = "rppam.handshake"
_CODES: Final = {"shutdown": 1001, "time": 1000, "access": 1008, "idle": 1000, "slow": 1008, "again": 1012}
"""RFC 6455, section 7.4.1."""
_GOODBYE_S: Final = 1.0


class Handshakes:
    """Stands outermost: makes a GET request of each handshake."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Answer one request."""
        if scope["type"] != "websocket":
            return self._app(scope, receive, send)
        handshake = _Handshake(receive, send)
        scheme = "https" if scope["scheme"] == "wss" else "http"
        asked = {**scope, "type": "http", "method": "GET", "scheme": scheme, HANDSHAKE: handshake}
        return self._app(asked, handshake.read_request, handshake.answer)


class _Handshake:
    def __init__(self, receive: Receive, send: Send) -> None:
        self.receive, self.send = receive, send
        self._is_read = False

    async def read_request(self) -> Message:
        """The body, which is empty; afterwards nothing more comes before the conversation."""
        if self._is_read:
            await asyncio.Event().wait()
        self._is_read = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def answer(self, message: Message) -> None:
        """The handshake is refused."""
        await self.send({**message, "type": f"websocket.{message['type']}"})


class Socket:
    """An open WebSocket."""

    def __init__(self, handshake: _Handshake, stream: Stream) -> None:
        self._handshake, self._stream = handshake, stream

    async def receive(self) -> str | bytes:
        """The caller's next message. Raises :class:`StreamEndedError` when it has gone, or says nothing for long."""
        try:
            async with asyncio.timeout(self._stream.limits.socket_idle_ms / 1000):
                message = await self._handshake.receive()
        except TimeoutError:
            raise StreamEndedError("idle", "nothing was said for too long") from None
        if message["type"] != "websocket.receive":
            raise StreamEndedError("gone", "the caller has gone")
        text: str | None = message.get("text")
        return message["bytes"] if text is None else text

    async def send(self, message: str | bytes) -> None:
        """Send one message. Raises :class:`StreamEndedError` when the caller has gone, or takes nothing."""
        kind = "text" if isinstance(message, str) else "bytes"
        try:
            await self._stream.within_stall(self._handshake.send({"type": "websocket.send", kind: message}))
        except OSError:
            raise StreamEndedError("gone", "the caller has gone") from None


class SocketAnswer(Response):
    """What a handler of a route returns that declares ``Kind.SOCKET``."""

    def __init__(
        self,
        conversation: Callable[[Socket], Coroutine[Any, Any, None]],
        still_may: Callable[[Any], None] | None = None,
    ) -> None:
        self._conversation, self._still_may = conversation, still_may
        super().__init__()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - the framework's
        """Accept the handshake and hold the conversation."""
        handshake: _Handshake | None = scope.get(HANDSHAKE)
        if handshake is None:
            message = "expected the handshake of a WebSocket (RFC 6455), found a plain request"
            raise InvalidRequestError([FieldFlaw("header.Upgrade", message, "missing")])
        streams: Streams = scope["app"].state.streams
        with streams.admit(scope) as stream:
            await handshake.receive()  # websocket.connect
            request_id = scope["state"]["request_id"].encode("ascii")
            await handshake.send({"type": "websocket.accept", "headers": [(b"x-request-id", request_id)]})
            code, reason = 1000, ""
            try:
                await stream.run(self._conversation(Socket(handshake, stream)), still_may=self._still_may)
            except StreamEndedError as end:
                if end.reason == "gone":
                    return
                code, reason = _CODES[end.reason], end.reason
            try:
                async with asyncio.timeout(_GOODBYE_S):
                    await handshake.send({"type": "websocket.close", "code": code, "reason": reason})
            except (TimeoutError, OSError):
                stream.cut()
