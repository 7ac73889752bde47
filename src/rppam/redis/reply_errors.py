"""The errors that Redis itself answers with, one class for each word that an error reply may begin with.

Which word means which class is decided in ``redis/replies.py``. A reply is knowledge: the server is there and
has spoken. It does not always prove that nothing was written: a script that fails half-way keeps what it wrote, so
only ``surely_not_run`` is proof.
"""

from rppam.kernel.errors import Fault, Retry
from rppam.redis.errors import StoreReplyError, store_row


class StoreDenied(StoreReplyError):
    """The server does not let us; nothing was changed by that command."""


class StoreNoAuth(StoreDenied):
    """NOAUTH."""

    surely_not_run = True
    row = store_row(
        2301,
        Fault.OPERATOR,
        Retry.SLOWLY,
        "Redis demands a password and got none.",
        "Ensure the password in the connection string matches requirepass in Redis.",
    )


class StoreWrongPassword(StoreDenied):
    """WRONGPASS."""

    surely_not_run = True
    row = store_row(
        2302,
        Fault.OPERATOR,
        Retry.SLOWLY,
        "Redis knows no such user with that password, or the user is disabled.",
        "Ensure user and password in the connection string match requirepass or the ACL in Redis.",
    )


class StoreNoPermission(StoreDenied):
    """NOPERM."""

    row = store_row(
        2303,
        Fault.OPERATOR,
        Retry.SLOWLY,
        "The Redis user may not run this command, or not on this key or channel.",
        "Grant the user the commands, the keys and the channels under keyPrefix (ACL SETUSER).",
    )


class StoreProtected(StoreDenied):
    """DENIED: protected mode."""

    surely_not_run = True
    row = store_row(
        2304,
        Fault.OPERATOR,
        Retry.SLOWLY,
        "Redis runs in protected mode and accepts only local clients.",
        "Set requirepass and bind in redis.conf, then restart Redis.",
    )


class StoreFull(StoreDenied):
    """Too many clients."""

    surely_not_run = True
    row = store_row(
        2305,
        Fault.OPERATOR,
        Retry.SLOWLY,
        "Redis has reached its maximum number of clients.",
        "Raise maxclients in redis.conf or find out who keeps connections open (CLIENT LIST).",
    )


class StoreNoDatabase(StoreDenied):
    """The server has fewer databases."""

    surely_not_run = True
    row = store_row(
        2306,
        Fault.OPERATOR,
        Retry.SLOWLY,
        "Redis has no database of the number in defaultDatabase.",
        "Leave defaultDatabase out of redis.connectionString (keyPrefix keeps clusters apart), or raise 'databases' in "
        "redis.conf.",
    )


class StoreLoading(StoreReplyError):
    """LOADING."""

    surely_not_run = True
    row = store_row(
        2311,
        Fault.SURROUNDINGS,
        Retry.YES,
        "Redis has restarted and is loading its data.",
        "Wait for loading to complete; it takes seconds to minutes depending on the data size.",
        level="warning",
    )


class StoreBusy(StoreReplyError):
    """BUSY: a script runs for too long."""

    surely_not_run = True
    row = store_row(
        2312,
        Fault.SURROUNDINGS,
        Retry.YES,
        "Redis is busy with somebody's long-running script.",
        "Find the script's owner; SCRIPT KILL ends a script that has not written.",
        level="warning",
    )


class StoreMoved(StoreReplyError):
    """This server is not, or no longer, the primary that takes our writes."""


class StoreReadOnly(StoreMoved):
    """READONLY."""

    row = store_row(
        2321,
        Fault.SURROUNDINGS,
        Retry.YES,
        "This server is a read-only replica, not the primary.",
        "Point redis.connectionString at the primary, or use Sentinel with serviceName.",
        level="warning",
    )


class StoreMasterDown(StoreMoved):
    """MASTERDOWN."""

    surely_not_run = True
    row = store_row(
        2322,
        Fault.SURROUNDINGS,
        Retry.YES,
        "This server is a replica that has lost its primary.",
        "Bring the primary back or let Sentinel promote a replica; point the connection string at the primary.",
        level="warning",
    )


class StoreNoReplicas(StoreMoved):
    """NOREPLICAS."""

    row = store_row(
        2323,
        Fault.SURROUNDINGS,
        Retry.YES,
        "The primary has fewer good replicas than min-replicas-to-write demands, so it refuses writes.",
        "Bring the replicas back, or lower min-replicas-to-write.",
        level="warning",
    )


class StoreCluster(StoreReplyError):
    """MOVED, ASK, CLUSTERDOWN, CROSSSLOT, TRYAGAIN."""

    surely_not_run = True
    row = store_row(
        2324,
        Fault.OPERATOR,
        Retry.NO,
        "The server runs in Redis Cluster mode, which is not supported.",
        "Use a single Redis or Redis with Sentinel (cluster-enabled no).",
    )


class StoreMisconfigured(StoreReplyError):
    """MISCONF."""

    row = store_row(
        2331,
        Fault.OPERATOR,
        Retry.SLOWLY,
        "Redis cannot persist its data and therefore refuses writes.",
        "Look into the log of Redis: most often its disk is full or its directory is not writable.",
    )


class StoreOutOfMemory(StoreReplyError):
    """OOM."""

    row = store_row(
        2332,
        Fault.OPERATOR,
        Retry.SLOWLY,
        "Redis has used up maxmemory and refuses writes.",
        "Check 'redis-cli info memory'; raise maxmemory or find what fills it; review that keyPrefix is unique.",
    )


class StoreNoScript(StoreReplyError):
    """NOSCRIPT."""

    surely_not_run = True
    row = store_row(
        2341,
        Fault.SURROUNDINGS,
        Retry.YES,
        "Redis does not have the script in its cache (it restarted, or SCRIPT FLUSH was used).",
        "Nothing to do: the client sends the script's text again by itself.",
        level="info",
    )


class StoreWrongType(StoreReplyError):
    """WRONGTYPE."""

    row = store_row(
        2342,
        Fault.OPERATOR,
        Retry.NO,
        "A key of ours holds a value of another type: somebody else writes under our keyPrefix.",
        "Give this cluster a keyPrefix of its own and remove the foreign key.",
    )


class StoreCommandUnknown(StoreReplyError):
    """ERR unknown command."""

    row = store_row(
        2343,
        Fault.OPERATOR,
        Retry.NO,
        "Redis does not know this command: it was renamed or disabled there, or the server is too old.",
        "Undo rename-command in redis.conf, or tell us the new name with '$COMMAND=newname' in the connection string.",
    )


class StoreReplyUnforeseen(StoreReplyError):
    """Any other error text."""

    row = store_row(
        2399,
        Fault.US,
        Retry.CALLER_DECIDES,
        "Redis answered with an error that this version does not know.",
        "Read the server's words in the message; treat the outcome as unknown.",
    )
