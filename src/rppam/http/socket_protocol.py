"""A connection that became a WebSocket: uvicorn's protocol, counted among the connections as before."""

from typing import TYPE_CHECKING

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

if TYPE_CHECKING:
    from rppam.http.connection_limiter import ConnectionLimiter


class SocketWire(WebSocketsSansIOProtocol):
    """Takes the place of the connection that the handshake came on (:class:`rppam.http.protocol.Wire`)."""

    _crowd: "ConnectionLimiter | None" = None
    _address = ""

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
