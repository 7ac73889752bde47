"""``rppam init``: a node's config and keys, on a first host and, by a sealed bundle, on the next, or on a witness's.

Neither a password nor a
passphrase needs to stand on a command line: ``--redis -`` reads standard input, and the passphrase comes from a prompt,
a file or ``RPPAM_BUNDLE_PASSPHRASE``. A password in ``--database`` may come by ``RPPAM_DATABASE``, standard input, a
file or a prompt. A password on the command line gives a warning.

With ``--hosts`` the first host makes what all of them need, and a bundle for each of the others.
"""

import json
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click
from click.core import ParameterSource

from rppam.kernel.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rppam.setup.bundle import Bundle
    from rppam.setup.hosts_init import Cluster
    from rppam.setup.plan import Layout, Wishes
    from rppam.setup.write import Outcome

PASSPHRASE_VARIABLE = "RPPAM_BUNDLE_PASSPHRASE"  # noqa: S105 - a variable's name
_FILE = click.Path(path_type=Path, dir_okay=False)
_THERE = click.Path(path_type=Path, exists=True, dir_okay=False)


class _Asked(NamedTuple):
    """What the command line says, but for the values of the config."""

    node_name: str | None
    directory: Path | None
    config: Path | None
    data_dir: Path | None
    join: Path | None
    bundle: Path | None
    bundle_hours: int
    bundle_for: str | None
    passphrase_file: Path | None
    licence: Path | None
    force: bool
    as_json: bool
    witness: bool
    redis_password_file: Path | None
    service: bool
    start: bool
    redis_files: Path | None
    api_cert: Path | None
    api_key: Path | None
    api_ca: Path | None
    hosts: str | None
    cluster_dir: Path
    database_host: str | None
    dry_run: bool


