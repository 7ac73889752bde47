"""From wishes to files: what each file holds, and writing them without ever losing one.

The texts are templates in ``templates/``: ``redis.conf`` and ``sentinel.conf`` as the vendor article on Redis for HA
asks, a Compose file, a systemd drop-in, a firewall sheet and INSTALL.txt. The article renames CONFIG on the servers;
Sentinel, which needs it, then elects and hangs, so each sentinel gets the new name here. Lines are those of Redis 6.2;
later versions take them as well. No password is on a command line, in an environment or in a Compose file, and no '$'
in the latter: Compose would put a variable there.

A second run with the same wishes changes nothing. A file that says something else is replaced only with ``--force``,
and kept beside it. Everything is private (0600) but what others must read. Secrets and certificates of an earlier run
are used again; a certificate is made again only for other names, and that is a replacement like any other.
"""

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from rppam.cli.files import write_private
from rppam.config.endpoint import Endpoint
from rppam.kernel.instant import WallMs
from rppam.kernel.network import is_address
from rppam.setup.certificates import Authority, Issued, names_of
from rppam.setup.placed_files import SECTION_FILE
from rppam.setup.redis_acl import NODE_USER, WITNESS_USER, users_acl
from rppam.setup.redis_wishes import FILE, Passwords, WishError, Wishes
from rppam.setup.templating import filled

NODE_FILE: Final = "redis.password"
"""With the nodes' password alone: a running node reads it again when it is replaced."""
_PUBLIC: Final = (".crt", "firewall.txt", "INSTALL.txt", "docker-compose.yml", "rppam.conf")


class Outcome(NamedTuple):
    """What was, or would be, done."""

    written: tuple[Path, ...]
    kept: tuple[Path, ...]
    backups: tuple[Path, ...]


class SetupError(Exception):
    """Nothing was changed; ``str()`` says why and what to do."""


def plan_files(wishes: Wishes, folder: Path, now: WallMs) -> dict[str, bytes]:
    """Every file by its path below ``folder``. Raises :class:`WishError`."""
    passwords = Passwords.load(folder) or Passwords.make()
    values = _values(wishes, passwords)
    files = {
        FILE: passwords.text(),
        "firewall.txt": _firewall_sheet(wishes),
        "INSTALL.txt": filled("INSTALL.txt", values),
        f"node/{SECTION_FILE}": json.dumps({"redis": _config_section(wishes, passwords)}, indent=2) + "\n",
        f"node/{NODE_FILE}": passwords.node.reveal() + "\n",
        f"witness/{SECTION_FILE}": json.dumps({"redis": _witness_section(wishes, passwords)}, indent=2) + "\n",
        f"witness/{NODE_FILE}": passwords.witness.reveal() + "\n",
    }
    for number, here in enumerate(wishes.hosts):
        place, at_redis = wishes.folder(number), values | _at(here) | {"replicas": number > 0}
        if wishes.sentinels:
            at_redis["sentinel_port"] = wishes.sentinels[number].port
        files[f"{place}/redis.conf"] = filled("redis.conf", at_redis)
        files[f"{place}/users.acl"] = users_acl(wishes, passwords)
        files[f"{place}/install.sh"] = filled("install.sh", values)
        files[f"{place}/docker-compose.yml"] = filled("docker-compose.yml", at_redis)
        files[f"{place}/redis-server.service.d/rppam.conf"] = _drop_in("redis-server", values)
        if wishes.sentinels:
            files[f"{place}/sentinel.conf"] = filled("sentinel.conf", values | _at(wishes.sentinels[number]))
            files[f"{place}/redis-sentinel.service.d/rppam.conf"] = _drop_in("redis-sentinel", values)
    planned = {name: text.encode() for name, text in files.items()}
    return planned | (_certificates(wishes, folder, passwords, now) if wishes.tls else {})


