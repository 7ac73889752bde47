"""Generated secrets: by classes of characters, each of which comes in, or by words that people can type and remember;
drawn without bias from the system's entropy. And what is made up for which type of entry.

Pure but for chance and the list of words. Look-alikes are left out where people may have to type it; ``:`` and line
ends never come, because tools that change passwords use them to separate. How many bits a secret has is told for
those who know the rules: what they do not know is which of the secrets it is that the rules can give.
"""

import itertools
import math
import secrets
import string
from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import cache, lru_cache
from importlib.resources import files
from types import MappingProxyType
from typing import Final, NamedTuple

from rppam.kernel.secret import Secret
from rppam.vault.errors import GeneratorInvalid
from rppam.vault.model import EntryType

LENGTH: Final = 24
LENGTH_MAX: Final = 256
LOOK_ALIKES: Final = frozenset("0O1lI|`'\"")


class CharClass(StrEnum):
    """A class of characters."""

    LOWER = "lower"
    UPPER = "upper"
    DIGITS = "digits"
    SYMBOLS = "symbols"


CHARS: Final[Mapping[CharClass, str]] = MappingProxyType(
    {
        CharClass.LOWER: string.ascii_lowercase,
        CharClass.UPPER: string.ascii_uppercase,
        CharClass.DIGITS: string.digits,
        CharClass.SYMBOLS: "!#$%&()*+,-./;<=>?@[]^_{}~",
    }
)


WORDS: Final = 6
WORDS_MIN, WORDS_MAX = 3, 20
SEPARATOR: Final = "-"
SEPARATORS: Final = frozenset("-_.,+=/~ ")
_WORDS_LEAST: Final = 1_000
"""Of fewer, as where a target refuses the letter e, a passphrase is none."""


class Phrase(NamedTuple):
    """A secret of words."""

    words: int = WORDS
    separator: str = SEPARATOR
    capitals: bool = False
    """Whether each word begins with one: for targets that ask for one, as it makes nothing harder to guess."""
    digit: bool = False
    """Whether one of the words, whichever, ends with a digit."""


class Rules(NamedTuple):
    """What is generated."""

    length: int = LENGTH
    classes: tuple[CharClass, ...] = tuple(CharClass)
    look_alikes: bool = False
    """Whether characters that look alike may come."""
    without: str = ""
    """Characters that never come, because a target refuses them."""
    phrase: Phrase | None = None
    """Words in the place of characters: of what is above ``without`` counts for them alone."""


PLAIN: Final = Rules()


class TypeRules(NamedTuple):
    """What is made up for entries of a type."""

    field: str
    rules: Rules = PLAIN
    """Where nothing else is asked for."""
    bits_least: int = 40
    """Fewer are refused: eight letters and digits have so many."""


_IN_ADDRESSES: Final = "!#$%&()*+,/;<=>?@[]^{}"
BY_TYPE: Final[Mapping[EntryType, TypeRules]] = MappingProxyType(
    {
        EntryType.PASSWORD: TypeRules("password"),
        EntryType.LDAP: TypeRules("password"),
        # It comes to stand in addresses such as postgresql://user:password@host.
        EntryType.DATABASE: TypeRules("password", Rules(without=_IN_ADDRESSES)),
        EntryType.SSH_KEY: TypeRules("passphrase", Rules(phrase=Phrase())),
        EntryType.API_TOKEN: TypeRules(
            "token", Rules(40, (CharClass.LOWER, CharClass.UPPER, CharClass.DIGITS), look_alikes=True), 128
        ),
    }
)
"""Of other types nothing is made up: no certificate or file comes from chance."""


def rules_of(type_: EntryType) -> TypeRules:
    """Raises :class:`GeneratorInvalid`."""
    found = BY_TYPE.get(type_)
    if found is None:
        raise GeneratorInvalid(f"generate: nothing is made up for an entry of the type {type_.value}")
    return found


