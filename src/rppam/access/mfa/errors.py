"""Errors of the second factor and of sealed secrets (RPPAM-312x)."""

from rppam.access.accounts.errors import AccountError
from rppam.kernel.errors import Retry


class CodeWrong(AccountError, code="RPPAM-3121", retry=Retry.CALLER_DECIDES, status=401, level="warning"):
    """The code is wrong, too old, or was used already.

    At sign-in. One text for a wrong, an old and a used code.
    """

    fix = (
        "Wait for the next code of the authenticator, or use a backup code; compare the clock of the phone. Where "
        "nobody's codes are taken, rppam doctor compares that of the database (RD-643)."
    )

    def __init__(self) -> None:
        super().__init__("The code is not valid.")


class CodeNotTaken(AccountError, code="RPPAM-3122", retry=Retry.CALLER_DECIDES, status=403, level="warning"):
    """The code is wrong, too old, or was used already; nothing was changed.

    For somebody who has signed in.
    """

    fix = (
        "Wait for the next code of the authenticator; compare the clock of the phone. Where nobody's codes are taken, "
        "rppam doctor compares that of the database (RD-643)."
    )

    def __init__(self) -> None:
        super().__init__("The code is not valid.")


class MfaTokenInvalid(AccountError, code="RPPAM-3123", status=401):
    """The log-in is over: it was completed, took too long, or there were too many wrong codes."""

    fix = "Begin again with user name and password (POST /api/v1/auth/login)."

    def __init__(self) -> None:
        super().__init__("This log-in is not open any more; sign in again.")


class MfaDisabled(AccountError, code="RPPAM-3124", status=409):
    """The second factor is switched off in this cluster."""

    fix = "An administrator sets mfaRequirement to 'optional' or more (PUT /api/v1/settings/security/mfa)."


class MfaEnrolled(AccountError, code="RPPAM-3125", status=409):
    """The account has a second factor already."""

    fix = "Take it away first (POST /api/v1/auth/mfa/disable with a code); an administrator resets a lost one."


class MfaNotEnrolled(AccountError, code="RPPAM-3126", status=409):
    """The account has no second factor yet."""

    fix = "Enrol one: POST /api/v1/auth/mfa/enroll without a code, and again with the first code."


class FactorNotShown(AccountError, code="RPPAM-3132", status=403):
    """The account has a second factor, and this log-in did not show it."""

    fix = "Sign in with the passkey at the address it was added at, or by password and code, and do it from there."


class MfaRequired(AccountError, code="RPPAM-3127", status=409):
    """The cluster requires a second factor of this account."""

    fix = "Keep it; for another phone, an administrator resets it and it is enrolled again at the next log-in."
