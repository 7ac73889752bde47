"""Errors of the cluster's database (RPPAM-29xx)."""

from typing import ClassVar

from rppam.kernel.errors import ErrorRow, Fault, Retry, RppamError
from rppam.kernel.exits import Exit


class DatabaseError(RppamError):
    """Base of the database errors."""


class DatabaseUrlInvalid(DatabaseError):
    """``database.url`` is not one we can use."""

    row: ClassVar[ErrorRow] = ErrorRow(
        code="RPPAM-2901",
        fault=Fault.OPERATOR,
        retry=Retry.NO,
        meaning="The database URL cannot be used.",
        remedy="Write sqlite:////absolute/path/rppam.db or postgresql://user:password@host:5432/name.",
        exit=Exit.CONFIGURATION,
    )


class DatabaseUnreachable(DatabaseError):
    """The database cannot be reached or refused; what was asked has not been done."""

    row: ClassVar[ErrorRow] = ErrorRow(
        code="RPPAM-2902",
        fault=Fault.SURROUNDINGS,
        retry=Retry.YES,
        meaning="The database cannot be reached, or it refused the connection.",
        remedy="Check that it runs and that database.url names it with the right user and password.",
        exit=Exit.NO,
        status=503,
    )


class DatabaseUnknown(DatabaseError):
    """No answer in time: what was asked may or may not have been done."""

    row: ClassVar[ErrorRow] = ErrorRow(
        code="RPPAM-2903",
        fault=Fault.SURROUNDINGS,
        retry=Retry.IF_IDEMPOTENT,
        meaning="The database did not answer in time; a write may or may not have been made.",
        remedy="Look before you repeat a write; check the database host and the network, or raise database.timeoutMs.",
        exit=Exit.NO,
        status=503,
    )


class DatabaseBusy(DatabaseError):
    """All of this node's database threads are occupied; nothing was done."""

    row: ClassVar[ErrorRow] = ErrorRow(
        code="RPPAM-2904",
        fault=Fault.SURROUNDINGS,
        retry=Retry.SLOWLY,
        meaning="Every database connection of this node is waiting for an answer.",
        remedy="Usually the database is slow or unreachable: check it first.",
        exit=Exit.NO,
        status=503,
    )


class DatabaseRefused(DatabaseError):
    """The database answered with an error of its own."""

    row: ClassVar[ErrorRow] = ErrorRow(
        code="RPPAM-2905",
        fault=Fault.OPERATOR,
        retry=Retry.SLOWLY,
        meaning="The database answered, but refused the statement (permissions, disk full, damaged, read-only).",
        remedy="Read the reason in the message and the database's own log.",
        exit=Exit.ERRORS,
        status=503,
    )


class SchemaNewer(DatabaseError):
    """The database was already migrated by a newer release."""

    row: ClassVar[ErrorRow] = ErrorRow(
        code="RPPAM-2906",
        fault=Fault.OPERATOR,
        retry=Retry.NO,
        meaning="The database belongs to a newer release of RP-PAM than this one.",
        remedy="Upgrade this node, or restore the backup taken before the upgrade.",
        exit=Exit.CONFIGURATION,
        status=503,
    )


class DatabaseValueRefused(DatabaseError):
    """The database works, and cannot hold a value that it was given; nothing was written."""

    row: ClassVar[ErrorRow] = ErrorRow(
        code="RPPAM-2907",
        fault=Fault.CALLER,
        retry=Retry.NO,
        meaning="The database cannot hold a value of the request; nothing was written.",
        remedy="Look for odd characters or sizes in what was sent, and report it: it should have been told before.",
        exit=Exit.ERRORS,
        status=400,
        level="warning",
    )
