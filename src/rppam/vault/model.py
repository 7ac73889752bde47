"""Entries of the vault, their folders, rights and check-outs: what they are made of. Pure.

A path of a folder is words with ``/`` between them, without one at either end; the empty path is the root.
"""

import base64
import binascii
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple

from rppam.kernel.instant import WallMs
from rppam.kernel.secret import Secret
from rppam.targets.errors import ResourceInvalid
from rppam.targets.model import checked_tags
from rppam.vault.errors import EntryInvalid, ReasonNeeded
from rppam.vault.one_time_code import SEED, read_seed

NAME_CHARS_MAX: Final = 128
PATH_CHARS_MAX: Final = 400
DESCRIPTION_CHARS_MAX: Final = 500
REASON_CHARS_MAX: Final = 1_000
FIELDS_MAX: Final = 32
FIELD_BYTES_MAX: Final = 1024 * 1024
PAGE_SIZE: Final = 50
PAGE_SIZE_MAX: Final = 1_000
PAGE_MAX: Final = 1_000_000
MINUTES: Final = 60
MINUTES_MAX: Final = 7 * 24 * 60
SHOWN_SECONDS: Final = 30
"""How long a page shows a secret."""
_FIELD: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")


class EntryType(StrEnum):
    """What a secret is."""

    PASSWORD = "password"  # noqa: S105 - a kind of secret
    SSH_KEY = "ssh-key"
    SSH_CA_ACCOUNT = "ssh-ca-account"
    """No secret: certificates are made for it."""
    DATABASE = "database"
    LDAP = "ldap"
    API_TOKEN = "api-token"  # noqa: S105 - a kind of secret
    CERTIFICATE = "certificate"
    TOTP_SEED = "totp-seed"
    """Its codes are shown, never the seed."""
    NOTE = "note"
    FILE = "file"


NEEDED_FIELDS: Final[Mapping[EntryType, tuple[str, ...]]] = MappingProxyType(
    {
        EntryType.PASSWORD: ("password",),
        EntryType.SSH_KEY: ("privateKey",),
        EntryType.DATABASE: ("password",),
        EntryType.LDAP: ("password",),
        EntryType.TOTP_SEED: (SEED,),
        EntryType.FILE: ("content",),
    }
)
"""What a reader of such an entry counts on. Others hold what they like, but at least one field."""
_BINARY: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {EntryType.FILE: ("content",), EntryType.CERTIFICATE: ("pfx",)}
)


class Right(StrEnum):
    """What somebody may do with the entries of a folder, and of those below it."""

    LIST = "list"
    """See that they are there, and who has them checked out; every other right has it in it."""
    USE = "use"
    """Have a session signed in with them, without seeing them."""
    USE_SHELL = "use-shell"
    """As ``use``, for shells and commands alone."""
    USE_FILES = "use-files"
    """As ``use``, for the transfer of files alone."""
    REVEAL = "reveal"
    """See them, and check them out."""
    MANAGE = "manage"
    """Make, change and delete them, and force check-ins; not see them."""
    AUDIT = "audit"
    """See their versions and check-outs."""


ALL_RIGHTS: Final = frozenset(Right)
FOR_SHELLS: Final = frozenset({Right.USE, Right.REVEAL, Right.USE_SHELL})
FOR_FILES: Final = frozenset({Right.USE, Right.REVEAL, Right.USE_FILES})
SIGN_IN: Final = FOR_SHELLS | FOR_FILES
"""Each of them has sessions signed in, of some kind or of all."""


class RevealPolicy(StrEnum):
    """Who may see an entry at all."""

    NEVER = "never"
    """Nobody: it is only used."""
    WITH_REASON = "with-reason"
    """Who has the right."""
    WITH_APPROVAL = "with-approval"
    """Who has a grant that somebody approved."""


class EntryState(StrEnum):
    """Whether an entry can be had."""

    AVAILABLE = "available"
    PENDING_ROTATION = "pending-rotation"
    """It was used, and has to be changed or released first."""


