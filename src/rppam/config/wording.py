"""How wrong input is described: "did you mean", and a safe picture of a value.

Promises: what comes out is one line of printable text, bounded in length. It does not know what is secret: secrets must
not be given to :func:`shown`.
"""

import json
import unicodedata
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Final

SHOWN_MAX: Final = 60
"""Characters of a value that a message shows."""
WORD_MAX: Final = 100
"""Longer words are not compared, which would hold the loop of a worker."""

PART_MIN: Final = 3
"""Shorter words are part of too many others."""
ALIKE_MAX: Final = 4
"""Who may have meant one of more words is told all of them in any case."""


def shown(value: object) -> str:
    """A JSON value in a message: short, on one line, control characters escaped."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    # No more is looked at than is shown: the value may be a megabyte.
    text = json.dumps(value[: SHOWN_MAX + 1] if isinstance(value, str) else value)
    return text if len(text) <= SHOWN_MAX else text[:SHOWN_MAX] + "..."


def type_of(value: object) -> str:
    """The JSON type of a value, where the value itself is not shown."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return f"a text of {len(value)} characters"
    return "a list" if isinstance(value, list) else "an object"


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that ``word`` most likely stands for, whatever its case, if any."""
    if len(word) > WORD_MAX:
        return None
    by_lower = {name.lower(): name for name in known}
    close = get_close_matches(word.lower(), by_lower, n=1, cutoff=0.7)
    return by_lower[close[0]] if close else None


def alike(word: str, known: Iterable[str]) -> tuple[str, ...]:
    """The known words that ``word`` may stand for, whatever its case: the nearest one, else those that end with it or,
    where none does, have it inside, as ``nodeName`` ends with ``name``."""
    known, lower = tuple(known), word.lower()
    if near := nearest(word, known):
        return (near,)
    if not PART_MIN <= len(word) <= WORD_MAX:
        return ()
    ends = tuple(name for name in known if name.lower().endswith(lower))
    found = ends or tuple(name for name in known if lower in name.lower())
    return found if len(found) <= ALIKE_MAX else ()


def key_name(name: str) -> str:
    """A key of the file in a message: as it stands there where that is short and plain."""
    return name if name.isascii() and name.isprintable() and 0 < len(name) <= SHOWN_MAX else shown(name)


def unprintable(text: str) -> str | None:
    """What is wrong with a text that holds control characters or half characters, or ``None``."""
    for position, char in enumerate(text, 1):
        if unicodedata.category(char) in {"Cc", "Cs"}:
            return f"the character U+{ord(char):04X} at its position {position}"
    return None


def odd_character(text: str, fits: Callable[[str], object]) -> str:
    """The first character of ``text`` that does not fit, and its place; empty where all do. No more of it is shown."""
    for place, char in enumerate(text, 1):
        if not fits(char):
            written = f"{char!r}" if "!" <= char <= "~" else f"U+{ord(char):04X}"
            return f"{'a blank' if char == ' ' else written} as character {place}"
    return ""
