"""Generated secrets: each class comes in, and nothing that was left out."""

import collections
import itertools
import math

import pytest

from rppam.vault.errors import GeneratorInvalid
from rppam.vault.generator import (
    BY_TYPE,
    CHARS,
    LENGTH,
    LENGTH_MAX,
    LOOK_ALIKES,
    PLAIN,
    SEPARATORS,
    CharClass,
    Phrase,
    Rules,
    all_words,
    entropy_bits,
    generated,
    generated_for,
    rules_of,
)
from rppam.vault.model import EntryType

MANY = 200


def texts(rules: Rules) -> list[str]:
    return [generated(rules).reveal() for _ in range(MANY)]


def test_each_class_comes_in_and_no_other() -> None:
    for classes in ((CharClass.DIGITS,), (CharClass.LOWER, CharClass.SYMBOLS), tuple(CharClass)):
        for text in texts(Rules(len(classes), classes)):
            # As long as there are classes, so that each has one place.
            assert len(text) == len(classes)
            for one in classes:
                assert any(char in CHARS[one] for char in text), (classes, text)
            assert set(text) <= set("".join(CHARS[one] for one in classes))


def test_a_class_that_is_named_twice_counts_once() -> None:
    assert all(text.isdigit() for text in texts(Rules(1, (CharClass.DIGITS, CharClass.DIGITS))))


def test_look_alikes_come_only_where_they_are_allowed() -> None:
    every = set("".join(CHARS.values()))
    without, with_ = set("".join(texts(Rules(100)))), set("".join(texts(Rules(100, look_alikes=True))))
    assert without == every - LOOK_ALIKES
    assert with_ == every
    assert not without & set("0O1lI")


def test_what_a_target_refuses_and_what_separates_never_comes() -> None:
    refused = "!#$%&abc789"
    found = set("".join(texts(Rules(100, without=refused, look_alikes=True))))
    assert found == set("".join(CHARS.values())) - set(refused)
    assert not found & set(":\r\n\t ")


def test_no_character_is_likelier_than_another() -> None:
    counted = collections.Counter("".join(texts(Rules(LENGTH_MAX, (CharClass.DIGITS,), look_alikes=True))))
    expected = MANY * LENGTH_MAX / 10
    assert set(counted) == set("0123456789")
    # Five standard deviations: once in a million runs by chance.
    assert all(abs(count - expected) < 5 * (expected * 0.9) ** 0.5 for count in counted.values()), counted


def test_no_two_are_alike_and_none_is_shown_by_accident() -> None:
    assert len(set(texts(Rules()))) == MANY
    one = generated(Rules())
    assert len(one) == LENGTH
    assert one.reveal() not in f"{one!r} {one}"


@pytest.mark.parametrize(
    "rules",
    [
        Rules(classes=()),
        Rules(3),
        Rules(LENGTH_MAX + 1),
        Rules(0, (CharClass.DIGITS,)),
        Rules(classes=(CharClass.DIGITS,), without="23456789"),
        Rules(classes=(CharClass.DIGITS,), without="0123456789", look_alikes=True),
        Rules(phrase=Phrase(2)),
        Rules(phrase=Phrase(21)),
        Rules(phrase=Phrase(separator="x")),
        Rules(phrase=Phrase(separator="")),
        Rules(phrase=Phrase(separator=":")),
        Rules(phrase=Phrase(), without="-"),
        Rules(phrase=Phrase(), without="aeiou"),
        Rules(phrase=Phrase(digit=True), without="7"),
    ],
)
def test_rules_that_nothing_fits_are_refused(rules: Rules) -> None:
    with pytest.raises(GeneratorInvalid):
        generated(rules)
    with pytest.raises(GeneratorInvalid):
        entropy_bits(rules)


def test_the_words_are_letters_and_each_stands_there_once() -> None:
    words = all_words()
    assert len(words) == len(set(words)) == 7772
    assert all(word.isalpha() and word.islower() and 3 <= len(word) <= 9 for word in words)


def test_a_passphrase_is_of_words_with_what_was_asked_for() -> None:
    known = set(all_words())
    for text in texts(Rules(phrase=Phrase(5, "."))):
        assert len(text.split(".")) == 5
        assert set(text.split(".")) <= known
    for text in texts(Rules(phrase=Phrase(capitals=True, digit=True))):
        words = text.split("-")
        assert all(word[0].isupper() for word in words)
        assert sum(char.isdigit() for char in text) == 1
        assert {word.rstrip("0123456789").lower() for word in words} <= known
        assert any(word[-1].isdigit() for word in words)
    assert not set("".join(texts(Rules(phrase=Phrase(), without="xyz")))) & set("xyz")
    assert not SEPARATORS & set(":\n\r\t'\"\\")


def test_no_word_is_likelier_than_another() -> None:
    counted = collections.Counter(
        word for _ in range(50) for text in texts(Rules(phrase=Phrase(20))) for word in text.split("-")
    )
    drawn, kinds = sum(counted.values()), len(all_words())
    assert drawn == 50 * MANY * 20
    expected = drawn / kinds  # some 26
    spread = sum((counted[word] - expected) ** 2 for word in all_words()) / expected
    # Chi squared: its mean is the number of words, and eight standard deviations come by no chance.
    assert abs(spread - (kinds - 1)) < 8 * math.sqrt(2 * kinds), spread


def test_bits_are_those_of_all_that_the_rules_can_give() -> None:
    classes = (CharClass.DIGITS, CharClass.LOWER)
    rules = Rules(3, classes, without="345678" + CHARS[CharClass.LOWER][2:], look_alikes=True)
    possible = {
        "".join(text)
        for text in itertools.product("0129ab", repeat=3)
        if set(text) & set("0129") and set(text) & set("ab")
    }
    assert {one for _ in range(10) for one in texts(rules)} == possible
    assert entropy_bits(rules) == pytest.approx(math.log2(len(possible)))
    assert entropy_bits(Rules(4, (CharClass.DIGITS,), look_alikes=True)) == pytest.approx(math.log2(10_000))
    assert entropy_bits(Rules(phrase=Phrase(6))) == pytest.approx(6 * math.log2(7772))
    assert entropy_bits(Rules(phrase=Phrase(6, digit=True))) == pytest.approx(6 * math.log2(7772) + math.log2(60))
    assert 150 < entropy_bits(PLAIN) < 24 * math.log2(len("".join(CHARS.values())))
    assert entropy_bits(Rules(LENGTH_MAX)) > entropy_bits(PLAIN), "and no number is too great"


@pytest.mark.parametrize("type_", BY_TYPE)
def test_what_a_type_has_made_up_is_strong_enough_for_it(type_: EntryType) -> None:
    own = rules_of(type_)
    field, secret = generated_for(type_, own.rules)
    assert field == own.field
    assert len(secret) > 20
    assert entropy_bits(own.rules) >= own.bits_least
    with pytest.raises(
        GeneratorInvalid, match=f"the type {type_.value} expected rules that give {own.bits_least} bits"
    ):
        generated_for(type_, Rules(4, (CharClass.DIGITS,)))


def test_of_other_types_nothing_is_made_up() -> None:
    for type_ in set(EntryType) - set(BY_TYPE):
        with pytest.raises(GeneratorInvalid, match=type_.value):
            rules_of(type_)
