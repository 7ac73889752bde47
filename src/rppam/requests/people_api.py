"""Groups of users, and whom somebody reports to, over REST: for ``security_admin`` and ``pam_admin``."""

import uuid
from typing import Annotated, Final

from fastapi import APIRouter, Path, Request, Response
from pydantic import Field

from rppam.access.accounts.api import USERS, UserId
from rppam.http.answers import BODY, HAD, NO_DATABASE, NO_USER
from rppam.http.revisions import Expected, tagged, unchanged
from rppam.http.routes import declare
from rppam.http.schemas import Shape
from rppam.http.services import Here
from rppam.requests.model import Contact, Group
from rppam.requests.policies_api import MAY, Name
from rppam.requests.policies_store import SqlPolicies
from rppam.requests.schemas import ID, Ident, Seen

GROUPS: Final = "/api/v1/user-groups"
people = APIRouter(tags=["users"])
_UNKNOWN: Final = {404: "No group, or no account, has this id", 503: NO_DATABASE}
_TAKEN: Final = {409: "The name is taken, or it has changed (RPPAM-8509)"}
_NEEDED: Final = {409: "A policy needs it"}
_CHANGED: Final = {409: "It has changed since `revision`"}
GroupId = Annotated[str, Path(alias="groupId", pattern=ID)]


class GroupRequest(Shape):
    """A group as it shall be."""

    name: Name
    members: Annotated[list[Ident], Field(max_length=5_000)] = Field(default_factory=list)
    """Ids of accounts."""
    revision: Seen | None = None
    """For a change: the revision that was looked at; with it, no change of somebody else is overwritten (409)."""


class GroupShape(Shape):
    """A group of users."""

    id: str
    name: str
    members: list[str]
    revision: int


class GroupList(Shape):
    """All groups."""

    items: list[GroupShape]


class ContactRequest(Shape):
    """Whom somebody reports to, and where mail reaches them."""

    manager_id: Ident | None = None
    email: Annotated[str, Field(max_length=254, pattern=r"^([!-~]+@[!-~]+)?$")] = ""
    revision: Annotated[int, Field(ge=0, strict=True)] | None = None
    """The revision that was looked at; with it, no change of somebody else is overwritten (409)."""


class ContactShape(Shape):
    """Whom an account reports to, and where mail reaches it."""

    manager_id: str | None
    email: str
    revision: int


@people.get(GROUPS, summary="Groups of users", response_model=GroupList)
@declare(MAY, {503: NO_DATABASE})
async def list_groups(services: Here) -> GroupList:
    """By name, with their members."""
    return GroupList(items=[_shape(one) for one in await services.get(SqlPolicies).groups()])


@people.post(GROUPS, summary="Add a group of users", status_code=201, response_model=GroupShape)
@declare(MAY, {**BODY, **_UNKNOWN, **_TAKEN})
async def add_group(body: GroupRequest, services: Here, response: Response) -> GroupShape:
    """For policies: whom one is for, or who approves."""
    return _answer(await services.get(SqlPolicies).create_group(_group(str(uuid.uuid4()), body)), response)


@people.get(f"{GROUPS}/{{groupId}}", summary="One group of users", response_model=GroupShape)
@declare(MAY, {**_UNKNOWN, **HAD})
async def show_group(group_id: GroupId, request: Request, services: Here, response: Response) -> GroupShape | Response:
    """With its members. The ETag is the revision."""
    found = await services.get(SqlPolicies).group(group_id)
    return unchanged(request, found.revision) or _answer(found, response)


@people.put(f"{GROUPS}/{{groupId}}", summary="Change a group of users", response_model=GroupShape)
@declare(MAY, {**BODY, **_UNKNOWN, **_TAKEN})
async def change_group(
    group_id: GroupId, body: GroupRequest, expected: Expected, services: Here, response: Response
) -> GroupShape:
    """Who has left it decides about no request any more, also not about one that was made before."""
    group = _group(group_id, body)
    return _answer(await services.get(SqlPolicies).change_group(group, body.revision, expected), response)


@people.delete(f"{GROUPS}/{{groupId}}", summary="Delete a group of users", status_code=204)
@declare(MAY, {**_UNKNOWN, **_NEEDED})
async def remove_group(group_id: GroupId, expected: Expected, services: Here) -> None:
    """While no policy needs it."""
    await services.get(SqlPolicies).remove_group(group_id, expected)


@people.get(f"{USERS}/{{userId}}/contact", summary="Manager and mail address", response_model=ContactShape)
@declare(MAY, {**NO_USER, **HAD})
async def show_contact(
    user_id: UserId, request: Request, services: Here, response: Response
) -> ContactShape | Response:
    """For `manager_approval` and for mail. The ETag is the revision, `"0"` while there is neither."""
    found = await services.get(SqlPolicies).contact(user_id)
    return unchanged(request, found.revision) or _contact(found, response)


@people.put(f"{USERS}/{{userId}}/contact", summary="Set manager and mail address", response_model=ContactShape)
@declare(MAY, {**BODY, **NO_USER, **_CHANGED})
async def put_contact(
    user_id: UserId, body: ContactRequest, expected: Expected, services: Here, response: Response
) -> ContactShape:
    """Both: what is left out is emptied."""
    contact = Contact(user_id, body.manager_id or "", body.email, 0)
    return _contact(await services.get(SqlPolicies).put_contact(contact, body.revision, expected), response)


def _group(ident: str, body: GroupRequest) -> Group:
    return Group(ident, body.name, tuple(dict.fromkeys(body.members)), 1)


def _answer(group: Group, response: Response) -> GroupShape:
    tagged(response, group.revision)
    return _shape(group)


def _shape(group: Group) -> GroupShape:
    return GroupShape(id=group.id, name=group.name, members=list(group.members), revision=group.revision)


def _contact(contact: Contact, response: Response) -> ContactShape:
    tagged(response, contact.revision)
    return ContactShape(manager_id=contact.manager_id or None, email=contact.email, revision=contact.revision)
