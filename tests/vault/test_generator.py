"""Generated secrets: each class comes in, and nothing that was left out."""

import collections

import pytest

from rppam.vault.errors import GeneratorInvalid
from rppam.vault.generator import CHARS, LENGTH, LENGTH_MAX, LOOK_ALIKES, CharClass, Rules, generated

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
    ],
)
def test_rules_that_nothing_fits_are_refused(rules: Rules) -> None:
    with pytest.raises(GeneratorInvalid):
        generated(rules)
