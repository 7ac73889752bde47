"""The JSON of the vault."""

from typing import Annotated, Final

from fastapi import Path, Query
from pydantic import Field, SecretStr

from rppam.access.accounts.api import PRINTABLE
from rppam.access.passkeys.schemas import Answer
from rppam.http.schemas import ONE_LINE, Flag, Shape, told
from rppam.http.times import iso_utc
from rppam.targets.model import TAG_CHARS_MAX, TAGS_MAX
from rppam.vault.errors import GeneratorInvalid
from rppam.vault.generator import (
    LENGTH_MAX,
    PLAIN,
    SEPARATOR,
    WORDS,
    WORDS_MAX,
    WORDS_MIN,
    CharClass,
    Phrase,
    Rules,
)
from rppam.vault.model import (
    DESCRIPTION_CHARS_MAX,
    FIELDS_MAX,
    MINUTES,
    MINUTES_MAX,
    NAME_CHARS_MAX,
    PAGE_MAX,
    PAGE_SIZE_MAX,
    PATH_CHARS_MAX,
    REASON_CHARS_MAX,
    SHOWN_SECONDS,
    Checkout,
    EntryState,
    EntryType,
    Folder,
    RevealPolicy,
    Right,
    Seen,
    VersionState,
)

VAULT: Final = "/api/v1/vault"
Ident = Annotated[str, Field(min_length=1, max_length=36)]
EntryId = Annotated[str, Path(alias="entryId", pattern="^[0-9a-zA-Z-]{1,36}$")]
FolderId = Annotated[str, Path(alias="folderId", pattern="^[0-9a-zA-Z-]{1,36}$")]
CheckoutId = Annotated[str, Path(alias="checkoutId", pattern="^[0-9a-zA-Z-]{1,36}$")]
Number = Annotated[int, Path(ge=1, le=2**53)]
FolderPath = Annotated[str, Field(max_length=PATH_CHARS_MAX)]
_NAME: Final = told(r"^\s*[^\s/\x00-\x1f\x7f-\x9f]([^/\x00-\x1f\x7f-\x9f]*)$")
Name = Annotated[str, Field(min_length=1, max_length=NAME_CHARS_MAX, json_schema_extra=_NAME)]
Description = Annotated[str, Field(max_length=DESCRIPTION_CHARS_MAX, json_schema_extra=ONE_LINE)]
Reason = Annotated[str, Field(min_length=1, max_length=REASON_CHARS_MAX)]
_FIELDS: Final = {"propertyNames": {"pattern": "^[A-Za-z][A-Za-z0-9_-]{0,63}$"}}
SecretFields = Annotated[dict[str, SecretStr], Field(max_length=FIELDS_MAX, json_schema_extra=_FIELDS)]
_TAG: Final = told(r"^\s*([a-zA-Z0-9][a-zA-Z0-9._:=/-]*)?\s*$")
Tag = Annotated[str, Field(max_length=TAG_CHARS_MAX, json_schema_extra=_TAG)]
Tags = Annotated[list[Tag], Field(max_length=TAGS_MAX)]
Revision = Annotated[int | None, Field(ge=1)]
Shown = Annotated[str | None, Field(max_length=64)]
PageNumber = Annotated[int, Query(ge=1, le=PAGE_MAX)]
PageSize = Annotated[int, Query(alias="pageSize", ge=1, le=PAGE_SIZE_MAX)]
SearchText = Annotated[str, Query(max_length=100, pattern=PRINTABLE)]
SearchPath = Annotated[str | None, Query(max_length=PATH_CHARS_MAX, pattern=PRINTABLE)]
SearchTag = Annotated[str, Field(max_length=TAG_CHARS_MAX, pattern=PRINTABLE, json_schema_extra=_TAG)]
SearchTags = Annotated[list[SearchTag], Query(max_length=TAGS_MAX)]
SearchId = Annotated[str | None, Query(max_length=36, pattern=PRINTABLE)]


