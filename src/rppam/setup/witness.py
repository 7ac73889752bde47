"""A witness's files, made from a bundle: the cluster key, how to reach Redis, and nothing else.

A bundle for a witness holds no more than that. One for a node also holds the sealing key, the keys that sign access
tokens, the key of ``encrypted:`` values and perhaps a password of the database. None of them is written here: a witness
host is often a small one that nobody guards like a node. Secrets of Redis stand in files of their own, which the config
names; one that is replaced is not kept, and one that is no longer needed is removed with ``--force``, or named.

Where nodes enter Redis as the user of ``rppam redis setup``, a witness has its own: the nodes' user may read and write
everything of the cluster, the witness's only what a voter needs, so the nodes' password never goes to a witness's host.
Where nodes enter as another user, such as ``default``, the witness enters as they do, and a remark says so.

What it does not promise: that a secret which once was here is unknown to those who had the host. It has to be changed.
"""

import base64
import binascii
import os
import socket
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from rppam.config.connection import parse_connection
from rppam.config.endpoint import Endpoint
from rppam.config.errors import ConnectionStringError, SecretError
from rppam.config.host_secrets import decrypt
from rppam.config.keywords import ENCRYPTED
from rppam.config.options import ConnectionOptions
from rppam.config.rules import warnings_at_witness
from rppam.config.writing import format_connection
from rppam.kernel.secret import Secret
from rppam.setup.bundle import Bundle
from rppam.setup.errors import InitError
from rppam.setup.given import text_of
from rppam.setup.placed_files import PREFIX, Placed, unpacked
from rppam.setup.plan import NOTHING_PLACED, Config, Layout, sections_of
from rppam.setup.redis_acl import NODE_USER, WITNESS_USER
from rppam.setup.write import CLUSTER_KEY, CONFIG_KEY, NodeWriter, Outcome

MEMBER_PORT: Final = 5201
CARRIED: Final = f"{PREFIX}redis.tlsCaPath/"
"""Of the files that nodes share the one that a witness gets: whom to believe, which is no secret."""
_SECRETS: Final = {
    "connectionString": "redis.connection",
    "password": "redis.password",
    "sentinelPassword": "redis.sentinel-password",
    "tlsCertPassword": "redis.certificate-password",
}
"""Secret of the section ``redis`` to its file in the folder of keys."""
_REMOVED: Final = (
    "removed {path}, a secret of Redis that nothing here names; where it was the nodes', change that now: rppam redis "
    "rotate-password"
)
_USELESS: Final = "{path} is a secret of Redis that nothing here names; remove it, or run this with --force"
_OWN: Final = ("memberHost", "memberAddress", "memberPort", "priority")
"""What each member has of its own in the section ``cluster``."""

_NO_PASSWORD: Final = (
    f"the nodes enter Redis as the user {NODE_USER}, a witness as {WITNESS_USER}, which has a password of its own: "
    "give --redis-password-file (witness/redis.password of 'rppam redis setup'). Where Redis does not know it yet, "
    "run 'rppam redis setup' once more with --force; to enter as another one, give --redis"
)
_SHARED: Final = (
    "this witness enters Redis as the nodes do, and may read and write all that they may; give it the user "
    f"{WITNESS_USER} of 'rppam redis setup'"
)


class WitnessWishes(NamedTuple):
    """What the command line asks for; ``None`` leaves a value as it is."""

    node_name: str
    host: str | None = None
    """How the other members reach this host."""
    port: int | None = None
    """Of the member link."""
    redis: Secret | None = None
    redis_password: Secret | None = None
    """Of the witness's own user of Redis."""
    placed: Placed = NOTHING_PLACED
    """The section of Redis, and the files that it names."""