class VersionState(StrEnum):
    """What a version is."""

    CURRENT = "current"
    PREVIOUS = "previous"
    STAGED = "staged"
    """Durable, and not on the target yet."""
    FAILED = "failed"


class Subject(NamedTuple):
    """Who has a right."""

    kind: str
    """``user`` or ``role``."""
    id: str
    """Of the user, or the role's name."""


class Folder(NamedTuple):
    """A folder; rights on it hold for those below it, too."""

    id: str
    path: str
    description: str = ""
    revision: int = 1


class FolderRight(NamedTuple):
    """Rights of one subject on one folder."""

    subject: Subject
    rights: frozenset[Right]
    name: str = ""
    """Of the user, for people."""


class EntryPolicy(NamedTuple):
    """How an entry may be used."""

    exclusive: bool = True
    """One at a time has it checked out."""
    rotate_after_use: bool = False
    """Nobody gets it after a check-out before it was changed or released."""
    kill_on_checkin: bool = False
    """Sessions that use it end with the check-out."""
    reveal: RevealPolicy = RevealPolicy.WITH_REASON


class Entry(NamedTuple):
    """A secret, without what is secret of it."""

    id: str
    folder_id: str
    folder: str
    """The path."""
    name: str
    type: EntryType
    account_id: str | None
    resource_id: str | None
    """Where the account is."""
    description: str = ""
    policy: EntryPolicy = EntryPolicy()
    state: EntryState = EntryState.AVAILABLE
    version: int = 0
    """The current one; 0: there is none."""
    generation: int = 0
    """Of the newest check-out."""
    revision: int = 1
    created_at: WallMs = WallMs(0)
    changed_at: WallMs = WallMs(0)
    """When its secret was set last."""
    tags: tuple[str, ...] = ()
    """In order."""
    owner_id: str | None = None
    """The user who looks after it; it gives no right."""
    owner_name: str | None = None


class Version(NamedTuple):
    """One version of a secret, without it."""

    number: int
    state: VersionState
    fields: tuple[str, ...]
    made_at: WallMs
    made_by: str


class Holder(NamedTuple):
    """Who acts or holds something."""

    user_id: str
    """Empty: a token that was made on a host."""
    name: str


class Checkout(NamedTuple):
    """Somebody has an entry for a while."""

    id: str
    entry_id: str
    entry_name: str
    generation: int
    holder: Holder
    reason: str
    exclusive: bool
    grant_id: str
    """Which made it possible; empty: a right on the folder."""
    started_at: WallMs
    expires_at: WallMs
    ended_at: WallMs | None = None
    ended_why: str = ""
    """``checkin``, ``expired``, ``forced``, ``grant-ended``, ``user-disabled`` or ``deleted``."""
    ended_by: str = ""
    position: int | None = None
    """In the queue, for one that is waited for."""


class Seen(NamedTuple):
    """An entry as somebody sees it."""

    entry: Entry
    held: Checkout | None
    """The exclusive check-out that holds now, whoever has it."""
    rights: frozenset[Right]
    """Of who sees it, by roles, folders and grants."""


Fields = Mapping[str, Secret]


def checked_fields(type_: EntryType, given: Mapping[str, str]) -> dict[str, Secret]:
    """The fields of a secret. Raises :class:`EntryInvalid`, which never repeats a value."""
    if len(given) > FIELDS_MAX:
        raise EntryInvalid(f"fields: expected at most {FIELDS_MAX}, found {len(given)}")
    found: dict[str, Secret] = {}
    for place, (name, value) in enumerate(given.items(), 1):
        if not _FIELD.fullmatch(name):
            raise EntryInvalid(f"fields: expected names of letters, digits, _ and -, found another as number {place}")
        found[name] = Secret(_checked_field(name, value, is_binary=name in binary_fields(type_)))
    for name in NEEDED_FIELDS.get(type_, ()):
        if not given.get(name):
            raise EntryInvalid(f"fields.{name}: an entry of the type {type_.value} needs it")
    if type_ is EntryType.TOTP_SEED:
        read_seed(given[SEED])
    if not given and type_ is not EntryType.SSH_CA_ACCOUNT:
        raise EntryInvalid("fields: expected at least one")
    return found


