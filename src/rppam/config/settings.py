"""The settings of a node: every key of ``rppam.config`` with its kind, default and meaning, in one place.

Each field made with ``_key`` is one key of the file; others are derived in :mod:`rppam.config.rules`. Reader, ``rppam
config show`` and reference page are driven by the models, so they cannot disagree. Everything is frozen: a change of
the file counts from the next start.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema, core_schema

from rppam.cluster.consensus.membership import QuorumPolicy
from rppam.cluster.consensus.timing import PROFILES, Timing
from rppam.config.database import DatabaseUrl
from rppam.config.host_secrets import FileSecret, SecretText
from rppam.config.kinds import (
    NAME_FORM,
    PREFIX_FORM,
    Addresses,
    AddressInNetwork,
    ByPlace,
    Choice,
    DomainName,
    FilePath,
    Flag,
    HostName,
    HostPort,
    HttpUrl,
    Keys,
    Kind,
    Networks,
    OwnAddresses,
    Pattern,
    Percent,
    Text,
    Whole,
)
from rppam.config.options import ConnectionOptions
from rppam.kernel.proxy_protocol import PROXY
from rppam.kernel.secret import Secret

_MINUTE_MS: Final = 60_000
_LOG_LEVELS: Final = ("Verbose", "Debug", "Information", "Warning", "Error", "Fatal")


class Section(BaseModel):
    """Base of all sections. From the file, names are camelCase; from code, snake_case."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, validate_by_name=True, validate_default=True,
        hide_input_in_errors=True,
    )  # fmt: skip


class _Derived:
    """Of a field that no file gives: its value is taken as it is."""

    def __get_pydantic_core_schema__(self, _source: object, _handler: object) -> CoreSchema:
        return core_schema.any_schema()


class Key(NamedTuple):
    """One key of the file, as its field describes it."""

    name: str  # camelCase, as in the file
    kind: Kind
    about: str
    default: object  # a value or :class:`ByPlace`; ``None``: not set


@cache
def keys_of(section: type[Section]) -> dict[str, Key]:
    """Field name to key, for one section's class, in the order of the fields."""
    return {
        name: Key(entry.alias or name, kind, entry.description or "", entry.default)
        for name, entry in section.model_fields.items()
        for kind in entry.metadata
        if isinstance(kind, Kind)
    }


def _key(default: object, about: str, name: str | None = None) -> Any:
    return Field(default, description=about, alias=name)


def _name(what: str) -> Text:
    expected = f"{what}: 1 to 63 of a-z, 0-9 and '-', no '-' at either end"
    return Text(expected, NAME_FORM, "Use lower-case letters, digits and hyphens, such as node1.")


def _whole(what: str, least: int, most: int) -> Whole:
    return Whole(f"{what} from {least} to {most}", least, most)


def _ms(least: int = 1) -> Whole:
    return _whole("a whole number of milliseconds", least, 10 * _MINUTE_MS)


def _one_of(*words: str) -> Choice:
    return Choice(f"one of {', '.join(words)}", words)


_Bool = Annotated[bool, Flag()]
_Port = Annotated[int, _whole("a port", 1, 65_535)]
_Ms = Annotated[int, _ms()]
_OptionalMs = Annotated[int | None, _ms()]
_File = Annotated[Path, FilePath("a path")]
_CALLERS: Final = ("X-Forwarded-For", "Forwarded", PROXY)
_OptionalFile = Annotated[Path | None, FilePath("a path")]
_Folder = Annotated[Path, FilePath("the path of a folder")]
_Host = Annotated[str, HostName("an IP address or a host name")]
_OptionalHost = Annotated[str | None, HostName("an IP address or a host name")]
_Claim = Annotated[str, Text("1 to 200 characters")]
_Label = Annotated[str, Text("1 to 32 characters", r".{1,32}")]
_KEY_SOURCES: Final = ("sealing-key", "file", "systemd", "env", "shares", "pkcs11")
_TSIG_ALGORITHMS: Final = ("hmac-sha256", "hmac-sha384", "hmac-sha512")
_Password = Annotated[Secret | None, SecretText('a text, "encrypted:...", {"file": PATH} or {"env": NAME}')]


