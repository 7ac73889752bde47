"""Resources and privileged accounts over REST: ``pam_admin`` changes them, everybody with a role sees them.

What is seen here is what a request for access names. Which secrets there are is told by the vault, and only to those
who have a right on them.
"""

import uuid
from typing import Annotated, Final, TypeVar

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import Field

from rppam.access.accounts.api import PRINTABLE
from rppam.access.accounts.model import AccountRole
from rppam.http.answers import BODY, HAD, NO_DATABASE
from rppam.http.revisions import Expected, tagged, unchanged
from rppam.http.routes import declare, for_roles
from rppam.http.schemas import ONE_LINE, Flag, Shape, told
from rppam.http.services import Here
from rppam.http.times import iso_utc
from rppam.targets.model import (
    DESCRIPTION_CHARS_MAX,
    KEY_CHARS_MAX,
    NAME_CHARS_MAX,
    PAGE_MAX,
    PAGE_SIZE,
    PAGE_SIZE_MAX,
    PORT_MAX,
    TAG_CHARS_MAX,
    TAGS_MAX,
    HostKey,
    HostKeyPolicy,
    Resource,
    ResourceKind,
    Search,
    TargetAccount,
    checked_account_name,
    checked_address,
    checked_description,
    checked_name,
    checked_port,
    checked_tags,
    kind_of,
    read_host_key,
)
from rppam.targets.store import SqlResources, SqlTargetAccounts

T = TypeVar("T")
RESOURCES: Final = "/api/v1/resources"
ACCOUNTS: Final = "/api/v1/accounts"
ONE: Final = f"{RESOURCES}/{{resourceId}}"
KEYS: Final = f"{ONE}/host-keys"
ALL_KEYS: Final = "/api/v1/host-keys"
targets = APIRouter(tags=["targets"])
SEES: Final = for_roles(*AccountRole)
_CHANGES: Final = for_roles()
_PAGED: Final = {400: "The query is not valid", 503: NO_DATABASE}
_UNKNOWN: Final = {404: "No resource has this id", 503: NO_DATABASE}
_NO_ACCOUNT: Final = {404: "No privileged account has this id", 503: NO_DATABASE}
_TAKEN: Final = "The name is taken, or somebody else has changed it since `revision` (RPPAM-8305)"
_IN_USE: Final = "Something still belongs to it"

ResourceId = Annotated[str, Path(alias="resourceId", pattern="^[0-9a-zA-Z-]{1,36}$")]
TargetAccountId = Annotated[str, Path(alias="accountId", pattern="^[0-9a-zA-Z-]{1,36}$")]
KeyId = Annotated[str, Path(alias="keyId", pattern="^[0-9a-zA-Z-]{1,36}$")]
_NAME: Final = told(r"^[A-Za-z0-9_]([A-Za-z0-9._ -]{0,126}[A-Za-z0-9._-])?$")
_ACCOUNT: Final = told(r"^[^\s+:#\x00-\x1f\x7f-\x9f]([^\t-\r+:#\x00-\x1f\x7f-\x9f]*[^\s+:#\x00-\x1f\x7f-\x9f])?$")
_TAG: Final = told(r"^\s*([A-Za-z0-9][A-Za-z0-9._:=/-]{0,63})?\s*$")
Name = Annotated[str, Field(min_length=1, max_length=NAME_CHARS_MAX, json_schema_extra=_NAME)]
AccountName = Annotated[str, Field(min_length=1, max_length=NAME_CHARS_MAX, json_schema_extra=_ACCOUNT)]
Description = Annotated[str, Field(max_length=DESCRIPTION_CHARS_MAX, json_schema_extra=ONE_LINE)]
Tag = Annotated[str, Field(max_length=TAG_CHARS_MAX, json_schema_extra=_TAG)]
Tags = Annotated[list[Tag], Field(max_length=TAGS_MAX)]
Kind = Annotated[str, Field(min_length=1, max_length=16)]
Address = Annotated[str, Field(min_length=1, max_length=255)]
Port = Annotated[int, Field(ge=1, le=PORT_MAX, strict=True)]
PageNumber = Annotated[int, Query(ge=1, le=PAGE_MAX)]
PageSize = Annotated[int, Query(alias="pageSize", ge=1, le=PAGE_SIZE_MAX)]
SearchText = Annotated[str, Query(max_length=100, pattern=PRINTABLE)]
SearchTag = Annotated[str, Field(max_length=TAG_CHARS_MAX, pattern=PRINTABLE, json_schema_extra=_TAG)]
SearchTags = Annotated[list[SearchTag], Query(alias="tag", max_length=TAGS_MAX)]


