"""Errors of the second factor and of sealed secrets (RPPAM-312x)."""

from typing import ClassVar

from rppam.access.accounts import AccountError
from rppam.kernel.errors import ErrorRow, Fault, Retry


class CodeWrong(AccountError):
    """At sign-in: not a valid code. One text for a wrong, an old and a used one."""

    row: ClassVar[ErrorRow] = ErrorRow(
        code="RPPAM-3121",
        fault=Fault.CALLER,
        retry=Retry.CALLER_DECIDES,
        meaning="The code is wrong, too old, or was used already.",
        remedy="Wait for the next code of the authenticator, or use a backup code; compare the clock of the phone.",
        status=401,
        level="warning",
    )

    def __init__(self) -> None:
        super().__init__("The code is not valid.")


class CodeNotTaken(AccountError):
    """For somebody who has signed in: not a valid code."""

    row: ClassVar[ErrorRow] = ErrorRow(
        code="RPPAM-3122",
        fault=Fault.CALLER,
        retry=Retry.CALLER_DECIDES,
        meaning="The code is wrong, too old, or was used already; nothing was changed.",
        remedy="Wait for the next code of the authenticator; compare the clock of the phone.",
        status=403,
        level="warning",
    )

    def __init__(self) -> None:
        super().__init__("The code is not valid.")


class MfaTokenInvalid(AccountError):
    """The second step of a log-in that has no first one any more."""

    row: ClassVar[ErrorRow] = ErrorRow(
        code="RPPAM-3123",
        fault=Fault.CALLER,
        retry=Retry.NO,
        meaning="The log-in is over: it was completed, took too long, or there were too many wrong codes.",
        remedy="Begin again with user name and password (POST /api/v1/auth/login).",
        status=401,
        level="info",
    )

    def __init__(self) -> None:
        super().__init__("This log-in is not open any more; sign in again.")


class MfaDisabled(AccountError):
    """The cluster asks nobody for a second factor."""

    row: ClassVar[ErrorRow] = ErrorRow(
        code="RPPAM-3124",
        fault=Fault.CALLER,
        retry=Retry.NO,
        meaning="The second factor is switched off in this cluster.",
        remedy="An administrator sets mfaRequirement to 'optional' or more (PUT /api/v1/settings/security/mfa).",
        status=409,
        level="info",
    )


class MfaEnrolled(AccountError):
    """There is a second factor already."""

    row: ClassVar[ErrorRow] = ErrorRow(
        code="RPPAM-3125",
        fault=Fault.CALLER,
        retry=Retry.NO,
        meaning="The account has a second factor already.",
        remedy="Take it away first (POST /api/v1/auth/mfa/disable with a code); an administrator resets a lost one.",
        status=409,
        level="info",
    )


class MfaNotEnrolled(AccountError):
    """There is no second factor, or its enrolment was not begun."""

    row: ClassVar[ErrorRow] = ErrorRow(
        code="RPPAM-3126",
        fault=Fault.CALLER,
        retry=Retry.NO,
        meaning="The account has no second factor yet.",
        remedy="Enrol one: POST /api/v1/auth/mfa/enroll without a code, and again with the first code.",
        status=409,
        level="info",
    )


class MfaRequired(AccountError):
    """The policy does not let this account go without."""

    row: ClassVar[ErrorRow] = ErrorRow(
        code="RPPAM-3127",
        fault=Fault.CALLER,
        retry=Retry.NO,
        meaning="The cluster requires a second factor of this account.",
        remedy="Keep it; for another phone, an administrator resets it and it is enrolled anew at the next log-in.",
        status=409,
        level="info",
    )
