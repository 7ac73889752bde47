"""``rppam init --hosts``: from a list of hosts to the options that the longer way types one by one, and on to steps.

Decides what each option is where nobody gave it. The way after that is the same: who has an authority, a Redis or a
database of their own gives what they have, and the rest is made.
"""

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import click

from rppam.kernel.system_clock import SystemClock
from rppam.licence.service import given_public_key, verify
from rppam.setup.bundle import Bundle
from rppam.setup.cluster_folder import DATABASE, REDIS, TLS, ClusterFolder
from rppam.setup.database_files import database_url
from rppam.setup.errors import InitError
from rppam.setup.given import text_of
from rppam.setup.hosts import Host, host_of, hosts_of, refuse_elsewhere
from rppam.setup.placed_files import TLS_FOLDER, Placed
from rppam.setup.plan import Layout, Wishes

API_PORT: Final = 7101
_EVERYWHERE: Final = "0.0.0.0"
_EVERYWHERE_6: Final = "::"


class Cluster(NamedTuple):
    """What ``--hosts`` made on the first host."""

    folder: ClusterFolder
    place: Path
    """Where it stands, or would: a dry run makes it elsewhere."""
    database: Host | None
    given: dict[str, Any]
    """Options as if they had been typed."""

    def would_write(self) -> list[Path]:
        """The files of the folder, where they are to stand."""
        made = [self.place / path.relative_to(self.folder.path) for path in self.folder.written]
        others, kinds = self.folder.hosts[1:], ("bundle", "passphrase")
        bundles = (self.place / f"{host.name}.{kind}" for host in others for kind in kinds)
        return [*made, *(path for path in bundles if not path.exists())]

    def sealed(self, bundle: Bundle, hours: int, *, started: bool) -> dict[str, Any]:
        """Seal a bundle for each other host; what the command says of them, and what is left to type."""
        made = [
            {"nodeName": host.name, "bundle": str(sealed), "passphraseFile": str(opens)}
            for host, sealed, opens in self.folder.seal(bundle, hours)
        ]
        return {"bundles": made, "next": self.steps(started=started)}

    def steps(self, *, started: bool) -> list[str]:
        """What is left to do, in the order that works."""
        place, own = self.place, self.folder.own
        found = []
        if self.database is not None and self.database.address == own.address:
            found.append(f"sudo sh {place / DATABASE / 'install.sh'}")
        elif self.database is not None:
            found.append(f"sudo scp -r {place / DATABASE} {self.database.name}:")
            found.append(f"on {self.database.name}: sudo sh {DATABASE}/install.sh")
        if not started:
            found.append("sudo systemctl enable --now rppam")
        for host in self.folder.hosts[1:]:
            sealed, opens = (f"{host.name}.{kind}" for kind in ("bundle", "passphrase"))
            found.append(f"sudo scp {place / sealed} {place / opens} {host.name}:")
            found.append(f"on {host.name}: sudo rppam init --join {sealed} --passphrase-file {opens} --service --start")
        return [*found, "sudo -u rppam rppam status", f"move {place} from this host into a safe: it holds every key"]


@contextmanager
def cluster_of(
    text: str, place: Path, options: dict[str, Any], asked: dict[str, Any], *, dry_run: bool, force: bool
) -> Iterator[Cluster]:
    """Make the folder of the hosts in ``text``, on the first of them. Raises UsageError and :class:`InitError`.

    ``options`` and ``asked``: what else the command line says.
    """
    _refuse(asked, options)
    with_redis = not (options["redis"] or asked["redis_files"])
    hosts = hosts_of(text, asked["node_name"], with_redis=with_redis)
    database = None if asked["database_host"] is None else host_of("--database-host", asked["database_host"])
    refuse_elsewhere(hosts[0], "--hosts")
    _check_seats(asked["licence"], options["trusted"], asked["layout"], len(hosts))
    address = (options["virtual_ip"] or "").partition("/")[0] or None
    with tempfile.TemporaryDirectory(prefix="rppam-dry-") as elsewhere:
        path = place.absolute()
        if dry_run:
            path = Path(elsewhere, "cluster")
            if place.exists():
                shutil.copytree(place, path)
        folder = ClusterFolder(path, hosts, SystemClock().wall_ms(), force=force)
        folder.make(database, address, options["key_prefix"] or "rppam:", with_redis=with_redis)
        yield Cluster(folder, place.absolute(), database, _given(folder, database, options, asked, with_redis))


