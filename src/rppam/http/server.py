"""The HTTP server inside a loop that somebody else runs: start, serve, drain, stop.

Decides how long stopping may take, and how long a TLS handshake. It installs no signal handlers, configures no logging
and never ends the process; those belong to the node. Where the certificate comes from, others know.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Awaitable, Callable, Generator, Sequence
from typing import Final, Protocol

from fastapi import FastAPI
from uvicorn import Config, Server

from rppam.http.bounds import ApiLimits
from rppam.http.introduced import Client, Introductions, log
from rppam.http.protocol import Wire, wire_with
from rppam.http.refusal_log import RefusalLog
from rppam.http.route_index import RouteIndex
from rppam.http.serving_errors import ListenError
from rppam.http.streams import Streams
from rppam.kernel.proxy_protocol import Balancers

BACKLOG: Final = 512
PORT_MAX: Final = 65_535
HANDSHAKE_S: Final = 5.0
_TICK_S: Final = 1.0
_ABORT_S: Final = 1.0
_GOODBYE_S: Final = 2.0


class ServerTls(Protocol):
    """The certificate that the API shows."""

    @property
    def context(self) -> ssl.SSLContext:
        """For the listening sockets, the same for ever; it shows what is newest."""
        ...

    async def look(self) -> None:
        """See whether the certificate was renewed. Called every second; never raises."""
        ...


class ApiServer:
    """Serves one application on one address. Start it once and stop it once."""

    def __init__(
        self,
        app: FastAPI,
        host: str,
        port: int,
        limits: ApiLimits | None = None,
        tls: ServerTls | None = None,
        look: Callable[[], Awaitable[None]] | None = None,
        balancers: Sequence[str] = (),
    ) -> None:
        """``host`` is an address or a name; ``port`` 0 picks a free one. Without ``tls`` it is plain HTTP.

        ``look`` is awaited at the start and every second: for files that may have changed. It never raises.
        ``balancers``: networks whose connections begin with the PROXY protocol.
        """
        limits = limits or ApiLimits()
        self.app: Final = app
        self._host, self._port = host, port
        self._limits = limits
        routes: RouteIndex | None = getattr(app.state, "route_index", None)
        has_sockets = routes is not None and routes.has_sockets
        self._config = Config(
            app,
            http=wire_with(limits, routes.is_socket) if routes is not None else wire_with(limits),
            ws=_socket_protocol() if has_sockets else "none",
            ws_max_size=limits.socket_message_bytes,
            # What is small on the wire must not become large in memory.
            ws_per_message_deflate=False,
            lifespan="off",
            loop="none",
            log_config=None,
            log_level="error",
            access_log=False,
            # Whose word about the caller's address is taken, rppam.http.forwarded decides.
            proxy_headers=False,
            server_header=False,
            h11_max_incomplete_event_size=limits.header_bytes,
            timeout_keep_alive=max(1, limits.keep_alive_ms // 1000),
            backlog=BACKLOG,
        )
        self._server = _Embedded(self._config, tls, look, Balancers(balancers) if balancers else None)
        self._task: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """The port it listens on, once started."""
        return self._port

    async def start(self, sockets: Sequence[socket.socket] = ()) -> None:
        """Listen and serve, on ``sockets`` that listen already where given.

        Raises :class:`ListenError` when the address cannot be had.
        """
        sockets = list(sockets) or listen(self._host, self._port)
        self._port = sockets[0].getsockname()[1]
        self._task = asyncio.create_task(self._server.serve(sockets), name="rest-api")
        ready = asyncio.create_task(self._server.ready.wait())
        try:
            await asyncio.wait({self._task, ready}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ready.cancel()
        if self._task.done():
            await self._task

    async def wait(self) -> None:
        """Until it has stopped; raises what ended it, so that a supervisor can notice."""
        if self._task is not None:
            await asyncio.shield(self._task)

    async def stop(self, drain_ms: int = 10_000) -> None:
        """Take no new connections, let requests finish for at most ``drain_ms``, then close what is left."""
        if self._task is None:
            return
        task, self._task = self._task, None
        streams: Streams | None = getattr(self.app.state, "streams", None)
        if streams is not None:
            await streams.leave(min(_GOODBYE_S, drain_ms / 1000))
        self._config.timeout_graceful_shutdown = max(0, drain_ms) / 1000  # type: ignore[assignment]  # wait_for takes it
        self._server.leave()
        await asyncio.wait({task}, timeout=drain_ms / 1000 + _ABORT_S)
        # Cancelled requests get a moment to say so; connections that do not read are cut.
        if pending := set(self._server.server_state.tasks):
            await asyncio.wait(pending, timeout=_ABORT_S)
        for connection in list(self._server.server_state.connections):
            connection.transport.abort()
        if not task.done():
            task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _socket_protocol() -> type[asyncio.Protocol]:
    from rppam.http.socket_protocol import SocketWire  # noqa: PLC0415 - paid for only where there are WebSockets

    return SocketWire


class _Embedded(Server):
    """uvicorn's server as a guest in our loop."""

    def __init__(
        self,
        config: Config,
        tls: ServerTls | None,
        look: Callable[[], Awaitable[None]] | None,
        balancers: Balancers | None,
    ) -> None:
        super().__init__(config)
        self._tls, self._look, self._balancers = tls, look, balancers
        self.ready: Final = asyncio.Event()
        self._leaving: Final = asyncio.Event()

    def leave(self) -> None:
        """Begin to stop."""
        self.should_exit = True
        self._leaving.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Signals belong to the node."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As the server's own, with our TLS and a bound on its handshake, and tell when it is done."""
        if self._balancers is not None:
            await self._startup_introduced(sockets or [], self._balancers)
        elif self._tls is None:
            await super().startup(sockets)
        else:
            await self._startup_tls(sockets or [], self._tls)
        self.ready.set()

    def _connection(self) -> asyncio.Protocol:
        made: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return made

    async def _startup_introduced(self, sockets: list[socket.socket], balancers: Balancers) -> None:
        await self.lifespan.startup()
        tls = None if self._tls is None else self._tls.context

        def connection(client: Client | None) -> asyncio.Protocol:
            made = self._connection()
            if client is not None and isinstance(made, Wire):
                made.named = client
            return made

        refusals = RefusalLog(log)
        self.servers = [
            Introductions(plug, connection, balancers, tls, HANDSHAKE_S, refusals)  # type: ignore[misc]
            for plug in sockets
        ]
        self.started = True

    async def _startup_tls(self, sockets: list[socket.socket], tls: ServerTls) -> None:
        await self.lifespan.startup()
        config = self.config
        loop = asyncio.get_running_loop()
        self.servers = [
            await loop.create_server(
                self._connection, sock=plug, ssl=tls.context, backlog=config.backlog, ssl_handshake_timeout=HANDSHAKE_S
            )
            for plug in sockets
        ]
        self.started = True

    async def main_loop(self) -> None:
        """Once a second for the Date header instead of ten times, and at once when told to leave."""
        while not await self.on_tick(0):
            if self._tls is not None:
                await self._tls.look()
            if self._look is not None:
                await self._look()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._leaving.wait(), _TICK_S)


def listen(host: str, port: int, what: str = "the REST API") -> list[socket.socket]:
    """Listening sockets on every address of ``host``; a name such as localhost has several.

    Raises :class:`ListenError`.
    """
    sockets: list[socket.socket] = []
    try:
        if not 0 <= port <= PORT_MAX:
            raise OverflowError(f"a port is 0 to {PORT_MAX}")
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, address in sorted({(entry[0], entry[4]) for entry in found}, key=lambda pair: pair[0]):
            # With port 0 every address gets the port that the first one was given.
            place = (str(address[0]), port or (sockets[0].getsockname()[1] if sockets else 0))
            sockets.append(socket.create_server(place, family=family, backlog=BACKLOG))
    except (OSError, OverflowError) as error:
        for opened in sockets:
            opened.close()
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ListenError(
            f"{what} cannot listen on {host} port {port}: {reason}. Is another node running there? "
            "'ss -ltnp' shows who holds the port; api.host and api.port set another address"
        ) from error
    return sockets
