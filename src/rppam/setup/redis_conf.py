"""``redis.conf`` and ``sentinel.conf``, hardened as the vendor article on Redis for HA asks, and where it errs, mended.

The article renames CONFIG on the servers; Sentinel, which needs it, then elects and hangs. So each sentinel is told the
new name here (``sentinel rename-command``). Lines are those of Redis 6.2; later versions take them as well.
"""

from pathlib import PurePosixPath
from typing import Final

from rppam.config.endpoint import Endpoint
from rppam.kernel.addresses import is_address
from rppam.setup.redis_passwords import Passwords
from rppam.setup.redis_wishes import Wishes

MARK: Final = "# Written by 'rppam redis setup'. Holds passwords: readable by the account of Redis only."
DOWN_AFTER_MS: Final = 2_000
"""After this long without an answer a sentinel holds the primary for down."""
FAILOVER_TIMEOUT_MS: Final = 10_000
QUORUM: Final = 2


def redis_conf(wishes: Wishes, passwords: Passwords, number: int) -> str:
    """The redis.conf of the host with that number, from 0."""
    here = wishes.hosts[number]
    lines = [
        MARK,
        "",
        "# Who may come: the nodes, by this host's own address. Close the port to everybody else (firewall.txt).",
        f"bind {_bind(here)}",
        "protected-mode yes",
        *_ports(wishes, here.port),
        "",
        "# Passwords and rights. Where there is an aclfile, the rights stand there; requirepass says the same again.",
        f"requirepass {passwords.default.reveal()}",
        f"aclfile {wishes.conf_dir / 'users.acl'}",
        "",
        "# Commands that destroy data or change the server.",
        'rename-command FLUSHALL ""',
        'rename-command FLUSHDB ""',
        f'rename-command CONFIG "{passwords.config_name.reveal()}"',
        'rename-command DEBUG ""',
        "",
        "# A restart must not forget who leads.",
        f"dir {wishes.data_dir}",
        "appendonly yes",
        "appendfsync everysec",
        "",
        "# Nothing is thrown away when memory is short: that could be the leader's lock.",
        f"maxmemory {wishes.memory}",
        "maxmemory-policy noeviction",
        "",
        "# Limits.",
        "maxclients 1000",
        "timeout 0",
        "tcp-keepalive 60",
        "client-output-buffer-limit pubsub 8mb 2mb 60",
        "client-query-buffer-limit 64mb",
        "proto-max-bulk-len 64mb",
    ]
    if wishes.has_sentinels:
        lines += _replication(wishes, passwords, number)
    return "\n".join(lines) + "\n"


def _replication(wishes: Wishes, passwords: Passwords, number: int) -> list[str]:
    here, primary = wishes.hosts[number], wishes.hosts[0]
    lines = [
        "",
        "# Replication. Every host may become the primary, so all say the same here.",
        "masteruser replica",
        f"masterauth {passwords.replica.reveal()}",
        f"replica-announce-ip {here.host}",
        f"replica-announce-port {here.port}",
        "# A primary that is cut off stops taking writes, which would be lost.",
        "min-replicas-to-write 1",
        "min-replicas-max-lag 2",
    ]
    if wishes.tls:
        lines.append("tls-replication yes")
    if number > 0:
        lines.append(f"replicaof {primary.host} {primary.port}")
    return lines


def sentinel_conf(wishes: Wishes, passwords: Passwords, number: int) -> str:
    """The sentinel.conf of the host with that number, from 0. Sentinel writes its own lines below."""
    here, primary, name = wishes.sentinels[number], wishes.hosts[0], wishes.service_name
    has_names = not all(is_address(one.host) for one in (*wishes.hosts, *wishes.sentinels))
    lines = [
        MARK,
        f"bind {_bind(here)}",
        "protected-mode yes",
        *_ports(wishes, here.port),
        f"dir {wishes.data_dir}",
        f"requirepass {passwords.at_sentinel.reveal()}",
        f"sentinel sentinel-pass {passwords.at_sentinel.reveal()}",
        f"sentinel announce-ip {here.host}",
        f"sentinel announce-port {here.port}",
        *(["sentinel resolve-hostnames yes", "sentinel announce-hostnames yes"] if has_names else []),
        f"sentinel monitor {name} {primary.host} {primary.port} {QUORUM}",
        f"sentinel auth-user {name} sentinel",
        f"sentinel auth-pass {name} {passwords.sentinel.reveal()}",
        f"sentinel down-after-milliseconds {name} {DOWN_AFTER_MS}",
        f"sentinel failover-timeout {name} {FAILOVER_TIMEOUT_MS}",
        f"sentinel parallel-syncs {name} 1",
        "# CONFIG has another name on the servers. Without this line Sentinel elects and then hangs.",
        f"sentinel rename-command {name} CONFIG {passwords.config_name.reveal()}",
        "sentinel deny-scripts-reconfig yes",
    ]
    if wishes.tls:
        lines.append("tls-replication yes")
    return "\n".join(lines) + "\n"


def _bind(here: Endpoint) -> str:
    """The host's own address and loopback; all addresses where it is known by name only."""
    if here.host in ("127.0.0.1", "::1"):
        return here.host
    return f"127.0.0.1 {here.host}" if is_address(here.host) else "0.0.0.0"


def _ports(wishes: Wishes, port: int) -> list[str]:
    if not wishes.tls:
        return [f"port {port}"]
    folder = tls_folder(wishes)
    return [
        f"tls-port {port}",
        "port 0",
        f"tls-cert-file {folder / 'redis.crt'}",
        f"tls-key-file {folder / 'redis.key'}",
        f"tls-ca-cert-file {folder / 'ca.crt'}",
        "tls-auth-clients optional",
        'tls-protocols "TLSv1.2 TLSv1.3"',
    ]


def tls_folder(wishes: Wishes) -> PurePosixPath:
    """Where the server's certificate will stand."""
    return wishes.conf_dir / "tls"
