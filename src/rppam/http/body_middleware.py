"""Request bodies: read them whole, bounded in size, time and number, and let only one plain JSON value through.

While a body is awaited its request is worked on by nobody, and counts among those that wait (``request_slots``);
where too many do, one that does not follow its headers within a moment is given up.

Decides whether a body is JSON at all: media type, UTF-8, nesting, repeated names (two parsers would read two different
requests). What a field may hold is decided by the models in :mod:`rppam.manager.schemas`.
"""

import asyncio
import contextlib
import json
import re
from collections.abc import Awaitable
from typing import Final, Never

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rppam.http.bounds import ApiLimits
from rppam.http.errors import (
    BusyError,
    MediaTypeError,
    SlowRequestError,
    TooLargeError,
    UnreadableBodyError,
)
from rppam.http.request_slots import RequestSlots

_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_JSON: Final = re.compile(r'application/json(?:\s*;\s*charset="?utf-?8"?)?\s*', re.IGNORECASE)
_VALUES_MAX: Final = 10_000
_LINGER: Final = 4
"""How many times the limit is read and thrown away, so that an honest caller hears the 413 instead of a reset."""
_LINGER_S: Final = 1.0


class BodyMiddleware:
    """Replaces the stream by the one checked body."""

    def __init__(self, app: ASGIApp, *, limits: ApiLimits, room: RequestSlots) -> None:
        self._app, self._limits, self._room = app, limits, room

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Answer one request."""
        if scope["type"] != "http" or scope["method"] not in _WITH_BODY:
            return self._app(scope, receive, send)
        return self._read_first(scope, receive, send)

    async def _read_first(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await self._await(scope, receive)
        if body is None:
            return  # The caller has gone; there is nobody to answer.
        if body:
            _check_media_type(scope)
            check_json(body, self._limits.nesting)
        await self._app(scope, _Replay(body, receive), send)

    async def _await(self, scope: Scope, receive: Receive) -> bytes | None:
        """The body. Raises :class:`BusyError` when it does not come at once and too many are awaited, or when too many
        requests are worked on by the time that it is there."""
        room, limits = self._room, self._limits
        address = room.address_of(scope.get("client"))
        too_many = room.await_body(address)
        patience_ms = limits.body_grace_ms if too_many else limits.body_timeout_ms
        try:
            async with asyncio.timeout(patience_ms / 1000):
                body = await self._read(scope, receive)
        except TimeoutError as error:
            if too_many:
                raise BusyError(too_many) from None
            raise SlowRequestError(f"the body did not arrive within {limits.body_timeout_ms} ms") from error
        finally:
            room.go_on(address, too_many)
        if room.in_flight > limits.in_flight:
            raise BusyError(f"{limits.in_flight} requests are being answered, which is the limit")
        return body

    async def _read(self, scope: Scope, receive: Receive) -> bytes | None:
        limit = self._limits.public_body_bytes if "identity" not in scope["state"] else self._limits.body_bytes
        headers = dict(scope["headers"])
        if int(headers.get(b"content-length", b"0")) > limit:
            if b"expect" not in headers:
                await _discard(receive, limit * _LINGER)
            raise _too_large(limit)
        parts: list[bytes] = []
        size = 0
        more = True
        while more and size <= limit * _LINGER:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            part = message.get("body", b"")
            size += len(part)
            if size <= limit:
                parts.append(part)
            more = message.get("more_body", False)
        if size > limit:
            raise _too_large(limit)
        return b"".join(parts)


async def _discard(receive: Receive, size_max: int) -> None:
    """Throw away what is on its way: closing with unread bytes would reset the connection and lose the answer."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_LINGER_S):
            while size_max > 0:
                message = await receive()
                size_max -= len(message.get("body", b""))
                if not message.get("more_body", False):
                    return


class _Replay:
    """Gives the body once, then what the connection says."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        if self._body is None:
            return await self._receive()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}


def check_json(body: bytes, nesting: int) -> None:
    """Nothing when ``body`` is one JSON value in UTF-8, nested at most ``nesting`` deep.

    Raises :class:`UnreadableBodyError` that says what is wrong and where, without quoting it.
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UnreadableBodyError(f"the body is not UTF-8 at byte {error.start}") from None
    # Counted before parsing: a megabyte of tiny values would hold the node's loop, and with it its heartbeats, for most
    # of a second.
    if sum(text.count(mark) for mark in ",[{") > _VALUES_MAX:
        raise UnreadableBodyError(f"the body holds more than {_VALUES_MAX} values")
    try:
        value = json.loads(text, object_pairs_hook=_no_repeats, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise UnreadableBodyError(
            f"the body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        ) from None
    except ValueError:
        raise UnreadableBodyError("the body holds a number that is too long") from None
    except RecursionError:
        raise UnreadableBodyError(f"the JSON is nested deeper than {nesting}") from None
    if _depth_exceeds([value], nesting):
        raise UnreadableBodyError(f"the JSON is nested deeper than {nesting}")


def _depth_exceeds(value: object, nesting: int) -> bool:
    level = [value]
    for _ in range(nesting + 1):
        level = [
            child
            for parent in level
            for child in (parent.values() if isinstance(parent, dict) else parent if isinstance(parent, list) else ())
            if isinstance(child, (dict, list))
        ]
        if not level:
            return False
    return True


def _no_repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise UnreadableBodyError("an object in the body holds the same name twice")
    return found


def _no_constant(name: str) -> Never:
    raise UnreadableBodyError(f"the body holds {name}, which is not JSON")


def _check_media_type(scope: Scope) -> None:
    kinds = [value for name, value in scope["headers"] if name == b"content-type"]
    if len(kinds) != 1 or not _JSON.fullmatch(kinds[0].decode("latin-1")):
        raise MediaTypeError("the Content-Type must be application/json")
    encodings = [value for name, value in scope["headers"] if name == b"content-encoding"]
    if any(value.strip().lower() != b"identity" for value in encodings):
        raise MediaTypeError("a Content-Encoding is not taken")


def _too_large(limit: int) -> TooLargeError:
    return TooLargeError(f"the body is larger than {limit} bytes")
