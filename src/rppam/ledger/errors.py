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
