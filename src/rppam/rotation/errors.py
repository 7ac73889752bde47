"""What can be wrong with rotation (RPPAM-8431 and on)."""

from rppam.kernel.errors import Exit, Fault, Retry, RppamError
from rppam.vault.errors import VaultError


class NotRotatable(VaultError, code="RPPAM-8431", status=409):
    """The secret of this entry cannot be changed on a target from here."""

    fix = (
        "Rotation takes a password of an account on a target of the kind ssh or postgresql. Give the entry its account "
        "(accountId), or change the secret by hand and store it."
    )


class RotationInvalid(VaultError, code="RPPAM-8432", status=400):
    """The rules of the rotation cannot be as they were given."""

    fix = "Correct the part that 'detail' begins with."


class RotationUnderWay(VaultError, code="RPPAM-8433", retry=Retry.SLOWLY, status=409):
    """The entry is checked out, or is being changed already."""

    fix = (
        "Wait until it is over; GET /api/v1/vault/entries/{entryId}/rotation or 'rppam vault rotation' tells how far "
        "it is."
    )


class RotationLost(
    RppamError, code="RPPAM-8434", fault=Fault.SURROUNDINGS, retry=Retry.NO, exit=Exit.ERRORS, level="debug"
):
    """Another node has taken this rotation over."""

    fix = "Nothing: the other one finishes it."
