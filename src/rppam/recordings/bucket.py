"""Chunks of recordings in a bucket of S3, or of what speaks like it: an object for what a gateway has written at once.

An object is there before SQL learns of it, and is never changed: its name has the generation of the gateway and its
first chunk, so a gateway that was away writes nothing that somebody else reads. Asking again writes the same object
again. Those of a recording that is over are joined (:mod:`~rppam.recordings.joining`): what is joined has generation 0.
A bucket that refuses, or has not answered whole in time, is as good as none: its connection is cut, the recording is
lost, and what becomes of its session is said by the policy. What it does not promise: that objects which a crash left,
and SQL never learned of, are removed before their recording is.
"""

import asyncio
import contextlib
import http.client
import re
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from html import unescape
from pathlib import Path
from typing import Final, NamedTuple, TypeVar
from urllib.parse import urlsplit

from rppam.http.trust import Trust
from rppam.recordings.errors import RecordingStoreFailed
from rppam.recordings.model import Chunk
from rppam.recordings.sigv4 import S3Keys, query_of, quoted, signed_headers

A = TypeVar("A")
T = TypeVar("T")
ANSWER_S: Final = 10.0
OBJECT_BYTES_MAX: Final = 64 * 1024 * 1024
_THREADS: Final = 16
_AT_ONCE: Final = 8
LIST_MAX: Final = 200
JOINED: Final = 0
"""The generation of objects that are joined from others: no gateway has it."""
_PLACE: Final = struct.Struct(">IQQI")
_FIRST: Final = "begun"
_NOBODY: Final = "nobody/"
"""No recording has this name, so nothing is listed."""
_CODE: Final = re.compile(rb"<Code>([A-Za-z]{1,60})</Code>")
_KEY: Final = re.compile(r"<Key>([^<]{1,1024})</Key>")
_HAS_BODY: Final = frozenset({http.client.OK, http.client.PARTIAL_CONTENT})
_SAID_BYTES: Final = 64 * 1024
_LIST_BYTES: Final = 4 * 1024 * 1024
_threads: Final = ThreadPoolExecutor(_THREADS, "buckets")
_open: Final = threading.local()
"""Connections of each thread, by where they lead: one that stands is used again. And the limit of what it does now."""


class BucketPlace(NamedTuple):
    """Where a bucket is."""

    is_secure: bool
    host: str
    """With its port, where it is another than that of its scheme."""
    path: str
    """Of the bucket and what its objects begin with; it ends with ``/``."""
    region: str

    @classmethod
    def of(cls, url: str, region: str) -> "BucketPlace":
        """That of a URL such as ``https://s3.example.com/bucket/recordings``."""
        parts = urlsplit(url)
        return cls(parts.scheme == "https", parts.netloc, f"/{parts.path.strip('/')}/", region)

    @property
    def url(self) -> str:
        """For people."""
        return f"{'https' if self.is_secure else 'http'}://{self.host}{self.path}"


class Place(NamedTuple):
    """Where a chunk lies."""

    generation: int
    """Whose object it is in."""
    first: int
    """Number of the first chunk in that."""
    offset: int
    size: int

    def packed(self) -> bytes:
        """As SQL has it."""
        return _PLACE.pack(*self)

    @classmethod
    def of(cls, ident: str, chunk: Chunk) -> "Place":
        """That of a chunk of the recording ``ident``. Raises :class:`RecordingStoreFailed`."""
        try:
            return cls(*_PLACE.unpack(chunk.sealed))
        except struct.error:
            raise RecordingStoreFailed(f"where chunk {chunk.seq} of the recording {ident} lies was changed") from None


class _Span(NamedTuple):
    """A part of an object."""

    name: str
    start: int
    end: int

    def with_(self, place: Place) -> "_Span":
        """The part that has ``place`` as well."""
        return self._replace(start=min(self.start, place.offset), end=max(self.end, place.offset + place.size))


class _Answer(NamedTuple):
    status: int
    body: bytes


class _Limit:
    """Ends what a thread waits for: a server that goes on to send a little now and then never runs into a timeout."""

    def __init__(self) -> None:
        self.connection: http.client.HTTPConnection | None = None
        self._is_over = False

    def check(self) -> None:
        """Raises ``TimeoutError`` where nobody waits for the answer any more."""
        if self._is_over:
            raise TimeoutError

    def end(self) -> None:
        """Cut the connection, from another thread."""
        self._is_over = True
        plug = None if self.connection is None else self.connection.sock
        if plug is not None:
            with contextlib.suppress(OSError):  # not by the method of a TLS socket, which another thread reads from
                socket.socket.shutdown(plug, socket.SHUT_RDWR)


