"""Errors of hot configuration (RPPAM-65xx)."""

from collections.abc import Mapping, Sequence

from rppam.domain.errors import ErrorRow, Fault, Retry
from rppam.domain.errors.request import FieldFlaw, RequestError


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
