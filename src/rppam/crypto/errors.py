"""Errors of sealed secrets (RPPAM-3128, 3129)."""

from rppam.kernel.errors import Exit, Fault, Retry, RppamError


class SealingError(RppamError, fault=Fault.OPERATOR, retry=Retry.NO, status=503):
    """Base of the errors of sealed secrets."""


class SealingKeyMissing(SealingError, code="RPPAM-3128", retry=Retry.SLOWLY, exit=Exit.CONFIGURATION):
    """This host has neither a sealing key nor a cluster key, so no secret can be sealed or opened."""

    fix = "Copy auth.sealingKeyPath from another node (rppam init --bundle); 'rppam init' makes it on a first node."


class SealBroken(SealingError, code="RPPAM-3129", exit=Exit.ERRORS):
    """A sealed secret in the database does not open with the keys of this host."""

    fix = (
        "Compare auth.sealingKeyPath (without one: auth.clusterKeyPath) with the other nodes'. If the key is lost or "
        "the value was changed, reset the second factor of the accounts concerned (rppam user reset-mfa)."
    )
