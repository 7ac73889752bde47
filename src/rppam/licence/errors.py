"""Errors of licence files (RPPAM-40xx). An expired licence is not an error: see :mod:`rppam.licence.model`."""

from rppam.kernel.errors import Exit, Fault, Retry, RppamError


class LicenceError(RppamError, fault=Fault.OPERATOR, retry=Retry.NO, exit=Exit.LICENCE):
    """Base of the licence errors."""


class LicenceMissing(LicenceError, code="RPPAM-4001"):
    """There is no licence file where license.path says."""

    fix = "Copy the licence file there, or correct license.path."


class LicenceUnreadable(LicenceError, code="RPPAM-4002"):
    """The licence file cannot be read."""

    fix = "Let the user that runs RP-PAM read the file; it must be a small text file."


class LicenceMalformed(LicenceError, code="RPPAM-4003"):
    """The file is not a licence, or one of its claims is missing or wrong."""

    fix = "Ask for the file again and copy it unchanged: one line, no quotes."


class LicenceWrongType(LicenceError, code="RPPAM-4004"):
    """The file is a signed token of another type or algorithm."""

    fix = 'A licence has "typ": "rppam-license+jwt" and "alg": "EdDSA"; an access token is not one.'


class LicenceKeyUnknown(LicenceError, code="RPPAM-4005"):
    """The licence was signed by a key that this node does not trust."""

    fix = "Add the issuer's public key to license.trustedKeys, if it really is the issuer's."


class LicenceSignatureBad(LicenceError, code="RPPAM-4006"):
    """The licence was changed after it was signed."""

    fix = "Ask for the file again and copy it unchanged."


class LicenceKeyUnusable(LicenceError, code="RPPAM-4007", exit=Exit.CONFIGURATION):
    """A licence key cannot be used."""

    fix = "Give an Ed25519 key: the path of a PEM file, or its public part in base64."


class LicenceTermsInvalid(LicenceError, code="RPPAM-4008", exit=Exit.ERRORS):
    """A licence with these terms cannot be issued."""

    fix = "Correct the option that the message names."


class LicenceDenied(LicenceError, code="RPPAM-4009", status=403):
    """The licence does not allow it."""

    fix = "Install a licence of the tier, or for the number of nodes, that the message names."