class Bucket:
    """See the module."""

    def __init__(
        self, place: BucketPlace, keys: S3Keys | None, now_ms: Callable[[], int], ca: Path | None = None
    ) -> None:
        self.place, self._keys, self._now_ms, self._ca = place, keys, now_ms, ca

    async def prepare(self, ident: str) -> None:
        """See that this node may write there, by doing it. Raises :class:`RecordingStoreFailed`."""
        await self._soon(lambda: self._put(f"{ident}/{_FIRST}", b""))

    async def try_out(self) -> None:
        """See whether it answers this node and lets it look. Raises :class:`RecordingStoreFailed`."""
        await self._soon(lambda: self._listed(_NOBODY))

    async def put(self, ident: str, generation: int, chunks: Sequence[Chunk]) -> list[Chunk]:
        """Chunks that lie in the bucket from then on, with their places. Raises :class:`RecordingStoreFailed`."""
        first, offset, placed = chunks[0].seq, 0, []
        for chunk in chunks:
            placed.append(chunk._replace(sealed=Place(generation, first, offset, len(chunk.sealed)).packed()))
            offset += len(chunk.sealed)
        data = b"".join(chunk.sealed for chunk in chunks)
        await self._soon(lambda: self._put(_name(ident, generation, first), data))
        return placed

    async def get(self, ident: str, chunks: Sequence[Chunk]) -> list[Chunk]:
        """The chunks of these places. Raises :class:`RecordingStoreFailed`."""
        places = [Place.of(ident, one) for one in chunks]
        spans: dict[str, _Span] = {}
        for place in places:
            name = _name(ident, place.generation, place.first)
            spans[name] = spans.get(name, _Span(name, place.offset, place.offset)).with_(place)
        data = dict(zip(spans, await self._all(self._get, spans.values()), strict=True))
        found = []
        for chunk, place in zip(chunks, places, strict=True):
            name = _name(ident, place.generation, place.first)
            start = place.offset - spans[name].start
            found.append(chunk._replace(sealed=data[name][start : start + place.size]))
        return found

    async def remove(self, ident: str) -> None:
        """Remove all objects of a recording. Raises :class:`RecordingStoreFailed`."""
        await self._removed(ident, "")

    async def remove_unjoined(self, ident: str) -> None:
        """Remove all objects of a recording but those that are joined. Raises :class:`RecordingStoreFailed`."""
        await self._removed(ident, f"{ident}/{JOINED}/~")  # behind each number

    async def _removed(self, ident: str, after: str) -> None:
        before: list[str] = []
        while names := await self._soon(lambda: self._listed(f"{ident}/", after)):
            if names == before:
                raise self._failed(f"it says that it has removed {names[0]}, and still has it")
            await self._all(self._delete, names)
            before = names

    async def _all(self, work: Callable[[A], T], things: Iterable[A]) -> list[T]:
        """What ``work`` returns for each, some of them at a time: those that wait for a thread would be given up with
        it. The first that fails ends all."""
        left, found = iter(enumerate(things)), dict[int, T]()

        async def some() -> None:
            for place, thing in left:
                found[place] = await self._soon(partial(work, thing))

        tasks = [asyncio.create_task(some()) for _ in range(_AT_ONCE)]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
        return [found[place] for place in sorted(found)]

    async def _soon(self, work: Callable[[], T]) -> T:
        limit = _Limit()

        def limited() -> T:
            _open.limit = limit
            return work()

        try:
            async with asyncio.timeout(ANSWER_S * 2):
                return await asyncio.get_running_loop().run_in_executor(_threads, limited)
        except TimeoutError:
            raise self._failed(f"it did not answer within {ANSWER_S:g} s") from None
        except (OSError, http.client.HTTPException) as error:
            why = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise self._failed(why) from None
        except (ValueError, OverflowError):  # its words may repeat a header, and so whose the key is
            raise self._failed("its host, port or access.s3KeyId cannot be asked with") from None
        finally:
            limit.end()

    # ---- on a thread -------------------------------------------------------------------------------------------------

    def _put(self, name: str, data: bytes) -> None:
        answer = self._asked("PUT", name, data)
        if answer.status != http.client.OK:
            raise self._refused(answer)

    def _get(self, span: "_Span") -> bytes:
        headers = {"Range": f"bytes={span.start}-{max(span.start, span.end - 1)}"}
        answer = self._asked("GET", span.name, more=headers)
        if answer.status == http.client.NOT_FOUND:
            raise self._failed(f"there is no {span.name} in it")
        if answer.status == http.client.PARTIAL_CONTENT:
            return answer.body
        if answer.status != http.client.OK:
            raise self._refused(answer)
        return answer.body[span.start : span.end]  # one that knows no ranges

    def _delete(self, name: str) -> None:
        answer = self._asked("DELETE", name)
        if answer.status not in {http.client.OK, http.client.NO_CONTENT, http.client.NOT_FOUND}:
            raise self._refused(answer)

    def _listed(self, start: str, after: str = "") -> list[str]:
        bucket, _, before = self.place.path.strip("/").partition("/")
        before = f"{before}/" if before else ""
        query = {"list-type": "2", "max-keys": str(LIST_MAX), "prefix": before + start}
        if after:
            query["start-after"] = before + after
        answer = self._asked("GET", "", query=query, path=f"/{bucket}/")
        if answer.status != http.client.OK:
            raise self._refused(answer)
        found = [unescape(one) for one in _KEY.findall(answer.body.decode("utf-8", "replace"))]
        return [one.removeprefix(before) for one in found if one.startswith(before + start)]

    def _asked(
        self, method: str, name: str, body: bytes = b"", *, query: Mapping[str, str] | None = None, path: str = "",
        more: Mapping[str, str] | None = None,
    ) -> _Answer:  # fmt: skip
        if self._keys is None:
            raise self._failed("the config of this node has no access.s3KeyId and access.s3Secret")
        path = path or self.place.path + name
        host, query = self.place.host, query or {}
        headers = signed_headers(self._keys, self.place.region, method, host, path, query, body, self._now_ms(), more)
        headers["Content-Length"] = str(len(body))
        where = quoted(path) + (f"?{query_of(query)}" if query else "")
        limit: _Limit = _open.limit
        for is_last in (False, True):
            connection, is_new = self._connection()
            limit.connection = connection
            try:
                limit.check()
                connection.request(method, where, body, headers)
                limit.check()
                answer = connection.getresponse()
                most = OBJECT_BYTES_MAX if answer.status in _HAS_BODY else _SAID_BYTES
                data = answer.read(most + 1)
                if len(data) > most:
                    raise self._failed(f"it answers with more than {most} bytes")
                if answer.length:
                    raise http.client.IncompleteRead(data, answer.length)
                limit.connection = None
            except (OSError, http.client.HTTPException):
                self._hang_up()
                if is_new or is_last:  # one that stood may have been closed meanwhile, which is no failure
                    raise
            except BaseException:
                self._hang_up()
                raise
            else:
                if answer.will_close:
                    self._hang_up()
                return _Answer(answer.status, data)
        raise AssertionError("the last try returns or raises")

    def _connection(self) -> tuple[http.client.HTTPConnection, bool]:
        known: dict[tuple[BucketPlace, Path | None], http.client.HTTPConnection] = _open.__dict__.setdefault("by", {})
        key = (self.place, self._ca)
        if key in known:
            return known[key], False
        if self.place.is_secure:
            try:
                context = Trust(self._ca).context(self.place.url)
            except ssl.SSLError as error:
                raise self._failed(str(error)) from None
            made: http.client.HTTPConnection = http.client.HTTPSConnection(
                self.place.host, timeout=ANSWER_S, context=context
            )
        else:
            made = http.client.HTTPConnection(self.place.host, timeout=ANSWER_S)
        known[key] = made
        return made, True

    def _hang_up(self) -> None:
        known = _open.__dict__.setdefault("by", {})
        if (connection := known.pop((self.place, self._ca), None)) is not None:
            with contextlib.suppress(OSError):
                connection.close()

    def _refused(self, answer: _Answer) -> RecordingStoreFailed:
        code = _CODE.search(answer.body)
        return self._failed(f"it answers with {answer.status}" + (f" {code[1].decode()}" if code else ""))

    def _failed(self, why: str) -> RecordingStoreFailed:
        return RecordingStoreFailed(f"the bucket {self.place.url}: {why}")


def _name(ident: str, generation: int, first: int) -> str:
    return f"{ident}/{generation}/{first:010}"
