"""The settings of a node: every key of ``rppam.config`` with its kind, default and meaning, in one place.

Each field made with ``_key`` is one key of the file; others are derived. Parser, ``rppam config show`` and reference
page are driven by them, so they cannot disagree. Everything is frozen: a change of the file counts from the next start.
"""
# ruff: noqa: RUF009 - `_key` makes a field specifier, as dataclasses.field does

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final, NamedTuple

from rppam.cluster.consensus.membership import QuorumPolicy
from rppam.cluster.consensus.timing import PROFILES, Timing
from rppam.config.kinds import (
    AddressInNetwork,
    Choice,
    FilePath,
    Flag,
    HostName,
    HostPort,
    HttpUrl,
    Keys,
    Kind,
    Networks,
    Percent,
    SecretText,
    Text,
    Whole,
)
from rppam.config.options import ConnectionOptions
from rppam.config.places import Places
from rppam.kernel.secret import Secret

NAME_FORM: Final = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
PREFIX_FORM: Final = r"(?=.{2,64}$)[A-Za-z0-9_.@/+=~#%&!:-]*[A-Za-z0-9_.@/+=~#%&!-]:"
MINUTE_MS: Final = 60_000
LOG_LEVELS: Final = ("Verbose", "Debug", "Information", "Warning", "Error", "Fatal")


class ByPlace(NamedTuple):
    """A default that the platform decides: its text in the reference, where ``<dataDir>`` stands for that setting."""

    text: Callable[[Places], str]


class Key(NamedTuple):
    """One key of the file, as its field describes it."""

    name: str  # camelCase, as in the file
    kind: Kind
    about: str
    default: object  # a value or :class:`ByPlace`; ``None``: not set


def _key(name: str, kind: Kind, default: object, about: str) -> Any:
    return field(metadata={"key": Key(name, kind, about, default)})


def keys_of(section: type) -> dict[str, Key]:
    """Field name to key, for one section's class, in the order of the fields."""
    return {entry.name: entry.metadata["key"] for entry in fields(section) if "key" in entry.metadata}


def _name(what: str) -> Text:
    expected = f"{what}: 1 to 63 of a-z, 0-9 and '-', no '-' at either end"
    return Text(expected, NAME_FORM, "Use lower-case letters, digits and hyphens, such as node1.")


def _period(least: int = 1, most: int = 10 * MINUTE_MS) -> Whole:
    return Whole(f"a whole number of milliseconds from {least} to {most}", least, most)