@click.command(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: rppam init --node-name node1 --redis - < redis.connection",
)
@click.option("--node-name", help="Name of this node: lower-case letters, digits, hyphens.")
@click.option("--redis", envvar="RPPAM_REDIS", help="Connection string of Redis; '-' reads it from standard input.")
@click.option("--key-prefix", help="Prefix of this cluster's keys in Redis.  [default: rppam:]")
@click.option("--cluster-id", help="Name of the cluster.")
@click.option(
    "--timing-profile",
    type=click.Choice(["default", "lan", "classic"], case_sensitive=False),
    help="How fast a failure is healed.",
)
@click.option(
    "--quorum-policy",
    type=click.Choice(["last-man-standing", "majority"], case_sensitive=False),
    help="How much Redis' vote weighs; fixed when the cluster is founded.  [default: majority behind Sentinel, else "
    "last-man-standing]",
)
@click.option(
    "--database",
    envvar="RPPAM_DATABASE",
    help="SQL database URL; '-' reads it from standard input.  [default: SQLite in the data folder]",
)
@click.option("--database-password-file", type=_FILE, help="The password of --database stands there; '-' asks for it.")
@click.option(
    "--host",
    help="Address the REST API listens on [default: 127.0.0.1]; of a witness: where the other members reach it.",
)
@click.option(
    "--port", type=click.IntRange(1, 65_535), help="Its port [default: 7101]; of a witness: its member port [5201]."
)
@click.option(
    "--redis-files",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Instead of --redis: the folder 'node' (for a witness 'witness') that rppam redis setup wrote.",
)
@click.option("--api-cert", type=_THERE, help="Certificate of the REST API (PEM or .pfx), copied beside the config.")
@click.option("--api-key", type=_THERE, help="Its key.")
@click.option("--api-ca", type=_THERE, help="Authority that commands believe when they ask nodes over https.")
@click.option("--virtual-ip", help="Address that follows the leader, such as 10.0.1.50/24.")
@click.option("--virtual-ip-interface", help="Its network interface.  [default: the one in that network]")
@click.option("--advertise-url", help="How others reach the API, such as http://node1.example.com:7101.")
@click.option(
    "--license", "licence", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="Licence file."
)
@click.option("--trusted-key", "trusted", multiple=True, help="Public key (PEM file or base64) that signs licences.")
@click.option(
    "--hosts",
    help="All nodes, NAME=ADDRESS,NAME=ADDRESS,..., this one among them: makes their Redis with Sentinel, "
    "certificates, and a bundle for each other host.",
)
@click.option(
    "--cluster-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("cluster"),
    show_default=True,
    help="With --hosts: the folder for what is made.",
)
@click.option("--database-host", help="With --hosts: NAME=ADDRESS of a PostgreSQL to be set up, by a script made here.")
@click.option("--dry-run", is_flag=True, help="Only say what would be written.")
@click.option("--dir", "directory", type=click.Path(path_type=Path, file_okay=False), help="Put everything into DIR.")
@click.option("--config", type=_FILE, help="The config file, else RPPAM_CONFIG, else the platform's path.")
@click.option("--data-dir", type=click.Path(path_type=Path, file_okay=False), help="Folder of keys and state.")
@click.option("--bundle", type=_FILE, help="Write a join bundle to FILE; without --node-name, of a node that is there.")
@click.option(
    "--bundle-hours",
    type=click.IntRange(1, 24 * 31),
    default=24,
    show_default=True,
    help="For so long the bundle can be opened.",
)
@click.option("--bundle-for", metavar="NAME", help="Only the node or witness of this name may use the bundle.")
@click.option(
    "--join", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="Make the next node from a bundle."
)
@click.option(
    "--passphrase-file",
    type=_FILE,
    help=f"Write the bundle's passphrase there, or read it. Else shown, or asked for, or {PASSPHRASE_VARIABLE}.",
)
@click.option(
    "--witness",
    is_flag=True,
    help="With --join: make this host a witness, without keys of the API or data. With --bundle: seal no more than a "
    "witness needs.",
)
@click.option(
    "--redis-password-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="With --witness --join: the password of the witness's own user of Redis.",
)
@click.option("--service", is_flag=True, help="Make the account rppam, let it own the files, and install the unit.")
@click.option("--start", is_flag=True, help="With --service: start it, now and whenever the host does.")
@click.option("--force", is_flag=True, help="Write over files that differ; the old ones are kept as *.bak-TIME, but "
              "no secret on a witness's host.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="The result as one JSON object.")
def command(**options: Any) -> None:
    """Write a node's config, keys, licence path and database URL, and say what to do next.

    The first node makes the cluster's keys. --bundle FILE seals them for the next node under a passphrase that is shown
    once; there, rppam init --join FILE --node-name node2 does the rest, and on a witness's host rppam init --witness
    --join FILE --node-name witness1. --hosts makes a whole cluster from its first host: what Redis, Sentinel and the
    nodes of all hosts need, and a bundle for each, which there needs no other option; it shows what is left to type.
    With --start a joining ends once the node is a member. Nothing that exists is written over without --force, and a
    second run with the same options changes nothing.

    Exit code 0: done; 2: something is in the way, or wrong usage; 78: the configuration would be wrong.
    """
    from rppam.setup.errors import InitError

    try:
        _make(_Asked(*(options.pop(name) for name in _Asked._fields)), options)
    except OSError as error:
        if error.filename is None:  # nobody reads what is printed
            raise
        raise InitError(f"{error.filename}: {error.strerror}. Run this as root, or use --dir") from None


def _make(asked: _Asked, options: dict[str, Any]) -> None:
    from rppam.setup.plan import layout_of

    if asked.start and not asked.service:
        raise click.UsageError("--start goes with --service, which makes what is started")
    _check_bundle_for(asked)
    if asked.hosts is None and asked.database_host is not None:
        raise click.UsageError("--database-host goes with --hosts, whose nodes it is for; else give --database URL")
    if asked.hosts is not None and asked.witness:
        raise click.UsageError("--hosts: not with --witness; its hosts are nodes, and a witness is made apart")
    if asked.dry_run and (asked.witness or (asked.node_name is None and asked.join is None)):
        raise click.UsageError("--dry-run goes with --node-name or --join: it says what a node's host would get")
    if asked.redis_password_file is not None and not (asked.witness and asked.join):
        raise click.UsageError("--redis-password-file goes with --witness --join; a node's password stands in --redis")
    if asked.witness and not (asked.node_name is None and asked.bundle is not None and asked.join is None):
        _make_witness(asked, options)
        return
    named = os.environ.get("RPPAM_CONFIG")
    if options["redis"] == options["database"] == "-":
        raise click.UsageError("--redis - and --database -: standard input can be only one of them")
    config = asked.config or (Path(named) if named and asked.directory is None else None)
    layout = layout_of(asked.directory, config, asked.data_dir)
    if asked.node_name is None and asked.join is None:
        if asked.bundle is None:
            raise click.UsageError("--node-name is missing: the name of this node, such as node1")
        from rppam.setup.report import show_bundle

        answer = {"config": str(layout.config), **_export(layout, asked)}
        show_bundle(answer, as_json=asked.as_json)
        return
    if asked.service and not asked.dry_run:
        from rppam.setup.service import refuse_unless_possible

        refuse_unless_possible(layout.config)
    if asked.hosts is None:
        _make_node(asked, options, layout, None)
        return
    from rppam.setup.hosts_init import cluster_of

    said, folder = {**asked._asdict(), "layout": layout}, asked.cluster_dir
    with cluster_of(asked.hosts, folder, options, said, dry_run=asked.dry_run, force=asked.force) as cluster:
        given = cluster.given
        asked = asked._replace(**{name: value for name, value in given.items() if name in _Asked._fields})
        _make_node(asked, {name: given.get(name, value) for name, value in options.items()}, layout, cluster)


def _check_bundle_for(asked: _Asked) -> None:
    from rppam.config.kinds import NAME_FORM

    if asked.bundle_for is not None and asked.bundle is None:
        raise click.UsageError("--bundle-for goes with --bundle: it names the host that alone may use it")
    if asked.bundle_for is not None and not re.fullmatch(NAME_FORM, asked.bundle_for):
        raise click.UsageError(f"--bundle-for: expected 1 to 63 of a-z, 0-9 and '-'; found {asked.bundle_for!r}")


def _make_node(asked: _Asked, options: dict[str, Any], layout: "Layout", cluster: "Cluster | None") -> None:
    """A node's files, and with --hosts those for the others."""
    from rppam.kernel.system_clock import SystemClock
    from rppam.setup.given import text_of
    from rppam.setup.hosts_init import joined_wishes, server_files
    from rppam.setup.report import answer_of, report, report_planned
    from rppam.setup.service import redis_places, refuse_without_redis
    from rppam.setup.write import NodeWriter, bundle_of

    wishes = _wishes(asked, options, layout)
    bundle = None if asked.join is None else _given_bundle(asked.join, asked)
    if bundle is not None:
        wishes = joined_wishes(bundle, wishes, layout)
    server = server_files(cluster, bundle)
    licence = text_of(asked.licence, errors="replace") if asked.licence is not None else None
    writer = NodeWriter(layout, SystemClock(), force=asked.force)
    if asked.dry_run:
        found = writer.would_found(wishes, licence) if bundle is None else writer.would_join(bundle, wishes)
        placed = [*redis_places(server if asked.service else {}), *(cluster.would_write() if cluster else [])]
        report_planned([*found, *placed], as_json=asked.as_json)
        return
    if asked.service and server:
        refuse_without_redis()
    outcome = writer.first(wishes, licence) if bundle is None else writer.joined(bundle, wishes)
    made: dict[str, Any] = {}
    if cluster is not None:
        made = cluster.sealed(bundle_of(layout.config), asked.bundle_hours, started=asked.start)
        outcome = outcome._replace(written=(*outcome.written, *cluster.folder.written))
    outcome = _installed(outcome, layout, asked, server)
    is_member = asked.start and bundle is not None
    if is_member:
        from rppam.setup.arrival import wait_until_member

        wait_until_member(layout.config, wishes.node_name)
    answer = answer_of(outcome) | made
    if asked.bundle is not None:
        answer |= _export(layout, asked)
    if asked.as_json:
        click.echo(json.dumps(answer))
    else:
        report(outcome, answer, joined=asked.join is not None, member=is_member)


def _make_witness(asked: _Asked, options: dict[str, Any]) -> None:
    """A witness's files, from a bundle."""
    from rppam.config.places import WITNESS_CONFIG, default_places, witness_places
    from rppam.kernel.system_clock import SystemClock
    from rppam.setup.given import redis_string, text_of
    from rppam.setup.placed_files import of_redis
    from rppam.setup.plan import NOTHING_PLACED, Layout, layout_of
    from rppam.setup.report import answer_of
    from rppam.setup.witness import WitnessWishes, WitnessWriter

    if asked.join is None:
        raise click.UsageError("--witness goes with --join BUNDLE: a witness is made from a node of its cluster")
    if asked.node_name is None:
        raise click.UsageError("--node-name is missing: the name of the witness, such as witness1")
    source = click.get_current_context().get_parameter_source  # what the environment has for nodes is no mistake
    of_nodes = [
        name
        for name in options
        if name not in {"redis", "host", "port"} and source(name) is ParameterSource.COMMANDLINE
    ]
    of_nodes += [name for name in ("api_cert", "api_key", "api_ca") if getattr(asked, name) is not None]
    if asked.licence is not None or asked.bundle is not None or of_nodes:
        named = [*of_nodes, *(["license"] if asked.licence else []), *(["bundle"] if asked.bundle else [])]
        given = ", ".join(f"--{name.replace('_', '-')}" for name in named)
        raise click.UsageError(f"{given}: not for a witness, which has no API, no database and no licence seat")
    layout = layout_of(asked.directory, asked.config, asked.data_dir, witness_places(default_places()))
    if asked.directory is not None and asked.config is None:
        layout = Layout(layout.config.with_name(WITNESS_CONFIG), layout.data)
    redis = redis_string(options["redis"])
    password = None if asked.redis_password_file is None else text_of(asked.redis_password_file, errors="replace")
    wishes = WitnessWishes(
        asked.node_name,
        options["host"],
        options["port"],
        Secret(redis) if redis else None,
        Secret(password.strip()) if password else None,
        NOTHING_PLACED if asked.redis_files is None else of_redis(asked.redis_files, layout.config.parent).inlined(),
    )
    bundle = _given_bundle(asked.join, asked)
    if asked.service:
        from rppam.setup.service import refuse_unless_possible

        refuse_unless_possible(layout.config)
    writer = WitnessWriter(layout, SystemClock(), force=asked.force)
    outcome = _installed(writer.witness(bundle, wishes), layout, asked)
    answer = answer_of(outcome)
    del answer["licensePath"]
    if asked.as_json:
        click.echo(json.dumps(answer))
    else:
        _report_witness(outcome, asked, bundle)


def _report_witness(outcome: "Outcome", asked: _Asked, bundle: "Bundle") -> None:
    from rppam.setup.report import report_written
    from rppam.setup.witness import CARRIED
    from rppam.setup.write import CLUSTER_KEY

    report_written(outcome)
    click.echo("\nNext:")
    if {name for name in bundle.files if not name.startswith(CARRIED)} - {CLUSTER_KEY}:
        click.echo(
            f"  remove {asked.join} from this host: it holds keys that a witness must not have; one that holds none of "
            "them is made on a node by: rppam init --witness --bundle FILE"
        )
    else:
        click.echo(f"  remove {asked.join} from this host: it holds the cluster key")
    click.echo(f"  rppam doctor --witness --config {outcome.config}")
    click.echo(
        f"  rppam witness --config {outcome.config}        (or by systemd: systemctl enable --now rppam-witness)"
    )


def _wishes(asked: _Asked, options: dict[str, Any], layout: "Layout") -> "Wishes":
    from rppam.licence.service import given_public_key
    from rppam.setup.given import database_url, redis_string, text_of
    from rppam.setup.placed_files import of_api, of_redis
    from rppam.setup.plan import Wishes

    folder = layout.config.parent
    placed = of_api(asked.api_cert, asked.api_key, asked.api_ca, folder)
    if asked.redis_files is not None:
        if options["redis"]:
            raise click.UsageError("--redis-files goes without --redis: the section there names the servers")
        placed = of_redis(asked.redis_files, folder).under(placed)
    redis = redis_string(options.pop("redis"))
    database = database_url(options.pop("database"), options.pop("database_password_file"))
    given = ((text, text_of(Path(text), errors="replace")) for text in options.pop("trusted"))
    trusted = [given_public_key("--trusted-key", text, content) for text, content in given]
    return Wishes(
        node_name=asked.node_name or "",
        placed=placed,
        redis=Secret(redis) if redis else None,
        database=database,
        trusted_keys=tuple(key.text() for key in trusted),
        **options,
    )


def _given_bundle(path: Path, asked: _Asked) -> "Bundle":
    """What the bundle of ``--join`` holds."""
    from rppam.kernel.system_clock import SystemClock
    from rppam.setup.bundle import refuse_another, unseal
    from rppam.setup.given import text_of

    sealed = text_of(path, errors="replace") or ""
    bundle = unseal(sealed, _passphrase(asked), SystemClock().wall_ms(), place=str(path))
    refuse_another(bundle, asked.node_name)
    return bundle


def _installed(
    outcome: "Outcome", layout: "Layout", asked: _Asked, server: "Mapping[str, bytes] | None" = None
) -> "Outcome":
    """With --service the unit as well, and before it the Redis whose files ``server`` is."""
    if not asked.service:
        note = "this host's Redis and Sentinel were not set up, which --service does"
        return outcome._replace(warnings=(*outcome.warnings, note)) if server else outcome
    from rppam.setup.service import install, install_redis, start

    if server:
        install_redis(server)
    with_address = outcome.settings.cluster.virtual_ip is not None and not asked.witness
    units = install(layout.config, layout.data, witness=asked.witness, with_address=with_address)
    if asked.start:
        start(witness=asked.witness)
    return outcome._replace(written=(*outcome.written, *units))


def _passphrase(asked: _Asked) -> Secret:
    if asked.passphrase_file is not None:
        from rppam.setup.given import secret_of

        return secret_of("--passphrase-file", asked.passphrase_file)
    from_environment = os.environ.get(PASSPHRASE_VARIABLE)
    if from_environment:
        if not from_environment.isascii():  # bytes that are no text come as half characters
            raise click.UsageError(f"{PASSPHRASE_VARIABLE}: expected the passphrase as it was shown, found other bytes")
        return Secret(from_environment)
    if not sys.stdin.isatty():
        raise click.UsageError(
            f"the bundle's passphrase is missing: give --passphrase-file or set {PASSPHRASE_VARIABLE}"
        )
    return Secret(click.prompt("Passphrase of the bundle", hide_input=True, err=True))


def _export(layout: "Layout", asked: _Asked) -> dict[str, Any]:
    from rppam.access.accounts.service import random_password
    from rppam.cli.files import write_private
    from rppam.kernel.system_clock import SystemClock
    from rppam.setup.bundle import seal
    from rppam.setup.errors import InitError
    from rppam.setup.witness import witness_bundle
    from rppam.setup.write import bundle_of

    assert asked.bundle is not None
    for path in (asked.bundle, asked.passphrase_file):
        if path is not None and path.exists() and not asked.force:
            raise InitError(f"{path} stands there already; choose another name, or replace it with --force")
    passphrase = random_password()
    kind: dict[str, Any] = {"hours": asked.bundle_hours} | ({"witness": "yes"} if asked.witness else {})
    if asked.bundle_for is not None:
        kind["onlyFor"] = asked.bundle_for
    try:
        bundle = bundle_of(layout.config)
        carried = (witness_bundle(bundle) if asked.witness else bundle)._replace(only_for=asked.bundle_for)
        write_private(asked.bundle, seal(carried, passphrase, SystemClock().wall_ms(), hours=asked.bundle_hours))
        if asked.passphrase_file is not None:
            write_private(asked.passphrase_file, passphrase.reveal() + "\n")
            return {"bundle": str(asked.bundle), "passphraseFile": str(asked.passphrase_file), **kind}
    except OSError as error:
        raise InitError(f"{asked.bundle}: cannot be written: {error.strerror}") from None
    return {"bundle": str(asked.bundle), "passphrase": passphrase.reveal(), **kind}
