"""Bounds on what a server may say: lengths are looked at before the parser makes room for them.

A header of a few bytes (``*2147483647``) has the parser allocate gigabytes, so the parser never sees one that is
beyond the :class:`~rppam.redis.options.Limits` of its connection. :class:`Framing` follows the headers of
RESP3 through any split into chunks; the bytes of a bulk are skipped by their length, not looked at. Most chunks are
spared that: small ones that hold no header of a hundred elements, that begin where a word begins and that bring a
whole reply (:meth:`Inbox.feed`). What such a chunk leaves open is at most some thousand small headers, and the next
chunk is then followed.

It decides what is too much: of one reply (bytes, elements, nesting, the length of a line), and of pushes within a
second. It does not decide what is *wrong*: a header that is none is left to the parser, which refuses it. Attributes
(``|``) are refused: nobody here asks for them, and the parser would hand one out in the place of the reply behind it.

What it does not promise: that a reply within the limits means anything. Tests: ``tests/redis/test_framing.py``.
"""

from typing import Any, Final

import hiredis

from rppam.redis.errors import StorePushFlood, StoreReplyTooLarge, classify
from rppam.redis.options import GREETING, Limits

MORE: Final = object()
"""No whole reply yet; hiredis' own word for it, False, is also a RESP3 reply."""
NESTED_MAX: Final = 8
"""Our own scripts answer with three. What is printed of a reply, in an error or a finding, must not run into Python's
own bound."""
LINE_BYTES_MAX: Final = 64 * 1024
"""Of a line that is no bulk: a status, an error, a number."""
_SMALL: Final = 32 * 1024
_KINDS: Final = bytes(48 if 48 <= one <= 57 else 42 if one in b"*~%>|" else 32 for one in range(256))
"""Any digit as ``0``, any kind of aggregate as ``*``: one pass over the bytes, a tenth of what an expression takes."""
_MANY: Final = b"*000"
_HEADERS_MAX: Final = 256
"""Headers that may stand in a chunk that is not followed; the parser itself nests up to 1,024."""
_HEADER_BYTES: Final = 4
_DIGITS_MAX: Final = 20
_END: Final = b"\r\n"
_BULKS: Final = frozenset(b"$!=")
_ARRAY, _SET, _PUSH, _MAP, _ATTRIBUTE = b"*~>%|"
_SINGLES: Final = frozenset((_ARRAY, _SET, _PUSH))
_PAIRS: Final = frozenset((_MAP, _ATTRIBUTE))


class BeyondError(Exception):
    """A header, or what has come of a reply, is beyond the limits."""


class Framing:
    """Follows the headers of what one connection receives."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._skip = 0
        """Bytes of a bulk, with its line end, that are still to come."""
        self._line = b""
        """A line whose end is still to come."""
        self._open: list[int] = []
        """For each aggregate that is under way, how many of its elements are still to come."""
        self._elements = 0
        """How many the present reply has announced."""

    @property
    def is_open(self) -> bool:
        """Whether a reply is under way."""
        return bool(self._skip or self._line or self._open)

    def follow(self, data: bytes) -> None:
        """Look at the headers of the next chunk. Raises BeyondError."""
        if self._line:
            data = self._line + data
            self._line = b""
        at, size = self._skip, len(data)
        if at > size:
            self._skip = at - size
            return
        if at:
            self._skip = 0
            self._complete()
        while at < size:
            end = data.find(_END, at, at + LINE_BYTES_MAX)
            if end < 0:
                if size - at >= LINE_BYTES_MAX:
                    raise BeyondError(f"a line of more than {LINE_BYTES_MAX} bytes")
                self._line = data[at:]
                return
            kind, at = data[at], self._past(data, at, end)
            if at > size:
                self._skip = at - size
                return
            if kind not in _SINGLES and kind not in _PAIRS:
                self._complete()

    def _past(self, data: bytes, at: int, end: int) -> int:
        """Where the next header is, after the one at ``at`` whose line ends at ``end``."""
        kind = data[at]
        if kind in _BULKS:
            length = _number(data, at, end)
            if length > self.limits.reply_bytes:
                raise BeyondError(f"a text of {length} bytes, and takes {self.limits.reply_bytes} at most")
            return end + 2 + (length + 2 if length >= 0 else 0)
        if kind in _SINGLES or kind in _PAIRS:
            self._announce(kind, _number(data, at, end))
        return end + 2

    def _announce(self, kind: int, count: int) -> None:
        """An aggregate begins."""
        if kind == _ATTRIBUTE:
            raise BeyondError("an attribute, which nobody asked for")
        count *= 2 if kind in _PAIRS else 1
        self._elements += max(0, count)
        if self._elements > self.limits.elements:
            raise BeyondError(f"a reply of {self._elements} elements, and takes {self.limits.elements} at most")
        if count <= 0:
            self._complete()
            return
        self._open.append(count)
        if len(self._open) > NESTED_MAX:
            raise BeyondError(f"a reply that is nested more than {NESTED_MAX} deep")

    def _complete(self) -> None:
        """One element is whole, and with it perhaps what it is the last one of."""
        still = self._open
        while still:
            still[-1] -= 1
            if still[-1]:
                return
            still.pop()
        self._elements = 0


def _number(data: bytes, at: int, end: int) -> int:
    """The number of a header; -1 for one that the parser will refuse."""
    digits = data[at + 1 : end]
    if len(digits) > _DIGITS_MAX or not digits.isdigit():
        return -1
    return int(digits)


class Pushes:
    """How much was pushed within a second, in words and in bytes."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._since = 0.0
        self._words = self._bytes = 0

    def count(self, now: float, words: int, size: int) -> None:
        """So many words of pushes, so many bytes, at ``now`` in seconds. Raises BeyondError."""
        if now - self._since >= 1.0:
            self._since, self._words, self._bytes = now, 0, 0
        self._words += words
        self._bytes += size
        if self._words > self.limits.pushed_words:
            raise BeyondError(f"more than {self.limits.pushed_words} words within a second")
        if self._bytes > self.limits.pushed_bytes:
            raise BeyondError(f"more than {self.limits.pushed_bytes} bytes within a second")


