"""The least HTTP/1.1 client that keeps its connection: so little work that the server is what is measured."""

import asyncio
import re
from typing import Final

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Wire:
    """One connection, made when it is needed and again after an error."""

    def __init__(self, host: str, port: int, timeout_s: float = 10.0) -> None:
        self._host, self._port, self._timeout_s = host, port, timeout_s
        self._open: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def get(self, path: str, token: str = "") -> int:
        """The status of a GET. Raises :class:`OSError`."""
        return await self.ask("GET", path, token)

    async def ask(self, method: str, path: str, token: str = "", body: bytes = b"") -> int:
        """The status of one request. Raises :class:`OSError` when there is no answer."""
        status, _ = await self.exchange(method, path, token, body)
        return status

    async def exchange(self, method: str, path: str, token: str = "", body: bytes = b"") -> tuple[int, bytes]:
        """Status and body of one request. Raises :class:`OSError` when there is no answer."""
        head = f"{method} {path} HTTP/1.1\r\nHost: bench\r\nContent-Length: {len(body)}\r\n"
        head += f"Authorization: Bearer {token}\r\n" if token else ""
        head += "Content-Type: application/json\r\n" if body else ""
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._ask(head.encode() + b"\r\n" + body)
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            self.close()
            raise ConnectionError(str(error) or type(error).__name__) from error
        except asyncio.CancelledError:
            self.close()
            raise

    def close(self) -> None:
        """Hang up."""
        if self._open is not None:
            self._open[1].close()
            self._open = None

    async def _ask(self, request: bytes) -> tuple[int, bytes]:
        if self._open is None:
            self._open = await asyncio.open_connection(self._host, self._port)
        reader, writer = self._open
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        found = _LENGTH.search(head)
        length = int(found[1]) if found is not None else 0
        body = await reader.readexactly(length) if length else b""
        if b"\r\nconnection: close" in head.lower():
            self.close()
        return int(head[9:12]), body
