"""What the demo's nodes need before they start: keys, licence, database with an administrator, and a config each.

The demo is its own licence authority: it signs with a key made for this run, whose public part alone is written down.
What an earlier demo left in the same folder is used again (signing keys, database) or overwritten (the rest); the
administrator gets a new password each time, since the old one was shown once and is not kept.
"""

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from rppam.access.accounts.model import FIRST_ADMIN
from rppam.access.accounts.passwords import Passwords
from rppam.access.accounts.service import Accounts
from rppam.access.accounts.store import SqlAccounts
from rppam.access.tokens.key_files import ensure_signing_keys
from rppam.access.tokens.service import MINUTES_MAX, KeySet, Tokens
from rppam.cli.files import config_text, new_cluster_key, write_private
from rppam.cluster.consensus.membership import QuorumPolicy
from rppam.cluster.store.vote_file import found
from rppam.db.database import Database
from rppam.demo.redis_server import HOST, KEY_PREFIX, RedisServer, free_port
from rppam.kernel.clock import Clock
from rppam.kernel.secret import Secret
from rppam.kernel.system_entropy import SystemEntropy
from rppam.licence.model import Tier
from rppam.licence.service import Terms, issue, new_private_key, parse_private_key
from rppam.setup.errors import DemoError
from rppam.setup.redis_acl import NODE_USER

CLUSTER: Final = "demo"
WITNESS: Final = "witness1"
LICENSED_NODES: Final = 10
LICENSED_DAYS: Final = 365
PORT_STEP: Final = 10
RENEW_S: Final = 6 * 3600
ISSUER: Final = "rppam"
AUDIENCE: Final = "rppam-api"


class DemoOptions(NamedTuple):
    """What the command line asks for."""

    nodes: int
    base_port: int
    directory: Path | None
    for_s: float | None
    """End after this many seconds from the start of the command; ``None``: when asked to."""
    witness: bool = False

    @property
    def ports(self) -> dict[str, int]:
        """The API port of each node, by name."""
        return {f"node{number + 1}": self.base_port + PORT_STEP * number for number in range(self.nodes)}


class DemoFiles(NamedTuple):
    """What was prepared."""

    configs: dict[str, Path]
    """Config file by name of the node or witness."""
    witnesses: tuple[str, ...]
    admin_user: str
    admin_password: Secret
    ssh_ports: dict[str, int]
    """Of each node's gateway, by name."""
    header_file: Path
    database: Path
    """The file of SQLite that all nodes have in common."""
    token: Callable[[], Secret]
    """A valid admin token, renewed in time."""


async def prepare(options: DemoOptions, place: Path, redis: RedisServer, clock: Clock) -> DemoFiles:
    """Write everything below ``place``. Raises a leaf of :class:`~rppam.kernel.errors.RppamError`."""
    try:
        return await _prepare(options, place, redis, clock)
    except OSError as error:
        raise DemoError(f"{error.filename or place} cannot be written: {error.strerror}") from error