def server_files(cluster: Cluster | None, bundle: Bundle | None) -> dict[str, bytes]:
    """What is placed on this host for its Redis: of the folder on the first host, of the bundle on another."""
    if cluster is not None:
        return cluster.folder.server_files(0)
    own = bundle.own.files if bundle is not None and bundle.own is not None else {}
    return {name.removeprefix(f"{REDIS}/"): content for name, content in own.items() if name.startswith(f"{REDIS}/")}


def joined_wishes(bundle: Bundle, wishes: Wishes, layout: Layout) -> Wishes:
    """The wishes on the host that a bundle is for; as they are where it is for any.

    Raises UsageError and :class:`InitError`.
    """
    own = bundle.own
    if own is None:
        name = wishes.node_name or bundle.only_for
        if not name:
            raise click.UsageError("--node-name is missing: the name of this node, such as node1")
        return wishes._replace(node_name=name)
    refuse_elsewhere(own.host, "the bundle")
    values: dict[str, Any] = {}
    files: dict[Path, bytes] = {}
    for name, kind in (("tlsCertPath", "pem"), ("tlsKeyPath", "key")):
        content = own.files.get(f"{TLS}/{own.host.name}.{kind}")
        if content is not None:
            target = layout.config.parent / TLS_FOLDER / f"{own.host.name}.{kind}"
            files[target], values[name] = content, str(target)
    placed = Placed({"api": values} if values else {}, files)
    return wishes._replace(
        node_name=own.host.name,
        advertise_url=wishes.advertise_url or own.host.url(wishes.port or _port_of(bundle)),
        placed=placed.under(wishes.placed),
    )


def _port_of(bundle: Bundle) -> int:
    api = bundle.config.get("api")
    port = api.get("port") if isinstance(api, Mapping) else None
    return port if isinstance(port, int) else API_PORT


def _refuse(asked: dict[str, Any], options: dict[str, Any]) -> None:
    for name in ("join", "bundle", "api_cert", "api_key", "api_ca"):
        if asked[name] is not None:
            option = name.replace("_", "-")
            raise click.UsageError(
                f"--{option}: not with --hosts, which makes certificates and bundles itself; who has an authority of "
                "their own gives each node its certificate, without --hosts"
            )
    if asked["node_name"] is None:
        raise click.UsageError("--node-name is missing: which of --hosts this host is")
    if (options["database"] is None) == (asked["database_host"] is None):
        raise click.UsageError(
            "--hosts: expected one of --database-host NAME=ADDRESS, for a PostgreSQL that shall be set up, and "
            f"--database URL, for one that is; found {'neither' if options['database'] is None else 'both'}"
        )
    if asked["database_host"] is not None and asked["start"]:
        raise click.UsageError(
            "--start: not with --database-host, whose database is set up after this, by the files that this makes; "
            "then: systemctl enable --now rppam"
        )


def _check_seats(licence: Path | None, trusted: tuple[str, ...], layout: Layout, hosts: int) -> None:
    """Raises :class:`InitError` where the licence has not as many nodes, and what ``verify`` raises."""
    path = licence or layout.licence
    text = text_of(path, errors="replace")
    if text is None:
        raise InitError(
            "--hosts: a cluster of several nodes needs a licence; give --license FILE, and --trusted-key with the key "
            "that signed it"
        )
    if not trusted:
        return  # the config's own decide, when it is checked
    keys = [given_public_key("--trusted-key", one, text_of(Path(one), errors="replace")) for one in trusted]
    seats = verify(text, keys).max_nodes
    if seats < hosts:
        raise InitError(f"--license: {path} is for {seats} nodes, and --hosts names {hosts}")


def _given(
    folder: ClusterFolder, database: Host | None, options: dict[str, Any], asked: dict[str, Any], with_redis: bool
) -> dict[str, Any]:
    """What the list of hosts says of options that were not given."""
    own = folder.own
    certificate, key = folder.pair_of(own.name)
    found: dict[str, Any] = {"api_cert": certificate, "api_key": key, "api_ca": folder.authority}
    if with_redis:
        found["redis_files"] = folder.node_files
    if options["host"] is None:
        found["host"] = _EVERYWHERE_6 if ":" in own.address else _EVERYWHERE
    if options["advertise_url"] is None:
        found["advertise_url"] = own.url(options["port"] or API_PORT)
    if options["quorum_policy"] is None:
        found["quorum_policy"] = "majority"
    if database is not None:
        authority = asked["layout"].config.parent / TLS_FOLDER / folder.authority.name
        found["database"] = database_url(database, str(authority))
        found["database_password_file"] = folder.password
    return found
