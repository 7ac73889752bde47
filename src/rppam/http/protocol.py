"""HTTP/1.1 on one connection: uvicorn's h11 protocol, with the bounds and the manners it lacks.

Reads requests by a stricter grammar (:mod:`rppam.http.grammar`). Adds a deadline for the headers (without one, a
connection that trickles bytes lives for ever), a bound on connections (who goes beyond it, ``connection_limiter``
decides), and problem documents for what is not HTTP at all. It reaches into the server's class
on purpose and in this one place; ``tests/http/test_server.py`` holds it to its behaviour.
"""

import asyncio
import logging
import sys
from collections.abc import Callable
from typing import Any, ClassVar, Final

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle
from uvicorn.server import ServerState

from rppam.http.bounds import ApiLimits
from rppam.http.connection_limiter import ConnectionLimiter
from rppam.http.errors import HeadersTooLargeError, HttpVersionError, RequestError, UnreadableRequestError
from rppam.http.grammar import VERSION_HINT, StrictConnection
from rppam.http.problems import problem
from rppam.http.refusal_log import RefusalLog
from rppam.http.request_slots import RequestSlots

_WRITABLE: Final = (h11.IDLE, h11.SEND_RESPONSE)
_TLS_HELLO: Final = b"\x16\x03"
"""With this begins every TLS connection."""
_log: Final = logging.getLogger("rppam.api")


def _loop_s() -> float:
    """Of the loop that runs when it is asked: the server's class is made before there is one."""
    return asyncio.get_running_loop().time()


class Wire(H11Protocol):
    """One connection. Make a subclass with its own ``limits`` for each server: see :func:`wire_with`."""

    limits: ClassVar[ApiLimits] = ApiLimits()
    has_socket: Callable[[str], bool] = staticmethod(lambda _path: False)
    """Whether a WebSocket may be opened at a path."""
    tls_log: ClassVar[RefusalLog] = RefusalLog(_log)
    crowd: ClassVar[ConnectionLimiter] = ConnectionLimiter(ApiLimits().connections, _loop_s)

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.conn = StrictConnection(h11.SERVER, self.limits.header_bytes)
        # For streams: whoever takes nothing of what is sent is cut off, whatever lies in the buffer.
        self.app_state = {**self.app_state, "hang_up": self.hang_up}
        self._header_deadline: asyncio.TimerHandle | None = None
        self.named: tuple[str, int] | None = None
        """The caller, where a balancer has named it; ``None``: it is the peer."""
        self._address = ""
        self._is_upgraded = False
        self._has_begun = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A caller has come."""
        super().connection_made(transport)
        self.client = self.named or self.client
        self._arm()
        self._address = RequestSlots.address_of(self.client)
        self.crowd.come(self, self._address)

    def data_received(self, data: bytes) -> None:
        """Bytes have come."""
        if not self._has_begun:
            self._has_begun = True
            if data.startswith(_TLS_HELLO) and self.scheme == "http":
                self._refuse_tls()
                return
        super().data_received(data)
        if self._answering() is not None:
            self._disarm()
        elif not self.transport.is_closing() and not self._is_upgraded:
            self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        """The caller has gone."""
        self._disarm()
        self.crowd.go(self, self._address)
        super().connection_lost(exc)

    def is_idle(self) -> bool:
        """Whether no request of it is being answered."""
        return self._answering() is None

    def hang_up(self) -> None:
        """Close it now."""
        self.transport.abort()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - the server's signature
        """Answer what is not HTTP/1.1; ``msg`` is the server's own text and is not sent."""
        broken = sys.exception()
        if isinstance(broken, h11.RemoteProtocolError) and broken.error_status_hint == 431:
            self._refuse(
                HeadersTooLargeError(f"more than {self.limits.header_bytes} bytes of request line and headers")
            )
        elif isinstance(broken, h11.RemoteProtocolError) and broken.error_status_hint == VERSION_HINT:
            self._refuse(HttpVersionError("the request is of another version"))
        else:
            self._refuse(UnreadableRequestError("the request is not valid HTTP/1.1"))

    def _refuse_tls(self) -> None:
        """Name a caller that speaks TLS here, for whoever wonders why it gets no connection."""
        port = (self.server or ("", 0))[1]
        self.tls_log.write(
            logging.WARNING,
            "TLS",
            "%s speaks TLS at port %s, which is plain HTTP here: let it ask http://, or set api.tlsCertPath",
            self._address or "a caller",
            port,
        )
        self._refuse(UnreadableRequestError(f"this is TLS, and port {port} is plain HTTP: ask http://"))

    def _refuse(self, error: RequestError) -> None:
        """Answer with the error, where an answer may begin, and close."""
        cycle = self._answering()
        begun = cycle is not None and cycle.response_started
        if cycle is not None:
            # The application waits for a body that will not come.
            cycle.disconnected = True
            cycle.message_event.set()
        if not begun and self.conn.our_state in _WRITABLE:
            answer = problem(error, instance="", request_id="")
            headers = [(b"server", b"rppam"), (b"connection", b"close"), (b"cache-control", b"no-store")]
            response = h11.Response(status_code=answer.status, headers=[*answer.headers, *headers])
            for event in (response, h11.Data(data=answer.body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """A handshake at a path that has a WebSocket: another protocol has the connection from now on."""
        self._is_upgraded = True
        self._disarm()
        self.crowd.go(self, self._address)
        super().handle_websocket_upgrade(event)
        protocol: Any = self.transport.get_protocol()
        protocol.join(self.crowd, self._address)

    def _should_upgrade_to_ws(self) -> bool:
        return self.scope["method"] == "GET" and self.has_socket(self.scope["path"])

    def _unsupported_upgrade_warning(self) -> None:
        """An upgrade is ignored, as RFC 9110 section 7.8 allows; anybody could fill the log with it."""

    def _answering(self) -> RequestResponseCycle | None:
        cycle: RequestResponseCycle | None = self.cycle  # the server's own annotation leaves the None out
        return cycle if cycle is not None and not cycle.response_complete else None

    def _arm(self) -> None:
        if self._header_deadline is None:
            self._header_deadline = self.loop.call_later(self.limits.header_timeout_ms / 1000, self._headers_late)

    def _disarm(self) -> None:
        if self._header_deadline is not None:
            self._header_deadline.cancel()
            self._header_deadline = None

    def _headers_late(self) -> None:
        self._header_deadline = None
        if self._answering() is None:
            self.transport.abort()


def wire_with(limits: ApiLimits, has_socket: Callable[[str], bool] = lambda _path: False) -> type[Wire]:
    """The protocol class with these limits: the server makes the objects itself and passes only its own settings."""
    return type(
        "Wire",
        (Wire,),
        {
            "limits": limits,
            "crowd": ConnectionLimiter(limits.connections, _loop_s),
            "has_socket": staticmethod(has_socket),
            "tls_log": RefusalLog(_log),
        },
    )