async def _prepare(options: DemoOptions, place: Path, redis: RedisServer, clock: Clock) -> DemoFiles:
    ports = options.ports
    keys = place / "keys"
    keys.mkdir(mode=0o700, exist_ok=True)
    signing = KeySet(ensure_signing_keys(keys / "jwt", now_ms=clock.wall_ms()))
    cluster_key = new_cluster_key()
    write_private(keys / "cluster.key", cluster_key)
    if not (keys / "sealing.key").exists():  # it opens what an earlier demo left in the database
        write_private(keys / "sealing.key", new_cluster_key())
    trusted = _write_licence(place / "license.jwt", len(ports), clock)
    file = place / "rppam.db"
    database = f"sqlite:///{file}"
    password = await _administrator(database, clock)
    witnesses = (WITNESS,) if options.witness else ()
    policy = QuorumPolicy.MAJORITY if witnesses else QuorumPolicy.LAST_MAN_STANDING
    configs, taken = {}, {*ports.values(), redis.port}
    ssh_ports = {name: ssh_port(port, taken) for name, port in ports.items()}
    taken |= {*ssh_ports.values()}
    for name in (*ports, *witnesses):
        folder = place / name
        folder.mkdir(mode=0o700, exist_ok=True)
        member_port = free_port(taken)
        taken.add(member_port)
        config: dict[str, dict[str, object]] = {
            "node": {"nodeName": name, "dataDir": str(folder)},
            "redis": {
                "enabled": True,
                "connectionString": f"{HOST}:{redis.port},user={NODE_USER},abortConnect=false",
                "keyPrefix": KEY_PREFIX,
                "password": redis.node_password.reveal(),
            },
            "cluster": {
                "enabled": len(ports) > 1,
                "clusterId": CLUSTER,
                "quorumPolicy": policy.value,
                "memberHost": HOST,
                "memberPort": member_port,
            },
        }
        if name in ports:
            configs[name] = folder / "rppam.config"
            config["node"]["advertiseUrl"] = f"http://{HOST}:{ports[name]}"
            config["database"] = {"url": database}
            config["license"] = {"path": str(place / "license.jwt"), "trustedKeys": [trusted]}
            config |= _serving(keys, ports[name], ssh_ports[name])
        else:  # a copy in its own folder: beside the nodes' key lies what a witness must not have
            configs[name] = folder / "rppam-witness.config"
            write_private(folder / "cluster.key", cluster_key)
            config["auth"] = {"clusterKeyPath": str(folder / "cluster.key")}
        write_private(configs[name], config_text(config))
    if len(ports) > 1:
        found({name: place / name for name in configs}, policy, SystemEntropy(), witnesses)
    tokens = Tokens(signing, issuer=ISSUER, audience=AUDIENCE, node="node1", clock=clock, entropy=SystemEntropy())
    source = _TokenSource(tokens, place / "admin.header")
    source()
    return DemoFiles(configs, witnesses, FIRST_ADMIN, password, ssh_ports, place / "admin.header", file, source)


def _serving(keys: Path, port: int, ssh: int) -> dict[str, dict[str, object]]:
    """What a node's config says of its API, its gateway, its vault and its keys."""
    return {
        "api": {"host": HOST, "port": port, "drainSeconds": 2},
        "access": {"enabled": True, "host": HOST, "port": ssh},
        "vault": {"revealFactor": "none"},
        "auth": {
            "clusterKeyPath": str(keys / "cluster.key"),
            "jwtKeysDir": str(keys / "jwt"),
            "issuer": ISSUER,
            "audience": AUDIENCE,
        },
    }


def ssh_port(api_port: int, taken: set[int]) -> int:
    """A port for the gateway of a node: the next one, where that is free."""
    with socket.socket() as probe, suppress(OSError, OverflowError):
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((HOST, api_port + 1))
        if api_port + 1 not in taken:
            return api_port + 1
    return free_port(taken)


class _TokenSource:
    """Gives an admin token that lives for most of a day, and keeps the header file up to date."""

    def __init__(self, tokens: Tokens, header_file: Path) -> None:
        self._tokens, self._header_file = tokens, header_file
        self._token: Secret | None = None
        self._issued_s = 0.0

    def __call__(self) -> Secret:
        now_s = asyncio.get_running_loop().time()
        if self._token is None or now_s - self._issued_s > RENEW_S:
            self._token = self._tokens.issue_admin(FIRST_ADMIN, MINUTES_MAX).token
            self._issued_s = now_s
            write_private(self._header_file, f"Authorization: Bearer {self._token.reveal()}\n")
        return self._token


def _write_licence(path: Path, nodes: int, clock: Clock) -> str:
    """Write a licence for that many nodes, signed with a new key; return the public key as config text."""
    private, trusted = new_private_key()
    alone = nodes == 1
    terms = Terms(
        customer="rppam demo",
        tier=Tier.STANDARD if alone else Tier.ENTERPRISE,
        max_nodes=1 if alone else max(nodes, LICENSED_NODES),
        days=LICENSED_DAYS,
    )
    key = parse_private_key(private, "the demo's own key")
    write_private(path, issue(terms, key, f"demo-{SystemEntropy().nonce()}", clock.wall_ms()) + "\n")
    return trusted.text()


async def _administrator(database_url: str, clock: Clock) -> Secret:
    """Create the first administrator, or reset the password of an earlier demo's."""
    database = Database(database_url)
    passwords = Passwords()
    try:
        await database.start()
        accounts = Accounts(SqlAccounts(database), passwords, clock)
        first = await accounts.ensure_first_admin()
        return first.password if first is not None else await accounts.reset_password(FIRST_ADMIN)
    finally:
        passwords.close()
        await database.stop()
