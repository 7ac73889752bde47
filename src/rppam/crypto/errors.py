"""Errors of sealed secrets (RPPAM-3128, 3129)."""

from typing import ClassVar

from rppam.kernel.errors import ErrorRow, Fault, Retry, RppamError
from rppam.kernel.exits import Exit


class SealingError(RppamError):
    """Base of the errors of sealed secrets."""


class SealingKeyMissing(SealingError):
    """No key on this host to seal secrets with."""

    row: ClassVar[ErrorRow] = ErrorRow(
        code="RPPAM-3128",
        fault=Fault.OPERATOR,
        retry=Retry.SLOWLY,
        meaning="This host has no sealing key, and no cluster key in its place, so no secret can be sealed or opened.",
        remedy="Copy auth.sealingKeyPath from another node of the cluster (rppam init --bundle); a first node gets it "
        "by 'rppam init'.",
        exit=Exit.CONFIGURATION,
        status=503,
    )


class SealBroken(SealingError):
    """A sealed secret in the database does not open."""

    row: ClassVar[ErrorRow] = ErrorRow(
        code="RPPAM-3129",
        fault=Fault.OPERATOR,
        retry=Retry.NO,
        meaning="A sealed secret in the database does not open with the keys of this host.",
        remedy="Compare auth.sealingKeyPath (without one: auth.clusterKeyPath) with the other nodes'. If the key is "
        "lost or the value was changed, reset the second factor of the accounts concerned (rppam user reset-mfa).",
        exit=Exit.ERRORS,
        status=503,
    )
