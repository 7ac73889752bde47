"""Errors of licence files (RPPAM-40xx). An expired licence is not an error: see :mod:`rppam.licence.model`."""

from typing import ClassVar

from rppam.kernel.errors import ErrorRow, Fault, Retry, RppamError
from rppam.kernel.exits import Exit


def _row(number: int, meaning: str, remedy: str, exit_: Exit = Exit.LICENCE, status: int | None = None) -> ErrorRow:
    return ErrorRow(f"RPPAM-40{number:02}", Fault.OPERATOR, Retry.NO, meaning, remedy, exit_, status)


class LicenceError(RppamError):
    """Base of the licence errors."""


class LicenceMissing(LicenceError):
    """There is no file at the configured place."""

    row: ClassVar[ErrorRow] = _row(
        1,
        "There is no licence file where license.path says.",
        "Copy the licence file there, or correct license.path.",
    )


class LicenceUnreadable(LicenceError):
    """The file is there but cannot be read."""

    row: ClassVar[ErrorRow] = _row(
        2,
        "The licence file cannot be read.",
        "Let the user that runs RP-PAM read the file; it must be a small text file.",
    )


class LicenceMalformed(LicenceError):
    """The text is not a licence, or a claim is missing or out of range."""

    row: ClassVar[ErrorRow] = _row(
        3,
        "The file is not a licence, or one of its claims is missing or wrong.",
        "Ask for the file again and copy it unchanged: one line, no quotes.",
    )


class LicenceWrongType(LicenceError):
    """A signed token, but not a licence, or signed with another algorithm."""

    row: ClassVar[ErrorRow] = _row(
        4,
        "The file is a signed token of another type or algorithm.",
        'A licence has "typ": "rppam-license+jwt" and "alg": "EdDSA"; an access token is not one.',
    )


class LicenceKeyUnknown(LicenceError):
    """Signed by a key that is not trusted here."""

    row: ClassVar[ErrorRow] = _row(
        5,
        "The licence was signed by a key that this node does not trust.",
        "Add the issuer's public key to license.trustedKeys, if it really is the issuer's.",
    )


class LicenceSignatureBad(LicenceError):
    """The signature does not fit the text."""

    row: ClassVar[ErrorRow] = _row(
        6,
        "The licence was changed after it was signed.",
        "Ask for the file again and copy it unchanged.",
    )


class LicenceKeyUnusable(LicenceError):
    """A key file or an entry of ``license.trustedKeys`` is not an Ed25519 key."""

    row: ClassVar[ErrorRow] = _row(
        7,
        "A licence key cannot be used.",
        "Give an Ed25519 key: the path of a PEM file, or its public part in base64.",
        Exit.CONFIGURATION,
    )


class LicenceTermsInvalid(LicenceError):
    """The terms asked for cannot stand in a licence."""

    row: ClassVar[ErrorRow] = _row(
        8, "A licence with these terms cannot be issued.", "Correct the option that the message names.", Exit.ERRORS
    )


class LicenceDenied(LicenceError):
    """The licence does not allow what was asked."""

    row: ClassVar[ErrorRow] = _row(
        9,
        "The licence does not allow it.",
        "Install a licence of the tier, or for the number of nodes, that the message names.",
        Exit.LICENCE,
        403,
    )
