"""Errors of ``rppam demo``, ``rppam init`` and the join bundle."""

from typing import ClassVar

from rppam.kernel.errors import ErrorRow, Fault, Retry, RppamError
from rppam.kernel.exits import Exit


class DemoError(RppamError):
    """The demo cannot run, or did not get ready."""

    row: ClassVar[ErrorRow] = ErrorRow(
        code="RPPAM-7101",
        fault=Fault.PLATFORM,
        retry=Retry.NO,
        meaning="The demo could not bring up a cluster on this machine; everything it started has been ended.",
        remedy="Read the reason; use other ports with --base-port, or keep the logs with --dir.",
        exit=Exit.NO,
    )


class InitError(RppamError):
    """A node's files cannot be written, or stand there already."""

    row: ClassVar[ErrorRow] = ErrorRow(
        code="RPPAM-7102",
        fault=Fault.OPERATOR,
        retry=Retry.NO,
        meaning="rppam init could not write the files of a node; nothing that existed was changed.",
        remedy="Read which file is in the way; --force keeps a backup and writes anew.",
        exit=Exit.ERRORS,
    )


class BundleError(RppamError):
    """A join bundle cannot be opened."""

    row: ClassVar[ErrorRow] = ErrorRow(
        code="RPPAM-7103",
        fault=Fault.OPERATOR,
        retry=Retry.NO,
        meaning="The join bundle is damaged, of another format, or the passphrase is not the one shown with it.",
        remedy="Type the passphrase as shown, or make a new bundle on a node with: rppam init --bundle FILE.",
        exit=Exit.ERRORS,
    )
