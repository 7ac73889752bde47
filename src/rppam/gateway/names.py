"""User names of the gateway: who wants to which target, in one word.

``USER+TARGET`` and ``USER+ACCOUNT+TARGET``, read from the right, since a user may be called ``al+x@corp.example``.
``#`` and ``:`` stand for ``+`` as well, and ``USER@ACCOUNT@TARGET`` is understood where nothing else separates.

Several readings may be possible; which of them is meant is decided by who is known (:func:`readings` gives the longest
user name first). What cannot be a user name at all is said by :func:`checked`, from the text alone, so that nobody
learns who or what exists. What it does not promise: that user, account or target exist.
"""

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from rppam.access.accounts.errors import NameInvalid
from rppam.access.accounts.model import normalise_name
from rppam.gateway.errors import NameUnfit
from rppam.targets.errors import ResourceInvalid
from rppam.targets.model import checked_account_name, checked_address, checked_name

CHARS_MAX: Final = 400
_SHOWN: Final = 60
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


def checked(text: str) -> list[Wanted]:
    """As :func:`readings`. Raises :class:`~rppam.gateway.errors.NameUnfit` where no reading can be anybody's."""
    found = readings(text)
    if not found:
        raise NameUnfit(_unreadable(text))
    last = found[-1]
    if _passes(normalise_name, text):
        return found
    if last.account and _is_port(text, last.target):
        raise NameUnfit(f"a port cannot be named: '{last.target[:_SHOWN]}' would be a target")
    if not _passes(normalise_name, last.user):  # nor is a longer one that begins with it
        raise NameUnfit(f"'{last.user[:_SHOWN]}' cannot be the name of a user")
    for what, name, checks in (
        ("an account", last.account, (checked_account_name,)),
        ("a target", last.target, (checked_name, checked_address)),
    ):
        if name and not any(_passes(check, name) for check in checks):
            raise NameUnfit(f"'{name[:_SHOWN]}' cannot be the name of {what}")
    return found


def _unreadable(text: str) -> str:
    if len(text) > CHARS_MAX:
        return f"it has {len(text)} characters, and at most {CHARS_MAX} are taken"
    strange = next(((place, char) for place, char in enumerate(text, 1) if not char.isprintable()), None)
    if strange is not None:
        return f"character {strange[0]} of it, U+{ord(strange[1]):04X}, cannot be shown"
    return "user, account or target is empty in it"


def _is_port(text: str, last: str) -> bool:
    """Whether somebody meant ``user+target:port``."""
    before = text[: len(text) - len(last)]
    return last.isdecimal() and before.endswith(":") and ":" not in before[:-1]


def _passes(check: Callable[[str], str], text: str) -> bool:
    try:
        check(text)
    except (NameInvalid, ResourceInvalid):
        return False
    return True


def _split(text: str) -> list[str]:
    """The parts between separators; an IPv6 address in brackets is one of them."""
    head, bracket, address = text.rpartition("[")
    if bracket and address.endswith("]") and head and _SEPARATORS.match(head[-1]):
        return [*_SEPARATORS.split(head[:-1]), bracket + address]
    parts = _SEPARATORS.split(text)
    if len(parts) == 1 and text.count("@") == 2:
        return text.split("@")
    return parts
