"""From wishes to files: what each file holds, and writing them without ever losing one.

A second run with the same wishes changes nothing. A file that says something else is replaced only when told to, and
kept beside it. Everything is private (0600) but what others must read. Secrets and certificates of an earlier run are
used again; a certificate is made anew only when it is made for other names, and that is a replacement like any other.
"""

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from rppam.kernel.instant import WallMs
from rppam.setup.redis_acl import users_acl
from rppam.setup.redis_certificates import Authority, Issued, names_of
from rppam.setup.redis_conf import redis_conf, sentinel_conf
from rppam.setup.redis_passwords import FILE, Passwords
from rppam.setup.redis_sheets import (
    NODE_FILE,
    compose_file,
    config_text,
    firewall_sheet,
    install_sheet,
    systemd_drop_in,
)
from rppam.setup.redis_wishes import WishError, Wishes

_PUBLIC = (".crt", "firewall.txt", "INSTALL.txt", "docker-compose.yml", "rppam.conf")


class Outcome(NamedTuple):
    """What was, or would be, done."""

    written: tuple[Path, ...]
    kept: tuple[Path, ...]
    backups: tuple[Path, ...]


class SetupError(Exception):
    """Nothing was changed; ``str()`` says why and what to do."""


def plan_files(wishes: Wishes, folder: Path, now: WallMs) -> dict[str, bytes]:
    """Every file by its path below ``folder``. Raises :class:`WishError`."""
    try:
        passwords = Passwords.load(folder) or Passwords.make()
    except ValueError as error:
        raise WishError(f"{error}; restore it, or choose another --dir") from None
    files = {
        FILE: passwords.text(),
        "firewall.txt": firewall_sheet(wishes),
        "INSTALL.txt": install_sheet(wishes),
        "node/rppam.config.redis.json": config_text(wishes, passwords),
        f"node/{NODE_FILE}": passwords.node.reveal() + "\n",
        f"witness/{NODE_FILE}": passwords.witness.reveal() + "\n",
    }
    for number in range(len(wishes.hosts)):
        place = wishes.folder(number)
        files[f"{place}/redis.conf"] = redis_conf(wishes, passwords, number)
        files[f"{place}/users.acl"] = users_acl(wishes, passwords)
        files[f"{place}/docker-compose.yml"] = compose_file(wishes, number)
        files[f"{place}/redis-server.service.d/rppam.conf"] = systemd_drop_in(wishes, "redis-server")
        if wishes.has_sentinels:
            files[f"{place}/sentinel.conf"] = sentinel_conf(wishes, passwords, number)
            files[f"{place}/redis-sentinel.service.d/rppam.conf"] = systemd_drop_in(wishes, "redis-sentinel")
    planned = {name: text.encode() for name, text in files.items()}
    return planned | (_certificates(wishes, folder, passwords, now) if wishes.tls else {})


def _certificates(wishes: Wishes, folder: Path, passwords: Passwords, now: WallMs) -> dict[str, bytes]:
    held = _held(folder, "authority/ca.crt", "authority/ca.key")
    try:
        authority = Authority(Issued(*held), now) if held else Authority.make(now)
    except ValueError as error:
        raise WishError(f"{folder / 'authority'}: {error}; restore it, or choose another --dir") from None
    ca = authority.issued.certificate
    files = {"authority/ca.crt": ca, "authority/ca.key": authority.issued.key, "node/redis-ca.crt": ca}
    client = _held(folder, "node/redis-client.crt", "node/redis-client.key", "node/redis-client.pfx")
    if client is None or held is None:
        issued, pfx = authority.for_nodes(passwords.pfx)
        client = [issued.certificate, issued.key, pfx]
    files |= dict(zip(("node/redis-client.crt", "node/redis-client.key", "node/redis-client.pfx"), client, strict=True))
    for number, host in enumerate(wishes.hosts):
        place = f"{wishes.folder(number)}/tls"
        names = list(dict.fromkeys([host.host, "localhost", "127.0.0.1", "rppam-redis"]))
        if wishes.has_sentinels:
            names = list(dict.fromkeys([*names, wishes.sentinels[number].host]))
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
            "Choose another --dir, or write it anew with --force (what is there is kept beside it)"
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
                _write(path, files[name])
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


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all, and private from the first byte."""
    part = path.with_name(f".{path.name}.part")
    mode = 0o644 if path.name.endswith(_PUBLIC) else 0o600
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.chmod(mode)
    part.replace(path)
