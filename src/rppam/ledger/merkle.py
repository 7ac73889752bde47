"""The Merkle tree of RFC 6962, section 2: its root, proofs that a leaf is in it, and that it only grew.

Pure. Of a tree only what cannot be recomputed cheaply is kept: the hashes of complete subtrees of 256, 65,536 ...
leaves (:data:`LEVELS`). A reader answers for those and for leaves; a proof in a tree of ten million leaves reads some
thousand hashes.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Final

TILE_BITS: Final = 8
"""Subtrees of ``2**8``, ``2**16`` ... leaves are kept."""
LEVELS: Final = (8, 16, 24, 32)
HASH_BYTES: Final = 32
EMPTY_ROOT: Final = hashlib.sha256().digest()

Hashes = Callable[[int, int, int], Sequence[bytes]]
"""``hashes(level, start, count)``: of the complete subtrees of ``2**level`` leaves, where level is 0 or in LEVELS."""


def leaf_hash(leaf: bytes) -> bytes:
    """The hash of one leaf."""
    return hashlib.sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of two subtrees."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier:
    """The complete subtrees that a tree of ``size`` leaves consists of: enough to append, and for the root."""

    def __init__(self, size: int = 0, hashes: Sequence[bytes] = ()) -> None:
        """``hashes``: the largest subtree first. ValueError where they are not those of ``size`` leaves."""
        if len(hashes) != size.bit_count() or any(len(one) != HASH_BYTES for one in hashes):
            raise ValueError(f"a tree of {size} leaves has {size.bit_count()} complete subtrees, found {len(hashes)}")
        self.size = size
        self._hashes = list(hashes)

    def append(self, leaf: bytes) -> Iterator[tuple[int, int, bytes]]:
        """Add the hash of a leaf; the subtrees that are complete now and to be kept: level, position, hash."""
        self._hashes.append(leaf)
        self.size += 1
        level, left = 0, self.size
        while left % 2 == 0:
            right = self._hashes.pop()
            self._hashes[-1] = node_hash(self._hashes[-1], right)
            level, left = level + 1, left // 2
            if level % TILE_BITS == 0:
                yield level, left - 1, self._hashes[-1]

    def root(self) -> bytes:
        """The root of the tree."""
        if not self._hashes:
            return EMPTY_ROOT
        root = self._hashes[-1]
        for left in reversed(self._hashes[:-1]):
            root = node_hash(left, root)
        return root

    def pack(self) -> bytes:
        """The hashes in one text, for :meth:`unpack`."""
        return b"".join(self._hashes)

    @classmethod
    def unpack(cls, size: int, packed: bytes) -> "Frontier":
        """What :meth:`pack` gave. ValueError where it is not that of ``size`` leaves."""
        return cls(size, [packed[at : at + HASH_BYTES] for at in range(0, len(packed), HASH_BYTES)])


def root_of(start: int, end: int, hashes: Hashes) -> bytes:
    """The root of the leaves from ``start`` to before ``end``, where ``start`` is a multiple of the range's width."""
    width = end - start
    if width == 0:
        return EMPTY_ROOT
    if width == 1:
        return hashes(0, start, 1)[0]
    if width & (width - 1) == 0 and start % width == 0:
        level = width.bit_length() - 1
        kept = level - level % TILE_BITS
        return _folded(list(hashes(kept, start >> kept, 1 << (level - kept))))
    split = start + _split(width)
    return node_hash(root_of(start, split, hashes), root_of(split, end, hashes))


def inclusion_proof(index: int, size: int, hashes: Hashes) -> list[bytes]:
    """The path of RFC 6962, section 2.1.1, of leaf ``index`` in a tree of ``size`` leaves."""
    if not 0 <= index < size:
        raise ValueError(f"expected an index below {size}, found {index}")
    return _path(index, 0, size, hashes)


def consistency_proof(old: int, size: int, hashes: Hashes) -> list[bytes]:
    """The proof of RFC 6962, section 2.1.2, that a tree of ``old`` leaves is the beginning of one of ``size``."""
    if not 0 <= old <= size:
        raise ValueError(f"expected 0 to {size} leaves, found {old}")
    return [] if old in {0, size} else _subproof(old, 0, size, hashes, is_whole=True)


def root_from_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes]) -> bytes:
    """The root that the proof leads to (RFC 9162, section 2.1.3.2). ValueError where it has another length."""
    if not 0 <= index < size:
        raise ValueError(f"expected an index below {size}, found {index}")
    place, last, root = index, size - 1, leaf
    for one in proof:
        if last == 0:
            raise ValueError("the proof is too long")
        if place % 2 or place == last:
            root = node_hash(one, root)
            while place % 2 == 0 and place:
                place, last = place // 2, last // 2
        else:
            root = node_hash(root, one)
        place, last = place // 2, last // 2
    if last:
        raise ValueError("the proof is too short")
    return root


def is_consistent(old: int, old_root: bytes, size: int, root: bytes, proof: Sequence[bytes]) -> bool:
    """Return whether the proof shows that the older tree is the beginning of the newer (RFC 9162, section 2.1.4.2)."""
    if old == size:
        return not proof and old_root == root
    if old == 0:
        return not proof and old_root == EMPTY_ROOT
    if old > size or not proof:
        return False
    path = [old_root, *proof] if old & (old - 1) == 0 else list(proof)
    place, last = old - 1, size - 1
    while place % 2:
        place, last = place // 2, last // 2
    older = newer = path[0]
    for one in path[1:]:
        if last == 0:
            return False
        if place % 2 or place == last:
            older, newer = node_hash(one, older), node_hash(one, newer)
            while place % 2 == 0 and place:
                place, last = place // 2, last // 2
        else:
            newer = node_hash(newer, one)
        place, last = place // 2, last // 2
    return last == 0 and older == old_root and newer == root


def _split(width: int) -> int:
    """The largest power of two below ``width``."""
    return 1 << ((width - 1).bit_length() - 1)


def _folded(hashes: list[bytes]) -> bytes:
    while len(hashes) > 1:
        hashes = [node_hash(hashes[at], hashes[at + 1]) for at in range(0, len(hashes), 2)]
    return hashes[0]


def _path(index: int, start: int, end: int, hashes: Hashes) -> list[bytes]:
    if end - start == 1:
        return []
    split = start + _split(end - start)
    if index < split:
        return [*_path(index, start, split, hashes), root_of(split, end, hashes)]
    return [*_path(index, split, end, hashes), root_of(start, split, hashes)]


def _subproof(old: int, start: int, end: int, hashes: Hashes, *, is_whole: bool) -> list[bytes]:
    """``old`` counts leaves from ``start``; ``is_whole``: the older root is known to whom the proof is for."""
    width = end - start
    if old == width:
        return [] if is_whole else [root_of(start, end, hashes)]
    split = _split(width)
    if old <= split:
        return [
            *_subproof(old, start, start + split, hashes, is_whole=is_whole),
            root_of(start + split, end, hashes),
        ]
    return [
        *_subproof(old - split, start + split, end, hashes, is_whole=False),
        root_of(start, start + split, hashes),
    ]
