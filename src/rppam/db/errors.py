"""Errors of the cluster's database (RPPAM-29xx)."""

from rppam.catalogue.table import ROWS
from rppam.kernel.errors import Exit, Fault, Retry, RppamError


class DatabaseError(RppamError, fault=Fault.OPERATOR, retry=Retry.NO, status=503):
    """Base of the database errors."""


class DatabaseUrlInvalid(DatabaseError, code="RPPAM-2901", exit=Exit.CONFIGURATION, status=None):
    """The database URL cannot be used."""

    fix = "Write sqlite:////absolute/path/rppam.db or postgresql://user:password@host:5432/name."


class DatabaseUnreachable(
    DatabaseError, code="RPPAM-2902", problem=ROWS["RD-607"], fault=Fault.SURROUNDINGS, retry=Retry.YES, exit=Exit.NO
):
    """The database cannot be reached or refused; what was asked has not been done."""


class DatabaseUnknown(
    DatabaseError, code="RPPAM-2903", fault=Fault.SURROUNDINGS, retry=Retry.IF_IDEMPOTENT, exit=Exit.NO
):
    """The database did not answer in time; a write may or may not have been made."""

    fix = "Look before you repeat a write; check the database host and the network, or raise database.timeoutMs."


class DatabaseBusy(DatabaseError, code="RPPAM-2904", fault=Fault.SURROUNDINGS, retry=Retry.SLOWLY, exit=Exit.NO):
    """Every database connection of this node is waiting for an answer."""

    fix = "Usually the database is slow or unreachable: check it first."


class DatabaseRefused(DatabaseError, code="RPPAM-2905", retry=Retry.SLOWLY, exit=Exit.ERRORS):
    """The database refused the statement (permissions, disk full, damaged, read-only)."""

    fix = "Read the reason in the message and the database's own log."
    finding = ""
    """Which finding of health it is, such as RD-623; empty when it is none of them."""


class NotRecorded(DatabaseRefused, code="RPPAM-2908", retry=Retry.SLOWLY, exit=Exit.ERRORS):
    """What was asked for cannot be recorded in the ledger, so it was not done."""

    fix = "Read the reason in the message: the database takes no event (permissions, disk full, tables damaged)."


class SchemaNewer(DatabaseError, code="RPPAM-2906", exit=Exit.CONFIGURATION):
    """The database belongs to a newer release of RP-PAM than this one."""

    fix = "Upgrade this node, or restore the backup taken before the upgrade."


class DatabaseClockApart(DatabaseError, code="RPPAM-2909", problem=ROWS["RD-643"], level="warning"):
    """The clock of the database and this host's differ so much that codes of authenticators are refused."""


class DatabaseValueRefused(
    DatabaseError, code="RPPAM-2907", fault=Fault.CALLER, exit=Exit.ERRORS, status=400, level="warning"
):
    """The database cannot hold a value of the request; nothing was written."""

    fix = "Look for odd characters or sizes in what was sent, and report it: it should have been told before."