class NodeSettings(Section):
    """Who this node is and where it keeps its files."""

    node_name: Annotated[str, _name("a node name")] = _key("default", "Unique in the cluster; shown everywhere.")
    grpc_port_base: Annotated[int, _whole("a port", 1, 65_524)] = _key(
        7001, "First of twelve consecutive internal ports. Reserved; nothing listens there yet."
    )
    data_dir: _Folder = _key(ByPlace("{data_dir}"), "What the node must keep over a restart.")
    advertise_url: Annotated[str | None, HttpUrl("an http:// or https:// URL with a host and nothing behind it")] = (
        _key(None, "How the other nodes and clients reach this node's API. Not set: made of api.host and api.port.")
    )


class RedisSettings(Section):
    """The store: how to reach it and what belongs to this cluster in it. The same on every node."""

    enabled: _Bool = _key(False, "Use Redis. Required for more than one node.")
    connection_string: _Password = _key(None, "Endpoints and options, see below. Required when Redis is enabled.")
    key_prefix: Annotated[
        str,
        Text(
            "2 to 64 characters without spaces, quotes or any of *?[]{}\\, ending in one ':'",
            PREFIX_FORM,
            'Use a name with a colon at its end, such as "rppam-prod:".',
        ),
    ] = _key("rppam:", "Stands before every key and channel. Clusters that share a Redis need different ones.")
    tls_enabled: _Bool = _key(False, "TLS to Redis. Not set: what ssl= in the connection string says.")
    tls_cert_path: _OptionalFile = _key(None, "Client certificate and key (PKCS#12, .pfx).")
    tls_cert_password: _Password = _key(None, "Password of tlsCertPath.")
    tls_ca_path: _OptionalFile = _key(None, "Certificates (PEM) of the authorities to trust. Not set: the system's.")
    password: _Password = _key(
        None,
        "The Redis password, outside the connection string: for one with a comma, or to keep it in a file. A file is "
        "read again when it changes, without a restart.",
    )
    sentinel_password: _Password = _key(
        None,
        "The password at the sentinels, outside the connection string. Not set: what the string says, else the Redis "
        "password.",
    )
    connection: Annotated[ConnectionOptions | None, _Derived()] = None
    """What the connection string says, with the passwords and ``tls_enabled`` merged in; ``None``: there is none."""

    @property
    def password_file(self) -> Path | None:
        """The file that ``password`` stands in, when it is ``{"file": PATH}``: read again at run time."""
        return self.password.file if isinstance(self.password, FileSecret) else None


class ClusterSettings(Section):
    """The cluster, its members and times. The same on every node, but for memberHost, memberAddress, priority,
    virtualIpInterface and leaderHook."""

    enabled: _Bool = _key(False, "Work with other nodes. Needs Redis and a licence for it.")
    cluster_id: Annotated[str, _name("a cluster name")] = _key("cluster-001", "Name of the cluster.")
    timing_profile: Annotated[str, _one_of(*PROFILES)] = _key(
        "default",
        "default: a dead host is replaced within 5 s; lan: about 1 s, for one quiet network; classic: a 30 s lease.",
    )
    lease_ms: _OptionalMs = _key(None, "How long a silent leader is waited for.")
    heartbeat_ms: _OptionalMs = _key(None, "Period of each node's exchange with Redis.")
    rate_error_ppm: Annotated[int | None, Percent("a number of percent from 0 to 10")] = _key(
        None, "Largest rate error of one host's clock that is tolerated.", "clockRateErrorPercent"
    )
    drop_ms: Annotated[int | None, _ms(0)] = _key(
        None, "Time a node may take to stop acting once it may no longer lead.", "stepDownMs"
    )
    request_timeout_ms: _OptionalMs = _key(None, "After this long without a reply an exchange with Redis is unknown.")
    quorum_policy: Annotated[QuorumPolicy, _one_of(*(policy.value for policy in QuorumPolicy))] = _key(
        None,
        "How much Redis' vote weighs. last-man-standing: whoever reaches Redis leads, even alone; majority: most "
        "members decide. Not set: last-man-standing on a single Redis, majority behind Sentinel.",
    )
    priority: Annotated[int, _whole("a whole number", 0, 1_000)] = _key(
        100,
        "Order of succession: of the nodes that could follow a leader, the one with the highest number is asked first.",
    )
    member_port: _Port = _key(
        5201, "Port on which the members reach each other directly, encrypted by the cluster key."
    )
    member_host: _OptionalHost = _key(
        None, "Address to listen on for the other members. Not set: all addresses of this host."
    )
    member_address: Annotated[str | None, HostPort("host:port")] = _key(
        None,
        "How the other members reach this one. Not set: made of memberHost, api.host or this host's name, and "
        "memberPort.",
    )
    virtual_ip: Annotated[str | None, AddressInNetwork("an address with a prefix length, such as 10.0.1.50/24")] = _key(
        None, "Address that the leader has, and nobody else. Not set: none. Needs CAP_NET_ADMIN and CAP_NET_RAW."
    )
    virtual_ip_interface: Annotated[str | None, Text("the name of a network interface", r"[!-.0-~]{1,15}")] = _key(
        None, "Network interface that cluster.virtualIp comes to. Not set: the one with an address in its network."
    )
    leader_hook: _OptionalFile = _key(
        None,
        "Program that is called as this node begins, goes on and ceases to lead: packaging/hooks has examples.",
    )
    leader_hook_s: Annotated[int, _whole("a whole number of seconds", 1, 300)] = _key(
        30, "How long a call of leaderHook may take; then it is killed.", "leaderHookSeconds"
    )
    timing: Annotated[Timing, _Derived()] = PROFILES["default"]
    """The profile with the overrides above, checked for safety."""