class Generate(Shape):
    """Rules of a secret that the vault makes up: of characters, or of words. What is left out is as the type of the
    entry has it."""

    length: Annotated[int | None, Field(ge=1, le=LENGTH_MAX, strict=True)] = None
    """Of characters; 24 unless the type says otherwise."""
    classes: Annotated[list[CharClass] | None, Field(min_length=1, max_length=len(CharClass))] = None
    """Each comes in; all four unless the type says otherwise."""
    look_alikes: Flag | None = None
    """Allow characters that look alike, such as 0 and O."""
    without: Annotated[str, Field(max_length=64)] = ""
    """Characters that the target refuses."""
    words: Annotated[int | None, Field(ge=WORDS_MIN, le=WORDS_MAX, strict=True)] = None
    """A passphrase of so many words, in the place of characters: neither `length` nor `classes` nor `lookAlikes` beside
    it."""
    separator: Annotated[str, Field(min_length=1, max_length=1)] = SEPARATOR
    """Stands between words: one of `-_.,+=/~` or a blank."""
    capitals: Flag = False
    """Begin each word with one."""
    digit: Flag = False
    """End one of the words with one."""

    def rules(self, own: Rules = PLAIN) -> Rules:
        """For :func:`rppam.vault.generator.generated`. ``own``: those of the type. Raises :class:`GeneratorInvalid`."""
        by_characters = (self.length, self.classes, self.look_alikes) != (None, None, None)
        if self.words is not None and by_characters:
            raise GeneratorInvalid("words: expected neither length nor classes nor lookAlikes beside it")
        phrase = None if by_characters else own.phrase
        if self.words is not None or phrase is not None:
            words = WORDS if self.words is None else self.words
            phrase = Phrase(words, self.separator, self.capitals, self.digit)
        return Rules(
            own.length if self.length is None else self.length,
            own.classes if self.classes is None else tuple(self.classes),
            own.look_alikes if self.look_alikes is None else self.look_alikes,
            own.without + self.without,
            phrase,
        )


class MakeUp(Generate):
    """Rules of a secret, and of what it is to be one."""

    type: EntryType | None = None
    """With the rules of this type, which may refuse one that is too easily guessed."""


class Generated(Shape):
    """A secret that stands nowhere yet."""

    secret: str
    field: str
    """Of an entry of the type, where it is to lie."""
    entropy_bits: int
    """The logarithm of how many secrets these rules can give, each as likely as any other."""


class NewEntry(Shape):
    """A secret to be kept."""

    folder: FolderPath = ""
    """Its path, such as `servers/linux`; an administrator's is made where there is none."""
    name: Name
    type: EntryType
    account_id: Ident | None = None
    """The privileged account that it signs in to."""
    description: Description = ""
    fields: SecretFields = Field(default={})
    """The secret itself, by names such as `username`, `password`, `privateKey`, `passphrase`, `seed`.
    Bytes are base64: `content` of a `file`, `pfx` of a `certificate`."""
    generate: Generate | None = None
    """Have the secret made up, so that nobody knows it: `password`, of an `ssh-key` its `passphrase`, of an `api-token`
    its `token`; of other types nothing is made up."""
    exclusive: Flag = True
    """One at a time has it checked out."""
    rotate_after_use: Flag = False
    """After a check-out nobody gets it before it was changed or released."""
    kill_on_checkin: Flag = False
    """Sessions that use it end with the check-out."""
    tags: Tags = Field(default=[])
    owner_id: Ident | None = None
    """The user who looks after it; it gives no right."""
    reveal: RevealPolicy = RevealPolicy.WITH_REASON
    """`never`: only used, shown to nobody; `with-approval`: shown with an approved request."""


