"""One request to a node's REST API: for commands that look at a cluster or order it, and nodes that hand orders on.

A node that does not answer is an ordinary finding here, so every failure is one :class:`NoAnswerError` with a sentence
and the whole question has one deadline. HTTP/1.1 with ``Connection: close`` (RFC 9112) over asyncio streams: no pool
that could hide a dead node behind an old connection. It follows no redirects and keeps no cookies.
"""

import asyncio
import json
import ssl
from collections.abc import Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Final, NamedTuple
from urllib.parse import SplitResult, urlsplit

from rppam.http.trust import Trust
from rppam.kernel.logging import one_line
from rppam.kernel.network import connected
from rppam.kernel.secret import Secret
from rppam.kernel.tls import ill_made

BODY_BYTES_MAX: Final = 4 * 1024 * 1024
_HEAD_BYTES_MAX: Final = 64 * 1024
_SYSTEMS: Final = Trust()
TRY_ANOTHER: Final = "Is the node running there? Try another one with --url"
_MAYBE: Final = "It may have been done all the same: look before you ask again, here or elsewhere with --url"
_REFUSED: Final = "connection refused"
_TEXT_MAX: Final = 1_000
_NONE: Final[Mapping[str, str]] = MappingProxyType({})


class NoAnswerError(Exception):
    """No usable answer; ``str()`` is why, in a few words."""


class Answer(NamedTuple):
    """An HTTP answer with its JSON body (``None`` when the body is not JSON)."""

    status: int
    body: object
    etag: str = ""


def advice(method: str, error: NoAnswerError) -> str:
    """What to do where no node answered a request of a command."""
    return TRY_ANOTHER if method == "GET" or str(error).startswith(_REFUSED) else _MAYBE


def refusal(url: str, status: int, body: object) -> str:
    """What a node said in place of what was asked for: its sentence, the fix and the code."""
    told = body if isinstance(body, Mapping) else {}
    detail, fix, code = (one_line(str(told.get(name) or "")[:_TEXT_MAX]).strip() for name in ("detail", "fix", "code"))
    if not detail:
        return f"{url}: it answered with HTTP status {status}, which is no answer of a node of this product"
    sentence = detail if fix.rstrip(".") in detail else f"{detail.rstrip('.')}. {fix}"
    return f"{sentence} ({code})" if code else sentence


async def get_json(url: str, *, token: Secret | None = None, timeout_s: float = 5.0, trust: Trust = _SYSTEMS) -> Answer:
    """GET ``url``. Raises :class:`NoAnswerError` when there is no complete HTTP answer within ``timeout_s``."""
    return await ask_json("GET", url, token=token, timeout_s=timeout_s, trust=trust)


async def ask_json(
    method: str,
    url: str,
    body: object = None,
    *,
    token: Secret | None = None,
    timeout_s: float = 5.0,
    trust: Trust = _SYSTEMS,
    headers: Mapping[str, str] = _NONE,
) -> Answer:
    """One request, with ``body`` as JSON unless it is ``None``, and further ``headers``. Raises :class:`NoAnswerError`.

    After that error an order may or may not have been taken.
    """
    sent = None if body is None else json.dumps(body).encode("ascii")
    bearer = {} if token is None else {"Authorization": f"Bearer {token.reveal()}"}
    return await ask(method, url, sent, headers={**headers, **bearer}, timeout_s=timeout_s, trust=trust)


async def ask(
    method: str,
    url: str,
    body: bytes | None = None,
    *,
    headers: Mapping[str, str] = _NONE,
    timeout_s: float = 5.0,
    trust: Trust = _SYSTEMS,
    nobody: str = "no node listens there",
) -> Answer:
    """As :func:`ask_json`, with a body that is sent as it is: JSON where ``headers`` name no Content-Type.

    ``nobody`` is what a refused connection means, where something else than a node is asked.
    """
    try:
        async with asyncio.timeout(timeout_s):
            return await _ask(method, url, body, trust, headers)
    except TimeoutError as error:
        raise NoAnswerError(f"no answer within {timeout_s:g} s") from error
    except ConnectionRefusedError as error:
        raise NoAnswerError(f"{_REFUSED}: {nobody}") from error
    except asyncio.IncompleteReadError as error:
        raise NoAnswerError("the connection ended within the answer") from error
    except ssl.SSLError as error:
        raise NoAnswerError(_tls_failure(error, trust.hint)) from error
    except (OSError, asyncio.LimitOverrunError, ValueError, UnicodeError) as error:
        raise NoAnswerError(str(getattr(error, "strerror", None) or error)) from error


async def _ask(method: str, url: str, body: bytes | None, trust: Trust, headers: Mapping[str, str]) -> Answer:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"expected http://HOST:PORT or https://HOST:PORT, found {url!r}")
    secure = parts.scheme == "https"
    context = trust.context(url) if secure else None
    with await connected(parts.hostname, parts.port or (443 if secure else 80)) as plug:
        # The transport gets a duplicate: ours is closed here, whatever it does with its.
        reader, writer = await asyncio.open_connection(
            sock=plug.dup(),
            ssl=context,
            server_hostname=parts.hostname if secure else None,
            limit=_HEAD_BYTES_MAX,
        )
        try:
            if secure:
                trust.check(url, writer.get_extra_info("ssl_object").getpeercert(binary_form=True))
            writer.write(_request(method, parts, body, headers))
            return await _read_answer(reader)
        finally:
            writer.close()
            with suppress(OSError, ssl.SSLError):
                await writer.wait_closed()


def _request(method: str, parts: SplitResult, body: bytes | None, headers: Mapping[str, str]) -> bytes:
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    lines = [f"{method} {path} HTTP/1.1", f"Host: {parts.netloc.rpartition('@')[2]}", "Accept: application/json"]
    lines += ["Connection: close", "User-Agent: rppam"]
    if body is not None:
        headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if any("\r" in line or "\n" in line for line in lines):
        raise ValueError("a line break in the address or the token")
    if not all(line.isascii() for line in lines):
        raise ValueError("a character outside ASCII in the address or the token")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii") + (body or b"")


def _tls_failure(error: ssl.SSLError, hint: str) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        why = error.verify_message.rstrip(".")
        if made := ill_made(error):
            return f"TLS failed: its certificate is not believed ({why}); {made}"
        return f"TLS failed: its certificate is not believed ({why}); {hint}"
    if error.reason == "WRONG_VERSION_NUMBER":
        return "TLS failed: it does not speak TLS there; ask it with http://"
    return f"TLS failed: {error.reason or error}"


async def _read_answer(reader: asyncio.StreamReader) -> Answer:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip().split("\r\n")
    version, _, rest = first.partition(" ")
    if not version.startswith("HTTP/1."):
        raise ValueError("what answers there does not speak HTTP")
    status = int(rest[:3])
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if "chunked" in headers.get("transfer-encoding", "").lower():
        raw = await _read_chunks(reader)
    elif "content-length" in headers:
        raw = await reader.readexactly(_bounded(int(headers["content-length"])))
    else:
        raw = await reader.read(BODY_BYTES_MAX)
    try:
        return Answer(status, json.loads(raw), headers.get("etag", ""))
    except (ValueError, RecursionError):
        return Answer(status, None)


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        _bounded(len(body) + size)
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    return body


def _bounded(size: int) -> int:
    if not 0 <= size <= BODY_BYTES_MAX:
        raise ValueError(f"an answer of {size} bytes; {BODY_BYTES_MAX} at most make sense")
    return size
