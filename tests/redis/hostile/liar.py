"""A Redis that tells the truth until it is told to lie: a proxy in a process of its own before a real server.

    python -m tests.redis.hostile.liar PORT     PORT is the real server's

It prints its own port, and then takes one JSON object a line: ``{"lies": {"node1": "an-array"}}`` has it lie to that
node from now on (``{}``: to nobody); whoever was lied to is hung up on when the lie ends. Each line is answered by what
stands now: ``{"links": {"node1:lease": 1}, "told": {"node1": 5}}``, the connections by their names and how often each
node was told its lie.
"""

import asyncio
import contextlib
import json
import sys
from collections import Counter
from typing import Any

import hiredis

from tests.redis.hostile.lies import LIES, Lie

TRUE_AT_FIRST = frozenset((b"HELLO", b"PING", b"INFO", b"ROLE", b"SELECT"))

WHILE_ENTERING = frozenset((b"HELLO", b"INFO", b"ROLE", b"SCAN"))
"""What a connection asks when it is new: for a lie to these the present ones are hung up on first."""


class Channel:
    """One connection through the proxy."""

    def __init__(self, liar: "Liar", reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.liar, self.reader, self.writer = liar, reader, writer
        self.name = ""
        self.was_lied_to = False
        self._requests: Any = hiredis.Reader()
        self._flood: asyncio.Task[None] | None = None

    @property
    def node(self) -> str:
        return self.name.rpartition(":")[0].rpartition(":")[2]

    @property
    def lie(self) -> Lie | None:
        return self.liar.lies.get(self.node)

    async def run(self) -> None:
        """Until either side hangs up."""
        for lie in self.liar.lies.values():
            if lie.at_once:
                self.say(lie.at_once)
                return
        there, server = await asyncio.open_connection("127.0.0.1", self.liar.port)
        ways = [asyncio.create_task(self._forth(server)), asyncio.create_task(self._back(there))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            server.transport.abort()
            for task in (*ways, *([self._flood] if self._flood else [])):
                task.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _forth(self, server: asyncio.StreamWriter) -> None:
        while data := await self.reader.read(65536):
            self._requests.feed(data)
            words = []
            while (one := self._requests.gets()) is not False:
                words.append(one)
            for one in words:
                if one[0] == b"HELLO" and b"SETNAME" in one:
                    self.name = one[one.index(b"SETNAME") + 1].decode()
            lie = self.lie
            if lie is None or not words:
                server.write(data)
                continue
            for one in words:
                self.begin(lie)
                if not await self._lied(lie, one):
                    server.write(hiredis.pack_command(tuple(one)))
            await server.drain()

    async def _lied(self, lie: Lie, words: list[bytes]) -> bool:
        """Whether that request was answered with a lie."""
        if lie.answer is None or (words[0] in TRUE_AT_FIRST and words[0] not in lie.on):
            return False
        if lie.on and words[0] not in lie.on:
            return False
        said = lie.answer(words)
        if said is None:
            return False
        self.told()
        if lie.is_deaf:
            await asyncio.sleep(3600)
        if lie.byte_s:
            for one in said:
                self.say(bytes([one]))
                await asyncio.sleep(lie.byte_s)
        else:
            self.say(said)
            await self.writer.drain()
        if lie.hangs_up:
            self.writer.transport.abort()
        return True

    async def _back(self, there: asyncio.StreamReader) -> None:
        while data := await there.read(65536):
            lie = self.lie
            if lie is not None and lie.rewrite is not None:
                self.told()
                data = lie.rewrite(data)
            self.say(data)
            await self.writer.drain()

    def begin(self, lie: Lie) -> None:
        """The lie begins on this connection, if it is one that is told unasked."""
        if lie.flood and self._flood is None and self.liar.is_greeted(self):
            self._flood = asyncio.create_task(self._pour(lie.flood))

    async def _pour(self, flood: bytes) -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                self.told()
                self.say(flood)
                await self.writer.drain()
                await asyncio.sleep(0)

    def say(self, said: bytes) -> None:
        self.writer.write(said)

    def told(self) -> None:
        self.was_lied_to = True
        self.liar.told[self.node] += 1


class Liar:
    """The proxy."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.lies: dict[str, Lie] = {}
        self.told: Counter[str] = Counter()
        self._channels: set[Channel] = set()

    def is_greeted(self, channel: Channel) -> bool:
        return channel.name != ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        channel = Channel(self, reader, writer)
        self._channels.add(channel)
        try:
            with contextlib.suppress(OSError):
                await channel.run()
        finally:
            self._channels.discard(channel)
            writer.close()

    def now(self, lies: dict[str, str]) -> None:
        """Lie like that from now on."""
        for channel in tuple(self._channels):
            if channel.was_lied_to:
                channel.writer.transport.abort()
        self.told.clear()
        self.lies = {node: LIES[name] for node, name in lies.items()}
        for channel in tuple(self._channels):
            lie = channel.lie
            if lie is not None and (lie.at_once or lie.on & WHILE_ENTERING):
                channel.writer.transport.abort()
            elif lie is not None:
                channel.begin(lie)

    def status(self) -> dict[str, dict[str, int]]:
        return {"links": dict(Counter(one.name for one in self._channels if one.name)), "told": dict(self.told)}


async def main() -> None:
    """Serve until the standard input ends."""
    liar = Liar(int(sys.argv[1]))
    server = await asyncio.start_server(liar.serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    orders = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    while line := await orders.readline():
        order = json.loads(line)
        if "lies" in order:
            liar.now(order["lies"])
        print(json.dumps(liar.status()), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
