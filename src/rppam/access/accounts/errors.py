"""Errors of accounts and passwords (RPPAM-31xx)."""

from typing import ClassVar

from rppam.kernel.errors import ErrorRow, Fault, Retry, RppamError
from rppam.kernel.exits import Exit


class AccountError(RppamError):
    """Base of the account errors."""


class InvalidCredentials(AccountError):
    """Login refused. One text for an unknown name, a wrong password and a disabled account."""

    row: ClassVar[ErrorRow] = ErrorRow(
        code="RPPAM-3101",
        fault=Fault.CALLER,
        retry=Retry.CALLER_DECIDES,
        meaning="The user name or the password is wrong, or the account is disabled.",
        remedy="Check both; a lost administrator password is replaced on the host with `rppam user reset-password`.",
        exit=Exit.NO,
        status=401,
        level="warning",
    )

    def __init__(self) -> None:
        super().__init__("User name or password is wrong.")


class AccountUnknown(AccountError):
    """No account has this name."""

    row: ClassVar[ErrorRow] = ErrorRow(
        code="RPPAM-3102",
        fault=Fault.CALLER,
        retry=Retry.NO,
        meaning="No account has this name.",
        remedy="List the accounts with `rppam user list`.",
        exit=Exit.ERRORS,
        status=404,
        level="info",
    )


class NameTaken(AccountError):
    """Another account has this name."""

    row: ClassVar[ErrorRow] = ErrorRow(
        code="RPPAM-3103",
        fault=Fault.CALLER,
        retry=Retry.NO,
        meaning="Another account already has this name (upper and lower case are the same).",
        remedy="Choose another name.",
        exit=Exit.ERRORS,
        status=409,
        level="info",
    )


class NameInvalid(AccountError):
    """The text is not a user name."""

    row: ClassVar[ErrorRow] = ErrorRow(
        code="RPPAM-3104",
        fault=Fault.CALLER,
        retry=Retry.NO,
        meaning="The text is not a user name.",
        remedy="Use 1 to 64 of a-z 0-9 . _ @ + - and start with a letter or a digit.",
        exit=Exit.ERRORS,
        status=400,
        level="info",
    )


class PasswordUnfit(AccountError):
    """A new password is too short, too long or holds characters that cannot be typed."""

    row: ClassVar[ErrorRow] = ErrorRow(
        code="RPPAM-3105",
        fault=Fault.CALLER,
        retry=Retry.NO,
        meaning="The new password is too short, too long, or holds control characters.",
        remedy="Use 8 to 1024 bytes of printable text.",
        exit=Exit.ERRORS,
        status=400,
        level="info",
    )


class Overloaded(AccountError):
    """More password checks are waiting than this node will queue."""

    row: ClassVar[ErrorRow] = ErrorRow(
        code="RPPAM-3106",
        fault=Fault.SURROUNDINGS,
        retry=Retry.SLOWLY,
        meaning="More logins are waiting than this node checks at a time; password hashing is slow on purpose.",
        remedy="Try again in a second; if it stays, look for a client that logs in for every request.",
        exit=Exit.NO,
        status=503,
        level="warning",
    )


class UserUnknown(AccountError):
    """No account has this id, or it was deleted."""

    row: ClassVar[ErrorRow] = ErrorRow(
        code="RPPAM-3107",
        fault=Fault.CALLER,
        retry=Retry.NO,
        meaning="No account has this id, or it was deleted.",
        remedy="GET /api/v1/users lists the accounts with their ids; ?deleted=true shows the deleted ones as well.",
        exit=Exit.ERRORS,
        status=404,
        level="info",
    )


class LastAdmin(AccountError):
    """Without this account nobody could administer the cluster."""

    row: ClassVar[ErrorRow] = ErrorRow(
        code="RPPAM-3108",
        fault=Fault.CALLER,
        retry=Retry.NO,
        meaning="It is the last enabled account with the role pam_admin; nothing was changed.",
        remedy="Give another enabled account the role pam_admin first.",
        exit=Exit.ERRORS,
        status=409,
        level="info",
    )


class NameLooksTaken(AccountError):
    """Another account has a name that a reader would take for this one."""

    row: ClassVar[ErrorRow] = ErrorRow(
        code="RPPAM-3109",
        fault=Fault.CALLER,
        retry=Retry.NO,
        meaning="The name looks like that of another account (0 and o, 1 and l or i, rn and m, vv and w look alike).",
        remedy="Choose a name that differs in more.",
        exit=Exit.ERRORS,
        status=409,
        level="info",
    )


class DisplayNameInvalid(AccountError):
    """The text cannot be a display name."""

    row: ClassVar[ErrorRow] = ErrorRow(
        code="RPPAM-3110",
        fault=Fault.CALLER,
        retry=Retry.NO,
        meaning="The text cannot be a display name.",
        remedy="Use at most 100 printable characters of any script, without controls of line or direction.",
        exit=Exit.ERRORS,
        status=400,
        level="info",
    )


class CurrentPasswordWrong(AccountError):
    """Who wants another password has to know the present one."""

    row: ClassVar[ErrorRow] = ErrorRow(
        code="RPPAM-3111",
        fault=Fault.CALLER,
        retry=Retry.CALLER_DECIDES,
        meaning="The current password is wrong; nothing was changed.",
        remedy="Type it again; an administrator can reset a password that is lost.",
        exit=Exit.NO,
        status=403,
        level="warning",
    )

    def __init__(self) -> None:
        super().__init__("currentPassword: it is not the password of this account.")


class NoAccount(AccountError):
    """The caller's token belongs to a host, not to an account."""

    row: ClassVar[ErrorRow] = ErrorRow(
        code="RPPAM-3112",
        fault=Fault.CALLER,
        retry=Retry.NO,
        meaning="The token was made on a host and belongs to no account.",
        remedy="Sign in with a user name and password (POST /api/v1/auth/login).",
        exit=Exit.ERRORS,
        status=403,
        level="info",
    )

    def __init__(self) -> None:
        super().__init__("this is about the caller's own account, and a token made by 'rppam token' has none")
