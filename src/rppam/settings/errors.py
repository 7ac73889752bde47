"""Errors of hot configuration (RPPAM-65xx)."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from rppam.http.errors import FieldFlaw, RequestError
from rppam.kernel.errors import ErrorRow, Fault, Retry


class SettingInvalid(RequestError):
    """A value of a setting cannot be used; nothing was changed."""

    row = ErrorRow(
        "RPPAM-6501",
        Fault.CALLER,
        Retry.NO,
        "The new value of the setting is not valid; the old one stays in force.",
        "Correct the fields named in 'errors'; GET the setting to see a whole value.",
        status=400,
        level="info",
    )

    def __init__(self, flaws: Sequence[FieldFlaw]) -> None:
        super().__init__("; ".join(f"{flaw.field}: {flaw.message}" for flaw in flaws))
        self.flaws = tuple(flaws)

    def members(self) -> Mapping[str, object]:
        """Each field with what was expected."""
        return {"errors": [flaw._asdict() for flaw in self.flaws]}


class SettingUnknown(RequestError):
    """No setting has this name."""

    row = ErrorRow(
        "RPPAM-6502",
        Fault.CALLER,
        Retry.NO,
        "There is no setting of this name.",
        "Use one of the names that GET /api/v1/settings lists; they are case-sensitive.",
        status=404,
        level="info",
    )


class SettingChanged(RequestError):
    """Somebody else has changed the setting since the caller has read it."""

    row = ErrorRow(
        "RPPAM-6503",
        Fault.CALLER,
        Retry.CALLER_DECIDES,
        "The setting has been changed since you read it; nothing was written.",
        "GET the setting again, look at what is new, and send your change with the new ETag in If-Match.",
        status=412,
        level="info",
    )

    def __init__(self, revision: int) -> None:
        super().__init__(f"If-Match names another revision than {revision}, which is in force")
        self.revision = revision

    def members(self) -> Mapping[str, object]:
        """What is in force."""
        return {"revision": self.revision}

    def headers(self) -> Mapping[str, str]:
        """Its entity tag (RFC 9110, section 8.8.3)."""
        return MappingProxyType({"ETag": f'"{self.revision}"'})


class RevisionUnknown(RequestError):
    """The setting has no such revision to go back to."""

    row = ErrorRow(
        "RPPAM-6504",
        Fault.CALLER,
        Retry.NO,
        "The setting has no such revision.",
        "Use a revision that GET .../history lists, or 0 for the default.",
        status=404,
        level="info",
    )