class DatabaseSettings(Section):
    """The SQL database: accounts, and the highest epoch."""

    url: Annotated[Secret, DatabaseUrl('"sqlite:///PATH" or "postgresql://user:password@host/name"')] = _key(
        ByPlace("sqlite:///<dataDir>/rppam.db"),
        "SQLite for one machine, PostgreSQL for a cluster. May be encrypted, or come from a file or variable.",
    )
    timeout_ms: _Ms = _key(2_000, "Time for one question to the database.")


class AuthSettings(Section):
    """Access tokens and the keys of this cluster."""

    jwt_keys_dir: _Folder = _key(
        ByPlace("<dataDir>/keys"), "Keys that sign access tokens; the same files on every node."
    )
    issuer: _Claim = _key("rppam", "Claim `iss` of access tokens.")
    audience: _Claim = _key("rppam-api", "Claim `aud` of access tokens.")
    token_minutes: Annotated[int, _whole("a whole number of minutes", 1, 1_440)] = _key(60, "Life of an access token.")
    secret_key_path: _File = _key(
        ByPlace("<dataDir>/keys/config.key"),
        "Key of the `encrypted:` values in this file. Never kept beside them.",
    )
    cluster_key_path: _File = _key(
        ByPlace("<dataDir>/keys/cluster.key"),
        "Key that the members of a cluster know each other by; the same file on every node and witness.",
    )
    sealing_key_path: _File = _key(
        ByPlace("<dataDir>/keys/sealing.key"),
        "Key of what tells or changes people's rights; on every node, and on no witness. Not set: sealing.key beside "
        "clusterKeyPath.",
    )


class LoggingSettings(Section):
    """What is logged, how, and where to."""

    level: Annotated[str, _one_of(*_LOG_LEVELS)] = _key(
        "Information", "Least level; lines of the audit are written at every one."
    )
    format: Annotated[str, Choice("human or json", ("human", "json"))] = _key(
        "human", "Sentences for people, or a JSON object a line."
    )
    directory: Annotated[Path | None, FilePath("the path of a folder")] = _key(
        None, "Folder of log files. Not set: standard error, for the service manager."
    )


class LicenseSettings(Section):
    """The licence. Without one a node runs alone."""

    path: _File = _key(ByPlace("{licence_file}"), "The signed licence.")
    trusted_keys: Annotated[tuple[Path | str, ...], Keys("a list of PEM paths or base64 Ed25519 public keys")] = _key(
        (), "Who may sign licences: PEM files, or the keys themselves."
    )
    """A ``Path`` is a PEM file, a text the key itself (base64 of SubjectPublicKeyInfo, one line)."""


