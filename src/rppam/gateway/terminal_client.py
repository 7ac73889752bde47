"""The client of a terminal: it shows each byte once, types each byte once, and comes again by itself when cut off.

Decides what is sent again and where one asks next. It does not know what a terminal looks like: it is given bytes and
gives bytes.
"""

import asyncio
import contextlib
import json
import ssl
import struct
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

ACK_BYTES: Final = 64 * 1024
OPEN_S: Final = 20.0
SILENT_S: Final = 10.0
"""The other side says something each three seconds; where it does not, it is gone."""
PAUSES_S: Final = (0.0, 0.1, 0.2, 0.5, 1.0, 2.0)
AT_ONCE_S: Final = 0.05
GIVE_UP_S: Final = 900.0
TELL_S: Final = 3.0
"""Who sees nothing for longer than this is told why."""
WINDOW_BYTES: Final = 128 * 1024
"""So much typing is on its way at most."""


PART_BYTES: Final = 16 * 1024
"""So much of it in one message."""


class Ended(NamedTuple):
    """How a terminal ended."""

    status: int | None
    signal: str | None
    text: str
    """Why, where it did not end by itself."""
    is_over: bool = False
    """Whether its shell has ended, or there is none: nothing is left to attach to."""


class Books:
    """What was shown and typed. Pure."""

    def __init__(self) -> None:
        self.at: int | None = None
        """Offset behind what was shown; ``None``: nothing was."""
        self.acked = 0
        self._typed = bytearray()
        self._base: int | None = None
        """Offset of the first byte that was typed and is not known to be taken."""
        self._sent = 0
        """How many from there on are on their way."""

    def hello(self, offset: int, typed: int) -> bytes:
        """Hear where the other side is; what is to be sent again."""
        self.at = offset if self.at is None or offset > self.at else self.at
        self.acked = self.at
        self._base = typed if self._base is None else self._base
        self.taken(typed)
        self._sent = 0
        return self.more()

    def shown(self, message: bytes) -> bytes:
        """What of a message is new."""
        (offset,) = struct.unpack(">Q", message[:8])
        assert self.at is not None
        new = message[8 + max(0, self.at - offset) :]
        self.at = max(self.at, offset + len(message) - 8)
        return new

    def typed(self, data: bytes) -> bytes:
        """Remember what is typed; the message that says it, empty before the other side was heard."""
        self._typed += data
        return self.more()

    def taken(self, offset: int) -> None:
        """Hear that all before ``offset`` was taken."""
        if self._base is not None and offset > self._base:
            del self._typed[: offset - self._base]
            self._sent = max(0, self._sent - (offset - self._base))
            self._base = offset

    def more(self) -> bytes:
        """What is to be said next of what was typed, as far as the other side has room; empty for nothing."""
        data = bytes(self._typed[self._sent : WINDOW_BYTES])
        if self._base is None or not data:
            return b""
        self._sent += len(data)
        return struct.pack(">Q", self._base + self._sent - len(data)) + data


def parts(message: bytes) -> list[bytes]:
    """A message of what was typed, in several of which none is longer than :data:`PART_BYTES`."""
    if not message:
        return []
    (off,), data = struct.unpack(">Q", message[:8]), message[8:]
    starts = range(0, len(data), PART_BYTES)
    return [struct.pack(">Q", off + start) + data[start : start + PART_BYTES] for start in starts]


