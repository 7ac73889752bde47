"""What can go wrong between us and Redis, sorted by whether the command may have run and by who can fix it.

The first question after a failed command is always "did it happen?". So the tree's first split answers it:

* :class:`StoreUnreachable` and its leaves, :class:`StoreOverloaded`, :class:`StoreCommandDisabled`: nothing was sent;
* :class:`StoreUnknown`: bytes may have left and no reply counts; the command may or may not have run, and the client
  never sends it twice;
* :class:`StoreReplyError` and its leaves (in ``store_replies``): the server answered with an error. A plain command
  did nothing then; a *script* that fails half-way keeps what it had written before, so only
  :attr:`StoreError.surely_not_run` is proof.

Remedies follow the troubleshooting table of the vendor article on Redis for HA. Messages never contain a password:
the adapter cuts whatever a server quotes back from our own command before it builds the error.
"""

from typing import ClassVar

from rppam.kernel.errors import ErrorRow, Fault, Retry, RppamError
from rppam.kernel.exits import Exit


class StoreError(RppamError):
    """Base of everything between us and Redis."""

    surely_not_run: ClassVar[bool] = False
    """True where it is proven that the command changed nothing."""

    def __init__(self, message: str, *, raw: str = "") -> None:
        super().__init__(message)
        self.raw = raw
        """What the server or the system said, word by word, without secrets; empty when it said nothing."""


def store_row(code: int, fault: Fault, retry: Retry, meaning: str, remedy: str, *, level: str = "error") -> ErrorRow:
    """One row of area 2: a store error answers a request with 503, and ends a command, or a start, as unreachable."""
    return ErrorRow(
        code=f"RPPAM-{code}",
        fault=fault,
        retry=retry,
        meaning=meaning,
        remedy=remedy,
        exit=Exit.REDIS_UNREACHABLE,
        status=503,
        level=level,
    )


# --- nothing was sent ------------------------------------------------------------------------------------------------


class StoreUnreachable(StoreError):
    """There is no usable connection; nothing was sent."""

    surely_not_run = True


class StoreDown(StoreUnreachable):
    """A command was asked for while the connection is down; its cause is the last reason."""

    row = store_row(
        2101,
        Fault.SURROUNDINGS,
        Retry.YES,
        "There is no connection to Redis at this moment; it is being re-established in the background.",
        "See the reason in the message; check that Redis runs and that the firewall allows its port from all nodes.",
        level="warning",
    )


class StoreRefused(StoreUnreachable):
    """Connection refused."""

    row = store_row(
        2102,
        Fault.OPERATOR,
        Retry.YES,
        "The host answers, but nothing listens on that port, or not on that address.",
        "Check that Redis runs, and that 'bind' in redis.conf is 0.0.0.0 or the address used here.",
        level="warning",
    )


class StoreConnectTimeout(StoreUnreachable):
    """No connection within connectTimeout."""

    row = store_row(
        2103,
        Fault.SURROUNDINGS,
        Retry.YES,
        "Redis did not answer the connection attempt within connectTimeout.",
        "Check that Redis runs and that the firewall allows its port from all nodes.",
        level="warning",
    )


class StoreNoGreeting(StoreUnreachable):
    """The connection was made; TLS, or the greeting, was not over within connectTimeout."""

    row = store_row(
        2116,
        Fault.SURROUNDINGS,
        Retry.YES,
        "Redis took the connection and did not greet within connectTimeout.",
        "Check that Redis is not frozen, and that it is a Redis that listens on that port (with ssl=true: over TLS).",
        level="warning",
    )


class StoreNameUnknown(StoreUnreachable):
    """The host name does not resolve."""

    row = store_row(
        2104,
        Fault.OPERATOR,
        Retry.YES,
        "The host name of Redis cannot be resolved.",
        "Check the host name in redis.connectionString and this host's DNS.",
        level="warning",
    )


class StoreNoRoute(StoreUnreachable):
    """No route to the host."""

    row = store_row(
        2105,
        Fault.SURROUNDINGS,
        Retry.YES,
        "This host has no network path to Redis, or a firewall rejects it.",
        "Check the address, the routes and the firewall between this node and Redis.",
        level="warning",
    )


class StoreTlsFailed(StoreUnreachable):
    """TLS handshake failed."""

    row = store_row(
        2106,
        Fault.OPERATOR,
        Retry.SLOWLY,
        "The TLS handshake with Redis failed.",
        "Verify that the certificates are valid, trusted and made for this host; check ssl, sslHost and tlsCertPath.",
    )


class StoreClosed(StoreUnreachable):
    """The peer accepted and hung up before it said who it is, or the network failed in between."""

    row = store_row(
        2107,
        Fault.SURROUNDINGS,
        Retry.YES,
        "The connection was closed or broken before Redis answered.",
        "Check that the port is that of Redis, whether Redis restarts, and whether it demands TLS (ssl=true).",
        level="warning",
    )


