"""The JSON of the second factor."""

from typing import Annotated

from pydantic import Field

from rppam.access.accounts import CurrentPassword
from rppam.access.mfa.one_time_codes import TYPED_CHARS_MAX
from rppam.access.sessions import LoginAnswer
from rppam.manager import Flag, Shape

MFA_TOKEN_CHARS_MAX = 64
Code = Annotated[str, Field(min_length=1, max_length=TYPED_CHARS_MAX)]
MfaToken = Annotated[str, Field(min_length=1, max_length=MFA_TOKEN_CHARS_MAX)]


class ChallengeRequest(Shape):
    """The second step of a log-in."""

    mfa_token: MfaToken
    """From the answer to the first step, on whichever node."""
    code: Code
    """Of the authenticator, or a backup code; spaces and hyphens do not matter."""
    cookie: Flag = False
    """As for the log-in: the token comes as a cookie, for the console."""


class CodeRequest(Shape):
    """A code of the caller's second factor."""

    code: Code
    """Of the authenticator, or a backup code; each is good once."""


class EnrolRequest(Shape):
    """Begin an enrolment, or confirm it with a code."""

    code: Code | None = None
    """Left out: begin. The first code of the authenticator: confirm."""
    current_password: CurrentPassword | None = None
    """Needed to begin with an access token of a session that began more than ten minutes ago."""
    mfa_token: MfaToken | None = None
    """In the place of an access token, where the log-in asks for an enrolment first."""
    cookie: Flag = False
    """With `mfaToken` and `code`: the token comes as a cookie, for the console."""


class EnrolAnswer(Shape):
    """An enrolment that was begun (`enrolled` false) or confirmed."""

    enrolled: bool
    secret: str | None = None
    """Begun: what is typed into an authenticator, base32."""
    otpauth_uri: str | None = None
    """Begun: the same, for a QR code."""
    digits: int | None = None
    period_seconds: int | None = None
    backup_codes: list[str] | None = None
    """Confirmed: one-time codes for who has lost the authenticator, shown only now."""
    login: LoginAnswer | None = None
    """Confirmed with `mfaToken`: the log-in is complete."""


class BackupCodes(Shape):
    """New backup codes; all others are worth nothing now."""

    backup_codes: list[str]
    """Shown only now."""


class MfaStanding(Shape):
    """How the caller's account stands."""

    enrolled: bool
    required: bool
    """The policy (`security/mfa`) does not let the account go without."""
    backup_codes_left: int
    session: bool
    """This session began with a second factor, or was stepped up."""