class EntryPut(Shape):
    """What shall be different; what is left out stays. What GET answers besides may come along."""

    folder: FolderPath | None = None
    name: Name | None = None
    account_id: Annotated[str | None, Field(max_length=36)] = None
    """Empty: of no account."""
    description: Description | None = None
    fields: SecretFields | None = None
    """A new version of the secret, in place of all its fields."""
    generate: Generate | None = None
    """A new version whose secret is made up; other fields stay."""
    exclusive: Flag | None = None
    rotate_after_use: Flag | None = None
    kill_on_checkin: Flag | None = None
    reveal: RevealPolicy | None = None
    tags: Tags | None = None
    """In place of all that it has."""
    owner_id: Annotated[str | None, Field(max_length=36)] = None
    """Empty: nobody."""
    revision: Revision = None
    """If given, the one that it stands at: a change that somebody else made meanwhile is not overwritten."""
    id: Shown = None
    """Ignored, as all below."""
    type: EntryType | None = None
    resource_id: Shown = None
    state: EntryState | None = None
    version: int | None = None
    generation: int | None = None
    created_at: Shown = None
    changed_at: Shown = None
    owner_name: Annotated[str | None, Field(max_length=256)] = None
    held_by: Annotated[str | None, Field(max_length=256)] = None
    held_until: Shown = None
    rights: Annotated[list[Right] | None, Field(max_length=len(Right))] = None


class EntryShape(Shape):
    """An entry without its secret."""

    id: str
    folder: str
    name: str
    type: EntryType
    account_id: str | None
    resource_id: str | None
    """Where the account is."""
    description: str
    exclusive: bool
    rotate_after_use: bool
    kill_on_checkin: bool
    reveal: RevealPolicy
    state: EntryState
    """`pending-rotation`: it was used, and is had again once it was changed or released."""
    version: int
    """The current one; 0: it has no secret."""
    generation: int
    """Of its newest check-out."""
    revision: int
    """Grows with each change; also the ETag."""
    created_at: str
    changed_at: str
    """When its secret was set last."""
    tags: list[str]
    owner_id: str | None
    """The user who looks after it."""
    owner_name: str | None
    """For people; nothing where that account is not there any more."""
    held_by: str | None = None
    """Who has it checked out alone."""
    held_until: str | None = None
    rights: list[Right]
    """What the caller may do with it now, by roles, folders and grants."""


class EntryList(Shape):
    """One page of entries that the caller may know of, by folder and name."""

    items: list[EntryShape]
    page: int
    page_size: int
    total: int
    """On all pages."""


class RevealRequest(Shape):
    """Why somebody wants to see a secret."""

    reason: Reason
    code: Annotated[str | None, Field(max_length=64)] = None
    """Of the own authenticator, or a backup code; where `vault.revealFactor` is `required`."""
    passkey: Answer | None = None
    """In the place of `code`: what a passkey answered to POST /api/v1/auth/webauthn/prove."""
    version: Annotated[int | None, Field(ge=1, le=2**53)] = None
    """An older one, for those who see its history."""


class Revealed(Shape):
    """A secret."""

    id: str
    version: int
    fields: dict[str, str]
    checkout_id: str | None
    """The own check-out that it belongs to."""
    shown_seconds: int = SHOWN_SECONDS
    """After this time a page hides it."""
    seconds_left: int | None
    """Of a `totp-seed`, which shows its `code` and never its seed: so long the code holds."""


class VersionShape(Shape):
    """A version without its secret."""

    version: int
    state: VersionState
    fields: list[str]
    """Their names."""
    made_at: str
    made_by: str


class VersionList(Shape):
    """All versions of an entry, the newest first."""

    items: list[VersionShape]


class NewCheckout(Shape):
    """Somebody wants an entry for a while."""

    entry_id: Ident
    reason: Reason
    minutes: Annotated[int, Field(ge=1, le=MINUTES_MAX, strict=True)] = MINUTES
    """Cut to `vault.checkoutMinutesMax`, and to the grant that it is by."""
    wait: Flag = False
    """Queue where somebody else has it: ask again within 15 seconds, or the place is lost."""


class CheckIn(Shape):
    """Somebody gives an entry back."""

    generation: Annotated[int | None, Field(ge=1, le=2**53)] = None
    """If given, that of the check-out."""


class ForceRequest(Shape):
    """Why somebody else's check-out is ended."""

    reason: Reason


