"""Servers that are not what they should be: scripted ones, and a proxy that cuts and records."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import hiredis

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

HELLO = (
    b"%7\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n7.2.0\r\n$5\r\nproto\r\n:3\r\n$2\r\nid\r\n:1\r\n"
    b"$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n$7\r\nmodules\r\n*0\r\n"
)
INFO = b"$16\r\nrun_id:0123\r\na:b\r\n"
ROLE = b"*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n"
SLAVE = b"*5\r\n$5\r\nslave\r\n$9\r\n127.0.0.1\r\n:6379\r\n$9\r\nconnected\r\n:0\r\n"
GREETING = (HELLO, b"+PONG\r\n" + INFO + INFO + ROLE)
"""What a scripted server says to HELLO, and then to PING, INFO, INFO, ROLE."""


@contextlib.asynccontextmanager
async def scripted(handler: Handler, port: int = 0) -> AsyncIterator[int]:
    """A server on 127.0.0.1 that treats each connection as ``handler`` says; yields its port."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await handler(reader, writer)
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()
        await asyncio.sleep(0.001)  # the loop closes the sockets in its next turn


async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Behave like a Redis until the greeting is over."""
    for words in GREETING:
        await reader.read(65536)
        writer.write(words)


def answering(answers: Callable[[list[bytes]], bytes]) -> Handler:
    """A Redis in all that a link asks by itself; what else it is asked is answered as ``answers`` says of the words."""

    def answer_to(words: list[bytes]) -> bytes:
        match words[0]:
            case b"HELLO":
                return HELLO
            case b"PING":
                return b"+PONG\r\n"
            case b"INFO":
                return INFO
            case b"ROLE":
                return ROLE
            case b"SUBSCRIBE":
                return b">3\r\n$9\r\nsubscribe\r\n$%d\r\n%b\r\n:1\r\n" % (len(words[1]), words[1])
        return answers(words)

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests: Any = hiredis.Reader()
        while data := await reader.read(65536):
            requests.feed(data)
            while words := requests.gets():
                writer.write(answer_to(words))

    return handler


class Proxy:
    """Stands before a real server. ``cut_after`` a request that holds these bytes: the server gets it, and the
    connection is cut before its reply comes back."""

    def __init__(self, port: int) -> None:
        self.cut_after: bytes | None = None
        self.requests = b""
        self._port = port

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, to_server = await asyncio.open_connection("127.0.0.1", self._port)
        cut = asyncio.Event()

        async def forth() -> None:
            while data := await reader.read(65536):
                self.requests += data
                if self.cut_after is not None and self.cut_after in data:
                    cut.set()
                to_server.write(data)

        async def back() -> None:
            while data := await there.read(65536):
                if cut.is_set():
                    writer.transport.abort()
                    return
                writer.write(data)

        ways = [asyncio.create_task(forth()), asyncio.create_task(back())]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            to_server.transport.abort()
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
