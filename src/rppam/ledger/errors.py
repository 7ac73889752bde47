"""What can be wrong with the ledger (RPPAM-8xxx)."""

from rppam.catalogue.table import ROWS
from rppam.kernel.errors import Exit, Fault, Retry, RppamError


class LedgerError(RppamError, fault=Fault.SURROUNDINGS, retry=Retry.NO, level="error"):
    """Base of all errors of the ledger."""


class LedgerBroken(
    LedgerError, code="RPPAM-8001", problem=ROWS["RD-630"], fault=Fault.OPERATOR, exit=Exit.ERRORS, status=500
):
    """The ledger in the database is not what was recorded."""


class LedgerRolledBack(
    LedgerError, code="RPPAM-8002", problem=ROWS["RD-631"], fault=Fault.OPERATOR, exit=Exit.ERRORS, status=500
):
    """The ledger in the database is not the one that this node has seen."""


class EventUnknown(LedgerError, code="RPPAM-8003", fault=Fault.CALLER, status=404, level="debug"):
    """There is no event or checkpoint at this place of the ledger."""

    fix = "GET /api/v1/audit/checkpoints tells how many events there are; an event is provable within 3 s."


class BundleUnreadable(LedgerError, code="RPPAM-8004", fault=Fault.CALLER, exit=Exit.NO):
    """The file is no bundle of 'rppam audit export --bundle', or cannot be read."""

    fix = "Export it again with 'rppam audit export --bundle FILE'."


class LedgerUnwatched(LedgerError, code="RPPAM-8005", fault=Fault.OPERATOR, exit=Exit.ERRORS):
    """This node cannot remember which checkpoint of the ledger it has seen, so it would not notice a rollback."""

    fix = "Make room in node.dataDir and let RP-PAM's user write there; a damaged ledger.json may be deleted."


class HoldUnknown(LedgerError, code="RPPAM-8006", fault=Fault.CALLER, status=404, level="info"):
    """There is no legal hold of this id, or it was lifted."""

    fix = "GET /api/v1/audit/holds or 'rppam audit holds' lists those that stand."


class HeldBack(LedgerError, code="RPPAM-8007", fault=Fault.CALLER, status=409, level="info"):
    """A legal hold keeps this from being erased."""

    fix = "Have the hold lifted first ('rppam audit holds' lists them), or leave the name where it is."


class NameInUse(LedgerError, code="RPPAM-8008", fault=Fault.CALLER, status=409, level="info"):
    """An account of this name exists, so the ledger would go on writing it."""

    fix = "Delete the account first (rppam user delete, or DELETE /api/v1/users/{id}), then erase its name."


class LedgerBusy(LedgerError, code="RPPAM-8009", fault=Fault.SURROUNDINGS, retry=Retry.YES, exit=Exit.ERRORS):
    """The ledger changed while it was read, in a way that a bundle cannot show."""

    fix = "Run the command again."


class ArchiveRefused(LedgerError, code="RPPAM-8010", fault=Fault.CALLER, exit=Exit.NO, level="info"):
    """An archive cannot be written as it was asked for."""

    fix = "Name a file that does not exist yet, and no gap: 'rppam audit archives' lists what there is."