def _values(wishes: Wishes, passwords: Passwords) -> dict[str, Any]:
    """What all templates share."""
    group, primary = bool(wishes.sentinels), wishes.hosts[0]
    return {
        **{name: getattr(passwords, name).reveal() for name in passwords.__slots__},
        "tls": wishes.tls,
        "plain": not wishes.tls,
        "group": group,
        "single": not group,
        "group_tls": group and wishes.tls,
        "names": not all(is_address(one.host) for one in (*wishes.hosts, *wishes.sentinels)),
        "etc": wishes.conf_dir,
        "data": wishes.data_dir,
        "memory": wishes.memory,
        "service": wishes.service_name,
        "primary_host": primary.host,
        "primary_port": primary.port,
        "sentinel_unit": " redis-sentinel" if group else "",
        "confs": "redis.conf users.acl sentinel.conf" if group else "redis.conf users.acl",
        "node_dir": wishes.node_dir,
        "node_files": f"{NODE_FILE} redis-client.pfx redis-ca.crt" if wishes.tls else NODE_FILE,
    }


def _at(here: Endpoint) -> dict[str, Any]:
    """Where a server listens: at its own address and loopback; everywhere if it is known by name only."""
    bind = f"127.0.0.1 {here.host}" if is_address(here.host) else "0.0.0.0"
    return {"host": here.host, "port": here.port, "bind": here.host if here.host in ("127.0.0.1", "::1") else bind}


def _drop_in(unit: str, values: Mapping[str, Any]) -> str:
    """For the unit ``redis-server`` (Debian; RHEL calls it redis) or ``redis-sentinel``."""
    is_redis = unit == "redis-server"
    conf, rhel = ("redis.conf", " (RHEL family: redis.service.d)") if is_redis else ("sentinel.conf", "")
    at_unit = {"unit": unit, "conf": conf, "rhel": rhel, "sentinel": not is_redis}
    return filled("drop-in.conf", {**values, **at_unit})


def _firewall_sheet(wishes: Wishes) -> str:
    """Which port is open to whom, and the commands for it."""
    all_servers = (*wishes.hosts, *wishes.sentinels)
    rows = []
    for one in wishes.hosts:
        others = sorted({server.host for server in all_servers} - {one.host}) or ["the sentinels"]
        rows.append((one, ", ".join(["RP-PAM nodes, witness", *(others if wishes.sentinels else [])])))
    rows += [(one, "RP-PAM nodes, witness, the other sentinels") for one in wishes.sentinels]
    ports = sorted({one.port for one in all_servers})
    return filled(
        "firewall.txt",
        {
            "places": "\n".join(f"  {place!s:<28} from: {callers}" for place, callers in rows),
            "commands": "".join(filled("firewall-port.txt", {"port": port}) for port in ports).rstrip("\n"),
        },
    )


def _config_section(wishes: Wishes, passwords: Passwords) -> dict[str, Any]:
    """The ``redis`` section of rppam.config, the same on every node."""
    options = [str(endpoint) for endpoint in wishes.sentinels or wishes.hosts]
    if wishes.sentinels:
        # Sentinels have a password and no user of ours; theirs is 'default'.
        options += [f"serviceName={wishes.service_name}", "sentinelUser=default"]
        options.append(f"sentinelPassword={passwords.at_sentinel.reveal()}")
    options += [f"user={NODE_USER}", f"ssl={str(wishes.tls).lower()}", "abortConnect=false"]
    section: dict[str, Any] = {
        "enabled": True,
        "connectionString": ",".join(options),
        "password": {"file": str(wishes.node_dir / NODE_FILE)},
        "keyPrefix": wishes.prefix,
        "tlsEnabled": wishes.tls,
    }
    if wishes.tls:
        section["tlsCaPath"] = str(wishes.node_dir / "redis-ca.crt")
        section["tlsCertPath"] = str(wishes.node_dir / "redis-client.pfx")
        section["tlsCertPassword"] = passwords.pfx.reveal()
    return section


