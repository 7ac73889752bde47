"""What Redis holds opens at its own place, in its own cluster, within its time, and nowhere else."""

import pytest

from rppam.cache.model import LIFE_MS_MAX, VALUE_BYTES_MAX, CacheKey, Copy, Kind
from rppam.cache.sealing import (
    CLOCKS_APART_MS,
    REVISION_MAX,
    SEALED_BYTES_MAX,
    Sealer,
    with_key,
    without_key,
)
from rppam.kernel.instant import WallMs
from rppam.kernel.secret import Secret

NOW = WallMs(1_800_000_000_000)
SECRET = Secret("ab" * 32)
SEALER = Sealer(SECRET, "lab", "rppam:cache:")
KEY = CacheKey(Kind.SESSION, "s1")
COPY = Copy(7, b"somebody signed in")


def sealed(life_ms: int = 60_000) -> bytes:
    return SEALER.seal(SEALER.place(KEY), COPY, life_ms, NOW)


def test_it_opens_where_it_was_sealed() -> None:
    assert SEALER.open(SEALER.place(KEY), sealed(), NOW) == COPY
    assert sealed() != sealed(), "a nonce of its own each time"
    assert sealed().startswith(b"1000000000000007"), "the script reads the revision here"


@pytest.mark.parametrize("place", range(len(sealed())))
def test_no_byte_can_be_changed(place: int) -> None:
    data = bytearray(sealed())
    data[place] ^= 1
    with pytest.raises(ValueError, match=r"format|sealed|length"):
        SEALER.open(SEALER.place(KEY), bytes(data), NOW)


@pytest.mark.parametrize("length", range(0, len(sealed()), 3))
def test_no_part_opens(length: int) -> None:
    with pytest.raises(ValueError, match=r"length|sealed"):
        SEALER.open(SEALER.place(KEY), sealed()[:length], NOW)


@pytest.mark.parametrize(
    "other",
    [
        (SECRET, "lab2", "rppam:cache:", KEY),
        (Secret("ac" * 32), "lab", "rppam:cache:", KEY),
        (SECRET, "lab", "other:cache:", KEY),
        (SECRET, "lab", "rppam:cache:", CacheKey(Kind.SESSION, "s2")),
        (SECRET, "lab", "rppam:cache:", CacheKey(Kind.USER, "s1")),
        (SECRET, "lab", "rppam:cache:", CacheKey(Kind.UNLOCK, "s1")),
    ],
)
def test_it_opens_nowhere_else(other: tuple[Secret, str, str, CacheKey]) -> None:
    sealer = Sealer(*other[:3])
    with pytest.raises(ValueError, match="not sealed for this place"):
        sealer.open(sealer.place(other[3]), sealed(), NOW)


def test_names_tell_nothing_and_differ() -> None:
    idents = ("s1", "s2", "", "s1\0", "\ud800", "ſ1")
    names = {SEALER.place(CacheKey(kind, ident)).name for kind in Kind for ident in idents}
    assert len(names) == len(Kind) * len(idents)
    assert all(name.startswith(b"rppam:cache:") and name.isascii() for name in names)


def test_words_that_run_together_are_other_facts() -> None:
    names = {Sealer(SECRET, cluster, "p:").place(CacheKey(Kind.USER, ident)).name for cluster, ident in
             (("lab", "x"), ("labuser", "x"), ("la", "bx"))}  # fmt: skip
    assert len(names) == 3


def test_a_replay_ends_although_clocks_differ() -> None:
    place, data = SEALER.place(KEY), sealed(60_000)
    assert SEALER.open(place, data, WallMs(NOW + 60_000 + CLOCKS_APART_MS)) == COPY
    assert SEALER.open(place, data, WallMs(NOW - CLOCKS_APART_MS)) == COPY
    with pytest.raises(ValueError, match="its time ended"):
        SEALER.open(place, data, WallMs(NOW + 60_001 + CLOCKS_APART_MS))
    with pytest.raises(ValueError, match="its time ended"):
        SEALER.open(place, sealed(LIFE_MS_MAX), WallMs(NOW - CLOCKS_APART_MS - 1))


@pytest.mark.parametrize("copy", [Copy(0, b"x"), Copy(-1, b"x"), Copy(REVISION_MAX + 1, b"x"), Copy(1, b"")])
def test_what_is_no_copy_is_not_sealed(copy: Copy) -> None:
    with pytest.raises(ValueError, match="no copy"):
        SEALER.seal(SEALER.place(KEY), copy, 1, NOW)


def test_the_largest_copy_fits() -> None:
    key = CacheKey(Kind.SETTING, "n" * 900)
    copy = with_key(key, Copy(REVISION_MAX, b"x" * VALUE_BYTES_MAX))
    data = SEALER.seal(SEALER.place(key), copy, 1_000, NOW)
    assert len(data) <= SEALED_BYTES_MAX
    assert without_key(SEALER.open(SEALER.place(key), data, NOW)) == (key, Copy(REVISION_MAX, b"x" * VALUE_BYTES_MAX))


def test_a_told_fact_opens_by_its_name_alone() -> None:
    key = CacheKey(Kind.UNLOCK, "subject")
    place = SEALER.place(key)
    data = SEALER.seal(place, with_key(key, Copy(3, b"-")), 1_000, NOW)
    found = SEALER.told_place(place.name)
    assert found is not None
    assert without_key(SEALER.open(found, data, NOW)) == (key, Copy(3, b"-"))
    assert SEALER.told_place(SEALER.place(KEY).name) is None


@pytest.mark.parametrize("value", [b"", b"\0", b"\0\5ghost x", b"\xff\xffuser u", b"\0\2\xff\xff"])
def test_what_says_no_key_is_refused(value: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # any: who asks takes it for a miss
        without_key(Copy(1, value))


def test_too_long_a_key_is_refused() -> None:
    with pytest.raises(ValueError, match="name of"):
        with_key(CacheKey(Kind.SETTING, "n" * 2_000), Copy(1, b"x"))
