"""A message authentication code on what members write into Redis in the clear: heartbeats and the leadership record.

Decides whether a text was written by a holder of the cluster key: HMAC-SHA-256 (RFC 2104), cut to 128 bits, under a key
that HKDF (RFC 5869) derives from the cluster key, bound to the cluster and to what kind of text it is. While the
cluster key is changed, the next and the previous one are believed, too, as on the member link.

What it does not promise: that a text is fresh. Whoever may write Redis can put back what stood there before, so each
reader also looks at counters, epochs and process lives.
"""

import hmac
from collections.abc import Sequence
from typing import Final

from rppam.crypto.sealed import Label, derived, framed
from rppam.kernel.secret import Secret

TAG_DIGITS: Final = 32
"""Hexadecimal digits of a tag: 128 bits."""
_LABEL: Final = Label(b"rppam-store-1", b"authentication of heartbeats and the leadership record")


class StoreMac:
    """Signs with the own cluster key, and believes that of every holder of one of the keys."""

    __slots__ = ("_cluster", "_keys", "generation")

    def __init__(self, cluster_id: str, own: Secret, also: Sequence[Secret] = ()) -> None:
        """``own`` and ``also``: 64 hexadecimal digits each, as for the member link."""
        self._cluster = cluster_id.encode()
        self._keys: tuple[bytes, ...] = ()
        self.generation = 0
        """Another one whenever other keys count: what was signed or believed may be remembered by it."""
        self.use(own, also)

    def use(self, own: Secret, also: Sequence[Secret] = ()) -> None:
        """Sign with ``own`` from now on, and believe ``also`` as well."""
        self._keys = tuple(derived(key, _LABEL) for key in (own, *also))
        self.generation += 1

    def tag(self, kind: str, text: str | bytes) -> str:
        """The tag of ``text``; ``kind`` says what it is (``heartbeat``, ``record``)."""
        return self._tag(self._keys[0], kind, text)

    def is_genuine(self, kind: str, text: str | bytes, tag: str, digits: int = TAG_DIGITS) -> bool:
        """Whether a holder of a believed key made ``tag`` for exactly this ``text`` of this ``kind``: the first
        ``digits`` of the tag, where there is no room for more."""
        if not tag.isascii():
            return False
        return any(hmac.compare_digest(self._tag(key, kind, text)[:digits], tag) for key in self._keys)

    def _tag(self, key: bytes, kind: str, text: str | bytes) -> str:
        said = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
        message = framed(self._cluster, kind.encode(), said)
        return hmac.digest(key, message, "sha256").hex()[:TAG_DIGITS]
