"""A node's config as it shall be written, made of wishes and, for a joining node, of the first node's config.

Values only: nothing here touches the disk. Secrets stay :class:`~rppam.kernel.secret.Secret` until :func:`rendered`,
which either reveals them (to check the plan) or encrypts them (to write it).
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from rppam.config.connection import parse_connection
from rppam.config.errors import ConnectionStringError
from rppam.config.places import Places, default_places
from rppam.config.remarks import remarks as remarks_on
from rppam.config.writing import format_connection
from rppam.kernel.secret import Secret
from rppam.setup.errors import InitError
from rppam.setup.placed_files import Placed

NOTHING_PLACED: Final = Placed({}, {})
LOOPBACK: Final = ("127.", "localhost:", "[::1]")
Config = dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Layout:
    """Where one node's files stand. All paths are absolute."""

    config: Path
    data: Path

    @property
    def keys(self) -> Path:
        """Folder of all keys."""
        return self.data / "keys"

    @property
    def jwt_keys(self) -> Path:
        """Folder of the keys that sign tokens, and of nothing else."""
        return self.keys / "jwt"

    @property
    def config_key(self) -> Path:
        """Key of the ``encrypted:`` values."""
        return self.keys / "config.key"

    @property
    def cluster_key(self) -> Path:
        """Key that the members know each other by."""
        return self.keys / "cluster.key"

    @property
    def sealing_key(self) -> Path:
        """Key of what tells or changes people's rights; on nodes alone."""
        return self.keys / "sealing.key"

    @property
    def licence(self) -> Path:
        """The licence file."""
        return self.config.parent / "license.jwt"


class Wishes(NamedTuple):
    """What the command line asks for; ``None`` leaves a value as it is."""

    node_name: str
    redis: Secret | None = None
    key_prefix: str | None = None
    cluster_id: str | None = None
    timing_profile: str | None = None
    database: Secret | None = None
    host: str | None = None
    port: int | None = None
    advertise_url: str | None = None
    quorum_policy: str | None = None
    trusted_keys: tuple[str, ...] = ()
    virtual_ip: str | None = None
    virtual_ip_interface: str | None = None
    placed: Placed = NOTHING_PLACED
    """Files besides the keys, and the values that name them."""


def layout_of(
    directory: Path | None, config: Path | None, data_dir: Path | None, places: Places | None = None
) -> Layout:
    """Everything in one folder with ``directory``; else the platform's places, or beside a config file elsewhere."""
    places = places or default_places()
    if directory is not None:
        base = directory.absolute()
        return Layout(config.absolute() if config else base / "rppam.config", (data_dir or base).absolute())
    path = (config or Path(places.config_file)).absolute()
    usual = path == Path(places.config_file)
    return Layout(path, (data_dir or (Path(places.data_dir) if usual else path.parent)).absolute())


def first_config(wishes: Wishes, layout: Layout) -> Config:
    """The config of a cluster's first node, or of a node that is alone when no Redis is named."""
    config: Config = {section: {} for section in ("node", "redis", "cluster", "database", "auth", "license", "api")}
    config["redis"]["enabled"] = wishes.redis is not None
    config["cluster"]["enabled"] = wishes.redis is not None or "redis" in wishes.placed.values
    config["database"]["url"] = f"sqlite:///{layout.data / 'rppam.db'}"
    return _with_wishes(config, wishes, layout)


def joined_config(template: Mapping[str, Any], wishes: Wishes, layout: Layout) -> Config:
    """The first node's config made the next node's. Raises :class:`InitError` when both would have one name."""
    config = sections_of(template, wishes.node_name)
    config.setdefault("node", {}).pop("advertiseUrl", None)
    cluster = config.setdefault("cluster", {})
    cluster["enabled"] = True
    for own in ("memberHost", "memberAddress"):
        cluster.pop(own, None)
    url = config.setdefault("database", {}).get("url")
    if url is None or (isinstance(url, str) and url.startswith("sqlite")):
        config["database"]["url"] = f"sqlite:///{layout.data / 'rppam.db'}"
    return _with_wishes(config, wishes, layout)


def sections_of(template: Mapping[str, Any], name: str) -> Config:
    """The sections of a bundle's config, for a member with this ``name``, which must not be that of its node."""
    config: Config = {section: dict(content) for section, content in template.items() if isinstance(content, Mapping)}
    if config.get("node", {}).get("nodeName", "default") == name:
        raise InitError(
            f"--node-name: {name!r} is the node that the bundle comes from; every member of a cluster has a name of "
            "its own"
        )
    return config


