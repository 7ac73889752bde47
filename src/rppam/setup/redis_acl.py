"""The users of a Redis for this product, as an ACL file.

``default`` is the administrator (the password is ``requirepass``); ``rppam`` is what nodes use: nothing but
:data:`NODE_COMMANDS`, and only below the key prefix; ``rppam-witness`` is what witnesses use: of that only what a voter
reads and writes, so neither the cache nor the counters of limits. With Sentinel there are two more, as the
documentation of Sentinel lists them. The file holds hashes, no passwords. Redis 6.2 takes it as well, so no rule of a
later version is used.
"""

import hashlib
from collections.abc import Sequence
from typing import Final

from rppam.kernel.secret import Secret
from rppam.setup.redis_wishes import Passwords, Wishes

NODE_USER: Final = "rppam"
WITNESS_USER: Final = "rppam-witness"
WITNESS_KEYS: Final = ("leader", "leader:*", "heartbeat:*", "members", "leavers", "cluster-id", "doctor:*")
"""Below the prefix: what a voter reads and writes. No cache, no counters."""
WITNESS_CHANNELS: Final = ("releases", "doctor:*")
_CONNECTION: Final = ("ping", "info", "role", "select", "wait")
_VOTER: Final = (
    # leadership and heartbeats
    "eval", "evalsha", "get", "set", "scan", "subscribe", "unsubscribe", "publish",
    # what its scripts call
    "time", "type", "strlen", "rename", "pexpire", "sadd", "srem", "smembers", "sismember", "scard", "unlink",
)  # fmt: skip
NODE_COMMANDS: Final = (
    *_CONNECTION,
    # the cache: what others change
    "client|tracking", "client|trackinginfo",
    *_VOTER,
    # the doctor and `rppam redis info`
    "pttl", "dbsize", "command|info", "acl|whoami", "acl|dryrun", "memory|usage",
)  # fmt: skip
WITNESS_COMMANDS: Final = (*_CONNECTION, *_VOTER, "pttl", "command|info", "acl|whoami", "acl|dryrun")
SENTINEL_COMMANDS: Final = (
    "multi", "exec", "slaveof", "ping", "subscribe", "publish", "role", "info", "config|rewrite", "client|setname",
    "client|kill", "script|kill",
)  # fmt: skip
REPLICA_COMMANDS: Final = ("psync", "replconf", "ping")


def users_acl(wishes: Wishes, passwords: Passwords) -> str:
    """The text of users.acl. Redis takes no comments there."""
    prefix = wishes.prefix
    keys = " ".join(f"~{prefix}{name}" for name in WITNESS_KEYS)
    channels = " ".join(f"&{prefix}{name}" for name in WITNESS_CHANNELS)
    users = [
        ("default", passwords.default, "~* &* +@all", ()),
        (NODE_USER, passwords.node, _node_rules(prefix), NODE_COMMANDS),
        (WITNESS_USER, passwords.witness, f"resetchannels {keys} {channels} -@all", WITNESS_COMMANDS),
    ]
    if wishes.sentinels:
        users += [
            ("replica", passwords.replica, "resetchannels -@all", REPLICA_COMMANDS),
            ("sentinel", passwords.sentinel, "allchannels -@all", SENTINEL_COMMANDS),
        ]
    return "".join(_user(name, password, rules, commands) + "\n" for name, password, rules, commands in users)


def node_user(prefix: str, password: Secret) -> str:
    """The line of the nodes' user, for an ACL file or redis.conf."""
    return _user(NODE_USER, password, _node_rules(prefix), NODE_COMMANDS)


def _node_rules(prefix: str) -> str:
    return f"resetchannels ~{prefix}* &{prefix}* -@all"


def _user(name: str, password: Secret, rules: str, commands: Sequence[str]) -> str:
    return " ".join(["user", name, "on", f"#{password_hash(password)}", rules, *(f"+{one}" for one in commands)])


def password_hash(password: Secret) -> str:
    """As Redis keeps a password."""
    return hashlib.sha256(password.reveal().encode()).hexdigest()