class TerminalClient:
    """See the module."""

    def __init__(
        self,
        urls: Sequence[str],
        ident: str,
        headers: dict[str, str],
        show: Callable[[bytes], None],
        tell: Callable[[str], None],
        *,
        size: tuple[int, int] = (80, 24),
        term: str = "xterm-256color",
        trust: ssl.SSLContext | None = None,
    ) -> None:
        """``urls``: of nodes, ``ws://HOST:PORT``; ``show`` gets output, ``tell`` lines for the user."""
        self._urls, self._ident, self._headers, self._trust = list(urls), ident, headers, trust
        self._show, self._tell, self._term, self.size = show, tell, term, size
        self.books = Books()
        self._socket: Any = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.gaps_s: list[float] = []
        """How long it took to come again, each time, from the loss."""
        self._lost_at = 0.0
        self.last = ""
        """What ended the last connection."""
        self._is_told = False
        """The user knows that no node answers."""

    @property
    def resumed(self) -> int:
        """How often it has come again."""
        return len(self.gaps_s)

    def type(self, data: bytes) -> None:
        """Type ``data``."""
        self._send_typed(self.books.typed(data))

    def resize(self, columns: int, rows: int) -> None:
        """The terminal has another size."""
        self.size = (columns, rows)
        self._send(json.dumps({"type": "resize", "columns": columns, "rows": rows}))

    def close(self) -> None:
        """End the shell."""
        self._send(json.dumps({"type": "close"}))

    async def run(self) -> Ended:
        """Carry it to its end, over as many connections as that takes."""
        loop = asyncio.get_running_loop()
        tries, lost = 0, loop.time()
        while True:
            spoke = False
            try:
                ended, spoke = await self._once(self._urls[0])
                if ended is not None:
                    return ended
            except (OSError, TimeoutError, EOFError) as error:
                self.last = str(error)
            if spoke:
                tries, lost = 0, loop.time()
                self._urls.append(self._urls.pop(0))  # the one that was lost comes last
                await asyncio.sleep(AT_ONCE_S)
                continue
            self._urls.append(self._urls.pop(0))
            if loop.time() - lost > GIVE_UP_S:
                return Ended(None, None, "no node answers any more")
            if loop.time() - lost > TELL_S and not self._is_told:
                self._is_told = True
                self._tell(
                    f"no node answers ({self.last or 'silence'}); trying again for {GIVE_UP_S / 60:.0f} minutes, and "
                    "what you type is kept. 'Enter ~ d' leaves; with --url of more nodes it goes on at another one"
                )
            await asyncio.sleep(PAUSES_S[min(tries, len(PAUSES_S) - 1)])
            tries += 1

    async def _once(self, url: str) -> tuple[Ended | None, bool]:
        """One connection: how the terminal ended, if it did, and whether it was spoken with."""
        from websockets.asyncio.client import connect
        from websockets.exceptions import InvalidHandshake, InvalidStatus, WebSocketException

        asked: dict[str, Any] = {"columns": self.size[0], "rows": self.size[1], "term": self._term}
        if self.books.at is not None:
            asked["off"] = self.books.at
        place = f"{url}/api/v1/access/terminals/{self._ident}?{urlencode(asked)}"
        options: dict[str, Any] = {"ssl": self._trust} if self._trust is not None else {}
        try:
            async with connect(
                place, additional_headers=self._headers, open_timeout=OPEN_S, close_timeout=1, max_size=2**21,
                proxy=None, ping_interval=None, **options,
            ) as socket:  # fmt: skip
                return await self._talk(socket)
        except InvalidStatus as error:
            status, body = error.response.status_code, bytes(error.response.body or b"")
            if status < 500 and status not in {421, 429}:
                return Ended(None, None, _problem(body), is_over=status == 404), False
            self.last = str(error)
        except (InvalidHandshake, WebSocketException) as error:
            self.last = str(error)
        return None, False

    async def _talk(self, socket: Any) -> tuple[Ended | None, bool]:
        from websockets.exceptions import ConnectionClosed

        spoke = False
        try:
            while True:
                async with asyncio.timeout(OPEN_S if not spoke else SILENT_S):
                    message = await socket.recv()
                if isinstance(message, bytes):
                    self._output(message)
                    continue
                said = json.loads(message)
                kind = said["type"]
                if kind == "hello":
                    spoke = True
                    if self._is_told:
                        self._is_told = False
                        self._tell("connected again")
                    if self.books.at is not None:
                        self.gaps_s.append(asyncio.get_running_loop().time() - self._lost_at)
                    again = self.books.hello(said["offset"], said["typed"])
                    self._socket = socket
                    if again:
                        self._send_typed(again)
                elif kind == "typed":
                    self.books.taken(said["offset"])
                    self._send_typed(self.books.more())
                elif kind == "notice":
                    self._tell(said["text"])
                elif kind == "exit":
                    return Ended(said["status"], said["signal"], ""), spoke
                elif kind == "end" and not said["again"]:
                    return Ended(None, None, said["text"], is_over=not said["code"]), spoke
                elif kind == "end":
                    self.last = said["text"]
                    return None, spoke
        except (ConnectionClosed, TimeoutError) as error:
            self.last = str(error) or "silence"
            return None, spoke
        finally:
            self._socket = None
            if spoke:
                self._lost_at = asyncio.get_running_loop().time()

    def _output(self, message: bytes) -> None:
        new = self.books.shown(message)
        if new:
            self._show(new)
        at = self.books.at or 0
        if at - self.books.acked >= ACK_BYTES:
            self.books.acked = at
            self._send(json.dumps({"type": "ack", "offset": at}))

    def _send_typed(self, message: bytes) -> None:
        """In parts: a node takes no longer message, and what is typed again after a loss is all that was on its way."""
        for part in parts(message):
            self._send(part)

    def _send(self, message: str | bytes) -> None:
        if self._socket is None:
            return
        task = asyncio.get_running_loop().create_task(_quietly(self._socket, message))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _quietly(socket: Any, message: str | bytes) -> None:
    with contextlib.suppress(Exception):  # what could not be sent is sent again, or its connection is gone
        await socket.send(message)


def _problem(body: bytes) -> str:
    """What a refusal says."""
    try:
        found = json.loads(body)
        return f"{found.get('detail') or found.get('title')} ({found.get('code')})"
    except (ValueError, AttributeError):
        return "the node refuses the terminal"
