"""The options of a StackExchange.Redis configuration string: all 34, each honoured or ignored with its reason.

One table, read by the parser, the formatter and the reference page. Source: that library's public documentation and
source, version 3.1 (August 2026); the first seven defaults are those of the vendor article on Redis for HA. Where the
library takes a value that means nothing (zero or negative times, no attempt at all), this table is stricter.
"""

from enum import StrEnum
from typing import Final, NamedTuple

INT_MAX: Final = 2**31 - 1
ENCRYPTED: Final = ("encrypted:", "ENC:")
"""How the text of an encrypted secret begins."""

CONNECT_TIMEOUT_MS: Final = 5_000
SYNC_TIMEOUT_MS: Final = 5_000
CONNECT_RETRY: Final = 3
KEEP_ALIVE_S: Final = 60


class Form(StrEnum):
    """What the value of an option must look like."""

    TEXT = "text"
    FLAG = "flag"
    WHOLE = "whole"
    ANY = "any"
    """Not looked at."""


class Keyword(NamedTuple):
    """One option."""

    name: str
    form: Form
    meaning: str
    """What it does when honoured; the reason when ignored."""
    honoured: bool = True
    default: str = ""
    """As written in a string; empty when there is none."""
    least: int = 0
    """Smallest value of a whole number."""
    unit: str = ""
    secret: bool = False
    setting: str = ""
    """The key of the config file that can hold the value instead; empty when there is none."""


def _ignored(name: str, form: Form, reason: str, *, least: int = 0, unit: str = "", secret: bool = False) -> Keyword:
    return Keyword(name, form, reason, honoured=False, least=least, unit=unit, secret=secret)


# fmt: off
_TABLE: Final = (
    Keyword("password", Form.TEXT, "The server's requirepass, or the password of `user`.",
             secret=True, setting="redis.password"),
    Keyword("ssl", Form.FLAG, "TLS to the server, and to the sentinels.", default="false"),
    Keyword("abortConnect", Form.FLAG, "true: the start fails when Redis cannot be reached; false (advised for HA): "
             "keep trying in the background. A Redis that loads its data was reached, and is waited for as long as it "
             "takes.", default="true"),
    Keyword("connectTimeout", Form.WHOLE, "Time for one connection attempt. It does not follow syncTimeout. A node "
             "waits at most half of `leaseMs` (but 1000 ms in any case) for leadership, and 2000 ms where it answers "
             "requests; the smaller value counts.", default=str(CONNECT_TIMEOUT_MS), least=1, unit="ms"),
    Keyword("syncTimeout", Form.WHOLE, "Time for one command. A node waits at most `requestTimeoutMs` for leadership, "
             "and 500 ms where it answers requests; the smaller value counts.",
             default=str(SYNC_TIMEOUT_MS), least=1, unit="ms"),
    Keyword("connectRetry", Form.WHOLE, "Attempts of the first connect in all, so at least 1. Later reconnects go on "
             "for ever.", default=str(CONNECT_RETRY), least=1, unit="attempts"),
    Keyword("serviceName", Form.TEXT, "Name of the primary at the sentinels; with it the endpoints are sentinels."),
    Keyword("user", Form.TEXT, "ACL user."),
    Keyword("sentinelUser", Form.TEXT, "ACL user at the sentinels; without it, `user`."),
    Keyword("sentinelPassword", Form.TEXT, "Password at the sentinels; without it, `password`.",
             secret=True, setting="redis.sentinelPassword"),
    Keyword("sslHost", Form.TEXT, "Name expected in the server's certificate; without it, the endpoint's host."),
    Keyword("keepAlive", Form.WHOLE, "A PING after this long without traffic.",
             default=str(KEEP_ALIVE_S), least=1, unit="s"),
    Keyword("defaultDatabase", Form.WHOLE, "Database number; without it, 0."),
    Keyword("name", Form.TEXT, "Connection name shown by CLIENT LIST, with a colon and what the connection is for "
             "behind it; without it, one with the node's name."),
    _ignored("allowAdmin", Form.FLAG, "no administrative command is ever sent, so there is nothing to allow"),
    _ignored("asyncTimeout", Form.WHOLE, "every command is asynchronous and bounded by syncTimeout",
             least=1, unit="ms"),
    _ignored("channelPrefix", Form.ANY, "channels stand under redis.keyPrefix, like every key"),
    _ignored("checkCertificateRevocation", Form.FLAG, "certificate revocation is not checked by the TLS library used"),
    _ignored("configChannel", Form.ANY, "changes of the primary are learned from the sentinels, not from a channel"),
    _ignored("configCheckSeconds", Form.WHOLE, "the server's role is read on every new connection", least=1, unit="s"),
    _ignored("highIntegrity", Form.FLAG, "replies are matched by order on one connection that is dropped on any doubt"),
    _ignored("highPriorityThreads", Form.ANY, "it has no effect in StackExchange.Redis either"),
    _ignored("preserveAsyncOrder", Form.ANY, "it has no effect in StackExchange.Redis either"),
    _ignored("protocol", Form.ANY, "RESP3 is always used; every supported server speaks it"),
    _ignored("proxy", Form.ANY, "leadership needs a direct connection to Redis, never through a proxy"),
    _ignored("resolveDns", Form.FLAG, "host names are resolved anew at each connect"),
    _ignored("responseTimeout", Form.WHOLE, "it has no effect in StackExchange.Redis either", least=1, unit="ms"),
    _ignored("setlib", Form.FLAG, "the client's library name is not sent to the server"),
    _ignored("sslProtocols", Form.ANY, "TLS 1.2 or later is always required and the newest common version is taken"),
    _ignored("tcpKeepAlive", Form.FLAG, "TCP keep-alive is always on"),
    _ignored("tiebreaker", Form.ANY, "the primary is never chosen by the client"),
    _ignored("tunnel", Form.ANY, "leadership needs a direct connection to Redis, never through a tunnel", secret=True),
    _ignored("version", Form.ANY, "the server's version is read from the server"),
    _ignored("writeBuffer", Form.ANY, "it has no effect in StackExchange.Redis either"),
)
# fmt: on

