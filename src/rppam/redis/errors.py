"""What can go wrong between us and Redis, sorted by whether the command may have run and by who can fix it.

The first question after a failed command is always "did it happen?". So the tree's first split answers it:

* :class:`StoreUnreachable` and its leaves, :class:`StoreOverloaded`, :class:`StoreCommandDisabled`: nothing was sent;
* :class:`StoreUnknown`: bytes may have left and no reply counts; the command may or may not have run, and the client
  never sends it twice;
* :class:`StoreReplyError` and its leaves (in ``reply_errors``): the server answered with an error. A plain command
  did nothing then; a *script* that fails half-way keeps what it had written before, so only
  :attr:`StoreError.surely_not_run` is proof.

Remedies follow the troubleshooting table of the vendor article on Redis for HA. Messages never contain a password:
the adapter cuts whatever a server quotes back from our own command before it builds the error.
"""

from typing import ClassVar

from rppam.catalogue.table import ROWS
from rppam.kernel.errors import Fault, Retry, RppamError
from rppam.kernel.exits import Exit


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


# --- the server answered with an error: the leaves are in reply_errors ----------------------------------------------


class StoreReplyError(StoreError):
    """The server answered, and the answer is an error."""