def generated_for(type_: EntryType, rules: Rules) -> tuple[str, Secret]:
    """A fresh secret for an entry of the type, and in which field it lies. Raises :class:`GeneratorInvalid`."""
    own = rules_of(type_)
    if (found := entropy_bits(rules)) < own.bits_least:
        raise GeneratorInvalid(
            f"generate: for an entry of the type {type_.value} expected rules that give {own.bits_least} bits or more, "
            f"found {int(found)}: ask for more characters, classes or words"
        )
    return own.field, generated(rules)


def generated(rules: Rules) -> Secret:
    """A fresh secret. Raises :class:`GeneratorInvalid`."""
    if rules.phrase is not None:
        return Secret(_phrase(rules.phrase, _words_left(rules)))
    sets = _sets(rules)
    every = "".join(sets)
    while True:
        # Drawn until each class is in it: no position is worth less than another.
        text = "".join(secrets.choice(every) for _ in range(rules.length))
        if all(any(char in one for char in text) for one in sets):
            return Secret(text)


def entropy_bits(rules: Rules) -> float:
    """The logarithm of how many secrets there are by these rules, each as likely as any other. Raises
    :class:`GeneratorInvalid`."""
    if rules.phrase is not None:
        digit = math.log2(10 * rules.phrase.words) if rules.phrase.digit else 0.0
        return rules.phrase.words * math.log2(len(_words_left(rules))) + digit
    sizes = [len(one) for one in _sets(rules)]
    # All texts, without those that lack a class, with those again that lack two and were taken away twice, and so on.
    count = sum(
        (-1) ** number * (sum(sizes) - sum(lacking)) ** rules.length
        for number in range(len(sizes))
        for lacking in itertools.combinations(sizes, number)
    )
    return math.log2(count)


@cache
def all_words() -> tuple[str, ...]:
    """The words of passphrases, of letters alone, so that a separator separates."""
    lines = files("rppam.vault").joinpath("passphrase_words.txt").read_text(encoding="ascii").splitlines()
    return tuple(word for line in lines if not line.startswith("#") for word in line.split())


def _sets(rules: Rules) -> list[str]:
    """The characters of each class."""
    left_out = set(rules.without) | (set() if rules.look_alikes else LOOK_ALIKES)
    sets = ["".join(char for char in CHARS[one] if char not in left_out) for one in dict.fromkeys(rules.classes)]
    if not sets or not all(sets):
        raise GeneratorInvalid("classes: expected one or more, each with a character that is not left out")
    if not len(sets) <= rules.length <= LENGTH_MAX:
        raise GeneratorInvalid(f"length: expected {len(sets)} to {LENGTH_MAX}, found {rules.length}")
    return sets


@lru_cache(maxsize=8)  # asked for the bits, and again for the secret
def _words_left(rules: Rules) -> Sequence[str]:
    """The words that may come."""
    phrase, without = rules.phrase or Phrase(), set(rules.without)
    if not WORDS_MIN <= phrase.words <= WORDS_MAX:
        raise GeneratorInvalid(f"words: expected {WORDS_MIN} to {WORDS_MAX}, found {phrase.words}")
    if phrase.separator not in SEPARATORS or phrase.separator in without:
        raise GeneratorInvalid(f"separator: expected one of {''.join(sorted(SEPARATORS - without))!r}")
    if phrase.digit and without & set(string.digits):
        raise GeneratorInvalid("digit: expected none, as 'without' leaves digits out")
    words = [_begun(word, phrase) for word in all_words()]
    left = [word for word in words if without.isdisjoint(word)] if without else words
    if len(left) < _WORDS_LEAST:
        raise GeneratorInvalid(f"without: leaves {len(left)} words, expected {_WORDS_LEAST} or more")
    return left


def _begun(word: str, phrase: Phrase) -> str:
    return word.capitalize() if phrase.capitals else word


def _phrase(phrase: Phrase, words: Sequence[str]) -> str:
    found = [secrets.choice(words) for _ in range(phrase.words)]
    if phrase.digit:
        found[secrets.randbelow(phrase.words)] += secrets.choice(string.digits)
    return phrase.separator.join(found)
