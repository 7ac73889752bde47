"""What can go wrong between us and Redis, sorted by whether the command may have run and by who can fix it.

The first question after a failed command is always "did it happen?". So the tree's first split answers it:

* :class:`StoreUnreachable` and its leaves, :class:`StoreOverloaded`, :class:`StoreCommandDisabled`: nothing was sent;
* :class:`StoreUnknown`: bytes may have left and no reply counts; the command may or may not have run, and the client
  never sends it twice;
* :class:`StoreReplyError` and its leaves: the server answered with an error. A plain command did nothing then; a
  *script* that fails half-way keeps what it had written before, so only :attr:`StoreError.surely_not_run` is proof.

The first word of an error reply decides which leaf it is, by table (:func:`classify`). Two kinds of text need a closer
look: "ERR ..." that means something definite, and errors that Redis before 7 wraps into "ERR Error running script".

Remedies follow the troubleshooting table of the vendor article on Redis for HA. Messages never contain a password: what
a server quotes back from our own command is cut off before anything is kept.
"""

import re
from typing import ClassVar, Final

from rppam.catalogue.table import ROWS
from rppam.kernel.errors import Exit, Fault, Retry, RppamError


class StoreError(RppamError, fault=Fault.OPERATOR, retry=Retry.SLOWLY, exit=Exit.REDIS_UNREACHABLE, status=503):
    """Base of everything between us and Redis."""

    surely_not_run: ClassVar[bool] = False
    """True where it is proven that the command changed nothing."""

    def __init__(self, message: str, *, raw: str = "") -> None:
        super().__init__(message)
        self.raw = raw
        """What the server or the system said, word by word, without secrets; empty when it said nothing."""


# --- nothing was sent ------------------------------------------------------------------------------------------------


class StoreUnreachable(StoreError, fault=Fault.SURROUNDINGS, retry=Retry.YES, level="warning"):
    """There is no usable connection; nothing was sent."""

    surely_not_run = True


class StoreDown(StoreUnreachable, code="RPPAM-2101"):
    """There is no connection to Redis now; it is being re-established in the background."""

    fix = "See the reason in the message; check that Redis runs and that the firewall allows its port from all nodes."


class StoreRefused(StoreUnreachable, code="RPPAM-2102", problem=ROWS["RD-101"], fault=Fault.OPERATOR):
    """Connection refused."""


class StoreConnectTimeout(StoreUnreachable, code="RPPAM-2103", problem=ROWS["RD-102"]):
    """No connection within connectTimeout."""


class StoreNoGreeting(StoreUnreachable, code="RPPAM-2116", problem=ROWS["RD-105"]):
    """The connection was made; TLS, or the greeting, was not over within connectTimeout."""


class StoreNameUnknown(StoreUnreachable, code="RPPAM-2104", problem=ROWS["RD-103"], fault=Fault.OPERATOR):
    """The host name does not resolve."""


class StoreNoRoute(StoreUnreachable, code="RPPAM-2105", problem=ROWS["RD-104"]):
    """No route to the host."""


class StoreTlsFailed(
    StoreUnreachable, code="RPPAM-2106", problem=ROWS["RD-127"], fault=Fault.OPERATOR, retry=Retry.SLOWLY, level="error"
):
    """TLS handshake failed."""


class StoreClosed(StoreUnreachable, code="RPPAM-2107", problem=ROWS["RD-106"]):
    """The peer accepted and hung up before it said who it is, or the network failed in between."""


class StoreProtocol(
    StoreUnreachable, code="RPPAM-2108", problem=ROWS["RD-108"], fault=Fault.OPERATOR, retry=Retry.SLOWLY, level="error"
):
    """What answers does not speak Redis."""


class StoreTooOld(
    StoreUnreachable, code="RPPAM-2109", problem=ROWS["RD-109"], fault=Fault.OPERATOR, retry=Retry.SLOWLY, level="error"
):
    """The server lacks RESP3."""


class StoreOverloaded(StoreError, code="RPPAM-2110", fault=Fault.SURROUNDINGS):
    """More commands wait for Redis than this node is willing to keep in memory."""

    fix = "Find out why Redis or the network is slow (redis-cli --latency, SLOWLOG); this node sheds load until then."
    surely_not_run = True


class StoreCommandDisabled(StoreError, code="RPPAM-2111", retry=Retry.NO):
    """A needed command is disabled in the connection string, or not usable on a shared connection."""

    fix = "Remove '$COMMAND=' from redis.connectionString, or give the name it was renamed to: '$COMMAND=newname'."
    surely_not_run = True


class StoreSilent(StoreUnreachable, code="RPPAM-2112", problem=ROWS["RD-111"]):
    """The connection stands, and nothing comes out of it."""


class StoreSentinelsSilent(StoreUnreachable, code="RPPAM-2113", problem=ROWS["RD-402"]):
    """No sentinel could be asked."""


class StoreServiceUnknown(
    StoreUnreachable, code="RPPAM-2114", problem=ROWS["RD-401"], fault=Fault.OPERATOR, retry=Retry.SLOWLY, level="error"
):
    """The sentinels do not know the service name."""


class StoreNoSocket(StoreUnreachable, code="RPPAM-2115", problem=ROWS["RD-112"], level="error"):
    """This host gives no socket for the connection."""


