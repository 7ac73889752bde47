"""Generated secrets: by classes of characters, each of which comes in, drawn without bias from the system's entropy.

Pure but for chance. Look-alikes are left out where people may have to type it; ``:`` and line ends never come, because
tools that change passwords use them to separate.
"""

import secrets
import string
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple

from rppam.kernel.secret import Secret
from rppam.vault.errors import GeneratorInvalid

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


class Rules(NamedTuple):
    """What is generated."""

    length: int = LENGTH
    classes: tuple[CharClass, ...] = tuple(CharClass)
    look_alikes: bool = False
    """Whether characters that look alike may come."""
    without: str = ""
    """Characters that never come, because a target refuses them."""


def generated(rules: Rules) -> Secret:
    """A fresh secret. Raises :class:`GeneratorInvalid`."""
    left_out = set(rules.without) | (set() if rules.look_alikes else LOOK_ALIKES)
    sets = ["".join(char for char in CHARS[one] if char not in left_out) for one in dict.fromkeys(rules.classes)]
    if not sets or not all(sets):
        raise GeneratorInvalid("classes: expected one or more, each with a character that is not left out")
    if not len(sets) <= rules.length <= LENGTH_MAX:
        raise GeneratorInvalid(f"length: expected {len(sets)} to {LENGTH_MAX}, found {rules.length}")
    every = "".join(sets)
    while True:
        # Drawn until each class is in it: no position is worth less than another.
        text = "".join(secrets.choice(every) for _ in range(rules.length))
        if all(any(char in one for char in text) for one in sets):
            return Secret(text)
