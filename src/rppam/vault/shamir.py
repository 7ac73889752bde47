"""A key split into shares, of which some together give it back and fewer say nothing (Shamir, 1979).

Pure but for chance. Arithmetic is over GF(2**8) with the polynomial of AES, byte by byte. A share is one word that
people can keep on paper: how many are needed, which one it is, which key it belongs to, and a checksum against a
mistyped one.
"""

import hashlib
import secrets
from collections.abc import Sequence
from functools import reduce
from operator import xor
from typing import Final, NamedTuple

from rppam.kernel.secret import Secret
from rppam.vault.errors import SharesWrong

KEY_BYTES: Final = 32
COUNT_MAX: Final = 16
HEAD: Final = "rppamshare1"
_CHECK_DIGITS: Final = 8
_PARTS: Final = 6
_POLYNOMIAL: Final = 0x11B


class Share(NamedTuple):
    """One of them."""

    threshold: int
    """So many are needed."""
    number: int
    key_id: str
    """Of the key, so that shares of two keys are told apart; it says nothing about the key."""
    data: Secret
    """In hexadecimal digits."""

    def text(self) -> str:
        """The word to keep."""
        body = f"{HEAD}-{self.threshold}-{self.number}-{self.key_id}-{self.data.reveal()}"
        return f"{body}-{_digest(body.encode())}"


def split(key: bytes, threshold: int, count: int) -> list[Share]:
    """``count`` shares, of which ``threshold`` give the key. Raises :class:`SharesWrong`."""
    if not 2 <= threshold <= count <= COUNT_MAX or len(key) != KEY_BYTES:
        raise SharesWrong(f"expected a threshold of 2 or more, and at most {COUNT_MAX} shares")
    polynomials = [(byte, *secrets.token_bytes(threshold - 1)) for byte in key]
    return [
        Share(threshold, x, key_id(key), Secret(bytes(_at(one, x) for one in polynomials).hex()))
        for x in range(1, count + 1)
    ]


def read(word: str) -> Share:
    """A share as somebody typed it. Raises :class:`SharesWrong`, which never repeats it."""
    text = "".join(word.split()).lower()
    parts = text.split("-")
    if len(parts) != _PARTS or parts[0] != HEAD:
        raise SharesWrong(f"expected a share, which begins with {HEAD}-")
    if _digest(text.rpartition("-")[0].encode()) != parts[-1]:
        raise SharesWrong("a letter or digit of this share is wrong")
    return Share(int(parts[1]), int(parts[2]), parts[3], Secret(parts[4]))


def combine(shares: Sequence[Share]) -> bytes:
    """The key. Raises :class:`SharesWrong` for too few, the same twice, and shares of different keys."""
    given = {share.number: share for share in shares}
    if not shares:
        raise SharesWrong("expected shares, found none")
    if len({(share.key_id, share.threshold) for share in shares}) != 1:
        raise SharesWrong("these are shares of different keys")
    need, known = shares[0].threshold, shares[0].key_id
    if len(given) < need:
        raise SharesWrong(f"expected {need} different shares, found {len(given)}")
    points = [(number, bytes.fromhex(given[number].data.reveal())) for number in sorted(given)[:need]]
    weights = [_weight(x, [number for number, _ in points]) for x, _ in points]
    key = bytes(
        reduce(xor, (_times(data[place], weight) for (_, data), weight in zip(points, weights, strict=True)))
        for place in range(KEY_BYTES)
    )
    if key_id(key) != known:
        raise SharesWrong("the shares do not give the key that they name")
    return key


def key_id(key: bytes) -> str:
    """Tells keys apart and says nothing about them."""
    return _digest(b"rppam shares of " + key)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:_CHECK_DIGITS]


def _at(coefficients: Sequence[int], x: int) -> int:
    value = 0
    for one in reversed(coefficients):
        value = _times(value, x) ^ one
    return value


def _weight(x: int, numbers: Sequence[int]) -> int:
    """What the share ``x`` counts for in the value at 0 of the polynomial through all shares (Lagrange)."""
    value = 1
    for other in numbers:
        if other != x:
            value = _times(value, _times(other, _inverse(other ^ x)))
    return value


def _times(one: int, other: int) -> int:
    value = 0
    while other:
        if other & 1:
            value ^= one
        one <<= 1
        if one & 0x100:
            one ^= _POLYNOMIAL
        other >>= 1
    return value


def _inverse(one: int) -> int:
    """``one`` to the power of 254."""
    value = 1
    for _ in range(254):
        value = _times(value, one)
    return value
