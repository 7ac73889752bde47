"""What somebody with a socket and bad intentions, or a broken client, gets: a clear answer, and a node that goes on."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings, strategies as st

from rppam.cluster.health.model import ClusterSnapshot
from rppam.http.bounds import ApiLimits
from rppam.http.error_middleware import ErrorMiddleware
from rppam.http.refusal_log import EACH, RefusalLog
from tests.support.examples import examples
from tests.support.served import PASSWORD, Served

pytestmark = pytest.mark.integration

LOGIN = "/api/v1/auth/login"
NOTE = "/api/v1/admin/cluster/note"
JSON = {"Content-Type": "application/json"}
ANNOUNCED = b"Content-Type: application/json\r\nContent-Length: 40\r\n\r\n"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "RPPAM-6011"),
        (b"nonsense", "RPPAM-6011"),
        (b"\xff\xfe{}", "RPPAM-6011"),
        (b"\xef\xbb\xbf{}", "RPPAM-6011"),
        (b'{"username":"\xc3\x28","password":"x"}', "RPPAM-6011"),
        (b'{"username":"a","username":"b","password":"x"}', "RPPAM-6011"),
        (b'{"username":NaN,"password":"x"}', "RPPAM-6011"),
        (b"[" * 8000, "RPPAM-6011"),
        (b"[" * 8000 + b"]" * 8000, "RPPAM-6011"),
        (b"[" * 17 + b"]" * 17, "RPPAM-6011"),
        (b'{"username":' + b"9" * 5000 + b"}", "RPPAM-6011"),
        (b'{"username":"a","password":"b"} {}', "RPPAM-6011"),
        (b"", "RPPAM-6010"),
        (b"null", "RPPAM-6010"),
        (b"[]", "RPPAM-6010"),
        (b'"text"', "RPPAM-6010"),
        (b"{}", "RPPAM-6010"),
        (b'{"username":"a"}', "RPPAM-6010"),
        (b'{"username":1,"password":"x"}', "RPPAM-6010"),
        (b'{"username":"","password":"x"}', "RPPAM-6010"),
        (b'{"username":"a","password":""}', "RPPAM-6010"),
        (b'{"username":"a","password":null}', "RPPAM-6010"),
        (b'{"username":"a","password":["x"]}', "RPPAM-6010"),
        (b'{"username":"\\ud800","password":"x"}', "RPPAM-6010"),
        (b'{"username":"a","password":"x","\\ud800":1}', "RPPAM-6010"),
        (b'{"username":"' + b"a" * 300 + b'","password":"x"}', "RPPAM-6010"),
    ],
)
async def test_a_body_that_is_wrong_is_400_never_422_and_never_500(served: Served, body: bytes, code: str) -> None:
    answer = await served.http.post(LOGIN, content=body, headers=JSON)
    assert (answer.status_code, answer.json()["code"]) == (400, code), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert served.login.clients == []


async def test_every_wrong_field_is_listed_and_a_password_is_never_echoed(served: Served) -> None:
    answer = await served.http.post(LOGIN, json={"usernam": "admin", "password": {"very": "secret-word"}})
    errors = {flaw["field"]: flaw["message"] for flaw in answer.json()["errors"]}
    assert set(errors) == {"body.username", "body.password", "body.usernam"}
    assert "secret-word" not in answer.text
    long = await served.http.post(LOGIN, json={"username": "admin", "password": "s3cret" * 300})
    assert long.status_code == 400
    assert "s3cret" not in long.text


async def test_a_body_of_another_kind_is_415(served: Served) -> None:
    good = json.dumps({"username": "admin", "password": PASSWORD}).encode()
    for headers in (
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/json; charset=utf-16"},
        {"Content-Type": "application/jsonp"},
        {"Content-Type": ""},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
        {},
    ):
        answer = await served.http.post(LOGIN, content=good, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (415, "RPPAM-6013"), headers
    packed = await served.http.post(LOGIN, content=gzip.compress(good), headers=JSON | {"Content-Encoding": "gzip"})
    assert packed.status_code == 415
    for kind in ("application/json; charset=UTF-8", "Application/JSON", 'application/json;charset="utf-8"'):
        assert (await served.http.post(LOGIN, content=good, headers={"Content-Type": kind})).status_code == 200, kind


async def test_brackets_inside_a_text_are_not_nesting(served: Served) -> None:
    text = '[[[[[[{{{{{{"\\"[[[[[[[[[['
    answer = await served.http.put(NOTE, headers=served.bearer(), json={"text": text})
    assert answer.json()["text"] == text


@pytest.mark.parametrize("text", ["a\x00b", "\x1b[2J", "\u202etxt", "x" * 501])
async def test_a_note_that_cannot_be_shown_is_400(served: Served, text: str) -> None:
    answer = await served.http.put(NOTE, headers=served.bearer(), json={"text": text})
    assert answer.status_code == 400
    assert served.note.note is None


@pytest.mark.parametrize(("size", "path"), [(20_000, LOGIN), (2_400_000, NOTE), (50_000_000, NOTE)])
async def test_a_body_over_the_limit_is_413_and_the_node_goes_on(served: Served, size: int, path: str) -> None:
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {size}\r\n"
    head += f"Authorization: {served.bearer()['Authorization']}\r\n\r\n"
    answer = await served.raw(head.encode(), b"x" * min(size, 2_400_000))
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"RPPAM-6014" in answer
    assert (await served.http.get("/system/health/ping")).status_code == 200


async def test_a_chunked_body_is_counted_as_it_comes(served: Served) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b" " * 1000

    answer = await served.http.post(LOGIN, content=endless(), headers=JSON)
    assert answer.status_code == 413


async def test_a_megabyte_of_tiny_values_is_refused_before_it_costs_anything(served: Served) -> None:
    body = b"[" + b"[]," * 300_000 + b"[]]"
    answer = await served.http.put(NOTE, content=body, headers=JSON | served.bearer())
    assert (answer.status_code, answer.json()["code"]) == (400, "RPPAM-6011")
    assert "10000 values" in answer.json()["detail"]


async def test_nesting_up_to_the_limit_is_left_to_the_fields(served: Served) -> None:
    for depth, code in ((16, "RPPAM-6010"), (17, "RPPAM-6011")):
        answer = await served.http.post(LOGIN, content=b"[" * depth + b"]" * depth, headers=JSON)
        assert (answer.status_code, answer.json()["code"]) == (400, code), depth


async def test_a_body_at_the_limit_is_read(served: Served) -> None:
    body = json.dumps({"text": "ok"}).encode()
    padded = body + b" " * (1024 * 1024 - len(body))
    answer = await served.http.put(NOTE, content=padded, headers=JSON | served.bearer())
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"400"),
        (b"GARBAGE\r\n\r\n", b"400"),
        (b"GET /system/health/ping HTTP/1.1\r\n\r\n", b"400"),
        (b"GET /system/health/ping HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"400"),
        (b"GET /system/health/ping HTTP/1.1\r\nHost: a\r\nX y: 1\r\n\r\n", b"400"),
        (b"GET /system/health/ping HTTP/1.0\r\nX: " + b"y" * 17_000 + b"\r\n\r\n", b"431"),
        (b"GET /system/health/ping HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 17_000, b"431"),
        (b"GET /" + b"y" * 17_000 + b" HTTP/1.0\r\n\r\n", b"431"),
        (b"GET /?" + b"y" * 17_000 + b" HTTP/1.0\r\n\r\n", b"431"),
        (b"POST /api/v1/auth/login HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", b"400"),
        (b"POST /api/v1/auth/login HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", b"400"),
        (
            b"POST /api/v1/auth/login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\n\r\nnonsense\r\n",
            b"400",
        ),
    ],
)
async def test_what_is_not_http_gets_a_problem_and_the_connection_closed(
    served: Served, request_bytes: bytes, status: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await served.raw(request_bytes, pause_s=0.05)
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert b"application/problem+json" in answer
    assert b"uvicorn" not in answer.lower()
    assert b"h11" not in answer.lower()
    assert (await served.http.get("/system/health/ping")).status_code == 200
    assert [record for record in caplog.records if record.exc_info] == []


@pytest.mark.parametrize("first", ["Content-Length: 4", "Transfer-Encoding: chunked"])
async def test_a_request_with_two_lengths_is_refused_and_nothing_after_it_is_read(served: Served, first: str) -> None:
    second = {"Content-Length: 4": "Transfer-Encoding: chunked"}.get(first, "Content-Length: 4")
    smuggled = b"GET /system/health/ping HTTP/1.1\r\nHost: a\r\n\r\n"
    head = f"POST /api/v1/auth/login HTTP/1.1\r\nHost: a\r\n{first}\r\n{second}\r\n\r\n".encode()
    answer = await served.raw(head + b"0\r\n\r\n" + smuggled)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1") - answer.count(b"valid HTTP/1.1") == 1, answer
    assert b"connection: close" in answer.lower()
    assert b'"RPPAM-6012"' in answer
    for single in ("Content-Length: 2\r\n\r\n{}", "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"):
        plain = "POST /api/v1/auth/login HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: application/json\r\n"
        assert b'"RPPAM-6010"' in await served.raw(f"{plain}{single}".encode()), "each alone is read"


async def test_an_old_checker_without_host_and_keep_alive_is_served(served: Served) -> None:
    assert (await served.raw(b"OPTIONS /system/health/leader HTTP/1.0\r\n\r\n")).startswith(b"HTTP/1.1 200 ")


async def test_an_upgrade_is_ignored(served: Served) -> None:
    answer = await served.raw(
        b"GET /system/health/ping HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eHh4eHh4eHh4eHh4eHh4eA==\r\n\r\n"
    )
    assert answer.startswith(b"HTTP/1.1 200 ")


async def test_an_unexpected_error_is_a_500_that_tells_nothing_and_a_log_line_that_tells_all(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> ClusterSnapshot:
        raise RuntimeError("internal-detail")

    served.node.snapshot = broken  # type: ignore[method-assign]
    answer = await served.http.get("/system/health/cluster", headers=served.bearer())
    assert (answer.status_code, answer.json()["code"]) == (500, "RPPAM-6500")
    assert "internal-detail" not in answer.text
    assert "Traceback" not in answer.text
    [record] = [record for record in caplog.records if record.exc_info]
    assert answer.json()["requestId"] in record.getMessage()
    assert "internal-detail" in str(record.exc_info)


async def test_cors_is_not_offered(served: Served) -> None:
    answer = await served.http.options(
        LOGIN, headers={"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    )
    assert answer.status_code == 405
    assert not any(name.startswith("access-control") for name in answer.headers)


class TestTight:
    """The bounds, set small."""

    @pytest.fixture
    def limits(self) -> ApiLimits:
        return ApiLimits(
            in_flight=2,
            connections=4,
            header_timeout_ms=200,
            body_timeout_ms=300,
            answer_timeout_ms=200,
            keep_alive_ms=1000,
        )

    async def test_a_connection_that_trickles_headers_is_closed(self, served: Served) -> None:
        began = asyncio.get_running_loop().time()
        assert await served.raw(b"GET / HTTP/1.1\r\n") == b""
        assert await served.raw(b"") == b""
        assert asyncio.get_running_loop().time() - began < 2

    async def test_a_body_that_does_not_come_is_408(self, served: Served) -> None:
        answer = await served.raw(
            f"POST {LOGIN} HTTP/1.1\r\nHost: x\r\n".encode()
            + b"Content-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
        )
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"RPPAM-6016" in answer

    async def test_an_answer_that_takes_too_long_is_given_up(self, served: Served) -> None:
        served.note.silent.clear()
        answer = await served.http.get(NOTE, headers=served.bearer())
        assert (answer.status_code, answer.json()["code"]) == (503, "RPPAM-6031")

    async def test_beyond_the_bound_callers_hear_503_and_probes_go_on(self, served: Served) -> None:
        served.note.silent.clear()
        slow = [asyncio.create_task(served.http.get(NOTE, headers=served.bearer())) for _ in range(2)]
        await asyncio.sleep(0.1)
        busy = await served.http.get(NOTE, headers=served.bearer())
        assert (busy.status_code, busy.json()["code"], busy.headers["retry-after"]) == (503, "RPPAM-6030", "1")
        assert (await served.http.get("/system/health/leader")).status_code == 200
        served.note.silent.set()
        assert {answer.status_code for answer in await asyncio.gather(*slow)} == {200}
        assert (await served.http.get(NOTE, headers=served.bearer())).status_code == 200


class TestBodiesThatDoNotCome:
    """Few places, all of them taken by callers who announce a body and do not send it."""

    @pytest.fixture
    def limits(self) -> ApiLimits:
        return ApiLimits(in_flight=2, awaited=5, awaited_of_address=3, body_grace_ms=100)

    @pytest.fixture
    async def silent(self, served: Served) -> AsyncIterator[Callable[[str, int], Awaitable[None]]]:
        """Leaves so many log-ins without their bodies, from an address."""
        writers: list[asyncio.StreamWriter] = []

        async def leave(address: str, count: int) -> None:
            before = served.room.awaited
            for _ in range(count):
                _, writer = await asyncio.open_connection("127.0.0.1", served.server.port, local_addr=(address, 0))
                writer.write(f"POST {LOGIN} HTTP/1.1\r\nHost: x\r\n".encode() + ANNOUNCED)
                writers.append(writer)
            async with asyncio.timeout(10):
                while served.room.awaited < before + count:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)

        yield leave
        for writer in writers:
            writer.close()

    async def test_they_take_no_place_from_requests_that_are_there(
        self, served: Served, silent: Callable[[str, int], Awaitable[None]]
    ) -> None:
        await silent("127.0.0.1", 3)
        assert (await served.http.get(NOTE, headers=served.bearer())).status_code == 200
        answer = await served.http.post(LOGIN, json={"username": "admin", "password": PASSWORD})
        assert answer.status_code == 200, "its body follows at once"
        assert (await served.http.put(NOTE, headers=served.bearer(), json={"text": "ok"})).status_code == 200

    async def test_one_address_gets_only_some_of_the_places_and_hears_it(
        self, served: Served, silent: Callable[[str, int], Awaitable[None]]
    ) -> None:
        await silent("127.0.0.1", 3)
        refused = await served.raw(f"POST {LOGIN} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n".encode() + ANNOUNCED)
        assert refused.startswith(b"HTTP/1.1 503 ")
        assert b"RPPAM-6030" in refused
        assert b"3 bodies from this address" in refused
        await silent("127.0.0.2", 2)
        assert served.room.awaited == 5, "another address has its own, and who is refused takes none"

    async def test_so_do_all_addresses_together(
        self, served: Served, silent: Callable[[str, int], Awaitable[None]]
    ) -> None:
        await silent("127.0.0.2", 3)
        await silent("127.0.0.3", 2)
        refused = await served.raw(f"POST {LOGIN} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n".encode() + ANNOUNCED)
        assert refused.startswith(b"HTTP/1.1 503 ")
        assert b"5 bodies are being awaited" in refused

    async def test_who_has_waited_needs_a_place_like_everybody_else(self, served: Served) -> None:
        body = json.dumps({"username": "admin", "password": PASSWORD}).encode()
        head = f"POST {LOGIN} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n"
        reader, writer = await asyncio.open_connection("127.0.0.1", served.server.port)
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode())
        async with asyncio.timeout(10):
            while not served.room.awaited:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        served.note.silent.clear()
        slow = [asyncio.create_task(served.http.get(NOTE, headers=served.bearer())) for _ in range(2)]
        async with asyncio.timeout(10):
            while served.room.in_flight < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        writer.write(body)
        answer = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        assert answer.startswith(b"HTTP/1.1 503 ")
        served.note.silent.set()
        assert {answer.status_code for answer in await asyncio.gather(*slow)} == {200}
        assert served.room.in_flight == 0


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
bodies = st.one_of(
    st.binary(max_size=200),
    json_like.map(lambda value: json.dumps(value).encode()),
    st.fixed_dictionaries({"username": json_like, "password": json_like}).map(lambda value: json.dumps(value).encode()),
    st.fixed_dictionaries({"text": st.text(max_size=600)}).map(lambda value: json.dumps(value).encode()),
)
header_values = st.text(st.characters(min_codepoint=32, max_codepoint=255, blacklist_characters="\x7f"), max_size=60)
headers = st.dictionaries(
    st.sampled_from(
        ["authorization", "content-type", "x-request-id", "accept", "expect", "cookie", "content-encoding"]
    ),
    header_values.map(str.strip),
    max_size=4,
)
paths = st.sampled_from([LOGIN, NOTE, "/system/health/cluster", "/openapi.json", "/system/health/leader", "/x"])
methods = st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "PROPFIND"])


@settings(
    max_examples=examples(150),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(method=methods, path=paths, body=bodies, extra=headers, signed=st.booleans(), plain=st.booleans())
async def test_no_request_whatever_makes_the_node_stumble(
    served: Served, method: str, path: str, body: bytes, extra: dict[str, str], signed: bool, plain: bool
) -> None:
    sent = {name.encode(): value.encode("latin-1") for name, value in extra.items()}
    if plain:
        sent[b"content-type"] = b"application/json"
    if signed:
        sent[b"authorization"] = served.bearer()["Authorization"].encode()
    answer = await served.http.request(method, path, content=body, headers=httpx.Headers(sent))
    assert answer.status_code in {200, 400, 401, 404, 405, 413, 415}, answer.text
    if answer.status_code >= 400 and method != "HEAD":
        document = answer.json()
        assert document["status"] == answer.status_code
        assert document["code"].startswith("RPPAM-")


PING = b"GET /system/health/ping HTTP/1.1\r\n"


@pytest.mark.parametrize(
    "head",
    [
        b"GET /system/health/ping HTTP/1.1\nHost: x\r\n\r\n",
        PING + b"Host: x\nX-A: b\r\n\r\n",
        PING + b"Host: x\n\n",
        PING + b"Host: x\r\n\n",
        PING + b"Host: x\n\r\n",
        PING + b"Host: x\r\nX-A: b\nTransfer-Encoding: chunked\r\n\r\n",
        b"\nGET /system/health/ping HTTP/1.1\r\nHost: x\r\n\r\n",
        PING + b"Host: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-A: b\n\r\n",
        PING + b"Host: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-A: b\n\n",
        PING + b"Host: x\r\nTransfer-Encoding: chunked\r\n\r\n1\nx\r\n0\r\n\r\n",
        PING + b"Host: x\rX-A: b\r\n\r\n",
    ],
)
@pytest.mark.parametrize("pieces", [1, 7])
async def test_a_line_that_ends_in_lf_alone_is_400_and_the_connection_is_over(
    served: Served, head: bytes, pieces: int
) -> None:
    step = -(-len(head) // pieces)
    chunks = [head[at : at + step] for at in range(0, len(head), step)]
    # What another program takes for the end of the first request stands behind it.
    chunks[-1] += PING + b"Host: y\r\nConnection: close\r\n\r\n"
    is_answered_first = b"chunked\r\n\r\n" in head
    try:
        answer = await served.raw(*chunks, pause_s=0.02)
    except ConnectionError:
        return  # it was hung up on before it had sent everything
    if not is_answered_first:
        assert answer.startswith(b"HTTP/1.1 400 "), answer
    assert answer.count(b"HTTP/1.1 ") <= 1 + is_answered_first
    assert answer.count(b"HTTP/1.1 200") <= is_answered_first


async def test_lines_that_end_as_they_should_come_in_any_pieces(served: Served) -> None:
    head = PING + b"Host: x\r\nX-A: b\r\nConnection: close\r\n\r\n"
    for step in (1, 3, len(head)):
        chunks = [head[at : at + step] for at in range(0, len(head), step)]
        assert (await served.raw(*chunks)).startswith(b"HTTP/1.1 200 ")


async def test_a_flood_of_refused_requests_costs_a_bounded_number_of_short_lines(
    served: Served, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    await served.http.get("/system/health/ping")  # the layers are made with the first request
    log = next(layer for layer in _layers(served.app) if isinstance(layer, ErrorMiddleware))._refusals
    monkeypatch.setattr(log, "_period_s", 2.0)
    caplog.set_level("INFO", "rppam.api")
    for number in range(150):
        path = f"/api/v1/users/{number}" + "x" * 5_000
        await served.http.get(path, headers={"User-Agent": "a" * 5_000})
        await served.http.get("/api/v1/users", headers={"Authorization": f"Bearer {'t' * 3_000}"})
    async with asyncio.timeout(20):
        while "more requests were refused" not in caplog.text:  # noqa: ASYNC110 - the period ends
            await asyncio.sleep(0.05)
    lines = [record.getMessage() for record in caplog.records if record.name == "rppam.api"]
    assert max(map(len, lines)) < 700
    first = [line for line in lines if line.startswith("RPPAM-6001")]
    told = [line for line in lines if "more requests were refused" in line]
    more = sum(int(line.split()[0]) for line in told)
    assert len(first) + more + _waiting(log) == 300, "each is a line or in a sum"
    assert "/api/v1/users/0x" in first[0]
    assert len(first) <= EACH * (len(told) + 1)


def _waiting(log: RefusalLog) -> int:
    return log._more.total()


def _layers(app: FastAPI) -> Iterator[object]:
    layer: object = app.middleware_stack
    while layer is not None:
        yield layer
        layer = getattr(layer, "_app", None) or getattr(layer, "app", None)
