"""Shares of a master key: any that are enough give it, fewer and wrong ones give nothing."""

import itertools
import secrets

import pytest

from rppam.kernel.secret import Secret
from rppam.vault.errors import SharesWrong
from rppam.vault.shamir import Share, combine, read, split


@pytest.mark.parametrize(("threshold", "count"), [(2, 2), (2, 5), (3, 5), (5, 16)])
def test_any_that_are_enough_give_the_key_back(threshold: int, count: int) -> None:
    key = secrets.token_bytes(32)
    shares = [read(share.text()) for share in split(key, threshold, count)]
    for some in itertools.islice(itertools.combinations(shares, threshold), 200):
        assert combine(some) == key
    assert combine(shares) == key, "more do no harm"


def test_fewer_are_refused_and_say_nothing() -> None:
    key = bytes(32)
    shares = split(key, 3, 5)
    for some in (shares[:2], [shares[0]] * 3):
        with pytest.raises(SharesWrong, match="expected 3 different shares"):
            combine(some)
    # One byte of one share takes every value, whatever the key is.
    seen = {split(key, 2, 2)[0].data.reveal()[:2] for _ in range(4_000)}
    assert len(seen) > 250


def test_a_mistyped_share_and_one_of_another_key_are_named_and_never_repeated() -> None:
    first, other = split(bytes(32), 2, 3), split(bytes([1] * 32), 2, 3)
    word = first[0].text()
    assert read(f"  {word[:20]} {word[20:].upper()}\n") == first[0], "blanks and capitals are people's"
    for wrong in (word[:-1] + ("0" if word[-1] != "0" else "1"), word[:40] + "z" + word[41:], "rppamshare1-2", ""):
        with pytest.raises(SharesWrong) as found:
            read(wrong)
        assert word[20:60] not in str(found.value)
    with pytest.raises(SharesWrong, match="different keys"):
        combine([first[0], other[1]])
    forged = Share(2, 2, first[0].key_id, Secret("00" * 32))
    with pytest.raises(SharesWrong, match="do not give the key"):
        combine([first[0], forged])
    for threshold, count in ((1, 3), (4, 3), (2, 17)):
        with pytest.raises(SharesWrong):
            split(bytes(32), threshold, count)
