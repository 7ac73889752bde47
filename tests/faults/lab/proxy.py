"""A TCP proxy with a will of its own, as a process: latency, lost connections, black holes, one or both ways.

As a program (``python proxy.py LISTEN-ADDRESS TARGET:PORT NAME=PORT...``) it forwards each named port to the target and
takes one JSON object a line on stdin, answered by a line on stdout::

    {"link": "node1", "delay_ms": 80}        # each way, in order
    {"link": "node1", "hold": "both"}        # nothing passes: "requests", "replies", "both", or "" to let go
    {"link": "node1", "drop": true}          # connections end with a reset

What is held is delivered when it is let go, as TCP would after an outage; with ``drop`` it is lost instead. While
requests are held, new connections are taken and lead nowhere. :class:`Proxy` starts it on a host of the lab.
"""

import asyncio
import json
import socket
import struct
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

CHUNK: Final = 65_536


class Link:
    """One forwarded port and its present faults."""

    def __init__(self) -> None:
        self.delay_s = 0.0
        self.held = {"requests": False, "replies": False}
        self.writers: set[asyncio.StreamWriter] = set()
        self.changed = asyncio.Event()

    def obey(self, order: dict[str, Any]) -> None:
        if "delay_ms" in order:
            self.delay_s = order["delay_ms"] / 1000
        if "hold" in order:
            self.held = {way: order["hold"] in (way, "both") for way in self.held}
        if order.get("drop"):
            for writer in tuple(self.writers):
                with suppress(OSError):
                    kept: socket.socket = writer.get_extra_info("socket")
                    kept.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
        self.changed.set()
        self.changed = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: tuple[str, int]) -> None:
        """One connection, until either side ends it."""
        ours = {writer}
        self.writers.add(writer)
        try:
            await self._free("requests")
            far_reader, far_writer = await asyncio.open_connection(*target)
            ours.add(far_writer)
            self.writers.add(far_writer)
            ways = [
                asyncio.create_task(self._pass(reader, far_writer, "requests")),
                asyncio.create_task(self._pass(far_reader, writer, "replies")),
            ]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
        except OSError:
            pass
        finally:
            self.writers -= ours
            for one in ours:
                one.transport.abort()

    async def _free(self, way: str) -> None:
        while self.held[way]:
            await self.changed.wait()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: str) -> None:
        loop = asyncio.get_running_loop()
        waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(64)

        async def deliver() -> None:
            while True:
                due, data = await waiting.get()
                await asyncio.sleep(max(0.0, due - loop.time()))
                await self._free(way)
                writer.write(data)
                await writer.drain()
                waiting.task_done()

        out = asyncio.create_task(deliver())
        try:
            while data := await reader.read(CHUNK):
                await waiting.put((loop.time() + self.delay_s, data))
            await waiting.join()
        finally:
            out.cancel()
            with suppress(asyncio.CancelledError, OSError):
                await out


async def main(listen: str, target: str, *ports: str) -> None:
    """Serve until stdin ends."""
    host, _, port = target.rpartition(":")
    place = (host, int(port))
    links: dict[str, Link] = {}
    for entry in ports:
        name, _, number = entry.partition("=")
        link = links[name] = Link()
        await asyncio.start_server(partial(link.serve, target=place), listen, int(number))
    print("ready", flush=True)
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        order = json.loads(line)
        for name in links if order["link"] == "all" else [order["link"]]:
            links[name].obey(order)
        print("done", flush=True)


class Proxy:
    """The process on a host of the lab, with one port for each of ``names``."""

    FIRST_PORT: Final = 6400

    def __init__(self, host: Any, target: str, names: list[str], log: Path) -> None:
        self.host = host
        self.ports = {name: self.FIRST_PORT + number for number, name in enumerate(names)}
        words = [f"{name}={port}" for name, port in self.ports.items()]
        self._process = host.start(
            [sys.executable, str(Path(__file__)), host.address, target, *words], log, stdin=-1, stdout=-1
        )
        self._await("ready", log)

    def order(self, link: str, **what: Any) -> None:
        """Change the faults of a link, or of ``all``; it is done when this returns."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"link": link, **what}).encode() + b"\n")
        self._process.stdin.flush()
        self._await("done", None)

    def heal(self) -> None:
        """Everything passes, at once."""
        self.order("all", delay_ms=0, hold="")

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()

    def _await(self, word: str, log: Path | None) -> None:
        assert self._process.stdout is not None
        said = self._process.stdout.readline().decode().strip()
        assert said == word, f"the proxy said {said!r}: {log.read_text() if log else ''}"


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
