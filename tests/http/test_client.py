"""One GET over a real socket: every way in which an answer can be bad is one error with a sentence."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from rppam.http.client import Answer, NoAnswerError, get_json
from rppam.kernel.secret import Secret

Handler = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(await reader.readuntil(b"\r\n\r\n"), writer)
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def saying(answer: bytes) -> Handler:
    async def handler(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()

    return handler


@pytest.mark.parametrize(
    ("raw", "answer"),
    [
        (b'HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n{"a": 1}', Answer(200, {"a": 1})),
        (
            b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\n{"a\r\n5\r\n": 1}\r\n0\r\n\r\n',
            Answer(200, {"a": 1}),
        ),
        (b"HTTP/1.0 503 \r\n\r\n[]", Answer(503, [])),
        (b"HTTP/1.1 502 Bad\r\ncontent-length: 5\r\n\r\n<html", Answer(502, None)),
        (b"HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n", Answer(204, None)),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n" + b"[" * 100_000, Answer(200, None)),
    ],
)
async def test_complete_answers_are_read(raw: bytes, answer: Answer) -> None:
    async with serving(saying(raw)) as url:
        assert await get_json(url + "/x") == answer


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "ended within the answer"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{}", "ended within the answer"),
        (b"-NOAUTH Authentication required.\r\n\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n", "99999999 bytes"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n", "-1 bytes"),
        (b"HTTP/1.1 two OK\r\n\r\n", "invalid literal"),
        (b"x" * 200_000, "limit"),
    ],
)
async def test_anything_else_is_no_answer(raw: bytes, why: str) -> None:
    async with serving(saying(raw)) as url:
        with pytest.raises(NoAnswerError, match=why):
            await get_json(url)


async def test_the_token_is_sent_and_never_shown() -> None:
    seen: list[bytes] = []

    async def handler(request: bytes, writer: asyncio.StreamWriter) -> None:
        seen.append(request)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")

    async with serving(handler) as url:
        await get_json(url + "/a?b=c", token=Secret("t0ken"))
        with pytest.raises(NoAnswerError, match="a line break") as error:
            await get_json(url, token=Secret("t0ken\r\nX: y"))
        with pytest.raises(NoAnswerError, match=r"outside ASCII in the address or the token$"):
            await get_json(url, token=Secret("t0kenä"))
    assert seen[0].startswith(b"GET /a?b=c HTTP/1.1\r\nHost: 127.0.0.1:")
    assert b"\r\nAuthorization: Bearer t0ken\r\n" in seen[0]
    assert len(seen) == 1 or seen[1] == b""
    assert "t0ken" not in str(error.value)


async def test_silence_ends_at_the_deadline() -> None:
    hung_up = asyncio.Event()

    async def handler(_: bytes, _writer: asyncio.StreamWriter) -> None:
        await hung_up.wait()

    async with serving(handler) as url:
        with pytest.raises(NoAnswerError, match=r"no answer within 0\.05 s"):
            await get_json(url, timeout_s=0.05)
        hung_up.set()


@pytest.mark.parametrize("url", ["node1:7101", "ftp://node1", "http://", "http://127.0.0.1:99999"])
async def test_an_address_that_is_none_is_told(url: str) -> None:
    with pytest.raises(NoAnswerError):
        await get_json(url)
