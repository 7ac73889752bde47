"""Calls from the API workers of a node to its control process: one question and one answer over a local socket.

The socket listens before any of them is started, and outlives each: a call that is made while the control process is
being replaced waits for the next one. A call carries its deadline, and is not carried out later. Only processes of this
node's account are heard. Linux only; what the calls mean is decided elsewhere.
"""

import asyncio
import logging
import os
import socket
import struct
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
from msgspec import Struct

from rppam.cluster.admin.errors import ControlSilent
from rppam.kernel.instant import US_PER_S
from rppam.kernel.protocol import NODE_CALLS
from rppam.kernel.system_clock import host_us

log: Final = logging.getLogger("rppam.node")

WAIT_S: Final = 5.0
BYTES_MAX: Final = 64 * 1024
BACKLOG: Final = 64
_CREDENTIALS: Final = struct.Struct("@3i")
Answering = Callable[[str, dict[str, Any]], Awaitable[dict[str, Any]]]
"""Makes the answer to a call of that name. ValueError for a call that there is not."""


class _Question(Struct):
    format: int
    name: str
    arguments: dict[str, Any]
    until_us: int


_encoder: Final = msgspec.json.Encoder()
_questions: Final = msgspec.json.Decoder(_Question)
_answers: Final = msgspec.json.Decoder(dict[str, Any])


def listen_for_calls() -> socket.socket:
    """A socket that calls come in on; it has no place in any directory."""
    if sys.platform == "win32":
        raise NotImplementedError("the processes of a node need Linux")
    plug = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    plug.bind("")  # Linux then gives it an abstract address of its own
    plug.listen(BACKLOG)
    return plug


def is_for_calls(plug: socket.socket) -> bool:
    """Return whether this is such a socket, and not one of the API's."""
    return sys.platform != "win32" and plug.family == socket.AF_UNIX


async def answer_calls(plug: socket.socket, answering: Answering) -> asyncio.Server:
    """Answer from now on, until the server is closed."""
    if sys.platform == "win32":
        raise NotImplementedError

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(WAIT_S):
                if _is_ours(writer.get_extra_info("socket")):
                    await _answer(reader, writer, answering)
        except (TimeoutError, OSError, ValueError, TypeError, RecursionError) as error:
            log.warning(
                "a call from another process of this node was not answered: %s", str(error) or "it took too long"
            )
        finally:
            writer.close()

    return await asyncio.start_unix_server(serve, sock=plug, limit=BYTES_MAX)


def caller(plug: socket.socket) -> Answering:
    """A function that makes calls over ``plug``; without an answer it raises :class:`ControlSilent`."""
    address = plug.getsockname()

    async def call(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        try:
            async with asyncio.timeout(WAIT_S):
                return await _ask(
                    address, _Question(NODE_CALLS.version, name, arguments, host_us() + int(WAIT_S * US_PER_S))
                )
        except (TimeoutError, OSError, ValueError, RecursionError) as error:
            raise ControlSilent(ControlSilent.row.meaning) from error

    return call


async def _ask(address: str | bytes, question: _Question) -> dict[str, Any]:
    if sys.platform == "win32":
        raise NotImplementedError
    plug = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        plug.setblocking(False)
        plug.connect(address)  # at once, or not at all
        reader, writer = await asyncio.open_unix_connection(sock=plug, limit=BYTES_MAX)
    except BaseException:
        plug.close()
        raise
    try:
        writer.write(_encoder.encode(question) + b"\n")
        return _answers.decode(await reader.readline())
    finally:
        writer.close()


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answering: Answering) -> None:
    question = _questions.decode(await reader.readline())
    if not NODE_CALLS.reads(question.format):
        raise ValueError(NODE_CALLS.refusal("it has", question.format))
    if host_us() > question.until_us:
        return  # its caller has given up
    writer.write(_encoder.encode(await answering(question.name, question.arguments)) + b"\n")
    await writer.drain()


def _is_ours(plug: socket.socket) -> bool:
    if sys.platform == "win32":
        return False
    told = plug.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, user, _ = _CREDENTIALS.unpack(told)
    return bool(user == os.getuid())