class NewResource(Shape):
    """A machine or service."""

    name: Name
    """1 to 128 of A-Z a-z 0-9 . _ - and spaces inside; no two differ in upper and lower case alone."""
    kind: Kind
    """ssh, rdp, vnc, postgresql, mysql, mssql, oracle, ldap, ad, http, network or other."""
    address: Address
    """A host name or an IP address."""
    port: Port | None = None
    """Left out: the usual one of the kind."""
    description: Description = ""
    tags: Tags = Field(default=[])
    host_key_policy: HostKeyPolicy = HostKeyPolicy.PIN
    """`pin`: only keys that an administrator has pinned; `tofu`: the first one that it shows is pinned."""
    legacy_algorithms: Flag = False
    """Allow old ciphers and key exchanges with it."""


class ResourcePut(Shape):
    """What shall be different; what is left out stays. What GET answers besides may come along."""

    name: Name | None = None
    kind: Kind | None = None
    address: Address | None = None
    port: Port | None = None
    description: Description | None = None
    tags: Tags | None = None
    host_key_policy: HostKeyPolicy | None = None
    legacy_algorithms: Flag | None = None
    revision: Annotated[int | None, Field(ge=1)] = None
    """If given, the one that it stands at: a change that somebody else made meanwhile is not overwritten."""
    id: Annotated[str | None, Field(max_length=36)] = None
    """Ignored."""
    created_at: Annotated[str | None, Field(max_length=64)] = None
    """Ignored."""


class ResourceShape(Shape):
    """A resource."""

    id: str
    name: str
    kind: ResourceKind
    address: str
    port: int
    description: str
    tags: list[str]
    host_key_policy: HostKeyPolicy
    legacy_algorithms: bool
    revision: int
    """Grows with each change; also the ETag."""
    created_at: str


class ResourceList(Shape):
    """One page of resources, by name."""

    items: list[ResourceShape]
    page: int
    page_size: int
    total: int
    """On all pages."""


class NewAccount(Shape):
    """A privileged account on a resource."""

    resource_id: Annotated[str, Field(min_length=1, max_length=36)]
    name: AccountName
    """As the resource knows it: `root`, `CORP\\administrator`, `sa`; without + : and #."""
    description: Description = ""
    tags: Tags = Field(default=[])


class AccountPut(Shape):
    """What shall be different; what is left out stays. What GET answers besides may come along."""

    name: AccountName | None = None
    description: Description | None = None
    tags: Tags | None = None
    revision: Annotated[int | None, Field(ge=1)] = None
    """If given, the one that it stands at: a change that somebody else made meanwhile is not overwritten."""
    id: Annotated[str | None, Field(max_length=36)] = None
    """Ignored."""
    resource_id: Annotated[str | None, Field(max_length=36)] = None
    """Ignored: an account stays on its resource."""
    resource_name: Annotated[str | None, Field(max_length=NAME_CHARS_MAX)] = None
    """Ignored."""
    created_at: Annotated[str | None, Field(max_length=64)] = None
    """Ignored."""


class AccountShape(Shape):
    """A privileged account."""

    id: str
    resource_id: str
    resource_name: str
    name: str
    description: str
    tags: list[str]
    revision: int
    """Grows with each change; also the ETag."""
    created_at: str


class AccountList(Shape):
    """One page of privileged accounts, by name."""

    items: list[AccountShape]
    page: int
    page_size: int
    total: int
    """On all pages."""


class NewHostKey(Shape):
    """A key or certificate that the resource is to be known by."""

    key: Annotated[str, Field(min_length=1, max_length=KEY_CHARS_MAX)]
    """A line as ssh-keyscan prints it, or a certificate as PEM."""


class HostKeyShape(Shape):
    """A key or certificate that is believed."""

    id: str
    type: str
    """`ssh-ed25519` and so on; `x509` for a certificate."""
    key: str
    fingerprint: str
    pinned_at: str


class HostKeyList(Shape):
    """All of one resource, the oldest first."""

    items: list[HostKeyShape]


class PinnedKeyShape(HostKeyShape):
    """A key or certificate, and whose it is."""

    resource_id: str


class PinnedKeyList(Shape):
    """One page of the keys of all resources, by the resource's id."""

    items: list[PinnedKeyShape]
    page: int
    page_size: int
    total: int
    """On all pages."""


@targets.get(RESOURCES, summary="Resources, a page at a time", response_model=ResourceList)
@declare(SEES, _PAGED)
async def list_resources(
    services: Here,
    page: PageNumber = 1,
    page_size: PageSize = PAGE_SIZE,
    search: SearchText = "",
    kind: Annotated[ResourceKind | None, Query()] = None,
    tag: SearchTags = [],  # noqa: B006 - the framework copies it
) -> ResourceList:
    """By name. `search` is part of a name, an address or a description; with several `tag` it has all of them."""
    wanted = Search(page, page_size, search, checked_tags(tag), kind)
    found = await services.get(SqlResources).page(wanted)
    return ResourceList(items=[_shape(one) for one in found.items], page=page, page_size=page_size, total=found.total)


