"""Errors of the operator note (RPPAM-64xx)."""

from rppam.kernel.errors import Exit, Fault, Retry, RppamError


class NoteInvalid(
    RppamError, code="RPPAM-6401", fault=Fault.CALLER, retry=Retry.NO, exit=Exit.ERRORS, status=400, level="info"
):
    """The text cannot be shown as the operator note."""

    fix = "Send at most 500 printable characters; line breaks are allowed, an empty text clears the note."