def _is_suspect(data: bytes) -> bool:
    """Whether a large header, many headers or an attribute may stand in a chunk. A false alarm costs little."""
    if not (_ARRAY in data or _PUSH in data or _MAP in data or _SET in data or _ATTRIBUTE in data):
        return False
    kinds = data.translate(_KINDS)
    if _MANY in kinds or (len(data) > _HEADER_BYTES * _HEADERS_MAX and kinds.count(b"*") > _HEADERS_MAX):
        return True
    return _ATTRIBUTE in data and (data[0] == _ATTRIBUTE or b"\n|" in data)


class Inbox:
    """The parser of one connection behind its limits: :meth:`feed`, then :attr:`take` until ``MORE``, then
    :meth:`settle`. Until :meth:`greeted` the limits are those of a greeting."""

    def __init__(self, address: str, limits: Limits) -> None:
        self._address = address
        self._reader = hiredis.Reader(replyError=classify, notEnoughData=MORE)
        self._limits = limits
        self._framing = Framing(GREETING)
        self._pushes = Pushes(GREETING)
        self._is_followed = self._is_open = False
        self._parse, self._is_cut = self._reader.feed, self._reader.has_data
        self.take: Final = self._reader.gets
        """The next whole reply, or ``MORE``."""
        self.is_greeted = False
        self.partial_bytes = 0
        """What has come of a reply that is not whole yet, about."""
        self.received_at = self.whole_at = 0.0
        """When anything came, and when a whole reply did (loop time); its connection writes and reads both."""

    def greeted(self) -> None:
        """The greeting is over."""
        self.is_greeted = True
        self.partial_bytes = 0
        self._framing.limits = self._pushes.limits = self._limits

    def feed(self, data: bytes) -> None:
        """Hand a chunk to the parser. Raises StoreReplyTooLarge instead."""
        if self._is_open or len(data) > _SMALL or _is_suspect(data):
            self._follow(data)
            self._is_followed = True
        else:
            self._is_followed = False
        self._parse(data)

    def settle(self, data: bytes, replies: int) -> None:
        """All whole ``replies``, pushes among them, of the chunk are taken. Raises StoreReplyTooLarge."""
        # The parser has nothing left over when it has taken the first byte of a header: what it is shows in the next
        # chunk alone. A chunk that ends a line ends no header in its middle.
        if replies and data.endswith(b"\n") and not self._is_cut():
            self.partial_bytes = 0 if self.is_greeted else self.partial_bytes + len(data)
            return
        if not self._is_followed:
            self._follow(data)
        self.partial_bytes = self._reader.len() if replies else self.partial_bytes + len(data)
        most = self._framing.limits.reply_bytes
        if self.partial_bytes > most + _SMALL:
            raise self._too_large(f"a reply of more than {most} bytes")

    def pushed(self, push: list[Any], size: int, now: float) -> None:
        """One push is taken, ``size`` bytes of the chunk are its own. Raises StorePushFlood."""
        words = len(push)
        if words > 1 and isinstance(push[1], list):
            words += len(push[1])
        try:
            self._pushes.count(now, words, size)
        except BeyondError as error:
            raise StorePushFlood(
                f"Redis at {self._address} pushed {error}; the connection was dropped to keep this node responsive. "
                f"{StorePushFlood.row.remedy}"
            ) from None

    def _follow(self, data: bytes) -> None:
        try:
            self._framing.follow(data)
        except BeyondError as error:
            raise self._too_large(str(error)) from None
        self._is_open = self._framing.is_open

    def _too_large(self, what: str) -> StoreReplyTooLarge:
        return StoreReplyTooLarge(
            f"Redis at {self._address} sent {what}; the connection was dropped to save memory. "
            f"{StoreReplyTooLarge.row.remedy}"
        )
