"""Errors of accounts and passwords (RPPAM-31xx)."""

from rppam.http.errors import PreconditionFailedError
from rppam.kernel.errors import Exit, Fault, Retry, RppamError


class AccountError(RppamError, fault=Fault.CALLER, retry=Retry.NO, level="info"):
    """Base of the account errors."""


class InvalidCredentials(
    AccountError, code="RPPAM-3101", retry=Retry.CALLER_DECIDES, exit=Exit.NO, status=401, level="warning"
):
    """The user name or the password is wrong, the account is disabled, or may not log in from this address.

    One text for all of these; the ledger has the reason.
    """

    fix = "Check both; a lost administrator password is replaced on the host with `rppam user reset-password`."

    def __init__(self) -> None:
        super().__init__("User name or password is wrong.")


class AccountUnknown(AccountError, code="RPPAM-3102", exit=Exit.ERRORS, status=404):
    """No account has this name."""

    fix = "List the accounts with `rppam user list`."


class NameTaken(AccountError, code="RPPAM-3103", exit=Exit.ERRORS, status=409):
    """Another account already has this name (upper and lower case are the same)."""

    fix = "Choose another name."


class NameInvalid(AccountError, code="RPPAM-3104", exit=Exit.ERRORS, status=400):
    """The text is not a user name."""

    fix = "Use 1 to 64 of a-z 0-9 . _ @ + - and start with a letter or a digit."


class PasswordUnfit(AccountError, code="RPPAM-3105", exit=Exit.ERRORS, status=400):
    """The new password is too short, too long, a common one, or holds control characters."""

    fix = "Use some words without a link: 15 characters or more, 8 with a second factor; at most 1024 bytes."


class Overloaded(
    AccountError,
    code="RPPAM-3106",
    fault=Fault.SURROUNDINGS,
    retry=Retry.SLOWLY,
    exit=Exit.NO,
    status=503,
    level="warning",
):
    """More logins are waiting than this node checks at a time; password hashing is slow on purpose."""

    fix = "Try again in a second; if it stays, look for a client that logs in for every request."


class UserUnknown(AccountError, code="RPPAM-3107", exit=Exit.ERRORS, status=404):
    """No account has this id, or it was deleted."""

    fix = "GET /api/v1/users or 'rppam user list' lists the accounts; ?deleted=true shows the deleted ones as well."


class LastAdmin(AccountError, code="RPPAM-3108", exit=Exit.ERRORS, status=409):
    """It is the last enabled account with the role pam_admin; nothing was changed."""

    fix = "Give another enabled account the role pam_admin first."


class NameLooksTaken(AccountError, code="RPPAM-3109", exit=Exit.ERRORS, status=409):
    """The name looks like another account's (0 and o, 1 and l or i, rn and m, vv and w look alike)."""

    fix = "Choose a name that differs in more."


class UserChanged(PreconditionFailedError, code="RPPAM-3113", exit=Exit.NO):
    """The account has changed since it was read; nothing was changed."""

    fix = "Read the account again, and send its ETag as If-Match."


class DisplayNameInvalid(AccountError, code="RPPAM-3110", exit=Exit.ERRORS, status=400):
    """The text cannot be a display name."""

    fix = "Use at most 100 printable characters of any script, without controls of line or direction."


class NetworkInvalid(AccountError, code="RPPAM-3114", exit=Exit.ERRORS, status=400):
    """The text is no address and no network that an account could log in from."""

    fix = (
        "Write addresses such as 10.0.1.5 and networks such as 10.2.0.0/16 or fd00::/8, without bits behind the prefix."
    )


class CurrentPasswordWrong(
    AccountError, code="RPPAM-3111", retry=Retry.CALLER_DECIDES, exit=Exit.NO, status=403, level="warning"
):
    """The current password is wrong; nothing was changed."""

    fix = "Type it again; an administrator can reset a password that is lost."

    def __init__(self) -> None:
        super().__init__("currentPassword: it is not the password of this account.")


class NoAccount(AccountError, code="RPPAM-3112", exit=Exit.ERRORS, status=403):
    """The token was made on a host and belongs to no account."""

    fix = "Log in as yourself: 'rppam login', or POST /api/v1/auth/login with a user name and password."

    def __init__(self) -> None:
        super().__init__("this is about the caller's own account, and a token made by 'rppam token' has none")
