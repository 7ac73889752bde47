"""Facts as Redis holds them: under a name that tells nothing, sealed so that nothing can be read, changed or moved.

From the sealing key, which is on the nodes alone, a master key is derived. HMAC-SHA-512 of cluster, kind and identifier
under it gives each fact two halves: one is its name, the other its own key. So random nonces never come near their
limit, and what was sealed for one fact, cluster or key opens as no other. What stands in Redis, as
:mod:`rppam.crypto.sealed` makes it, has the head ``1`` and the revision in 15 digits; sealed are the end by the wall
clock in ms (8 bytes) and the value.

Version, revision, cluster and name are authenticated with it. Redis' script compares the revision without a key. The
end bounds how old a replayed copy can be; clocks of nodes may differ by :data:`CLOCKS_APART_MS`. Nothing is ever
unpickled.

Facts of some kinds have to be told to nodes that have never asked for them (:data:`TOLD`). Their names say so, their
keys follow from their names, and what is sealed says which fact it is.

What it does not promise: to hide how long a value is, or how often it changes.
"""

import hmac
from typing import Final

from rppam.cache.model import LIFE_MS_MAX, VALUE_BYTES_MAX, CacheKey, Copy, Kind
from rppam.crypto.sealed import NONCE_BYTES, TAG_BYTES, Label, derived, framed, seal, unseal
from rppam.kernel.instant import WallMs
from rppam.kernel.secret import Secret

CLOCKS_APART_MS: Final = 30 * 60_000
"""Nodes whose clocks differ by more cannot read each other's copies, and ask SQL."""
REVISION_MAX: Final = 10**15 - 1
TOLD: Final = frozenset((Kind.SETTING, Kind.UNLOCK, Kind.ACCESS))
"""Kinds whose changes every node is told by name: they are few, and change seldom."""
_TOLD_GROUP: Final = b"told:"
_VERSION: Final = b"1"
_DIGITS: Final = 15
_NAME: Final = 16
_END: Final = 8
_HEADER: Final = len(_VERSION) + _DIGITS
_KEY_TEXT_MAX: Final = 1_024
SEALED_BYTES_MAX: Final = _HEADER + NONCE_BYTES + _END + _KEY_TEXT_MAX + VALUE_BYTES_MAX + TAG_BYTES
"""Longer values in Redis are none of ours."""
_LABEL: Final = Label(b"rppam-cache-1", b"names and keys of the shared cache")


class Place:
    """Where one fact stands, and the key that opens it there."""

    __slots__ = ("is_told", "key", "name")

    def __init__(self, name: bytes, key: bytes, *, is_told: bool = False) -> None:
        self.name = name
        """Its key in Redis."""
        self.is_told = is_told
        """Its kind is one of :data:`TOLD`."""
        self.key = key
        """The fact's own."""


class Sealer:
    """Seals and opens with one sealing key."""

    def __init__(self, sealing_key: Secret, cluster_id: str, prefix: str) -> None:
        """``sealing_key``: 64 hexadecimal digits; ``prefix``: what all names begin with."""
        self._master = derived(sealing_key, _LABEL)
        self._cluster = cluster_id.encode()
        self._prefix = prefix.encode()

    def place(self, key: CacheKey) -> Place:
        text = framed(self._cluster, key.kind.value.encode(), key.ident.encode("utf-8", "surrogatepass"))
        halves = hmac.digest(self._master, text, "sha512")
        name = halves[:_NAME].hex().encode()
        if key.kind in TOLD:
            return self._told_place(self._prefix + _TOLD_GROUP + name)
        return Place(self._prefix + name, halves[32:])

    def told_place(self, name: bytes) -> Place | None:
        """The place of that name, if a fact stands there that everybody is told of."""
        start = self._prefix + _TOLD_GROUP
        is_one = name.startswith(start) and len(name) == len(start) + 2 * _NAME
        return self._told_place(name) if is_one else None

    def _told_place(self, name: bytes) -> Place:
        return Place(name, hmac.digest(self._master, b"told " + name, "sha256"), is_told=True)

    def seal(self, place: Place, copy: Copy, life_ms: int, wall_ms: WallMs) -> bytes:
        """``copy`` for Redis. ValueError for a revision or value that no copy has."""
        if not (0 < copy.revision <= REVISION_MAX and 0 < len(copy.value) <= VALUE_BYTES_MAX + _KEY_TEXT_MAX):
            raise ValueError(f"revision {copy.revision} with {len(copy.value)} bytes is no copy")
        header = b"%s%0*d" % (_VERSION, _DIGITS, copy.revision)
        text = (wall_ms + life_ms).to_bytes(_END, "big") + copy.value
        return seal(place.key, text, self._bound_to(place, header), head=header)

    def open(self, place: Place, sealed: bytes, wall_ms: WallMs) -> Copy:
        """The reverse. ValueError, with the reason, for what this cluster did not put there, or whose time is over."""
        if not _HEADER + NONCE_BYTES + _END + TAG_BYTES < len(sealed) <= SEALED_BYTES_MAX:
            raise ValueError("its length is wrong")
        header = sealed[:_HEADER]
        if header[:1] != _VERSION or not header[1:].isdigit():
            raise ValueError("it is of another format")
        text = unseal(place.key, sealed, self._bound_to(place, header), head=header)
        left_ms = int.from_bytes(text[:_END], "big") - wall_ms
        if not -CLOCKS_APART_MS <= left_ms <= LIFE_MS_MAX + CLOCKS_APART_MS:
            raise ValueError(f"its time ended {-left_ms} ms ago by this node's clock")
        return Copy(int(header[1:]), text[_END:])

    def _bound_to(self, place: Place, header: bytes) -> bytes:
        return b"%s %b %b" % (header, place.name, self._cluster)


def with_key(key: CacheKey, copy: Copy) -> Copy:
    """``copy`` as it is sealed: with its key, where everybody is told of its changes. ValueError for too long a key."""
    if key.kind not in TOLD:
        return copy
    text = f"{key.kind.value} {key.ident}".encode("utf-8", "surrogatepass")
    if len(text) + 2 > _KEY_TEXT_MAX:
        raise ValueError(f"the {key.kind.value} has a name of {len(text)} bytes")
    return Copy(copy.revision, len(text).to_bytes(2, "big") + text + copy.value)


def without_key(copy: Copy) -> tuple[CacheKey, Copy]:
    """The reverse, for such a copy. Raises ValueError."""
    end = 2 + int.from_bytes(copy.value[:2], "big")
    if end >= len(copy.value):
        raise ValueError("it ends before its value")
    kind, _, ident = copy.value[2:end].decode("utf-8", "surrogatepass").partition(" ")
    return CacheKey(Kind(kind), ident), Copy(copy.revision, copy.value[end:])