def _witness_section(wishes: Wishes, passwords: Passwords) -> dict[str, Any]:
    """The same for a witness: its own user, and no certificate, as the servers ask for none."""
    section = _config_section(wishes, passwords)
    section["connectionString"] = section["connectionString"].replace(f"user={NODE_USER},", f"user={WITNESS_USER},")
    return {key: value for key, value in section.items() if key not in {"tlsCertPath", "tlsCertPassword"}}


def _certificates(wishes: Wishes, folder: Path, passwords: Passwords, now: WallMs) -> dict[str, bytes]:
    held = _held(folder, "authority/ca.crt", "authority/ca.key")
    try:
        authority = Authority(Issued(*held), now) if held else Authority.make(now)
    except ValueError as error:
        raise WishError(f"{folder / 'authority'}: {error}; restore it, or choose another --dir") from None
    ca = authority.issued.certificate
    files = {"authority/ca.crt": ca, "authority/ca.key": authority.issued.key, "node/redis-ca.crt": ca}
    files["witness/redis-ca.crt"] = ca
    client_files = ("node/redis-client.crt", "node/redis-client.key", "node/redis-client.pfx")
    client = _held(folder, *client_files)
    if client is None or held is None:
        issued, pfx = authority.for_nodes(passwords.pfx)
        client = [*issued, pfx]
    files |= dict(zip(client_files, client, strict=True))
    for number, host in enumerate(wishes.hosts):
        place = f"{wishes.folder(number)}/tls"
        beside = [wishes.sentinels[number].host] if wishes.sentinels else []
        names = list(dict.fromkeys([host.host, "localhost", "127.0.0.1", "rppam-redis", *beside]))
        pair = _held(folder, f"{place}/redis.crt", f"{place}/redis.key")
        if pair is None or held is None or names_of(pair[0]) != set(names):
            pair = list(authority.for_server(tuple(names)))
        files |= {f"{place}/ca.crt": ca, f"{place}/redis.crt": pair[0], f"{place}/redis.key": pair[1]}
    return files


def _held(folder: Path, *names: str) -> list[bytes] | None:
    """The files of an earlier run, all or none."""
    try:
        return [(folder / name).read_bytes() for name in names]
    except OSError:
        return None


def write_files(files: Mapping[str, bytes], folder: Path, now: WallMs, *, force: bool, dry_run: bool) -> Outcome:
    """Write what is new. Raises :class:`SetupError` before anything is changed when a file says something else."""
    new: list[str] = []
    kept: list[str] = []
    other: list[str] = []
    for name, content in files.items():
        try:
            present = (folder / name).read_bytes()
        except FileNotFoundError:
            new.append(name)
        except OSError as error:
            raise SetupError(f"{folder / name} cannot be read: {error.strerror}") from None
        else:
            (kept if present == content else other).append(name)
    if other and not force:
        raise SetupError(
            f"{', '.join(str(folder / name) for name in sorted(other))}: stands there already and says something else. "
            "Choose another --dir, or replace it with --force (what is there is kept beside it)"
        )
    backups: list[Path] = []
    if not dry_run:
        stamp = datetime.fromtimestamp(now // 1000, UTC).strftime("%Y%m%dT%H%M%SZ")
        try:
            for name in (*new, *other):
                path = folder / name
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                if name in other:
                    backups.append(_backup(path, stamp))
                write_private(path, files[name], mode=0o644 if path.name.endswith(_PUBLIC) else 0o600)
        except OSError as error:
            raise SetupError(f"{error.filename or folder} cannot be written: {error.strerror}") from None
    return Outcome(
        tuple(folder / name for name in (*new, *other)), tuple(folder / name for name in kept), tuple(backups)
    )


def _backup(path: Path, stamp: str) -> Path:
    backup = path.with_name(f"{path.name}.bak-{stamp}")
    count = 1
    while backup.exists():
        count += 1
        backup = path.with_name(f"{path.name}.bak-{stamp}-{count}")
    os.link(path, backup)  # it keeps its mode, and is never missing
    return backup