def binary_fields(type_: str) -> tuple[str, ...]:
    """Fields of such an entry that hold bytes: as base64 wherever there is text alone."""
    return _BINARY.get(type_, ())


def _checked_field(name: str, value: str, *, is_binary: bool) -> str:
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise EntryInvalid(f"fields.{name}: expected text, found half a character") from None
    if is_binary:
        value = "".join(value.split())
        try:
            size = len(base64.b64decode(value, validate=True))
        except (binascii.Error, ValueError):
            raise EntryInvalid(f"fields.{name}: expected base64, as it holds bytes, found another text") from None
    if size > FIELD_BYTES_MAX:
        raise EntryInvalid(f"fields.{name}: expected at most {FIELD_BYTES_MAX} bytes, found {size}")
    return value


def checked_line(text: str, field: str, most: int, least: int = 0) -> str:
    """One line for people. Raises :class:`EntryInvalid`."""
    if not least <= len(text) <= most:
        raise EntryInvalid(f"{field}: expected {least} to {most} characters, found {len(text)}")
    if any(unicodedata.category(char) in {"Cc", "Cs"} for char in text):
        raise EntryInvalid(f"{field}: expected one line of printable text")
    return text


def checked_entry_name(text: str) -> str:
    """The name of an entry. Raises :class:`EntryInvalid`."""
    name = checked_line(text.strip(), "name", NAME_CHARS_MAX, 1)
    if "/" in name:
        raise EntryInvalid("name: expected no / in it; 'folder' says where the entry lies")
    return name


def checked_entry_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """The tags in lower case, each once and sorted. Raises :class:`EntryInvalid`."""
    try:
        return checked_tags(tags)
    except ResourceInvalid as error:
        raise EntryInvalid(str(error)) from None


def checked_path(text: str) -> str:
    """The path of a folder in its one form. Raises :class:`EntryInvalid`."""
    words = [word.strip() for word in text.split("/") if word.strip()]
    path = checked_line("/".join(words), "folder", PATH_CHARS_MAX)
    if any(word in {".", ".."} for word in words):
        raise EntryInvalid("folder: expected words with / between them, none of them . or ..")
    return path


def ancestors(path: str) -> Iterator[str]:
    """The path itself and all above it, up to the root."""
    while path:
        yield path
        path = path.rpartition("/")[0]
    yield ""


def implied(rights: Iterable[Right]) -> frozenset[Right]:
    """The rights with what is in them."""
    found = frozenset(rights)
    return found | {Right.LIST} if found else found


def checked_reason(reason: str, pattern: str) -> str:
    """Why somebody wants a secret. Raises :class:`ReasonNeeded`."""
    text = " ".join(reason.split())
    if not text or len(text) > REASON_CHARS_MAX:
        raise ReasonNeeded(f"reason: expected 1 to {REASON_CHARS_MAX} characters that say why")
    if pattern and not re.search(pattern, text):
        raise ReasonNeeded(f"reason: expected a text that matches vault.reasonPattern ({pattern})")
    return text


class Search(NamedTuple):
    """Which entries, and which page of them."""

    page: int = 1
    page_size: int = 50
    text: str = ""
    """Part of a name, a folder's path or a description, in any case."""
    folder: str | None = None
    """In it and below."""
    account_id: str | None = None
    type: EntryType | None = None
    tags: tuple[str, ...] = ()
    """It has all of them."""
    owner_id: str | None = None

    @property
    def offset(self) -> int:
        """How many lie before the page."""
        return (self.page - 1) * self.page_size
