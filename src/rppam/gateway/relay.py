"""Between the workers, which have the WebSockets, and the gateways of the same node, which have the terminals.

Each gateway process listens on a socket in the node's data folder, which the node's own account alone can open. A
worker says first who asks for which terminal, and is answered at once; then messages of the WebSocket pass both ways as
they are, each as a kind, a length and that many bytes. Any gateway will do: a terminal goes on at whichever it is asked
for. One that does not answer is passed over.
"""

import asyncio
import contextlib
import os
import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from rppam.gateway.errors import NoGateway

MESSAGE_MAX: Final = 1024 * 1024
NEXT_S: Final = 1.0
"""After so long without an answer the next gateway is asked, too: one that is stopped never answers."""
ANSWER_S: Final = 8.0
"""A gateway that has just been started needs some seconds on a busy host."""
ALIVE_S: Final = 3.0
"""A gateway that has nothing to say says so this often, so that one that was stopped is known."""
HERE: Final = "here"
_HEAD: Final = struct.Struct(">cI")
_PATTERN: Final = "gateway-*.sock"


class Wish(msgspec.Struct, frozen=True):
    """Who asks for which terminal."""

    id: str
    """Of the session."""
    subject: str
    user_id: str
    roles: list[str]
    session: str
    """Of the log-in."""
    mfa: bool
    client: str
    columns: int
    rows: int
    term: str
    off: int | None
    """Offset up to which the client has the output; ``None``: it has none of it."""


class Pipe:
    """Messages both ways."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def receive(self) -> str | bytes | None:
        """The next message; ``None`` at the end."""
        try:
            kind, size = _HEAD.unpack(await self._reader.readexactly(_HEAD.size))
            if size > MESSAGE_MAX:
                return None
            body = await self._reader.readexactly(size)
        except (asyncio.IncompleteReadError, OSError):
            return None
        return body.decode("utf-8", "replace") if kind == b"t" else body

    def put(self, message: str | bytes) -> None:
        """Send a message, some time."""
        body = message.encode() if isinstance(message, str) else message
        self._writer.write(_HEAD.pack(b"t" if isinstance(message, str) else b"b", len(body)) + body)

    @property
    def waiting_bytes(self) -> int:
        """How much of what was sent has not left yet."""
        return self._writer.transport.get_write_buffer_size()

    async def send(self, message: str | bytes) -> None:
        """Send a message, and wait while much of what was sent before is still on its way."""
        self.put(message)
        with contextlib.suppress(OSError):
            await self._writer.drain()

    def close(self) -> None:
        """End it, with what was sent."""
        self._writer.close()

    @property
    def is_closing(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._writer.is_closing()


@contextlib.contextmanager
def _near(folder: Path) -> Iterator[str]:
    """A name of ``folder`` that is short enough for the address of a socket."""
    if sys.platform == "win32":
        raise NoGateway("there is no gateway on this system")
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{handle}"
    finally:
        os.close(handle)


def listening(folder: Path, place: int | str) -> socket.socket:
    """The socket of the gateway process at ``place``."""
    if sys.platform == "win32":
        raise NoGateway("there is no gateway on this system")
    path = folder / _PATTERN.replace("*", str(place))
    path.unlink(missing_ok=True)
    plug = socket.socket(socket.AF_UNIX)
    plug.setblocking(False)
    with _near(folder) as near:
        mask = os.umask(0o177)
        try:
            plug.bind(f"{near}/{path.name}")
        finally:
            os.umask(mask)
    plug.listen(64)
    return plug


def _sockets(folder: Path) -> list[Path]:
    return list(folder.glob(_PATTERN))


async def call(folder: Path, wish: Wish) -> Pipe:
    """A terminal at one of this node's gateways: the first one that answers. Raises :class:`NoGateway`."""
    if sys.platform == "win32":
        raise NoGateway("there is no gateway on this system")
    names = sorted(one.name for one in await asyncio.to_thread(_sockets, folder))
    first = sum(wish.id.encode()) % max(1, len(names))
    asked: set[asyncio.Task[Pipe | None]] = set()
    found: Pipe | None = None
    try:
        for name in names[first:] + names[:first]:
            asked.add(asyncio.create_task(_asked(folder, name, wish)))
            found, asked = await _first(asked, NEXT_S)
            if found is not None:
                return found
        found, asked = await _first(asked, ANSWER_S)
        if found is not None:
            return found
    finally:
        for task in asked:
            task.cancel()
    raise NoGateway("no gateway answers on this node")


async def _first(
    asked: set["asyncio.Task[Pipe | None]"], patience_s: float
) -> tuple[Pipe | None, set["asyncio.Task[Pipe | None]"]]:
    """The pipe of the first that answers in time, and who has not said anything yet."""
    until = asyncio.get_running_loop().time() + patience_s
    while asked:
        left_s = until - asyncio.get_running_loop().time()
        done, asked = await asyncio.wait(asked, timeout=max(0, left_s), return_when=asyncio.FIRST_COMPLETED)
        found = [pipe for task in done if (pipe := task.result()) is not None]
        for spare in found[1:]:
            spare.close()
        if found:
            return found[0], asked
        if not done:
            break
    return None, asked


async def _asked(folder: Path, name: str, wish: Wish) -> Pipe | None:
    """A gateway that has answered; ``None`` where none is there."""
    if sys.platform == "win32":
        return None
    plug = socket.socket(socket.AF_UNIX)
    plug.setblocking(False)
    try:
        with _near(folder) as near:
            await asyncio.get_running_loop().sock_connect(plug, f"{near}/{name}")
    except OSError:
        plug.close()
        return None
    except BaseException:
        plug.close()
        raise
    pipe = Pipe(*await asyncio.open_unix_connection(sock=plug))
    try:
        pipe.put(msgspec.json.encode(wish).decode())
        if await pipe.receive() == HERE:
            return pipe
    except BaseException:
        pipe.close()
        raise
    pipe.close()
    return None


def read_wish(message: Any) -> Wish | None:
    """What a worker asks for; ``None`` where it is nothing."""
    try:
        return msgspec.json.decode(message, type=Wish)
    except (msgspec.DecodeError, TypeError):
        return None
