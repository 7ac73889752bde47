"""The errors that Redis itself answers with, one class for each word that an error reply may begin with.

Which word means which class is decided in ``redis/replies.py``. A reply is knowledge: the server is there and
has spoken. It does not always prove that nothing was written: a script that fails half-way keeps what it wrote, so
only ``surely_not_run`` is proof.
"""

from rppam.catalogue.table import ROWS
from rppam.kernel.errors import Fault, Retry
from rppam.redis.errors import StoreReplyError


class StoreDenied(StoreReplyError):
    """The server does not let us; nothing was changed by that command."""


class StoreNoAuth(StoreDenied, code="RPPAM-2301", problem=ROWS["RD-201"]):
    """NOAUTH."""

    surely_not_run = True


class StoreWrongPassword(StoreDenied, code="RPPAM-2302", problem=ROWS["RD-202"]):
    """WRONGPASS."""

    surely_not_run = True


class StoreNoPermission(StoreDenied, code="RPPAM-2303", problem=ROWS["RD-203"]):
    """NOPERM."""


class StoreProtected(StoreDenied, code="RPPAM-2304", problem=ROWS["RD-210"]):
    """DENIED: protected mode."""

    surely_not_run = True


class StoreFull(StoreDenied, code="RPPAM-2305", problem=ROWS["RD-211"]):
    """Too many clients."""

    surely_not_run = True


class StoreNoDatabase(StoreDenied, code="RPPAM-2306", problem=ROWS["RD-216"]):
    """The server has fewer databases."""

    surely_not_run = True


class StoreOccupied(StoreReplyError, fault=Fault.SURROUNDINGS, retry=Retry.YES, level="warning"):
    """The server answers nothing else for a while."""

    surely_not_run = True


class StoreLoading(StoreOccupied, code="RPPAM-2311", problem=ROWS["RD-204"]):
    """LOADING."""


class StoreBusy(StoreOccupied, code="RPPAM-2312", problem=ROWS["RD-213"]):
    """BUSY: a script runs for too long."""


class StoreMoved(StoreReplyError, fault=Fault.SURROUNDINGS, retry=Retry.YES, level="warning"):
    """This server is not, or no longer, the primary that takes our writes."""


class StoreReadOnly(StoreMoved, code="RPPAM-2321", problem=ROWS["RD-205"]):
    """READONLY."""


class StoreMasterDown(StoreMoved, code="RPPAM-2322", problem=ROWS["RD-208"]):
    """MASTERDOWN."""

    surely_not_run = True


class StoreNoReplicas(StoreMoved, code="RPPAM-2323", problem=ROWS["RD-209"]):
    """NOREPLICAS."""


class StoreCluster(StoreReplyError, code="RPPAM-2324", problem=ROWS["RD-212"], retry=Retry.NO):
    """MOVED, ASK, CLUSTERDOWN, CROSSSLOT, TRYAGAIN."""

    surely_not_run = True


class StoreMisconfigured(StoreReplyError, code="RPPAM-2331", problem=ROWS["RD-206"]):
    """MISCONF."""


class StoreOutOfMemory(StoreReplyError, code="RPPAM-2332", problem=ROWS["RD-207"]):
    """OOM."""


class StoreNoScript(StoreReplyError, code="RPPAM-2341", fault=Fault.SURROUNDINGS, retry=Retry.YES, level="info"):
    """Redis does not have the script in its cache (it restarted, or SCRIPT FLUSH was used)."""

    fix = "Nothing to do: the client sends the script's text again by itself."
    surely_not_run = True


class StoreWrongType(StoreReplyError, code="RPPAM-2342", problem=ROWS["RD-217"], retry=Retry.NO):
    """WRONGTYPE."""


class StoreCommandUnknown(StoreReplyError, code="RPPAM-2343", problem=ROWS["RD-215"], retry=Retry.NO):
    """ERR unknown command."""


class StoreReplyUnforeseen(
    StoreReplyError, code="RPPAM-2399", problem=ROWS["RD-214"], fault=Fault.US, retry=Retry.CALLER_DECIDES
):
    """Any other error text."""
