"""Streams: answers that go on. Their budget in one process, what ends them, and server-sent events.

A stream takes no place from requests, and is not bound by their 25 s. There are places for streams, in all and for one
user, a longest time, and a time in which the caller has to take what is sent. Every two seconds it is asked again
whether the caller still may: a session that ended, a role that was taken away and a token that expired end it.

A slow reader costs what lies in its connection's buffer and no more: nothing is queued here. A source makes its next
event when the last one is on its way, of what is so then.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from typing import Any, Final, NamedTuple

from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from rppam.http.bounds import ApiLimits
from rppam.http.errors import BusyError, LeavingError, RateLimitedError
from rppam.http.routes import UndeclaredRouteError
from rppam.kernel.errors import RppamError

log: Final = logging.getLogger("rppam.api")
_GOODBYE_S: Final = 1.0
"""For the last event, and for a caller's own goodbye."""
_AGAIN_MS: Final = 5_000


class StreamEndedError(Exception):
    """A stream is to end; ``reason`` is a stable word for the caller, the text a sentence."""

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason


class Event(NamedTuple):
    """One server-sent event."""

    name: str
    data: object
    """Sent as JSON."""
    id: str = ""
    """What a caller that comes again sends as ``Last-Event-ID``; empty: the one before stays."""

    def encoded(self) -> bytes:
        """As it goes out. JSON on one line, so that no value can begin a line of its own."""
        begin = f"id: {self.id}\n" if self.id else ""
        return f"{begin}event: {self.name}\ndata: {json.dumps(self.data, separators=(',', ':'))}\n\n".encode("ascii")


class Streams:
    """The budget of one process, and the open streams in it."""

    def __init__(self, limits: ApiLimits) -> None:
        self.limits: Final = limits
        self.count = 0
        self._of_user: dict[str, int] = {}
        self._leaving: Final = asyncio.Event()
        self._empty: Final = asyncio.Event()

    @contextlib.contextmanager
    def admit(self, scope: Scope) -> Iterator["Stream"]:
        """One more stream, until the context ends.

        Raises :class:`BusyError`, :class:`RateLimitedError`, :class:`LeavingError`; and
        :class:`rppam.http.routes.UndeclaredRouteError` where the route does not declare to be a stream.
        """
        state, limits = scope["state"], self.limits
        place = state.get("place")
        if place is None:
            raise UndeclaredRouteError(f"the route {scope['path']} answers with a stream and declares no kind of one")
        if self._leaving.is_set():
            raise LeavingError("the node is shutting down")
        if self.count >= limits.streams:
            raise BusyError(f"{self.count} streams are open, which is the limit")
        identity = state.get("identity")
        user = "" if identity is None else identity.user_id or f"\0{identity.subject}"
        of_user = self._of_user.get(user, 0)
        if identity is not None and of_user >= limits.streams_of_user:
            raise RateLimitedError(f"{of_user} streams of this user are open, which is the limit", _AGAIN_MS)
        self.count += 1
        self._of_user[user] = of_user + 1
        place.leave()
        try:
            yield Stream(limits, self._leaving, state.get("recheck"), state.get("hang_up"))
        finally:
            self.count -= 1
            self._of_user[user] -= 1
            if not self._of_user[user]:
                del self._of_user[user]
            if not self.count:
                self._empty.set()

    async def leave(self, within_s: float = 2 * _GOODBYE_S) -> None:
        """Refuse new streams and end those that are open, each with a word; wait for that, but not longer."""
        self._leaving.set()
        self._empty.clear()
        if self.count:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._empty.wait(), within_s)


