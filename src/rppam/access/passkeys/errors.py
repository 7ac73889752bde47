"""What can be wrong with passkeys (RPPAM-8451 and on)."""

from rppam.http.errors import RequestError
from rppam.kernel.errors import Retry


class PasskeyError(RequestError, level="info"):
    """Base of all errors of passkeys."""


class PasskeyRefused(PasskeyError, code="RPPAM-8451", retry=Retry.CALLER_DECIDES, status=403, level="warning"):
    """The passkey does not prove what it should: it is unknown, of another site, or was used for another question."""

    fix = "Begin again on this cluster's own page, and use a passkey that was added to this account here."


class PasskeyOver(PasskeyError, code="RPPAM-8452", status=409):
    """The question that the passkey answers is over, or was answered already: each is good once, for two minutes."""

    fix = "Ask for new options and answer those."


class PasskeyUnknown(PasskeyError, code="RPPAM-8453", status=404):
    """The account has no passkey of this id."""

    fix = "GET /api/v1/auth/webauthn lists the own passkeys."


class PasskeyTaken(PasskeyError, code="RPPAM-8454", status=409):
    """This passkey was added already."""

    fix = "Use it, or take another authenticator."
