"""Accounts: who may log in, and what a user name is.

A name is compared in one form only: Unicode NFKC, case-folded, then restricted to ASCII. So ``Admin``, ``ADMIN`` and
full-width ``ａｄｍｉｎ`` are one account, and a Cyrillic ``аdmin`` is no name at all: this is the whole policy against
look-alikes, because an approver who reads a name must be able to trust it. People's real names, in any script, go
into the display name, which identifies nobody.

Within ASCII some names still look alike: ``0`` and ``o``, ``1`` and ``l`` or ``i``, ``rn`` and ``m``, ``vv`` and ``w``.
Two accounts whose names differ in nothing else are not made (:func:`name_skeletons`). What it does not promise: that a
reader sees every other difference, nor anything about display names.
"""

import functools
import re
import unicodedata
from collections.abc import Iterable
from enum import StrEnum
from ipaddress import ip_address, ip_network
from typing import Final, NamedTuple

from rppam.access.accounts.errors import DisplayNameInvalid, NameInvalid, NetworkInvalid
from rppam.config.wording import odd_character
from rppam.kernel.instant import WallMs
from rppam.kernel.network import unmapped
from rppam.kernel.secret import Secret

NAME_CHARS_MAX: Final = 64
NAME_INPUT_CHARS_MAX: Final = 256
"""Longer input is refused before it is normalised: NFKC may grow a text eighteen-fold."""
DISPLAY_NAME_CHARS_MAX: Final = 100
FIRST_ADMIN: Final = "admin"
NETWORKS_MAX: Final = 32
PAGE_SIZE: Final = 50
PAGE_SIZE_MAX: Final = 200
PAGE_MAX: Final = 1_000_000

_ALIKE: Final = (("0", "o"), ("rn", "m"), ("vv", "w"))
READINGS: Final = ((*_ALIKE, ("1", "l")), (*_ALIKE, ("1", "i")))
"""How a reader may take a name: what is replaced by what, in this order. The store does the same in SQL."""
_MISLEADING: Final = frozenset({"Cc", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories that no display name needs: controls, half pairs, private or unassigned characters, breaks."""
_TURNING: Final = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Controls that make a text read in another order than it is stored (Unicode TR 36, "Trojan source")."""
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,63}")


class AccountRole(StrEnum):
    """What an account may do. The product's names."""

    USER = "pam_user"
    APPROVER = "pam_approver"
    ADMIN = "pam_admin"
    SECURITY_ADMIN = "security_admin"
    """Sees and changes security settings, sessions and lockouts; not the cluster."""
    AUDITOR = "pam_auditor"
    """Sees everything, changes nothing."""


class Account(NamedTuple):
    """One account, without anything secret."""

    id: str
    """Never changes and is never used again, unlike the name."""
    name: str
    display_name: str
    roles: frozenset[AccountRole]
    disabled: bool
    created_at: WallMs
    password_changed_at: WallMs
    auth_epoch: int = 1
    """Grows when all sessions have to end: with a new password, for one. A session begins under the one that was read
    *before* the password was checked, so that a change in between ends it, too."""
    revision: int = 1
    """Grows with every change that a check of a session has to see."""
    has_mfa: bool = False
    """A second factor is enrolled."""
    deleted_at: WallMs | None = None
    """Deleted accounts stay, disabled for good, so that the log's names keep their meaning."""
    allowed_from: tuple[str, ...] = ()
    """Networks that it may log in from; empty: any."""

    def may_log_in_from(self, client: str) -> bool:
        """Whether it may from this address; what is none is in no network."""
        if not self.allowed_from:
            return True
        try:
            address = unmapped(ip_address(client.partition("%")[0]))
        except ValueError:
            return False
        return any(address in ip_network(one) for one in self.allowed_from)


class StoredAccount(NamedTuple):
    account: Account
    password_hash: Secret


class UserQuery(NamedTuple):
    page: int = 1
    """From 1."""
    page_size: int = PAGE_SIZE
    search: str = ""
    """Part of the name or of the display name, in any case."""
    role: AccountRole | None = None
    deleted: bool = False
    """The deleted ones as well."""


class UserPage(NamedTuple):
    """One page, by name, and how many there are on all pages."""

    users: tuple[Account, ...]
    total: int


class UserChange(NamedTuple):
    """What shall be different; ``None`` leaves a thing as it is."""

    display_name: str | None = None
    """Checked by :func:`check_display_name` already."""
    disabled: bool | None = None
    roles: frozenset[AccountRole] | None = None
    allowed_from: tuple[str, ...] | None = None
    """Read by :func:`read_networks` already."""


class FirstAdmin(NamedTuple):
    """The administrator made at first start. The password exists nowhere else and is shown once."""

    name: str
    password: Secret


def normalise_name(text: str) -> str:
    """The one form of a user name.

    Raises :class:`NameInvalid` when ``text`` is no user name.
    """
    found = ""
    if len(text) <= NAME_INPUT_CHARS_MAX:
        name = _folded(text)
        if _NAME.fullmatch(name):
            return name
        found = odd_character(text, lambda char: _NAME.fullmatch(f"a{_folded(char)}"))
        if not found and 0 < len(name) <= NAME_CHARS_MAX:
            found = f"{name[0]!r} as the first character"
    raise NameInvalid(
        f"a user name is 1 to {NAME_CHARS_MAX} of the characters a-z 0-9 . _ @ + - and starts with a letter or digit; "
        f"found {found or f'{len(text)} characters'}. Put a name in another script into the display name"
    )


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def name_skeletons(name: str) -> tuple[str, ...]:
    """What a reader may see in a normalised ``name``, one for each of :data:`READINGS` (after Unicode TS 39).

    Two names look alike when one of theirs, at the same place, is equal.
    """
    return tuple(functools.reduce(lambda text, pair: text.replace(*pair), reading, name) for reading in READINGS)


def read_networks(texts: Iterable[str]) -> tuple[str, ...]:
    """Addresses and networks in their one form, each once, in order.

    Raises :class:`NetworkInvalid` for the first that is none, or where there are too many.
    """
    found: dict[str, None] = {}
    for text in texts:
        try:
            found[str(ip_network(text.strip()))] = None
        except ValueError as error:
            why = "it has bits behind its prefix" if "host bits" in str(error) else "it is no address and no network"
            raise NetworkInvalid(
                f"allowedFrom: expected such as 10.0.1.5 or 10.2.0.0/16, found {text[:64]!r}: {why}"
            ) from None
        if len(found) > NETWORKS_MAX:
            raise NetworkInvalid(f"allowedFrom: expected at most {NETWORKS_MAX} networks, found more")
    return tuple(sorted(found))


def check_display_name(text: str) -> str:
    """``text`` in Unicode NFC, without spaces around it.

    Raises :class:`DisplayNameInvalid`.
    """
    name = unicodedata.normalize("NFC", text[: 4 * DISPLAY_NAME_CHARS_MAX]).strip()
    if len(name) > DISPLAY_NAME_CHARS_MAX or len(text) > 4 * DISPLAY_NAME_CHARS_MAX:
        raise DisplayNameInvalid(f"displayName: at most {DISPLAY_NAME_CHARS_MAX} characters, found {len(text)}")
    for place, char in enumerate(name, 1):
        if unicodedata.category(char) in _MISLEADING or char in _TURNING:
            raise DisplayNameInvalid(f"displayName: printable text, found U+{ord(char):04X} as character {place}")
    return name