def _with_wishes(config: Config, wishes: Wishes, layout: Layout) -> Config:
    node, auth = config.setdefault("node", {}), config.setdefault("auth", {})
    node["nodeName"], node["dataDir"] = wishes.node_name, str(layout.data)
    auth["jwtKeysDir"] = str(layout.jwt_keys)
    auth["secretKeyPath"] = str(layout.config_key)
    auth["clusterKeyPath"] = str(layout.cluster_key)
    licence = config.setdefault("license", {})
    licence["path"] = str(layout.licence)
    if wishes.trusted_keys:
        licence["trustedKeys"] = list(wishes.trusted_keys)
    if wishes.redis is not None:
        config.setdefault("redis", {}).update(_redis(wishes.redis))
    if wishes.database is not None:
        config.setdefault("database", {})["url"] = _database(wishes.database)
    for section, content in wishes.placed.values.items():
        config.setdefault(section, {}).update(content)
    given = (
        ("node", "advertiseUrl", wishes.advertise_url),
        ("redis", "keyPrefix", wishes.key_prefix),
        ("cluster", "clusterId", wishes.cluster_id),
        ("cluster", "timingProfile", wishes.timing_profile),
        ("cluster", "quorumPolicy", wishes.quorum_policy),
        ("cluster", "virtualIp", wishes.virtual_ip),
        ("cluster", "virtualIpInterface", wishes.virtual_ip_interface),
        ("api", "host", wishes.host),
        ("api", "port", wishes.port),
    )
    for section, key, value in given:
        if value is not None:
            config.setdefault(section, {})[key] = value
    return {section: content for section, content in config.items() if content}


def _redis(string: Secret) -> dict[str, Any]:
    """The connection string with its password beside it; the whole string is the secret where that cannot be."""
    try:
        options = parse_connection(string.reveal())
        if options.password is None and options.sentinel_password is None:
            return {"connectionString": string.reveal().strip()}
        if options.sentinel_password is None and options.password is not None:
            bare = format_connection(options.with_password(None), show_secrets=True)
            if parse_connection(bare) == options.with_password(None):
                return {"connectionString": bare, "password": options.password}
    except ConnectionStringError:
        pass  # the check of the plan tells what is wrong with it, with all other problems
    return {"connectionString": string}


def has_password(url: str) -> bool:
    """Whether a database's URL holds a password, in front of the host or as a parameter."""
    authority, _, parameters = url.partition("://")[2].partition("?")
    return ("@" in authority and ":" in authority.rpartition("@")[0]) or "password=" in parameters


def has_redis_password(text: str) -> bool:
    """Whether a connection string or URL of Redis holds a password, of Redis or of its sentinels."""
    try:
        options = parse_connection(text)
    except ConnectionStringError:
        return "password" in text.casefold() or has_password(text)
    return options.password is not None or options.sentinel_password is not None


def _database(url: Secret) -> str | Secret:
    """A URL that holds a password is a secret."""
    text = url.reveal()
    return url if has_password(text) else text


def rendered(config: Config, protect: Callable[[Secret], str]) -> Config:
    """The config with each secret as ``protect`` writes it."""
    return {
        section: {key: protect(value) if isinstance(value, Secret) else value for key, value in content.items()}
        for section, content in config.items()
    }


def _of_string(string: str) -> list[str]:
    """What a connection string says to no effect, or twice; one that is refused is told elsewhere."""
    try:
        said = parse_connection(string)
    except ConnectionStringError:
        return []
    return [f"redis.connectionString: {one}" for one in remarks_on(said)]


def remarks(config: Config, *, joining: bool, placed: Collection[Path] = ()) -> list[str]:
    """What the operator should know before starting the node. ``placed``: files that were put there."""
    found = []
    if not config.get("cluster", {}).get("enabled"):
        found.append(
            "no Redis is named, so this node runs alone: no other can join it, and nobody takes over when it fails. "
            "For a cluster give --redis, --redis-files or --hosts"
        )
    string = config.get("redis", {}).get("connectionString")
    found += _of_string(string) if isinstance(string, str) else []
    if joining and isinstance(string, str) and any(part.strip().startswith(LOOPBACK) for part in string.split(",")):
        found.append(
            "redis.connectionString names this host itself (127.0.0.1); give --redis with Redis's real address"
        )
    url = config.get("database", {}).get("url")
    if joining and isinstance(url, str) and url.startswith("sqlite"):
        found.append(
            "database.url is a SQLite file of this node alone: accounts are not shared with the other nodes. "
            "Use PostgreSQL for a cluster: --database postgresql://user:password@host/rppam"
        )
    if config.get("cluster", {}).get("enabled") and not config.get("node", {}).get("advertiseUrl"):
        api = config.get("api", {})
        host, port = str(api.get("host", "127.0.0.1")), api.get("port", 7101)
        if host.startswith("127.") or host in ("::1", "localhost"):
            found.append(
                "api.host is this host alone, so neither a load balancer nor another member reaches the node; "
                f"give --host 0.0.0.0 (behind a firewall or TLS) and --advertise-url http://HOST:{port}"
            )
    references = [
        f"{section}.{key}"
        for section, content in config.items()
        for key, value in content.items()
        if isinstance(value, Mapping) and value.keys() & {"file", "env"} and Path(value.get("file", "")) not in placed
    ]
    if joining and references:
        found.append(f"{', '.join(references)}: refers to a file or variable, which must be made on this host too")
    return found
