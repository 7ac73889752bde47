"""Passwords that many people have: what is tried first, so what nobody may set.

Decides whether a password is one of them, in any case; one of them with digits or signs around it; one of them or a few
characters over and over; a run along the alphabet, the digits or a keyboard; or little more than the user's own name.
The list has the 39,773 most used of published breaches, from the packages Django 5.2 (BSD-3-Clause; gathered by Royce
Williams) and zxcvbn 4.5 (MIT). What it does not promise: that a password which passes is hard to guess.
"""

import gzip
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Final

_FILE: Final = Path(__file__).with_name("breached.txt.gz")
_OURS: Final = ("rppam", "rp-pam", "ravenphyre")
_RUNS: Final = ("qwertyuiop", "asdfghjkl", "zxcvbnm", "qwertzuiop", "yxcvbnm", "azertyuiop", "1234567890")
UNIT_CHARS_MAX: Final = 4
"""So few characters over and over are no password, whatever they are."""
EXTRA_CHARS_MAX: Final = 4
"""A name with as few characters around it is no password."""


def why_guessed_first(text: str, user: str) -> str:
    """Why nobody may set ``text``, for a sentence; empty where one may. ``user`` is the account's name."""
    folded = text.casefold()
    core = "".join(char for char in folded if char.isalnum()).strip("0123456789")
    if _is_listed(folded) or (core and _is_listed(core)):
        return "many people have it, or had it in a breach"
    if _repeats(folded):
        return "it is a few characters over and over"
    if all(abs(ord(after) - ord(before)) <= 1 for before, after in pairwise(folded)) or _is_run(folded):
        return "it is a run along the alphabet, the digits or the keyboard"
    for name in filter(None, (user, *_OURS)):
        if name in folded and len(folded.replace(name, "")) <= EXTRA_CHARS_MAX:
            return "it is little more than the name of the user or of this product"
    return ""


@cache
def _listed() -> bytes:
    """The list, a line each. Passwords are set so rarely that a search through the text is quick enough, and it takes
    a tenth of the memory that a set would."""
    return b"\n" + gzip.decompress(_FILE.read_bytes())


def _is_listed(text: str) -> bool:
    return "\n" not in text and f"\n{text}\n".encode(errors="replace") in _listed()


def _repeats(text: str) -> bool:
    for size in range(1, len(text) // 2 + 1):
        unit = text[:size]
        whole = unit * (len(text) // size + 1)
        if whole.startswith(text) and (size <= UNIT_CHARS_MAX or _is_listed(unit)):
            return True
    return False


def _is_run(text: str) -> bool:
    return any(text in row or text in row[::-1] for row in (run * 8 for run in _RUNS))