class Stream:
    """One open stream."""

    def __init__(
        self,
        limits: ApiLimits,
        leaving: asyncio.Event,
        recheck: Callable[[], Awaitable[Any]] | None,
        hang_up: Callable[[], None] | None,
    ) -> None:
        self.limits: Final = limits
        self._leaving, self._recheck, self._hang_up = leaving, recheck, hang_up

    async def run(self, *work: Coroutine[Any, Any, None], still_may: Callable[[Any], None] | None = None) -> None:
        """Run ``work`` until one of it ends, or must: raises :class:`StreamEndedError` then.

        ``still_may``: raises where the caller, as known now, may go on no longer, beyond what the route declares.
        """
        all_of_it = (*work, self._watch(still_may), self._leave())
        tasks = [asyncio.create_task(one, name="stream") for one in all_of_it]
        try:
            done, _ = await asyncio.wait(
                tasks, timeout=self.limits.stream_total_ms / 1000, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if not done:
            raise StreamEndedError("time", "the longest time of a stream is over; open another")
        for task in tasks:
            if task in done:
                task.result()

    async def within_stall(self, sending: Awaitable[None]) -> None:
        """Await ``sending``. Raises :class:`StreamEndedError` when the caller takes nothing in time."""
        try:
            async with asyncio.timeout(self.limits.stream_stall_ms / 1000):
                await sending
        except TimeoutError:
            raise StreamEndedError(
                "slow", f"nothing of what was sent was taken for {self.limits.stream_stall_ms} ms"
            ) from None

    def cut(self) -> None:
        """Close the connection now, with what lies in its buffer."""
        if self._hang_up is not None:
            self._hang_up()

    async def _leave(self) -> None:
        await self._leaving.wait()
        raise StreamEndedError("shutdown", "the node is shutting down; open the stream at another one")

    async def _watch(self, still_may: Callable[[Any], None] | None) -> None:
        """Raises :class:`StreamEndedError` once the caller may no longer listen; never ends otherwise."""
        pause_s, unknown_ms = self.limits.stream_recheck_ms / 1000, 0
        while True:
            await asyncio.sleep(pause_s)
            if self._recheck is None:
                continue
            try:
                identity = await self._recheck()
                if still_may is not None:
                    still_may(identity)
                unknown_ms = 0
            except RppamError as error:
                unknown_ms += self.limits.stream_recheck_ms
                # For a moment nobody may be able to tell: a database that starts again must not end every stream.
                if error.row.status != 503 or unknown_ms > self.limits.stream_unknown_ms:
                    raise StreamEndedError("access", f"{error.row.code}: {error}") from error


class EventStream(Response):
    """Server-sent events (the HTML standard, section 9.2), of a source that is closed when the stream ends."""

    media_type = "text/event-stream"

    def __init__(self, source: AsyncIterator[Event | None], still_may: Callable[[Any], None] | None = None) -> None:
        """``source`` gives ``None`` where nothing has happened: it is asked again at once, so it does the waiting."""
        self._source, self._still_may = source, still_may
        super().__init__()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        streams: Streams = scope["app"].state.streams
        try:
            with streams.admit(scope) as stream:
                await self._stream(stream, receive, send)
        finally:
            close = getattr(self._source, "aclose", None)
            if close is not None:
                await close()

    async def _stream(self, stream: Stream, receive: Receive, send: Send) -> None:
        headers = [
            (b"content-type", b"text/event-stream"),
            (b"x-accel-buffering", b"no"),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        last = b""
        try:
            await stream.run(self._pump(stream, send), _until_gone(receive), still_may=self._still_may)
        except StreamEndedError as end:
            if end.reason == "gone":
                return
            log.log(logging.WARNING if end.reason == "slow" else logging.INFO, "a stream ended: %s", end)
            last = Event("end", {"reason": end.reason, "detail": str(end)}).encoded()
        try:
            async with asyncio.timeout(_GOODBYE_S):
                await send(_part(last, more=False))
        except TimeoutError:
            stream.cut()
            with contextlib.suppress(TimeoutError, StreamEndedError):
                async with asyncio.timeout(_GOODBYE_S):
                    await _until_gone(receive)

    async def _pump(self, stream: Stream, send: Send) -> None:
        loop, heartbeat_s = asyncio.get_running_loop(), stream.limits.stream_heartbeat_ms / 1000
        await stream.within_stall(send(_part(b"retry: 2000\n\n")))
        sent_s = loop.time()
        async for event in self._source:
            if event is not None:
                part = event.encoded()
            elif loop.time() - sent_s >= heartbeat_s:
                part = b": alive\n\n"
            else:
                continue
            await stream.within_stall(send(_part(part)))
            sent_s = loop.time()


def _part(body: bytes, *, more: bool = True) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": more}


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    raise StreamEndedError("gone", "the caller has gone")
