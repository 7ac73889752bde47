"""User names of the gateway: who wants to which target, in one word.

``USER+TARGET`` and ``USER+ACCOUNT+TARGET``, read from the right, since a user may be called ``al+x@corp.example``.
``#`` and ``:`` stand for ``+`` as well, and ``USER@ACCOUNT@TARGET`` is understood where nothing else separates.

Several readings may be possible; which of them is meant is decided by who is known (:func:`readings` gives the longest
user name first). What it does not promise: that user, account or target exist.
"""

import re
from typing import Final, NamedTuple

CHARS_MAX: Final = 400
_SEPARATORS: Final = re.compile(r"[+#:]")


class Wanted(NamedTuple):
    """One reading of a user name."""

    user: str
    account: str = ""
    """Empty: the only account of the target that the user may use."""
    target: str = ""
    """Empty: to be chosen from a menu."""


def readings(text: str) -> list[Wanted]:
    """What ``text`` may mean, the longest user name first; nothing where it cannot be a user name at all."""
    if not text or len(text) > CHARS_MAX or not text.isprintable():
        return []
    parts = _split(text)
    if not all(parts):
        return []
    found = [Wanted(text)]
    if len(parts) > 2:
        found.append(Wanted(text[: len(text) - len(parts[-1]) - 1], "", parts[-1]))
        found.append(Wanted(text[: len(text) - len(parts[-1]) - len(parts[-2]) - 2], parts[-2], parts[-1]))
    elif len(parts) == 2:
        found.append(Wanted(parts[0], "", parts[1]))
    return found


def _split(text: str) -> list[str]:
    """The parts between separators; an IPv6 address in brackets is one of them."""
    head, bracket, address = text.rpartition("[")
    if bracket and address.endswith("]") and head and _SEPARATORS.match(head[-1]):
        return [*_SEPARATORS.split(head[:-1]), bracket + address]
    parts = _SEPARATORS.split(text)
    if len(parts) == 1 and text.count("@") == 2:
        return text.split("@")
    return parts
