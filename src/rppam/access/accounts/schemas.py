"""The JSON of users: what requests may hold and what answers look like."""

from typing import Annotated

from pydantic import Field, SecretStr

from rppam.access.accounts.model import DISPLAY_NAME_CHARS_MAX, NAME_INPUT_CHARS_MAX, AccountRole
from rppam.manager import PASSWORD_CHARS_MAX, Flag, Shape

Roles = Annotated[list[AccountRole], Field(max_length=len(AccountRole))]
DisplayName = Annotated[str, Field(max_length=DISPLAY_NAME_CHARS_MAX)]
NewPassword = Annotated[SecretStr, Field(min_length=1, max_length=PASSWORD_CHARS_MAX)]
Shown = Annotated[str, Field(max_length=64)]
CurrentPassword = Annotated[SecretStr, Field(min_length=1, max_length=PASSWORD_CHARS_MAX)]


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
    password: NewPassword | None = None
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

    password: NewPassword | None = None
    """Left out: a random one, which the answer shows."""
    current_password: CurrentPassword | None = None
    """Needed for the caller's own account."""


class PasswordReset(Shape):
    """It was reset; all sessions of the account have ended."""

    password: str | None
    """The random password, shown only now; null when the request named one."""


class OwnPasswordRequest(Shape):
    """Another password for the caller's own account."""

    current_password: CurrentPassword
    new_password: NewPassword