@targets.post(RESOURCES, summary="Add a resource", status_code=201, response_model=ResourceShape)
@declare(_CHANGES, {**BODY, 409: "The name is taken", 503: NO_DATABASE})
async def add_resource(body: NewResource, services: Here, response: Response) -> ResourceShape:
    """Nobody gets access to it by that alone."""
    made = await services.get(SqlResources).create(_resource(str(uuid.uuid4()), body))
    response.headers["Location"] = f"{RESOURCES}/{made.id}"
    return _answer(made, response)


@targets.get(ONE, summary="One resource", response_model=ResourceShape)
@declare(SEES, {**_UNKNOWN, **HAD})
async def show_resource(
    resource_id: ResourceId, request: Request, services: Here, response: Response
) -> ResourceShape | Response:
    """Its ETag is its revision."""
    found = await services.get(SqlResources).get(resource_id)
    return unchanged(request, found.revision) or _answer(found, response)


@targets.put(ONE, summary="Change a resource", response_model=ResourceShape)
@declare(_CHANGES, {**BODY, **_UNKNOWN, 409: _TAKEN})
async def change_resource(
    resource_id: ResourceId, body: ResourcePut, expected: Expected, services: Here, response: Response
) -> ResourceShape:
    """With `revision` in the body or `If-Match` no change of somebody else is overwritten."""
    store = services.get(SqlResources)
    before = await store.get(resource_id)
    kind = before.kind if body.kind is None else kind_of(body.kind)
    after = _resource(
        resource_id,
        NewResource(
            name=_or(body.name, before.name),
            kind=kind,
            address=_or(body.address, before.address),
            port=_or(body.port, before.port if kind is before.kind else None),
            description=_or(body.description, before.description),
            tags=_or(body.tags, list(before.tags)),
            host_key_policy=_or(body.host_key_policy, before.host_key_policy),
            legacy_algorithms=_or(body.legacy_algorithms, before.legacy_algorithms),
        ),
    )
    # What the body left out is as it was read here, so nobody may have changed it since.
    changed = await store.change(after, _replaceable(body.revision, before.revision), expected)
    return _answer(changed, response)


@targets.delete(ONE, summary="Delete a resource", status_code=204)
@declare(_CHANGES, {**_UNKNOWN, 409: _IN_USE})
async def delete_resource(resource_id: ResourceId, expected: Expected, services: Here) -> None:
    """Refused while accounts are on it."""
    await services.get(SqlResources).remove(resource_id, expected)


@targets.get(KEYS, summary="Pinned keys of a resource", response_model=HostKeyList)
@declare(SEES, _UNKNOWN)
async def list_host_keys(resource_id: ResourceId, services: Here) -> HostKeyList:
    """Nothing else is believed of it."""
    return HostKeyList(items=[_key_shape(one) for one in await services.get(SqlResources).host_keys(resource_id)])


@targets.get(ALL_KEYS, summary="Pinned keys of all resources, a page at a time", response_model=PinnedKeyList)
@declare(SEES, _PAGED)
async def list_all_host_keys(services: Here, page: PageNumber = 1, page_size: PageSize = PAGE_SIZE) -> PinnedKeyList:
    """What an export needs of many resources at once."""
    found = await services.get(SqlResources).all_host_keys(page, page_size)
    items = [PinnedKeyShape(**_key_shape(one).model_dump(), resource_id=one.resource_id) for one in found.items]
    return PinnedKeyList(items=items, page=page, page_size=page_size, total=found.total)


@targets.post(KEYS, summary="Pin a key", status_code=201, response_model=HostKeyShape)
@declare(_CHANGES, {**BODY, **_UNKNOWN, 409: "It is pinned already"})
async def pin_host_key(resource_id: ResourceId, body: NewHostKey, services: Here) -> HostKeyShape:
    """Compare the fingerprint with what the resource itself shows before you do."""
    return _key_shape(await services.get(SqlResources).pin(resource_id, read_host_key(body.key)))


@targets.delete(f"{KEYS}/{{keyId}}", summary="Believe a key no more", status_code=204)
@declare(_CHANGES, {404: "No resource or key has this id", 503: NO_DATABASE}, unconditional="a key never changes")
async def unpin_host_key(resource_id: ResourceId, key_id: KeyId, services: Here) -> None:
    """Connections that stand go on."""
    await services.get(SqlResources).unpin(resource_id, key_id)


