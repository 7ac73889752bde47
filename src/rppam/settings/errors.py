"""Errors of hot configuration (RPPAM-65xx)."""

from collections.abc import Mapping, Sequence

from rppam.http.errors import FieldFlaw, PreconditionFailedError, RequestError


class SettingInvalid(RequestError, code="RPPAM-6501", status=400):
    """The new value of the setting is not valid; the old one stays in force."""

    fix = "Correct the fields named in 'errors'; GET the setting to see a whole value."

    def __init__(self, flaws: Sequence[FieldFlaw]) -> None:
        super().__init__("; ".join(f"{flaw.field}: {flaw.message}" for flaw in flaws))
        self.flaws = tuple(flaws)

    def members(self) -> Mapping[str, object]:
        """Each field with what was expected."""
        return {"errors": [flaw._asdict() for flaw in self.flaws]}


class SettingUnknown(RequestError, code="RPPAM-6502", status=404):
    """There is no setting of this name."""

    fix = "Use one of the names that GET /api/v1/settings lists; they are case-sensitive."


class SettingChanged(PreconditionFailedError, code="RPPAM-6503"):
    """The setting has been changed since you read it; nothing was written."""

    fix = "GET the setting again, look at what is new, and send your change with the new ETag in If-Match."


class RevisionUnknown(RequestError, code="RPPAM-6504", status=404):
    """The setting has no such revision."""

    fix = "Use a revision that GET .../history lists, or 0 for the default."
