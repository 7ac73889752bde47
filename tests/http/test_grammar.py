"""Requests as bytes, judged as RFC 9112 has it: what is taken, what is refused, and with which status."""

import pytest

from tests.support.served import Served

pytestmark = pytest.mark.integration

PING = b"/system/health/ping"
END = b"\r\nConnection: close\r\n\r\n"


def get(target: bytes = PING, host: bytes = b"x", version: bytes = b"HTTP/1.1", before: bytes = b"") -> bytes:
    return before + b"GET " + target + b" " + version + b"\r\nHost: " + host + END


def login(chunks: bytes, more: bytes = b"") -> bytes:
    head = (
        b"POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked"
    )
    return head + more + END + chunks


async def sent(served: Served, raw: bytes, *, piece: int = 0) -> tuple[int, bytes]:
    """The status and what came with it; ``piece`` bytes at a time."""
    pieces = [raw[start : start + piece] for start in range(0, len(raw), piece)] if piece else [raw]
    answer = await served.raw(*pieces)
    return int(answer.split()[1]), answer


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (get(), 200),
        (get(b"http://x" + PING), 200),
        (get(b"HTTP://other:8080" + PING + b"?a=1"), 200),
        (get(b"https://x" + PING), 200),
        (get(b"http://x/nothing-there"), 401),
        (get(b"ftp://x" + PING), 400),
        (get(b"http://"), 400),
        (get(b"http://user@x" + PING), 400),
        (get(b"system/health/ping"), 400),
        (get(b"*"), 400),
        (get(host=b"[::1]:7101"), 200),
        (get(host=b"pam.example.com:7101"), 200),
        (get(host=b"a b"), 400),
        (get(host=b"a/b"), 400),
        (get(host=b"user@x"), 400),
        (get(host=b"x:999999"), 400),
        (get(host=b"[::1"), 400),
        (get(before=b"\r\n"), 200),
        (get(before=b"\r\n\r\n"), 200),
        (get(before=b"\n"), 400),
        (get(version=b"HTTP/1.2"), 200),
        (get(version=b"HTTP/9.9"), 505),
        (get(version=b"HTTP/2.0"), 505),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        (b"CONNECT x:443 HTTP/1.1\r\nHost: x:443" + END, 400),
        (b"OPTIONS * HTTP/1.1\r\nHost: x" + END, 405),
        (login(b"2\r\n{}\r\n0\r\n\r\n"), 400),
        (login(b"2;name=value\r\n{}\r\n0\r\n\r\n"), 400),
        (login(b'2 \t; name = "v"\r\n{}\r\n0\r\n\r\n'), 400),
    ],
)  # fmt: skip
async def test_each_request_has_its_status_in_one_piece_and_in_many(served: Served, raw: bytes, status: int) -> None:
    for piece in (0, 1) if status == 200 else (0,):  # what is refused early is answered before its last byte
        found, answer = await sent(served, raw, piece=piece)
        assert found == status, answer
        assert b"RPPAM-" in answer or found == 200, answer


@pytest.mark.parametrize("size", [b"2 ", b" 2", b"2\t", b"0x2", b"+2", b"2,2", b"", b"2;a=\n", b"2" * 17])
async def test_a_chunk_whose_size_could_be_read_in_two_ways_is_no_http(served: Served, size: bytes) -> None:
    status, answer = await sent(served, login(size + b"\r\n{}\r\n0\r\n\r\n"))
    assert status == 400
    assert b"RPPAM-6012" in answer


async def test_a_chunk_with_extensions_is_read_as_what_it_holds(served: Served) -> None:
    _, answer = await sent(served, login(b'2 ; a = "b;c"\r\n{}\r\n0\r\n\r\n'))
    assert b"RPPAM-6010" in answer, "the body was read, and its fields are missing"


async def test_the_host_of_an_absolute_target_counts(served: Served) -> None:
    """What a page of the console may be asked for depends on the host that was named."""
    status, answer = await sent(served, get(b"http://x"))
    assert status == 200
    assert b"<!doctype html>" in answer


async def test_empty_lines_between_pipelined_requests_are_passed_over(served: Served) -> None:
    first = get().replace(b"Connection: close\r\n", b"")
    status, answer = await sent(served, first + b"\r\n\r\n" + get())
    assert (status, answer.count(b"HTTP/1.1 200 OK")) == (200, 2)