class CheckoutShape(Shape):
    """Somebody has, or had, an entry."""

    id: str
    entry_id: str
    entry_name: str
    generation: int
    """Grows with each check-out of the entry; an older one ends nothing."""
    user_id: str
    user_name: str
    reason: str
    exclusive: bool
    grant_id: str | None
    started_at: str
    expires_at: str
    ended_at: str | None
    ended_why: str | None
    """`checkin`, `expired`, `forced`, `grant-ended`, `user-disabled` or `deleted`."""
    ended_by: str | None


class CheckoutList(Shape):
    """Check-outs, the newest first."""

    items: list[CheckoutShape]
    page: int
    page_size: int
    total: int
    """On all pages."""


class NewFolder(Shape):
    """A folder."""

    path: Annotated[str, Field(min_length=1, max_length=PATH_CHARS_MAX)]
    description: Description = ""


class FolderPut(Shape):
    """What shall be different; what is left out stays. What GET answers besides may come along."""

    path: FolderPath | None = None
    description: Description | None = None
    revision: Revision = None
    """If given, the one that it stands at."""
    id: Shown = None
    """Ignored."""
    rights: Annotated[list[Right] | None, Field(max_length=len(Right))] = None
    """Ignored: they have an address of their own."""


class FolderShape(Shape):
    """A folder."""

    id: str
    path: str
    description: str
    revision: int
    rights: list[Right]
    """The caller's own."""


class FolderList(Shape):
    """Folders that the caller has a right on, by path."""

    items: list[FolderShape]


class RightShape(Shape):
    """Rights of a user or a role on a folder and all below it."""

    user_id: Ident | None = None
    user_name: Annotated[str | None, Field(max_length=256)] = None
    """For people; ignored in a request."""
    role: Annotated[str | None, Field(max_length=32)] = None
    rights: Annotated[list[Right], Field(min_length=1, max_length=len(Right))]


class RightList(Shape):
    """All rights on a folder itself."""

    items: Annotated[list[RightShape], Field(max_length=500)]
    revision: Revision = None
    """Of the folder. In a request, if given, the one that it stands at."""


class KekShape(Shape):
    """A key that wraps the keys of secrets."""

    version: int
    master: str
    """The fingerprint of the master key that wraps it."""
    state: str
    """`active`, or `retired` when nothing needs it any more."""
    created_at: str
    data_keys: int
    """Versions of secrets that need it."""


class KeyShape(Shape):
    """The keys of the vault, as the answering node stands."""

    node: str
    fingerprint: str
    """Of this node's master key; empty: it has none."""
    problem: str
    """Why this node refuses vault work; empty where it does not."""
    keks: list[KekShape]


class Rotated(Shape):
    """There is a new key."""

    version: int


def entry_shape(seen: Seen) -> EntryShape:
    """The entry for an answer."""
    entry, held, rights = seen
    shown = entry._asdict()
    del shown["policy"], shown["folder_id"]
    shown["tags"] = list(entry.tags)
    times = {"created_at": iso_utc(entry.created_at), "changed_at": iso_utc(entry.changed_at)}
    holder = {} if held is None else {"held_by": held.holder.name, "held_until": iso_utc(held.expires_at)}
    return EntryShape(**shown | entry.policy._asdict() | times | holder, rights=sorted(rights))


def checkout_shape(checkout: Checkout) -> CheckoutShape:
    """The check-out for an answer."""
    return CheckoutShape(
        id=checkout.id,
        entry_id=checkout.entry_id,
        entry_name=checkout.entry_name,
        generation=checkout.generation,
        user_id=checkout.holder.user_id,
        user_name=checkout.holder.name,
        reason=checkout.reason,
        exclusive=checkout.exclusive,
        grant_id=checkout.grant_id or None,
        started_at=iso_utc(checkout.started_at),
        expires_at=iso_utc(checkout.expires_at),
        ended_at=None if checkout.ended_at is None else iso_utc(checkout.ended_at),
        ended_why=checkout.ended_why or None,
        ended_by=checkout.ended_by or None,
    )


def folder_shape(folder: Folder, rights: frozenset[Right]) -> FolderShape:
    """The folder for an answer."""
    return FolderShape(**folder._asdict(), rights=sorted(rights))