KEYWORDS: Final[dict[str, Keyword]] = {keyword.name: keyword for keyword in _TABLE}
BY_LOWER_NAME: Final[dict[str, Keyword]] = {keyword.name.lower(): keyword for keyword in _TABLE}

SYNONYMS: Final[dict[str, str]] = {
    word: name
    for name, words in {
        "password": "auth pass passwd pwd requirepass secret",
        "user": "username login",
        "defaultDatabase": "db database",
        "ssl": "tls usessl usetls",
        "syncTimeout": "timeout",
        "connectRetry": "retry",
        "serviceName": "master mastername",
        "name": "clientname",
        "abortConnect": "abortonconnectfail",
    }.items()
    for word in words.split()
}
"""Names from other clients, for "did you mean" only: they are errors all the same."""

TRUE_WORDS: Final = frozenset({"true", "1", "yes", "on"})
FALSE_WORDS: Final = frozenset({"false", "0", "no", "off"})

_NAMES: Final = """
    ACL APPEND ASKING AUTH BGREWRITEAOF BGSAVE BITCOUNT BITFIELD BITFIELD_RO BITOP BITPOS BLMOVE BLMPOP BLPOP BRPOP
    BRPOPLPUSH BZMPOP BZPOPMAX BZPOPMIN CLIENT CLUSTER COMMAND CONFIG COPY DBSIZE DEBUG DECR DECRBY DEL DELEX
    DELIFEQ DIGEST DISCARD DUMP ECHO EVAL EVALSHA EVALSHA_RO EVAL_RO EXEC EXISTS EXPIRE EXPIREAT EXPIRETIME FAILOVER
    FCALL FCALL_RO FLUSHALL FLUSHDB FUNCTION GEOADD GEODIST GEOHASH GEOPOS GEORADIUS GEORADIUSBYMEMBER
    GEORADIUSBYMEMBER_RO GEORADIUS_RO GEOSEARCH GEOSEARCHSTORE GET GETBIT GETDEL GETEX GETRANGE GETSET HDEL HELLO
    HEXISTS HEXPIRE HEXPIREAT HEXPIRETIME HGET HGETALL HGETDEL HGETEX HINCRBY HINCRBYFLOAT HKEYS HLEN HMGET HMSET
    HPERSIST HPEXPIRE HPEXPIREAT HPEXPIRETIME HPTTL HRANDFIELD HSCAN HSET HSETEX HSETNX HSTRLEN HTTL HVALS INCR
    INCRBY INCRBYFLOAT INFO KEYS LASTSAVE LATENCY LCS LINDEX LINSERT LLEN LMOVE LMPOP LOLWUT LPOP LPOS LPUSH LPUSHX
    LRANGE LREM LSET LTRIM MEMORY MGET MIGRATE MODULE MONITOR MOVE MSET MSETEX MSETNX MULTI OBJECT PERSIST PEXPIRE
    PEXPIREAT PEXPIRETIME PFADD PFCOUNT PFDEBUG PFMERGE PFSELFTEST PING PSETEX PSUBSCRIBE PSYNC PTTL PUBLISH PUBSUB
    PUNSUBSCRIBE QUIT RANDOMKEY READONLY READWRITE RENAME RENAMENX REPLCONF REPLICAOF RESET RESTORE RESTORE-ASKING
    ROLE RPOP RPOPLPUSH RPUSH RPUSHX SADD SAVE SCAN SCARD SCRIPT SDIFF SDIFFSTORE SELECT SENTINEL SET SETBIT SETEX
    SETNX SETRANGE SHUTDOWN SINTER SINTERCARD SINTERSTORE SISMEMBER SLAVEOF SLOWLOG SMEMBERS SMISMEMBER SMOVE SORT
    SORT_RO SPOP SPUBLISH SRANDMEMBER SREM SSCAN SSUBSCRIBE STRALGO STRLEN SUBSCRIBE SUBSTR SUNION SUNIONSTORE
    SUNSUBSCRIBE SWAPDB SYNC TIME TOUCH TTL TYPE UNLINK UNSUBSCRIBE UNWATCH VADD VCARD VDIM VEMB VGETATTR VINFO
    VISMEMBER VLINKS VRANDMEMBER VRANGE VREM VSETATTR VSIM WAIT WAITAOF WATCH XACK XACKDEL XADD XAUTOCLAIM XCFGSET
    XCLAIM XDEL XDELEX XGROUP XINFO XLEN XPENDING XRANGE XREAD XREADGROUP XREVRANGE XSETID XTRIM ZADD ZCARD ZCOUNT
    ZDIFF ZDIFFSTORE ZINCRBY ZINTER ZINTERCARD ZINTERSTORE ZLEXCOUNT ZMPOP ZMSCORE ZPOPMAX ZPOPMIN ZRANDMEMBER
    ZRANGE ZRANGEBYLEX ZRANGEBYSCORE ZRANGESTORE ZRANK ZREM ZREMRANGEBYLEX ZREMRANGEBYRANK ZREMRANGEBYSCORE
    ZREVRANGE ZREVRANGEBYLEX ZREVRANGEBYSCORE ZREVRANK ZSCAN ZSCORE ZUNION ZUNIONSTORE
"""
COMMANDS: Final = frozenset(_NAMES.split())
"""Commands of Redis, Valkey and Sentinel as they are before anybody renames them; those of modules are not among them.

Asked only where a text may as well be the rest of a password.
"""