@targets.get(ACCOUNTS, summary="Privileged accounts, a page at a time", response_model=AccountList)
@declare(SEES, _PAGED)
async def list_accounts(
    services: Here,
    page: PageNumber = 1,
    page_size: PageSize = PAGE_SIZE,
    search: SearchText = "",
    resource_id: Annotated[str | None, Query(alias="resourceId", max_length=36, pattern=PRINTABLE)] = None,
    tag: SearchTags = [],  # noqa: B006 - the framework copies it
) -> AccountList:
    """By name. `search` is part of the name, of the resource's name or of the description."""
    wanted = Search(page, page_size, search, checked_tags(tag), resource_id=resource_id)
    found = await services.get(SqlTargetAccounts).page(wanted)
    items = [_account_shape(one) for one in found.items]
    return AccountList(items=items, page=page, page_size=page_size, total=found.total)


@targets.post(ACCOUNTS, summary="Add a privileged account", status_code=201, response_model=AccountShape)
@declare(_CHANGES, {**BODY, 404: "No resource has this id", 409: "The resource has an account of it", 503: NO_DATABASE})
async def add_account(body: NewAccount, services: Here, response: Response) -> AccountShape:
    """It has no secret by that: an entry of the vault names it."""
    account = TargetAccount(
        id=str(uuid.uuid4()),
        resource_id=body.resource_id,
        resource_name="",
        name=checked_account_name(body.name),
        description=checked_description(body.description),
        tags=checked_tags(body.tags),
    )
    made = await services.get(SqlTargetAccounts).create(account)
    response.headers["Location"] = f"{ACCOUNTS}/{made.id}"
    return _account_answer(made, response)


@targets.get(f"{ACCOUNTS}/{{accountId}}", summary="One privileged account", response_model=AccountShape)
@declare(SEES, {**_NO_ACCOUNT, **HAD})
async def show_account(
    account_id: TargetAccountId, request: Request, services: Here, response: Response
) -> AccountShape | Response:
    """Its ETag is its revision."""
    found = await services.get(SqlTargetAccounts).get(account_id)
    return unchanged(request, found.revision) or _account_answer(found, response)


@targets.put(f"{ACCOUNTS}/{{accountId}}", summary="Change a privileged account", response_model=AccountShape)
@declare(_CHANGES, {**BODY, **_NO_ACCOUNT, 409: _TAKEN})
async def change_account(
    account_id: TargetAccountId, body: AccountPut, expected: Expected, services: Here, response: Response
) -> AccountShape:
    """With `revision` in the body or `If-Match` no change of somebody else is overwritten."""
    store = services.get(SqlTargetAccounts)
    before = await store.get(account_id)
    after = before._replace(
        name=checked_account_name(_or(body.name, before.name)),
        description=checked_description(_or(body.description, before.description)),
        tags=checked_tags(_or(body.tags, list(before.tags))),
    )
    changed = await store.change(after, _replaceable(body.revision, before.revision), expected)
    return _account_answer(changed, response)


@targets.delete(f"{ACCOUNTS}/{{accountId}}", summary="Delete a privileged account", status_code=204)
@declare(_CHANGES, {**_NO_ACCOUNT, 409: _IN_USE})
async def delete_account(account_id: TargetAccountId, expected: Expected, services: Here) -> None:
    """Refused while entries of the vault name it."""
    await services.get(SqlTargetAccounts).remove(account_id, expected)


def _resource(ident: str, body: NewResource) -> Resource:
    kind = kind_of(body.kind)
    return Resource(
        id=ident,
        name=checked_name(body.name),
        kind=kind,
        address=checked_address(body.address),
        port=checked_port(body.port, kind),
        description=checked_description(body.description),
        tags=checked_tags(body.tags),
        host_key_policy=body.host_key_policy,
        legacy_algorithms=body.legacy_algorithms,
    )


def _replaceable(revision: int | None, read: int) -> set[int]:
    """The revisions that a change may replace: the one that its author names, and never one that was not read here."""
    return {read} if revision is None else {read} & {revision}


def _or(given: T | None, before: T) -> T:
    return before if given is None else given


def _answer(resource: Resource, response: Response) -> ResourceShape:
    tagged(response, resource.revision)
    return _shape(resource)


def _account_answer(account: TargetAccount, response: Response) -> AccountShape:
    tagged(response, account.revision)
    return _account_shape(account)


def _shape(resource: Resource) -> ResourceShape:
    shown = resource._asdict() | {"tags": list(resource.tags), "created_at": iso_utc(resource.created_at)}
    return ResourceShape(**shown)


def _account_shape(account: TargetAccount) -> AccountShape:
    shown = account._asdict() | {"tags": list(account.tags), "created_at": iso_utc(account.created_at)}
    return AccountShape(**shown)


def _key_shape(key: HostKey) -> HostKeyShape:
    return HostKeyShape(
        id=key.id, type=key.type, key=key.key, fingerprint=key.fingerprint, pinned_at=iso_utc(key.pinned_at)
    )