class StoreReplyTooLarge(
    StoreUnreachable, code="RPPAM-2118", problem=ROWS["RD-114"], fault=Fault.OPERATOR, retry=Retry.SLOWLY, level="error"
):
    """A reply is beyond what this node believes of it."""


class StorePushFlood(
    StoreUnreachable, code="RPPAM-2119", problem=ROWS["RD-115"], fault=Fault.OPERATOR, retry=Retry.SLOWLY, level="error"
):
    """More is pushed than anybody publishes."""


# --- it may have run -------------------------------------------------------------------------------------------------


class StoreUnknown(StoreError, code="RPPAM-2201", fault=Fault.SURROUNDINGS, retry=Retry.IF_IDEMPOTENT, level="warning"):
    """The command may have reached Redis, but no reply came in time; it may or may not have run."""

    fix = "Check load and latency of Redis and the network; repeat the action only if doing it twice does no harm."


class StoreNotReplicated(
    StoreError, code="RPPAM-2202", fault=Fault.SURROUNDINGS, retry=Retry.IF_IDEMPOTENT, level="warning"
):
    """The primary made the write, but too few replicas confirmed it; a failover may undo it."""

    fix = "Bring the replicas back ('INFO replication' on the primary); it counts again once a replica confirms."


# --- the server answered with an error ------------------------------------------------------------------------------


class StoreReplyError(StoreError):
    """The server answered, and the answer is an error."""


class StoreDenied(StoreReplyError):
    """The server does not let us; nothing was changed by that command."""

    surely_not_run = True


class StoreNoAuth(StoreDenied, code="RPPAM-2301", problem=ROWS["RD-201"]):
    """NOAUTH."""


class StoreWrongPassword(StoreDenied, code="RPPAM-2302", problem=ROWS["RD-202"]):
    """WRONGPASS."""


class StoreNoPermission(StoreDenied, code="RPPAM-2303", problem=ROWS["RD-203"]):
    """NOPERM, which a script may meet half-way."""

    surely_not_run = False


class StoreProtected(StoreDenied, code="RPPAM-2304", problem=ROWS["RD-210"]):
    """DENIED: protected mode."""


class StoreFull(StoreDenied, code="RPPAM-2305", problem=ROWS["RD-211"]):
    """Too many clients."""


class StoreNoDatabase(StoreDenied, code="RPPAM-2306", problem=ROWS["RD-216"]):
    """The server has fewer databases."""


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


BY_WORD: Final[dict[str, type[StoreReplyError]]] = {
    "ASK": StoreCluster,
    "BUSY": StoreBusy,
    "CLUSTERDOWN": StoreCluster,
    "CROSSSLOT": StoreCluster,
    "DENIED": StoreProtected,
    "LOADING": StoreLoading,
    "MASTERDOWN": StoreMasterDown,
    "MISCONF": StoreMisconfigured,
    "MOVED": StoreCluster,
    "NOAUTH": StoreNoAuth,
    "NOPERM": StoreNoPermission,
    "NOREPLICAS": StoreNoReplicas,
    "NOSCRIPT": StoreNoScript,
    "OOM": StoreOutOfMemory,
    "READONLY": StoreReadOnly,
    "TRYAGAIN": StoreCluster,
    "WRONGPASS": StoreWrongPassword,
    "WRONGTYPE": StoreWrongType,
}
_BY_SENTENCE: Final[dict[str, type[StoreReplyError]]] = {
    "ERR unknown command": StoreCommandUnknown,
    "ERR Unknown Redis command called from": StoreCommandUnknown,
    "ERR max number of clients": StoreFull,
    "ERR DB index is out of range": StoreNoDatabase,
    "ERR AUTH <password> called without any password": StoreWrongPassword,
}

# Redis 6.2 wraps what a call inside a script answered; from 7 on the inner word comes first.
_WRAPPED: Final = re.compile(r"^ERR Error running script\b.*?:\d+: (?:@user_script: ?\d+: )?-?(?P<inner>[A-Z]+ .*)$")
_QUOTED: Final = re.compile(r",? with args beginning with:.*$", re.DOTALL)
_LONGEST: Final = 500
"""Characters of a reply that are kept; the longest of Redis itself, MISCONF, has some 350."""
_CUT: Final = " ..."
# A script may raise these words itself, after it has written: then nothing is proven.
_SCRIPT_TRACE: Final = re.compile(r"script: |@user_script")


def classify(text: str) -> StoreReplyError:
    """The error that the reply ``text`` (without the leading ``-``) stands for; never raises."""
    kept = _shortened(_QUOTED.sub("", text))
    wrapped = _WRAPPED.match(kept)
    said = wrapped["inner"] if wrapped else kept
    by_sentence = (error for start, error in _BY_SENTENCE.items() if said.startswith(start))
    found = BY_WORD.get(said.partition(" ")[0]) or next(by_sentence, StoreReplyUnforeseen)
    if found.surely_not_run and _SCRIPT_TRACE.search(kept):
        found = StoreReplyUnforeseen
    return found(f"Redis answered: {kept} ({found.row.remedy})", raw=kept)


def _shortened(text: str) -> str:
    """The part of a reply that is kept, cut between two words."""
    if len(text) <= _LONGEST:
        return text
    part = text[: _LONGEST - len(_CUT)]
    return (part.rpartition(" ")[0] or part) + _CUT