class WitnessWriter(NodeWriter):
    """Writes one witness's files. Raises :class:`InitError` and leaves of ``ConfigError``."""

    def witness(self, bundle: Bundle, wishes: WitnessWishes) -> Outcome:
        """The minimal config, the cluster key, and the secrets of Redis."""
        if bundle.own is not None:
            raise InitError(
                f"the bundle is for the node {bundle.own.host.name}; one for a witness is made on a node by: rppam "
                "init --witness --bundle FILE"
            )
        key = bundle.files.get(CLUSTER_KEY)
        if key is None:
            raise InitError("the bundle holds no cluster key, so its cluster has no members that vote; make it anew")
        carried = {name: text for name, text in bundle.files.items() if name.startswith(CARRIED)}
        placed = unpacked(carried, self._layout.config.parent).under(wishes.placed)
        plan, kept, remarks = witness_plan(bundle, wishes._replace(placed=placed), self._layout)
        self._checked(placed.with_texts(self._with_texts(plan, kept)))
        self._folders()
        self._put(self._layout.cluster_key, key.reveal())
        for path, secret in kept.items():
            self._put(path, secret.reveal())
        planned = self._place(plan, placed)
        self._refuse_another(planned)
        outcome = self._config(plan, planned, placed, joining=True)
        left = self._clear(plan["redis"], kept)
        return outcome._replace(warnings=(*warnings_at_witness(outcome.settings), *remarks, *left))

    def _keeps(self, path: Path) -> bool:
        """No secret: the one of before may be the nodes', which this host is to be rid of."""
        return path.parent != self._layout.keys

    def _clear(self, redis: Mapping[str, Any], kept: Mapping[Path, Secret]) -> list[str]:
        """Remove secrets of Redis that nothing names, when told to; what was done, or should be."""
        named = {Path(value["file"]) for value in redis.values() if isinstance(value, Mapping) and value.get("file")}
        told = []
        for file in _SECRETS.values():
            found = [self._layout.keys / file, *sorted(self._layout.keys.glob(f"{file}.bak-*"))]
            for path in found:
                if path in kept or path in named or not os.path.lexists(path):
                    continue
                if self._force:
                    path.unlink()
                told.append(_REMOVED.format(path=path) if self._force else _USELESS.format(path=path))
        return told

    def _with_texts(self, plan: Config, kept: Mapping[Path, Secret]) -> Config:
        """The plan as it can be checked before its files are there."""
        by_path = {str(path): secret for path, secret in kept.items()}
        redis = {
            key: by_path.get(value["file"], value) if isinstance(value, Mapping) and "file" in value else value
            for key, value in plan["redis"].items()
        }
        return {**plan, "redis": redis}


def witness_bundle(bundle: Bundle) -> Bundle:
    """What a witness needs of a node's bundle: no key but the cluster's, and no password of the nodes' user."""
    template = {section: dict(content) for section, content in bundle.config.items() if isinstance(content, Mapping)}
    redis = {key: _text_of(value, bundle) or value for key, value in template.get("redis", {}).items()}
    section = _as_witness(redis, lambda value: value if isinstance(value, str) else None)
    config = {
        "node": {key: value for key, value in template.get("node", {}).items() if key == "nodeName"},
        "redis": {key: value.reveal() if isinstance(value, Secret) else value for key, value in section.items()},
        "cluster": {key: value for key, value in template.get("cluster", {}).items() if key not in _OWN},
    }
    carried = {name: text for name, text in bundle.files.items() if name.startswith(CARRIED)}
    return Bundle(config, {CLUSTER_KEY: bundle.files[CLUSTER_KEY], **carried})


def witness_plan(
    bundle: Bundle, wishes: WitnessWishes, layout: Layout
) -> tuple[Config, dict[Path, Secret], tuple[str, ...]]:
    """The config, the secrets by the file that shall hold each, and what the operator should know."""
    template = sections_of(bundle.config, wishes.node_name)
    redis = template.get("redis", {}) | wishes.placed.values.get("redis", {})
    if "connectionString" in wishes.placed.values.get("redis", {}):  # the whole section was given
        redis, password = dict(wishes.placed.values["redis"]), wishes.redis_password
    elif wishes.redis is not None:
        redis |= {"connectionString": wishes.redis}
        redis.pop("password", None)
        redis.pop("sentinelPassword", None)
        password = wishes.redis_password
    else:
        redis = _as_witness(redis, lambda value: _text_of(value, bundle))
        password = _password(redis, wishes.redis_password, layout, bundle)
    if password is not None:
        redis["password"] = password
    kept: dict[Path, Secret] = {}
    for name, file in _SECRETS.items():
        secret = _secret(name, redis.get(name), bundle)
        if secret is not None:
            kept[layout.keys / file] = secret
            redis[name] = {"file": str(layout.keys / file)}
    connection = kept.get(layout.keys / _SECRETS["connectionString"], redis.get("connectionString"))
    options = _options_of(_text_of(connection, bundle))
    endpoints = options.endpoints if options else ()
    shared = {key: value for key, value in template.get("cluster", {}).items() if key not in _OWN}
    host = wishes.host or _address_towards(endpoints) or socket.gethostname()
    port = wishes.port or template.get("cluster", {}).get("memberPort", MEMBER_PORT)
    own = {"memberAddress": str(Endpoint(host, port))} | ({"memberPort": port} if port != MEMBER_PORT else {})
    config: Config = {
        "node": {"nodeName": wishes.node_name, "dataDir": str(layout.data)},
        "redis": {**redis, "enabled": True},
        "cluster": {**shared, "enabled": True, **own},
        "auth": {"clusterKeyPath": str(layout.cluster_key)},
    }
    found = _remarks(config, {*kept, *wishes.placed.files}, endpoints, is_told=wishes.host is not None)
    if options is not None and options.user != WITNESS_USER and wishes.redis is None:
        found.append(_SHARED)
    return config, kept, tuple(found)