class ApiSettings(Section):
    """The REST API."""

    host: _Host = _key("127.0.0.1", "Address to listen on.")
    port: _Port = _key(7101, "Port to listen on.")
    workers: Annotated[int, _whole("a whole number of processes", 1, 64)] = _key(
        2, "Processes that answer requests. Not used where a node is a single process."
    )
    drain_s: Annotated[int, _whole("a whole number of seconds", 0, 10)] = _key(
        10, "How long running requests may take to end when the node stops.", "drainSeconds"
    )
    tls_cert_path: _OptionalFile = _key(
        None,
        "Certificate to serve HTTPS with: PEM with its key and the authorities between, or PKCS#12 (.pfx). Read again "
        "when it changes. Not set: plain HTTP.",
    )
    tls_key_path: _OptionalFile = _key(None, "Private key (PEM), where tlsCertPath is PEM without it.")
    tls_cert_password: _Password = _key(None, "Password of the .pfx, or of the private key.")
    tls_ca_path: _OptionalFile = _key(
        None, "Certificates (PEM) of the authorities that rppam's commands trust over https. Not set: the system's."
    )
    trusted_proxies: Annotated[tuple[str, ...], Networks("a list of IP addresses and networks")] = _key(
        (), "Load balancers in front of this API. From these alone the caller's address is taken from forwardedHeader."
    )
    forwarded_header: Annotated[str, Choice("X-Forwarded-For, Forwarded or PROXY", _CALLERS)] = _key(
        "X-Forwarded-For",
        "The header in which the trusted proxies name the caller. They must set it themselves, or append to it. PROXY: "
        "their connections have to begin with the PROXY protocol, version 2, and no header counts.",
    )
    metrics_access: Annotated[str, Choice("open, token or local", ("open", "token", "local"))] = _key(
        "open",
        "Who may read /system/metrics: everybody, whoever shows metricsToken, or callers on the node's own host.",
    )
    metrics_token: _Password = _key(
        None,
        "What a scraper shows as its bearer token where metricsAccess is token: 16 to 512 characters (RFC 6750).",
    )


class AccessSettings(Section):
    """The SSH gateway: sessions with targets. What may be done there is the setting `access/ssh`."""

    enabled: _Bool = _key(False, "Take SSH connections to targets. Not where a node is a single process.")
    host: _Host = _key("0.0.0.0", "Address to listen on.")
    port: _Port = _key(2222, "Port to listen on; the same on every node.")
    gateways: Annotated[int, _whole("a whole number of processes", 1, 32)] = _key(
        1, "Processes that hold sessions: one for two processors or so."
    )
    trusted_proxies: Annotated[tuple[str, ...], Networks("a list of IP addresses and networks")] = _key(
        (),
        "Load balancers in front of the gateway. Their connections have to begin with the PROXY protocol, version 2, "
        "and the user's address is the one that it names; from others none is taken.",
    )
    source_addresses: Annotated[tuple[str, ...], OwnAddresses("a list of this host's own addresses")] = _key(
        (),
        "Addresses of this host that targets are reached from over SSH, by sessions and by rotation: at most one IPv4 "
        "and one IPv6. The host chooses where none is given.",
    )
    s3_key_id: _Password = _key(None, "Who this node is to the bucket of recordings, where `recordings/store` is s3.")
    s3_secret: _Password = _key(None, "The secret that belongs to s3KeyId.")
    s3_ca_path: _OptionalFile = _key(None, "Certificates (PEM) that the bucket is trusted by. Not set: the system's.")


class VaultSettings(Section):
    """The vault: its master key, and what revealing a secret takes. The same on every node."""

    key_source: Annotated[str, _one_of(*_KEY_SOURCES)] = _key(
        "sealing-key",
        "Where the master key is from. sealing-key: derived from auth.sealingKeyPath; file: keyPath; systemd: the "
        "credential rppam-vault-key of the unit; env: the variable RPPAM_VAULT_KEY; shares: what people bring together "
        "(rppam vault ceremony); pkcs11: it stays in a token (HSM).",
    )
    key_source_next: Annotated[str, _one_of("none", *_KEY_SOURCES)] = _key(
        "none", "Where the master key will be from: read already, so that nodes can be changed one after another."
    )
    key_source_before: Annotated[str, _one_of("none", *_KEY_SOURCES)] = _key(
        "none", "Where the master key was from, while it is changed: what it wraps is wrapped anew."
    )
    key_path: _File = _key(
        ByPlace("<dataDir>/keys/vault.key"), "The master key for keySource file: 32 bytes in base64, mode 0600."
    )
    pkcs11_module: _OptionalFile = _key(
        None, "For keySource pkcs11: the library of the token's maker, such as /usr/lib/softhsm/libsofthsm2.so."
    )
    pkcs11_token: _Label = _key("rppam", "The label of the token that has the master key.")
    pkcs11_key: _Label = _key("rppam-vault", "The label of the master key in the token: an AES key of 256 bits.")
    pkcs11_pin_path: _File = _key(
        ByPlace("<dataDir>/keys/pkcs11.pin"),
        "The PIN of the token, mode 0600; the credential rppam-vault-pin of the unit comes first where there is one.",
    )
    unsealed_path: _File = _key(
        ByPlace("/run/rppam/vault.key"),
        "Where the master key lies in memory while a vault with keySource shares is open.",
    )
    peer_unseal: _Bool = _key(
        True, "Whether a sealed node gets the master key from one that is open, and gives it. For keySource shares."
    )
    peer_unseal_members: Annotated[int, _whole("a whole number of members", 1, 5)] = _key(
        2,
        "How many members have to agree that a sealed node gets the master key, with the one that gives it; where "
        "there are fewer beside the sealed one, all of them. For keySource shares.",
    )
    lead_without_key: _Bool = _key(
        False,
        "Whether a node may lead that has not got the vault's master key. It refuses vault work either way.",
    )
    reveal_factor: Annotated[str, _one_of("required", "none")] = _key(
        "required", "Whether showing a secret takes a second factor that is given with the request."
    )
    reason_pattern: Annotated[str | None, Pattern("a regular expression of at most 200 characters")] = _key(
        None,
        "What a reason has to match somewhere, such as the number of a ticket: (CHG|INC)[0-9]{6}. Not set: any reason.",
    )
    checkout_minutes_max: Annotated[int, _whole("a whole number of minutes", 1, 10_080)] = _key(
        480, "The longest check-out; a longer wish is cut to it."
    )


