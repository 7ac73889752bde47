"""The tree against the definition of RFC 6962, section 2.1: every size up to some hundred, and random ones."""

import hashlib
from collections.abc import Sequence

import pytest
from hypothesis import given, strategies as st

from rppam.ledger.merkle import (
    EMPTY_ROOT,
    TILE_BITS,
    Frontier,
    Hashes,
    consistency_proof,
    inclusion_proof,
    is_consistent,
    leaf_hash,
    node_hash,
    root_from_inclusion,
    root_of,
)


def leaves(count: int) -> list[bytes]:
    return [leaf_hash(str(number).encode()) for number in range(count)]


def definition(hashes: Sequence[bytes]) -> bytes:
    """MTH of the RFC, word by word."""
    if not hashes:
        return hashlib.sha256().digest()
    if len(hashes) == 1:
        return hashes[0]
    split = 1
    while split * 2 < len(hashes):
        split *= 2
    return node_hash(definition(hashes[:split]), definition(hashes[split:]))


def reader(hashes: Sequence[bytes]) -> Hashes:
    """What a database keeps: leaves, and the subtrees that a frontier gives out."""
    kept: dict[tuple[int, int], bytes] = {}
    tree = Frontier()
    for one in hashes:
        for level, position, found in tree.append(one):
            assert level % TILE_BITS == 0
            kept[level, position] = found

    def read(level: int, start: int, count: int) -> Sequence[bytes]:
        if level == 0:
            return hashes[start : start + count]
        return [kept[level, position] for position in range(start, start + count)]

    return read


def test_the_root_is_that_of_the_definition_at_every_size() -> None:
    hashes = leaves(600)
    tree, read = Frontier(), reader(hashes)
    assert tree.root() == EMPTY_ROOT
    for size, one in enumerate(hashes, 1):
        list(tree.append(one))
        assert tree.size == size
        assert tree.root() == definition(hashes[:size]) == root_of(0, size, read)
        assert Frontier.unpack(size, tree.pack()).root() == tree.root()


def test_known_answers_of_the_rfc() -> None:
    known = bytes.fromhex("6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d")
    assert leaf_hash(b"") == known
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@given(st.integers(1, 900), st.data())
def test_each_leaf_is_proved_and_no_other_leaf_is(size: int, data: st.DataObject) -> None:
    hashes = leaves(size)
    index = data.draw(st.integers(0, size - 1))
    proof = inclusion_proof(index, size, reader(hashes))
    root = definition(hashes)
    assert root_from_inclusion(hashes[index], index, size, proof) == root
    other = data.draw(st.integers(0, size - 1).filter(lambda one: one != index)) if size > 1 else None
    if other is not None:
        assert root_from_inclusion(hashes[other], index, size, proof) != root
        broken = data.draw(st.integers(0, len(proof) - 1))
        changed = [*proof[:broken], leaf_hash(b"another"), *proof[broken + 1 :]]
        assert root_from_inclusion(hashes[index], index, size, changed) != root
    with pytest.raises(ValueError, match="too long"):
        root_from_inclusion(hashes[index], index, size, [*proof, root])
    if proof:
        with pytest.raises(ValueError, match="too short"):
            root_from_inclusion(hashes[index], index, size, proof[:-1])


@given(st.integers(0, 900), st.data())
def test_a_tree_that_grew_is_consistent_and_one_that_was_changed_is_not(size: int, data: st.DataObject) -> None:
    hashes = leaves(size)
    old = data.draw(st.integers(0, size))
    proof = consistency_proof(old, size, reader(hashes))
    old_root, root = definition(hashes[:old]), definition(hashes)
    assert is_consistent(old, old_root, size, root, proof)
    if 0 < old < size:
        at = data.draw(st.integers(0, old - 1))
        forged = [*hashes[:at], leaf_hash(b"forged"), *hashes[at + 1 :]]
        assert not is_consistent(old, definition(forged[:old]), size, root, proof)
        assert not is_consistent(old, old_root, size, definition(forged), consistency_proof(old, size, reader(forged)))
        assert not is_consistent(old, old_root, size, root, [])
        assert not is_consistent(old, old_root, size, root, [*proof, root])


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="complete subtrees"):
        Frontier(3, [leaf_hash(b"1")])
    with pytest.raises(ValueError, match="below 3"):
        inclusion_proof(3, 3, reader(leaves(3)))
    with pytest.raises(ValueError, match="0 to 3"):
        consistency_proof(4, 3, reader(leaves(3)))
    assert not is_consistent(4, EMPTY_ROOT, 3, EMPTY_ROOT, [])
