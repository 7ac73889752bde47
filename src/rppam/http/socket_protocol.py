"""A connection that became a WebSocket: uvicorn's protocol, counted among the connections as before."""

import asyncio
from typing import TYPE_CHECKING

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

if TYPE_CHECKING:
    from rppam.http.connection_limiter import ConnectionLimiter


class SocketWire(WebSocketsSansIOProtocol):
    """Takes the place of the connection that the handshake came on (:class:`rppam.http.protocol.Wire`)."""

    _crowd: "ConnectionLimiter | None" = None
    _address = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The handshake is read; the caller is the one that the handshake's connection knew."""
        super().connection_made(transport)
        before = transport.get_protocol() if isinstance(transport, asyncio.Transport) else None
        self.client = getattr(before, "named", None) or self.client

    def join(self, crowd: "ConnectionLimiter", address: str) -> None:
        """Be counted from now on."""
        self._crowd, self._address = crowd, address
        crowd.come(self, address)

    def is_idle(self) -> bool:
        """Never: the budget of streams ends it."""
        return False

    def hang_up(self) -> None:
        """Close it now."""
        self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The caller has gone."""
        if self._crowd is not None:
            self._crowd.go(self, self._address)
        super().connection_lost(exc)
