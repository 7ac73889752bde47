"""The users of a Redis for this product, as an ACL file.

``default`` is the administrator (the password is ``requirepass``); ``rppam`` is what nodes use: nothing but
:data:`NODE_COMMANDS`, and only below the key prefix; ``rppam-witness`` is what witnesses use: of that only what a voter
reads and writes, so neither the cache nor the counters of limits. With Sentinel there are two more, as the
documentation of Sentinel lists them. The file holds hashes, no passwords. Redis 6.2 takes it as well, so no rule of a
later version is used.
"""

import hashlib
from typing import Final

from rppam.kernel.secret import Secret
from rppam.setup.redis_passwords import Passwords
from rppam.setup.redis_wishes import Wishes

NODE_USER: Final = "rppam"
WITNESS_USER: Final = "rppam-witness"
WITNESS_KEYS: Final = ("leader", "leader:*", "heartbeat:*", "members", "leavers", "cluster-id", "doctor:*")
"""Below the prefix: what a voter reads and writes. No cache, no counters."""
WITNESS_CHANNELS: Final = ("releases", "doctor:*")
NODE_COMMANDS: Final = (
    # the connection
    "ping", "info", "role", "select", "wait",
    # the cache: what others change
    "client|tracking", "client|trackinginfo",
    # leadership and heartbeats
    "eval", "evalsha", "get", "set", "scan", "subscribe", "unsubscribe", "publish",
    # what its scripts call
    "time", "type", "strlen", "rename", "pexpire", "sadd", "srem", "smembers", "sismember",
    "scard", "unlink",
    # the doctor and `rppam redis info`
    "pttl", "dbsize", "command|info", "acl|whoami", "acl|dryrun", "memory|usage",
)  # fmt: skip
WITNESS_COMMANDS: Final = (
    # the connection
    "ping", "info", "role", "select", "wait",
    # leadership and heartbeats
    "eval", "evalsha", "get", "set", "scan", "subscribe", "unsubscribe", "publish",
    # what its scripts call
    "time", "type", "strlen", "rename", "pexpire", "sadd", "srem", "smembers", "sismember",
    "scard", "unlink",
    # the doctor
    "pttl", "command|info", "acl|whoami", "acl|dryrun",
)  # fmt: skip
SENTINEL_COMMANDS: Final = (
    "multi", "exec", "slaveof", "ping", "subscribe", "publish", "role", "info", "config|rewrite", "client|setname",
    "client|kill", "script|kill",
)  # fmt: skip
REPLICA_COMMANDS: Final = ("psync", "replconf", "ping")


def users_acl(wishes: Wishes, passwords: Passwords) -> str:
    """The text of users.acl. Redis takes no comments there."""
    prefix = wishes.prefix
    lines = [
        f"user default on {_hash(passwords.default)} ~* &* +@all",
        f"user {NODE_USER} on {_hash(passwords.node)} resetchannels ~{prefix}* &{prefix}* -@all {_plus(NODE_COMMANDS)}",
    ]
    keys = " ".join(f"~{prefix}{name}" for name in WITNESS_KEYS)
    channels = " ".join(f"&{prefix}{name}" for name in WITNESS_CHANNELS)
    lines.append(
        f"user {WITNESS_USER} on {_hash(passwords.witness)} resetchannels {keys} {channels} -@all "
        f"{_plus(WITNESS_COMMANDS)}"
    )
    if wishes.has_sentinels:
        lines += [
            f"user replica on {_hash(passwords.replica)} resetchannels -@all {_plus(REPLICA_COMMANDS)}",
            f"user sentinel on {_hash(passwords.sentinel)} allchannels -@all {_plus(SENTINEL_COMMANDS)}",
        ]
    return "\n".join(lines) + "\n"


def _hash(password: Secret) -> str:
    return "#" + hashlib.sha256(password.reveal().encode()).hexdigest()


def _plus(commands: tuple[str, ...]) -> str:
    return " ".join(f"+{name}" for name in commands)