def _password(redis: Mapping[str, Any], given: Secret | None, layout: Layout, bundle: Bundle) -> Secret | None:
    """Of the witness's own user: as given, or as it lies there already. ``None``: the section has it, or needs none."""
    options = _options_of(_text_of(redis.get("connectionString"), bundle))
    if given is not None or options is None or options.user != WITNESS_USER:
        return given
    if options.password is not None or "password" in redis:
        return None
    lies = text_of(layout.keys / _SECRETS["password"])
    if lies is None:
        raise InitError(_NO_PASSWORD)
    return Secret(lies)


def _text_of(value: Any, bundle: Bundle) -> str | None:
    if isinstance(value, Secret):
        return value.reveal()
    if not isinstance(value, str):
        return None
    return _opened(value, bundle).reveal() if value.startswith(ENCRYPTED) else value


def _secret(name: str, value: Any, bundle: Bundle) -> Secret | None:
    """What must not stand in the config; ``None`` for what may, and for what is kept elsewhere already."""
    if isinstance(value, Secret):
        return value
    if not isinstance(value, str):
        return None
    if value.startswith(ENCRYPTED):
        return _opened(value, bundle)
    return None if name == "connectionString" and not _holds_password(value) else Secret(value)


def _opened(token: str, bundle: Bundle) -> Secret:
    """A value that is encrypted with the cluster's key, which is in the bundle and stays there."""
    place = Path("config.key of the bundle")
    try:
        key = base64.b64decode(bundle.files[CONFIG_KEY].reveal().strip(), validate=True)
        return decrypt(token, place, key)
    except (KeyError, binascii.Error, ValueError, SecretError) as error:
        raise InitError(f"a value of the section redis in the bundle cannot be decrypted: {error}") from None


def _holds_password(string: str) -> bool:
    try:
        options = parse_connection(string)
    except ConnectionStringError:
        return True  # the check of the plan tells what is wrong with it; until then it is a secret
    return options.password is not None or options.sentinel_password is not None


def _address_towards(endpoints: tuple[Endpoint, ...]) -> str | None:
    """This host's own address on the way to Redis: where Redis is reached from, members most likely reach it.

    Nothing is sent: connecting a UDP socket only asks the host for the route.
    """
    for host, port in endpoints:
        try:
            places = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
            for family, kind, number, _, place in places:
                with socket.socket(family, kind, number) as probe:
                    probe.connect(place)
                    return str(probe.getsockname()[0])
        except OSError:
            continue
    return None


def _remarks(config: Config, kept: Collection[Path], endpoints: tuple[Endpoint, ...], *, is_told: bool) -> list[str]:
    address = config["cluster"]["memberAddress"]
    found = [] if is_told else [f"the other members will reach this witness at {address}; if not, give --host"]
    if any(endpoint.host.startswith("127.") or endpoint.host in ("localhost", "::1") for endpoint in endpoints):
        found.append("redis.connectionString names this host itself; give --redis with Redis's real address")
    redis = config["redis"]
    ours = {str(path) for path in kept}
    named = [key for key in ("tlsCaPath", "tlsCertPath") if isinstance(redis.get(key), str) and redis[key] not in ours]
    named += [
        key
        for key, value in redis.items()
        if isinstance(value, Mapping) and (value.get("env") or value.get("file") not in ours)
    ]
    if named:
        found.append(f"redis.{', redis.'.join(named)}: a file or variable that must be made on this host too")
    return found


def _as_witness(redis: Mapping[str, Any], opened: Callable[[Any], str | None]) -> dict[str, Any]:
    """The section as a witness may have it: of the nodes' user, neither name nor password. ``opened`` makes text of a
    value, or ``None`` of what stands elsewhere."""
    section = dict(redis)
    options = _options_of(opened(section.get("connectionString")))
    if options is None or options.user not in {NODE_USER, WITNESS_USER}:
        return section
    bare = replace(options, user=WITNESS_USER, password=options.password if options.user == WITNESS_USER else None)
    text = format_connection(bare, show_secrets=True)
    is_secret = bare.password is not None or bare.sentinel_password is not None
    section["connectionString"] = Secret(text) if is_secret else text
    if options.user == NODE_USER:
        section.pop("password", None)
    return section


def _options_of(text: str | None) -> ConnectionOptions | None:
    """What the string says; ``None`` for one that is wrong, which the check of the plan tells."""
    try:
        return None if text is None else parse_connection(text)
    except ConnectionStringError:
        return None