_PORT: Final = Whole("a port from 1 to 65535", 1, 65_535)
_FILE: Final = FilePath("a path")
_FOLDER: Final = FilePath("the path of a folder")
_SECRET: Final = SecretText('a text, "encrypted:...", {"file": PATH} or {"env": NAME}')


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSettings:
    """Who this node is and where it keeps its files."""

    node_name: str = _key("nodeName", _name("a node name"), "default", "Unique in the cluster; shown everywhere.")
    grpc_port_base: int = _key(
        "grpcPortBase",
        Whole("a port from 1 to 65524", 1, 65_524),
        7001,
        "First of twelve consecutive internal ports. Reserved; nothing listens there yet.",
    )
    data_dir: Path = _key(
        "dataDir", _FOLDER, ByPlace(lambda places: places.data_dir), "What the node must keep over a restart."
    )
    advertise_url: str | None = _key(
        "advertiseUrl",
        HttpUrl("an http:// or https:// URL with a host and nothing behind it"),
        None,
        "How the other nodes and clients reach this node's API. Not set: made of api.host and api.port.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisSettings:
    """The store: how to reach it and what belongs to this cluster in it. The same on every node."""

    enabled: bool = _key("enabled", Flag(), False, "Use Redis. Required for more than one node.")
    connection_string: Secret | None = _key(
        "connectionString", _SECRET, None, "Endpoints and options, see below. Required when Redis is enabled."
    )
    key_prefix: str = _key(
        "keyPrefix",
        Text(
            "2 to 64 characters without spaces, quotes or any of *?[]{}\\, ending in one ':'",
            PREFIX_FORM,
            'Use a name with a colon at its end, such as "rppam-prod:".',
        ),
        "rppam:",
        "Stands before every key and channel. Clusters that share a Redis need different ones.",
    )
    tls_enabled: bool = _key(
        "tlsEnabled", Flag(), False, "TLS to Redis. Not set: what ssl= in the connection string says."
    )
    tls_cert_path: Path | None = _key("tlsCertPath", _FILE, None, "Client certificate and key (PKCS#12, .pfx).")
    tls_cert_password: Secret | None = _key("tlsCertPassword", _SECRET, None, "Password of tlsCertPath.")
    tls_ca_path: Path | None = _key(
        "tlsCaPath", _FILE, None, "Certificates (PEM) of the authorities to trust. Not set: the system's."
    )
    password: Secret | None = _key(
        "password",
        _SECRET,
        None,
        "The Redis password, outside the connection string: for one with a comma, or to keep it in a file. A file is "
        "read again when it changes, without a restart.",
    )
    sentinel_password: Secret | None = _key(
        "sentinelPassword",
        _SECRET,
        None,
        "The password at the sentinels, outside the connection string. Not set: what the string says, else the Redis "
        "password.",
    )
    password_file: Path | None = None
    """The file that ``password`` stands in, when it is ``{"file": PATH}``: read again at run time."""
    connection: ConnectionOptions | None = None
    """What the connection string says, with the passwords and ``tls_enabled`` merged in; ``None``: there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSettings:
    """The cluster, its members and times. The same on every node, but for memberHost, memberAddress, priority and
    virtualIpInterface."""

    enabled: bool = _key("enabled", Flag(), False, "Work with other nodes. Needs Redis and a licence for it.")
    cluster_id: str = _key("clusterId", _name("a cluster name"), "cluster-001", "Name of the cluster.")
    timing_profile: str = _key(
        "timingProfile",
        Choice(f"one of {', '.join(PROFILES)}", tuple(PROFILES)),
        "default",
        "default: a dead host is replaced within 5 s; lan: about 1 s, for one quiet network; classic: a 30 s lease.",
    )
    lease_ms: int | None = _key("leaseMs", _period(), None, "How long a silent leader is waited for.")
    heartbeat_ms: int | None = _key("heartbeatMs", _period(), None, "Period of each node's exchange with Redis.")
    rate_error_ppm: int | None = _key(
        "clockRateErrorPercent",
        Percent("a number of percent from 0 to 10"),
        None,
        "Largest rate error of one host's clock that is tolerated.",
    )
    drop_ms: int | None = _key(
        "stepDownMs", _period(0), None, "Time a node may take to stop acting once it may no longer lead."
    )
    request_timeout_ms: int | None = _key(
        "requestTimeoutMs", _period(), None, "After this long without a reply an exchange with Redis is unknown."
    )
    quorum_policy: QuorumPolicy = _key(
        "quorumPolicy",
        Choice(f"one of {', '.join(QuorumPolicy)}", tuple(policy.value for policy in QuorumPolicy)),
        None,
        "How much Redis' vote weighs. last-man-standing: whoever reaches Redis leads, even alone; majority: most "
        "members decide. Not set: last-man-standing on a single Redis, majority behind Sentinel.",
    )
    priority: int = _key(
        "priority",
        Whole("a whole number from 0 to 1000", 0, 1_000),
        100,
        "Order of succession: of the nodes that could follow a leader, the one with the highest number is asked first.",
    )
    member_port: int = _key(
        "memberPort", _PORT, 5201, "Port on which the members reach each other directly, encrypted by the cluster key."
    )
    member_host: str | None = _key(
        "memberHost",
        HostName("an IP address or a host name"),
        None,
        "Address to listen on for the other members. Not set: all addresses of this host.",
    )
    member_address: str | None = _key(
        "memberAddress",
        HostPort("host:port"),
        None,
        "How the other members reach this one. Not set: made of memberHost, api.host or this host's name, and "
        "memberPort.",
    )
    virtual_ip: str | None = _key(
        "virtualIp",
        AddressInNetwork("an address with a prefix length, such as 10.0.1.50/24"),
        None,
        "Address that the leader has, and nobody else. Not set: none. Needs CAP_NET_ADMIN and CAP_NET_RAW.",
    )
    virtual_ip_interface: str | None = _key(
        "virtualIpInterface",
        Text("the name of a network interface", r"[!-.0-~]{1,15}"),
        None,
        "Network interface that cluster.virtualIp comes to. Not set: the one with an address in its network.",
    )
    timing: Timing = PROFILES["default"]
    """The profile with the overrides above, checked for safety."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseSettings:
    """The SQL database: accounts, and the highest epoch."""

    url: Secret = _key(
        "url",
        SecretText('"sqlite:///PATH" or "postgresql://user:password@host/name"'),
        ByPlace(lambda places: f"sqlite:///{places.below_data('rppam.db')}"),
        "SQLite for one machine, PostgreSQL for a cluster. May be encrypted, or come from a file or variable.",
    )
    timeout_ms: int = _key("timeoutMs", _period(), 2_000, "Time for one question to the database.")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthSettings:
    """Access tokens and the keys of this cluster."""

    jwt_keys_dir: Path = _key(
        "jwtKeysDir",
        _FOLDER,
        ByPlace(lambda places: places.below_data("keys")),
        "Keys that sign access tokens; the same files on every node.",
    )
    issuer: str = _key("issuer", Text("1 to 200 characters"), "rppam", "Claim `iss` of access tokens.")
    audience: str = _key("audience", Text("1 to 200 characters"), "rppam-api", "Claim `aud` of access tokens.")
    token_minutes: int = _key(
        "tokenMinutes", Whole("a whole number of minutes from 1 to 1440", 1, 1_440), 60, "Life of an access token."
    )
    secret_key_path: Path = _key(
        "secretKeyPath",
        _FILE,
        ByPlace(lambda places: places.below_data(f"keys{places.separator}config.key")),
        "Key of the `encrypted:` values in this file. Never kept beside them.",
    )
    cluster_key_path: Path = _key(
        "clusterKeyPath",
        _FILE,
        ByPlace(lambda places: places.below_data(f"keys{places.separator}cluster.key")),
        "Key that the members of a cluster know each other by; the same file on every node and witness.",
    )
    sealing_key_path: Path = _key(
        "sealingKeyPath",
        _FILE,
        ByPlace(lambda places: places.below_data(f"keys{places.separator}sealing.key")),
        "Key of what tells or changes people's rights; on every node, and on no witness. Not set: sealing.key beside "
        "clusterKeyPath.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggingSettings:
    """What is logged, how, and where to."""

    level: str = _key(
        "level",
        Choice(f"one of {', '.join(LOG_LEVELS)}", LOG_LEVELS),
        "Information",
        "Least level; lines of the audit are written at every one.",
    )
    format: str = _key(
        "format", Choice("human or json", ("human", "json")), "human", "Sentences for people, or a JSON object a line."
    )
    directory: Path | None = _key(
        "directory", _FOLDER, None, "Folder of log files. Not set: standard error, for the service manager."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LicenseSettings:
    """The licence. Without one a node runs alone."""

    path: Path = _key("path", _FILE, ByPlace(lambda places: places.licence_file), "The signed licence.")
    trusted_keys: tuple[Path | str, ...] = _key(
        "trustedKeys",
        Keys("a list of PEM paths or base64 Ed25519 public keys"),
        (),
        "Who may sign licences: PEM files, or the keys themselves.",
    )
    """A ``Path`` is a PEM file, a text the key itself (base64 of SubjectPublicKeyInfo, one line)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiSettings:
    """The REST API."""

    host: str = _key("host", HostName("an IP address or a host name"), "127.0.0.1", "Address to listen on.")
    port: int = _key("port", _PORT, 7101, "Port to listen on.")
    workers: int = _key(
        "workers",
        Whole("a whole number of processes from 1 to 64", 1, 64),
        2,
        "Processes that answer requests. Not used where a node is a single process.",
    )
    drain_s: int = _key(
        "drainSeconds",
        Whole("a whole number of seconds from 0 to 10", 0, 10),
        10,
        "How long running requests may take to end when the node stops.",
    )
    tls_cert_path: Path | None = _key(
        "tlsCertPath",
        _FILE,
        None,
        "Certificate to serve HTTPS with: PEM with its key and the authorities between, or PKCS#12 (.pfx). Read again "
        "when it changes. Not set: plain HTTP.",
    )
    tls_key_path: Path | None = _key(
        "tlsKeyPath", _FILE, None, "Private key (PEM), where tlsCertPath is PEM without it."
    )
    tls_cert_password: Secret | None = _key(
        "tlsCertPassword", _SECRET, None, "Password of the .pfx, or of the private key."
    )
    tls_ca_path: Path | None = _key(
        "tlsCaPath",
        _FILE,
        None,
        "Certificates (PEM) of the authorities that rppam's commands trust over https. Not set: the system's.",
    )
    trusted_proxies: tuple[str, ...] = _key(
        "trustedProxies",
        Networks("a list of IP addresses and networks"),
        (),
        "Load balancers in front of this API. From these alone the caller's address is taken from forwardedHeader.",
    )
    forwarded_header: str = _key(
        "forwardedHeader",
        Choice("X-Forwarded-For or Forwarded", ("X-Forwarded-For", "Forwarded")),
        "X-Forwarded-For",
        "The header in which the trusted proxies name the caller. They must set it themselves, or append to it.",
    )
    metrics_access: str = _key(
        "metricsAccess",
        Choice("open, token or local", ("open", "token", "local")),
        "open",
        "Who may read /system/metrics: everybody, whoever shows metricsToken, or callers on the node's own host.",
    )
    metrics_token: Secret | None = _key(
        "metricsToken",
        _SECRET,
        None,
        "What a scraper shows as its bearer token where metricsAccess is token: 16 to 512 characters (RFC 6750).",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything ``rppam.config`` says, with the defaults filled in."""

    node: NodeSettings
    redis: RedisSettings
    cluster: ClusterSettings
    database: DatabaseSettings
    auth: AuthSettings
    logging: LoggingSettings
    license: LicenseSettings
    api: ApiSettings
    given: frozenset[str] = frozenset()
    """Paths of the keys that stand in the file, such as ``redis.keyPrefix``."""
    warnings: tuple[str, ...] = ()
    """What an administrator should put right, though the node starts."""
    hot: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    """The section ``settings``, by the names of the settings: for ``rppam config push``. A node obeys nothing of it,
    and does not start where it is wrong."""
    notes: tuple[str, ...] = ()
    """What is good to know: sections of the product that have no effect here."""


SECTIONS: Final[dict[str, type]] = {
    "node": NodeSettings,
    "redis": RedisSettings,
    "cluster": ClusterSettings,
    "database": DatabaseSettings,
    "auth": AuthSettings,
    "logging": LoggingSettings,
    "license": LicenseSettings,
    "api": ApiSettings,
}
PUSHED_SECTION: Final = "settings"
"""What the cluster's hot configuration shall be: sent to it by hand, not read by a node."""
PRODUCT_SECTIONS: Final = ("databaseSync", "lvs", "modules", "recordings", "notif", "siem", "ai", "breakGlass")
"""Sections of the product's own reference that are accepted and have no effect."""