class StoreProtocol(StoreUnreachable):
    """What answers does not speak Redis."""

    row = store_row(
        2108,
        Fault.OPERATOR,
        Retry.SLOWLY,
        "What answers on that port does not speak the Redis protocol as it should.",
        "Check host and port in redis.connectionString, and that ssl matches what the port speaks.",
    )


class StoreTooOld(StoreUnreachable):
    """The server lacks RESP3."""

    row = store_row(
        2109,
        Fault.OPERATOR,
        Retry.SLOWLY,
        "The server does not know RESP3, so it is older than Redis 6 or a proxy stands in between.",
        "Use Redis 6.2 or later (7.x recommended) without a protocol proxy.",
    )


class StoreOverloaded(StoreError):
    """Too much is waiting already; nothing was sent."""

    surely_not_run = True
    row = store_row(
        2110,
        Fault.SURROUNDINGS,
        Retry.SLOWLY,
        "More commands wait for Redis than this node is willing to keep in memory.",
        "Find out why Redis or the network is slow (redis-cli --latency, SLOWLOG); this node sheds load until then.",
    )


class StoreCommandDisabled(StoreError):
    """The command is disabled in the connection string, or unusable on a shared connection."""

    surely_not_run = True
    row = store_row(
        2111,
        Fault.OPERATOR,
        Retry.NO,
        "A command that is needed here is disabled in the connection string, or cannot be used on a shared connection.",
        "Remove '$COMMAND=' from redis.connectionString, or give the name it was renamed to: '$COMMAND=newname'.",
    )


class StoreSilent(StoreUnreachable):
    """The connection stands, and nothing comes out of it."""

    row = store_row(
        2112,
        Fault.SURROUNDINGS,
        Retry.YES,
        "The connection to Redis was given up because Redis stopped answering on it.",
        "Check whether Redis is frozen, swaps or runs a slow command (SLOWLOG), and whether the network drops packets.",
        level="warning",
    )


class StoreSentinelsSilent(StoreUnreachable):
    """No sentinel could be asked."""

    row = store_row(
        2113,
        Fault.SURROUNDINGS,
        Retry.YES,
        "None of the Redis Sentinels could be asked where the primary is.",
        "Check that the sentinels run, that the firewall lets all nodes reach their port (26379), and sentinelUser and "
        "sentinelPassword.",
        level="warning",
    )


class StoreServiceUnknown(StoreUnreachable):
    """The sentinels do not know the service name."""

    row = store_row(
        2114,
        Fault.OPERATOR,
        Retry.SLOWLY,
        "The Redis Sentinels answer, but none of them watches a primary of that name.",
        "Give the name after 'sentinel monitor' in sentinel.conf as serviceName in redis.connectionString.",
    )


class StoreNoSocket(StoreUnreachable):
    """This host gives no socket for the connection."""

    row = store_row(
        2115,
        Fault.SURROUNDINGS,
        Retry.YES,
        "The system of this node gives it no socket: too many files are open, or that kind of address is turned off.",
        "Look what keeps so many files open (ls /proc/PID/fd), and raise LimitNOFILE of the service.",
    )


class StoreReplyTooLarge(StoreUnreachable):
    """A reply is beyond what this node believes of it."""

    row = store_row(
        2118,
        Fault.OPERATOR,
        Retry.SLOWLY,
        "Redis announced or sent a reply that is larger than any this node asks for; the connection was dropped.",
        "Find out what answers there: a proxy, another program, or a Redis that somebody writes to under keyPrefix.",
    )


class StorePushFlood(StoreUnreachable):
    """More is pushed than anybody publishes."""

    row = store_row(
        2119,
        Fault.OPERATOR,
        Retry.SLOWLY,
        "Redis pushed more messages or invalidations within a second than this node takes; the connection was dropped.",
        "Find who publishes or writes so much under keyPrefix (MONITOR for a moment, CLIENT LIST) and stop it.",
    )


# --- it may have run -------------------------------------------------------------------------------------------------


class StoreUnknown(StoreError):
    """Sent, and no reply that counts: it may or may not have run."""

    row = store_row(
        2201,
        Fault.SURROUNDINGS,
        Retry.IF_IDEMPOTENT,
        "The command may have reached Redis, but no reply came in time; it may or may not have been executed.",
        "Check load and latency of Redis and the network; repeat the action only if doing it twice does no harm.",
        level="warning",
    )


class StoreNotReplicated(StoreError):
    """Made on the primary, confirmed by too few replicas."""

    row = store_row(
        2202,
        Fault.SURROUNDINGS,
        Retry.IF_IDEMPOTENT,
        "The primary made the write, but not enough replicas confirmed it in time; a failover may undo it.",
        "Bring the replicas back and check 'INFO replication' on the primary; it counts again once a replica confirms.",
        level="warning",
    )


# --- the server answered with an error: the leaves are in store_replies ---------------------------------------------


class StoreReplyError(StoreError):
    """The server answered, and the answer is an error."""
