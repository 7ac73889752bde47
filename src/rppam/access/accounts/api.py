"""Users: who has an account, what it may do, and a new password.

``pam_admin`` changes accounts; ``security_admin`` and ``pam_auditor`` see them; everybody sees the own one and changes
its password. What it does not decide: whether an account may go or a name is free
(:class:`rppam.access.accounts.service.UserAdministration`).
"""

from typing import Annotated, Final

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import Field, SecretStr

from rppam.access.accounts.errors import NoAccount
from rppam.access.accounts.model import (
    DISPLAY_NAME_CHARS_MAX,
    NAME_INPUT_CHARS_MAX,
    NETWORKS_MAX,
    PAGE_MAX,
    PAGE_SIZE,
    PAGE_SIZE_MAX,
    Account,
    AccountRole,
    UserChange,
    UserQuery,
    read_networks,
)
from rppam.access.accounts.service import NewUser, UserAdministration
from rppam.access.rbac.policy import Caller
from rppam.access.sessions.model import Identity
from rppam.http.answers import BODY, GUESSES, HAD, NO_ACCOUNT, NO_DATABASE, NO_USER
from rppam.http.errors import FieldFlaw, InvalidRequestError
from rppam.http.revisions import Expected, tagged, unchanged
from rppam.http.routes import SIGNED_IN, declare, for_roles
from rppam.http.schemas import Flag, Password, Shape
from rppam.http.services import Here
from rppam.http.times import iso_utc
from rppam.kernel.secret import Secret
from rppam.kernel.services import Services

USERS = "/api/v1/users"
users = APIRouter(tags=["users"])
Roles = Annotated[list[AccountRole], Field(max_length=len(AccountRole))]
DisplayName = Annotated[str, Field(max_length=DISPLAY_NAME_CHARS_MAX)]
Networks = Annotated[list[Annotated[str, Field(max_length=64)]], Field(max_length=NETWORKS_MAX)]
Shown = Annotated[str, Field(max_length=64)]
UserId = Annotated[str, Path(alias="userId", pattern="^[0-9a-zA-Z-]{1,36}$")]
PRINTABLE = r"^[^\x00-\x1f\x7f]*$"
"""A text with NUL is refused by PostgreSQL, which would look like a database in trouble."""
SEES: Final = for_roles(AccountRole.SECURITY_ADMIN)
_CHANGES: Final = for_roles()
_LAST: Final = {
    **BODY,
    **NO_USER,
    409: "It is the last enabled `pam_admin`",
}


class UserShape(Shape):
    """An account."""

    id: str
    username: str
    display_name: str
    roles: list[AccountRole]
    disabled: bool
    """Deleted ones are, too."""
    mfa_enrolled: bool
    created_at: str
    password_changed_at: str
    deleted: bool
    allowed_from: list[str]
    """Addresses and networks that it may log in from; empty: any."""
    revision: int
    """Grows with each change of the account."""


class UserList(Shape):
    """One page of accounts, by name."""

    items: list[UserShape]
    page: int
    page_size: int
    total: int
    """On all pages."""


class NewUserRequest(Shape):
    """An account to be made."""

    username: Annotated[str, Field(min_length=1, max_length=NAME_INPUT_CHARS_MAX)]
    """1 to 64 of a-z 0-9 . _ @ + -, in any case; not one that looks like another's."""
    display_name: DisplayName = ""
    roles: Roles = Field(default=[AccountRole.USER])
    password: Password | None = None
    """Left out: a random one, which the answer shows."""


class UserMade(UserShape):
    """The new account."""

    password: str | None
    """The random password, shown only now; null when the request named one."""


class UserPatch(Shape):
    """What shall be different; what is left out stays."""

    display_name: DisplayName | None = None
    disabled: Flag | None = None
    """True ends all sessions of the account at once."""
    roles: Roles | None = None
    allowed_from: Networks | None = None
    """Addresses and networks that it may log in from, such as `10.2.0.0/16`; empty: any. Holds from the next log-in."""


class UserPut(UserPatch):
    """What shall be different; what is left out stays. What GET answers besides may come along."""

    id: Annotated[str | None, Field(max_length=36)] = None
    """If given, the one in the path."""
    username: Annotated[str | None, Field(max_length=NAME_INPUT_CHARS_MAX)] = None
    """If given, the one that the account has."""
    mfa_enrolled: Flag | None = None
    """Ignored."""
    created_at: Shown | None = None
    """Ignored."""
    password_changed_at: Shown | None = None
    """Ignored."""
    deleted: Flag | None = None
    """Ignored."""
    revision: int | None = None
    """Ignored."""


class RolesShape(Shape):
    """Roles of an account; a change holds at once, for sessions that are open as well."""

    roles: Roles


