"""Errors of the operator note (RPPAM-64xx)."""

from typing import ClassVar

from rppam.kernel.errors import ErrorRow, Fault, Retry, RppamError
from rppam.kernel.exits import Exit


class NoteInvalid(RppamError):
    """The text cannot be an operator note."""

    row: ClassVar[ErrorRow] = ErrorRow(
        code="RPPAM-6401",
        fault=Fault.CALLER,
        retry=Retry.NO,
        meaning="The text cannot be shown as the operator note.",
        remedy="Send at most 500 printable characters; line breaks are allowed, an empty text clears the note.",
        exit=Exit.ERRORS,
        status=400,
        level="info",
    )
