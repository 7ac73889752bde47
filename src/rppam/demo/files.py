"""What the demo's nodes need before they start: keys, licence, database with an administrator, and a config each.

The demo is its own licence authority: it signs with a key made for this run, whose public part alone is written down.
What an earlier demo left in the same folder is used again (signing keys, database) or written anew (the rest); the
administrator gets a new password each time, since the old one was shown once and is not kept.
"""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from rppam.access.accounts import FIRST_ADMIN, Accounts, Passwords, SqlAccounts
from rppam.access.tokens import MINUTES_MAX, KeySet, Tokens, ensure_signing_keys
from rppam.cli.files import config_text, new_cluster_key, write_private
from rppam.cluster.consensus.membership import QuorumPolicy
from rppam.cluster.store.vote_file import found
from rppam.db.database import Database
from rppam.demo.redis_server import HOST, free_port
from rppam.kernel.clock import Clock
from rppam.kernel.secret import Secret
from rppam.kernel.system_entropy import SystemEntropy
from rppam.licence import Terms, Tier, issue, new_private_key, parse_private_key
from rppam.setup import DemoError

CLUSTER: Final = "demo"
WITNESS: Final = "witness1"
LICENSED_NODES: Final = 10
LICENSED_DAYS: Final = 365
RENEW_S: Final = 6 * 3600
ISSUER: Final = "rppam"
AUDIENCE: Final = "rppam-api"


class Wishes(NamedTuple):
    """What to prepare."""

    place: Path
    names: Sequence[str]
    ports: Sequence[int]
    """API ports, in order of the names."""
    redis_port: int
    redis_password: Secret
    witness: bool = False


class DemoFiles(NamedTuple):
    """What was prepared."""

    configs: dict[str, Path]
    """Config file by node name, the witness' among them."""
    witnesses: tuple[str, ...]
    admin_user: str
    admin_password: Secret
    header_file: Path
    token: Callable[[], Secret]
    """A valid admin token, renewed in time."""


async def prepare(wishes: Wishes, clock: Clock) -> DemoFiles:
    """Write everything below ``wishes.place``. Raises a leaf of :class:`~rppam.kernel.errors.RppamError`."""
    try:
        return await _prepare(wishes, clock)
    except OSError as error:
        raise DemoError(f"{error.filename or wishes.place} cannot be written: {error.strerror}") from error


async def _prepare(wishes: Wishes, clock: Clock) -> DemoFiles:
    place, names = wishes.place, wishes.names
    keys = place / "keys"
    keys.mkdir(mode=0o700, exist_ok=True)
    signing = KeySet(ensure_signing_keys(keys / "jwt", now_ms=clock.wall_ms()))
    write_private(keys / "cluster.key", new_cluster_key())
    write_private(keys / "sealing.key", new_cluster_key())
    trusted = _write_licence(place / "license.jwt", len(names), clock)
    database = f"sqlite:///{place / 'rppam.db'}"
    password = await _administrator(database, clock)
    witnesses = (WITNESS,) if wishes.witness else ()
    policy = QuorumPolicy.MAJORITY if witnesses else QuorumPolicy.LAST_MAN_STANDING
    configs, taken = {}, {*wishes.ports, wishes.redis_port}
    for name in (*names, *witnesses):
        folder = place / name
        folder.mkdir(mode=0o700, exist_ok=True)
        member_port = free_port(taken)
        taken.add(member_port)
        config = _member_config(wishes, name, folder, member_port, policy)
        if name in names:
            port = wishes.ports[names.index(name)]
            config["node"]["advertiseUrl"] = f"http://{HOST}:{port}"
            config["api"] = {"host": HOST, "port": port, "drainSeconds": 2}
            config["database"] = {"url": database}
            config["auth"] |= {"jwtKeysDir": str(keys / "jwt"), "issuer": ISSUER, "audience": AUDIENCE}
            config["license"] = {"path": str(place / "license.jwt"), "trustedKeys": [trusted]}
        configs[name] = folder / ("rppam.config" if name in names else "rppam-witness.config")
        write_private(configs[name], config_text(config))
    if len(names) > 1:
        found({name: place / name for name in configs}, policy, SystemEntropy(), witnesses)
    tokens = Tokens(signing, issuer=ISSUER, audience=AUDIENCE, node=names[0], clock=clock, entropy=SystemEntropy())
    source = _TokenSource(tokens, place / "admin.header")
    source()
    return DemoFiles(configs, witnesses, FIRST_ADMIN, password, place / "admin.header", source)


def _cluster_key(wishes: Wishes, name: str) -> Path:
    """The nodes' own, or a copy in the folder of the witness: beside the nodes' lies what it must not have."""
    shared = wishes.place / "keys" / "cluster.key"
    if name in wishes.names:
        return shared
    own = wishes.place / name / "cluster.key"
    write_private(own, shared.read_text(encoding="ascii"))
    return own


def _member_config(
    wishes: Wishes, name: str, folder: Path, member_port: int, policy: QuorumPolicy
) -> dict[str, dict[str, object]]:
    """What nodes and witnesses have in common."""
    return {
        "node": {"nodeName": name, "dataDir": str(folder)},
        "redis": {
            "enabled": True,
            "connectionString": f"{HOST}:{wishes.redis_port},abortConnect=false",
            "keyPrefix": "rppam:",
            "password": wishes.redis_password.reveal(),
        },
        "cluster": {
            "enabled": len(wishes.names) > 1,
            "clusterId": CLUSTER,
            "quorumPolicy": policy.value,
            "memberHost": HOST,
            "memberPort": member_port,
        },
        "auth": {"clusterKeyPath": str(_cluster_key(wishes, name))},
    }


class _TokenSource:
    """Gives a token that still lives for most of a day, and keeps the header file up to date with it."""

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
    """Write a licence for that many nodes, signed with a key of its own; return the public key as config text."""
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
    """Make the first administrator, or give the one of an earlier demo a new password."""
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