class PasswordResetRequest(Shape):
    """The new password."""

    password: Password | None = None
    """Left out: a random one, which the answer shows."""
    current_password: Password | None = None
    """Needed for the caller's own account."""


class PasswordReset(Shape):
    """It was reset; all sessions of the account have ended."""

    password: str | None
    """The random password, shown only now; null when the request named one."""


class OwnPasswordRequest(Shape):
    """Another password for the caller's own account."""

    current_password: Password
    new_password: Password


_RANDOM: Final = PasswordResetRequest()


@users.get(USERS, summary="Accounts, a page at a time", response_model=UserList)
@declare(SEES, {400: "The query is not valid", 503: NO_DATABASE})
async def list_users(
    services: Here,
    page: Annotated[int, Query(ge=1, le=PAGE_MAX)] = 1,
    page_size: Annotated[int, Query(alias="pageSize", ge=1, le=PAGE_SIZE_MAX)] = PAGE_SIZE,
    search: Annotated[str, Query(max_length=100, pattern=PRINTABLE)] = "",
    role: Annotated[AccountRole | None, Query()] = None,
    *,
    deleted: Annotated[bool, Query()] = False,
) -> UserList:
    """By name. `search` is part of a name or display name; `deleted=true` shows deleted accounts as well."""
    found = await services.get(UserAdministration).page(UserQuery(page, page_size, search, role, deleted))
    items = [_shape(account) for account in found.users]
    return UserList(items=items, page=page, page_size=page_size, total=found.total)


@users.post(USERS, summary="Make an account", response_model=UserMade, status_code=201)
@declare(_CHANGES, {**BODY, 409: "The name is taken, or looks like another's", 503: NO_DATABASE})
async def make_user(body: NewUserRequest, caller: Caller, services: Here, response: Response) -> UserMade:
    """Without a password in the request the answer shows a random one, once."""
    new = NewUser(body.username, body.display_name, frozenset(body.roles), _secret(body.password))
    account, password = await services.get(UserAdministration).create(new, caller.subject)
    response.headers["Location"] = f"{USERS}/{account.id}"
    return UserMade(**_shape(account).model_dump(), password=password.reveal() if password else None)


@users.get(f"{USERS}/me", summary="The caller's own account", response_model=UserShape)
@declare(SIGNED_IN, {403: NO_ACCOUNT, 503: NO_DATABASE})
async def own(caller: Caller, services: Here) -> UserShape:
    """For everybody who has signed in."""
    return _shape(await services.get(UserAdministration).get(own_id(caller)))


@users.put(f"{USERS}/me/password", summary="Change the own password", status_code=204)
@declare(
    SIGNED_IN,
    {
        **BODY,
        403: "The current password is wrong, or the token belongs to no account",
        429: "Too many wrong guesses",
        503: NO_DATABASE,
    },
    unconditional="it names the password that it replaces",
)
async def change_own_password(body: OwnPasswordRequest, request: Request, caller: Caller, services: Here) -> None:
    """Needs the current one. All sessions of the account end, this one as well."""
    current, new = (Secret(one.get_secret_value()) for one in (body.current_password, body.new_password))
    await services.get(UserAdministration).change_own_password(own_id(caller), current, new, address_of(request))


@users.get(f"{USERS}/{{userId}}", summary="One account", response_model=UserShape)
@declare(SEES, {**NO_USER, **HAD})
async def user(user_id: UserId, request: Request, services: Here, response: Response) -> UserShape | Response:
    """Deleted ones are shown, too. The ETag is the revision."""
    account = await services.get(UserAdministration).get(user_id)
    return unchanged(request, account.revision) or _tagged(account, response)


@users.put(f"{USERS}/{{userId}}", summary="Change an account", response_model=UserShape)
@declare(_CHANGES, _LAST)
async def put_user(
    user_id: UserId, body: UserPut, caller: Caller, expected: Expected, services: Here, response: Response
) -> UserShape:
    """Takes what GET answered with some of it changed; what is left out stays. Else as PATCH."""
    await _check_same(user_id, body, services)
    change = _change_of(body)
    return _tagged(await services.get(UserAdministration).change(user_id, change, caller.subject, expected), response)


@users.patch(f"{USERS}/{{userId}}", summary="Change some of an account", response_model=UserShape)
@declare(_CHANGES, _LAST)
async def patch_user(
    user_id: UserId, body: UserPatch, caller: Caller, expected: Expected, services: Here, response: Response
) -> UserShape:
    """Disabling ends all sessions of the account at once. The last enabled `pam_admin` stays."""
    change = _change_of(body)
    return _tagged(await services.get(UserAdministration).change(user_id, change, caller.subject, expected), response)


