"""What can be wrong with SIEM targets (RPPAM-8101 and on)."""

from rppam.kernel.errors import Fault, Retry, RppamError


class SiemError(RppamError, fault=Fault.CALLER, retry=Retry.NO, level="info"):
    """Base of all errors of SIEM targets."""


class TargetUnknown(SiemError, code="RPPAM-8101", status=404):
    """No SIEM target has this id."""

    fix = "GET /api/v1/siem/targets lists them."


class TargetInvalid(SiemError, code="RPPAM-8102", status=400):
    """The SIEM target cannot be as it was given."""

    fix = "Correct this in the SIEM target."


class TargetNameTaken(SiemError, code="RPPAM-8103", status=409):
    """Another SIEM target has this name."""

    fix = "Give the target another name, or change the one that has it."


class DeliveryFailed(
    SiemError, code="RPPAM-8110", fault=Fault.SURROUNDINGS, retry=Retry.YES, status=502, level="warning"
):
    """The SIEM target did not take what was sent to it."""

    fix = "Look at 'detail' for what the target said; events wait and are sent in order once it takes them."


class TargetSlow(DeliveryFailed, code="RPPAM-8112"):
    """The SIEM target did not take what was sent in the time that a request has."""

    fix = "Fewer events are sent with the next try by itself; if it stays so, look at the load of the receiver."


class BatchRefused(DeliveryFailed, code="RPPAM-8113"):
    """The SIEM target takes less at one time than was sent to it (413)."""

    fix = "Half of it is tried by itself; set `batchBytes` of the target to what it takes, and no try is lost."


class EventRefused(DeliveryFailed, code="RPPAM-8111"):
    """The SIEM target finds an event too large even without its details."""

    fix = (
        "Raise the limit on the size of a request at the receiver, or at the proxy before it. The event and all behind "
        "it wait, and are sent in order once it is taken."
    )