SCRIPT_COMMANDS: Final = frozenset(
    {"GET", "PEXPIRE", "PTTL", "PUBLISH", "RENAME", "SADD", "SCARD", "SET", "SISMEMBER", "SMEMBERS", "SREM", "STRLEN",
     "TIME", "TYPE", "UNLINK"}
)  # fmt: skip
"""What our scripts call. A script knows a command by one name, so a server that has another for it cannot be used."""
NEEDED_COMMANDS: Final = SCRIPT_COMMANDS | {"EVAL", "EVALSHA", "HELLO", "SUBSCRIBE"}
"""Without one of them a node never connects, or never leads."""

MANAGED_WITH_TLS: Final = (
    ".redis.cache.windows.net", ".redis.cache.chinacloudapi.cn", ".redis.cache.usgovcloudapi.net", ".redis.azure.net",
    ".redisenterprise.cache.azure.net", ".cache.amazonaws.com", ".cache.amazonaws.com.cn", ".redislabs.com",
    ".redis-cloud.com", ".redis.cloud", ".upstash.io", ".db.ondigitalocean.com", ".aivencloud.com",
)  # fmt: skip
"""Hosts of services that offer TLS across networks which are not ours."""


def is_command(name: str) -> bool:
    """Return whether ``name`` is a command, or one with a subcommand behind a '|'; case does not matter."""
    return name.upper().partition("|")[0] in COMMANDS