@users.delete(f"{USERS}/{{userId}}", summary="Delete an account", status_code=204)
@declare(_CHANGES, {**NO_USER, 409: _LAST[409]})
async def delete_user(user_id: UserId, caller: Caller, expected: Expected, services: Here) -> None:
    """For good; its sessions end at once. Its name is not given to anybody else. The last `pam_admin` stays."""
    await services.get(UserAdministration).delete(user_id, caller.subject, expected)


@users.get(f"{USERS}/{{userId}}/roles", summary="Roles of an account", response_model=RolesShape)
@declare(SEES, {**NO_USER, 304: "If-None-Match names the account's revision"})
async def roles(user_id: UserId, request: Request, services: Here, response: Response) -> RolesShape | Response:
    """As they are now. The ETag is the revision of the account."""
    account = await services.get(UserAdministration).get(user_id)
    return unchanged(request, account.revision) or _roles(account, response)


@users.put(f"{USERS}/{{userId}}/roles", summary="Replace the roles", response_model=RolesShape)
@declare(_CHANGES, _LAST)
async def put_roles(
    user_id: UserId, body: RolesShape, caller: Caller, expected: Expected, services: Here, response: Response
) -> RolesShape:
    """Holds at once, for open sessions as well. The last enabled `pam_admin` keeps that role."""
    change = UserChange(roles=frozenset(body.roles))
    return _roles(await services.get(UserAdministration).change(user_id, change, caller.subject, expected), response)


@users.post(
    f"{USERS}/{{userId}}/password/reset",
    summary="Reset a password",
    response_model=PasswordReset,
)
@declare(
    _CHANGES,
    {
        **BODY,
        **NO_USER,
        400: "The body is not valid, or it is the own account and the current password is missing",
        403: "The account lacks the role, or it is the own account and the current password is wrong",
        429: GUESSES,
    },
)
async def reset_password(
    user_id: UserId, request: Request, caller: Caller, services: Here, body: PasswordResetRequest = _RANDOM
) -> PasswordReset:
    """All sessions of the account end. Without a password in the request the answer shows a random one, once.

    The own one takes the current one: a stolen session must not serve to take the account.
    """
    if user_id == caller.user_id:
        await services.get(UserAdministration).check_password(
            user_id, given(body.current_password), address_of(request)
        )
    shown = await services.get(UserAdministration).reset_password(user_id, _secret(body.password), caller.subject)
    return PasswordReset(password=shown.reveal() if shown else None)


def _change_of(body: UserPatch) -> UserChange:
    roles = None if body.roles is None else frozenset(body.roles)
    networks = None if body.allowed_from is None else read_networks(body.allowed_from)
    return UserChange(body.display_name, body.disabled, roles, networks)


async def _check_same(user_id: str, body: UserPut, services: Services) -> None:
    """Raises :class:`InvalidRequestError` when the body is about another account than the path."""
    flaws = []
    if body.id is not None and body.id != user_id:
        flaws.append(FieldFlaw("body.id", "an id never changes: expected the one in the path, or none", "other"))
    if body.username is not None and body.username != (await services.get(UserAdministration).get(user_id)).name:
        flaws.append(
            FieldFlaw("body.username", "a name never changes: expected the one that GET answers, or none", "other")
        )
    if flaws:
        raise InvalidRequestError(flaws)


def own_id(caller: Identity) -> str:
    """The caller's account. Raises :class:`NoAccount`."""
    if caller.user_id is None:
        raise NoAccount
    return caller.user_id


def given(current_password: SecretStr | None) -> Secret:
    """The current password, where it is needed. Raises :class:`InvalidRequestError` when there is none."""
    if current_password is None:
        message = "the current password of the own account is needed here"
        raise InvalidRequestError([FieldFlaw("body.currentPassword", message, "missing")])
    return Secret(current_password.get_secret_value())


def address_of(request: Request) -> str:
    return request.client.host if request.client else "unknown"


def _secret(value: object) -> Secret | None:
    return Secret(value.get_secret_value()) if isinstance(value, SecretStr) else None


def _tagged(account: Account, response: Response) -> UserShape:
    tagged(response, account.revision)
    return _shape(account)


def _roles(account: Account, response: Response) -> RolesShape:
    tagged(response, account.revision)
    return RolesShape(roles=sorted(account.roles))


def _shape(account: Account) -> UserShape:
    return UserShape(
        id=account.id,
        username=account.name,
        display_name=account.display_name,
        roles=sorted(account.roles),
        disabled=account.disabled,
        mfa_enrolled=account.has_mfa,
        created_at=iso_utc(account.created_at),
        password_changed_at=iso_utc(account.password_changed_at),
        deleted=account.deleted_at is not None,
        allowed_from=list(account.allowed_from),
        revision=account.revision,
    )
