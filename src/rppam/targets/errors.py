"""What can be wrong with targets and the accounts on them (RPPAM-8301 and on)."""

from rppam.kernel.errors import Exit, Fault, Retry, RppamError


class TargetError(RppamError, fault=Fault.CALLER, retry=Retry.NO, exit=Exit.ERRORS, level="info"):
    """Base of all errors of targets."""


class ResourceUnknown(TargetError, code="RPPAM-8301", status=404):
    """No resource has this id or name."""

    fix = "GET /api/v1/resources or 'rppam target ls' lists them."


class ResourceInvalid(TargetError, code="RPPAM-8302", status=400):
    """The resource or account cannot be as it was given."""

    fix = "Correct the field that 'detail' begins with."


class ResourceNameTaken(TargetError, code="RPPAM-8303", status=409):
    """Another resource has this name (upper and lower case are the same), or the resource has an account of it."""

    fix = "Choose another name, or change the one that has it."


class TargetAccountUnknown(TargetError, code="RPPAM-8304", status=404):
    """No privileged account has this id or name."""

    fix = "GET /api/v1/accounts or 'rppam account ls' lists them."


class TargetChanged(TargetError, code="RPPAM-8305", retry=Retry.CALLER_DECIDES, status=409):
    """Somebody else has changed it since it was read. Nothing was changed."""

    fix = "Read it again, and repeat the change on what stands there now."


class TargetInUse(TargetError, code="RPPAM-8306", status=409):
    """Something still belongs to it, so it is not deleted."""

    fix = "Delete or move its accounts and vault entries first."


class HostKeyUnknown(TargetError, code="RPPAM-8307", status=404):
    """The resource has no host key or certificate of this id."""

    fix = "GET /api/v1/resources/{resourceId}/host-keys or 'rppam target show' lists them."


class HostKeyConflict(TargetError, code="RPPAM-8308", status=409):
    """This host key or certificate is pinned already."""

    fix = "Nothing is to be done; remove the pinned key first where it is to be replaced."