class DnsSettings(Section):
    """A name in DNS that points to the leader. The same on every node, but for addresses."""

    name: Annotated[str | None, DomainName("a full host name", least=2)] = _key(
        None, "Name whose addresses are those of the leader, such as pam.example.com. Not set: none."
    )
    zone: Annotated[str | None, DomainName("the name of a zone")] = _key(
        None, "Zone that the name is kept in. Not set: the name without its first label."
    )
    server: _OptionalHost = _key(None, "The primary name server of the zone, which takes updates (RFC 2136) by TCP.")
    port: _Port = _key(53, "Port of the name server.")
    ttl_s: Annotated[int, _whole("a whole number of seconds", 0, 3_600)] = _key(
        5, "For how long others may remember the name's addresses: so much longer than the election a change takes.",
        "ttlSeconds",
    )  # fmt: skip
    addresses: Annotated[tuple[str, ...], Addresses("a list of one or more IP addresses")] = _key(
        (),
        "This node's own addresses for the name. Not set: api.host where that is one address of this host, else the "
        "one from which the name server is reached.",
    )
    key_name: Annotated[str | None, DomainName("the name of a TSIG key")] = _key(
        None, "Name of the TSIG key (RFC 8945) that updates are signed with."
    )
    key_algorithm: Annotated[str, _one_of(*_TSIG_ALGORITHMS)] = _key("hmac-sha256", "Algorithm of that key.")
    key_secret: _Password = _key(
        None, "Secret of that key, in base64. A file is read again at each try, without a restart."
    )

    @property
    def own_zone(self) -> str:
        """The zone that the name is kept in."""
        return self.zone or (self.name or "").partition(".")[2]

    @property
    def key_secret_file(self) -> Path | None:
        """The file that ``key_secret`` stands in, when it is ``{"file": PATH}``."""
        return self.key_secret.file if isinstance(self.key_secret, FileSecret) else None


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
    access: AccessSettings
    vault: VaultSettings
    dns: DnsSettings
    given: frozenset[str] = frozenset()
    """Paths of the keys that stand in the file, such as ``redis.keyPrefix``."""
    warnings: tuple[str, ...] = ()
    """What an administrator should put right, though the node starts."""
    hot: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    """The section ``settings``, by the names of the settings: for ``rppam config push``. A node obeys nothing of it
    but when it makes a new cluster's first account, and does not start where it is wrong."""
    notes: tuple[str, ...] = ()
    """What is good to know: sections of the product that have no effect here."""


SECTIONS: Final[dict[str, type[Section]]] = {
    "node": NodeSettings,
    "redis": RedisSettings,
    "cluster": ClusterSettings,
    "database": DatabaseSettings,
    "auth": AuthSettings,
    "logging": LoggingSettings,
    "license": LicenseSettings,
    "api": ApiSettings,
    "access": AccessSettings,
    "vault": VaultSettings,
    "dns": DnsSettings,
}
PUSHED_SECTION: Final = "settings"
"""What the cluster's hot configuration shall be: sent to it by hand. A node reads it once, with the first account of a
new cluster."""
PRODUCT_SECTIONS: Final = ("databaseSync", "lvs", "modules", "recordings", "notif", "siem", "ai", "breakGlass")
"""Sections of the product's own reference that are accepted and have no effect."""
