"""``rppam redis``: the files of a Redis for this product, passwords for it, and what its memory is used for.

``setup`` writes files into a folder and nothing else: it installs, starts and changes nothing. ``info`` only reads.
"""

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from rppam.cli.paths import CONFIG_FILE
from rppam.kernel.exits import Exit
from rppam.setup.redis_rotate_command import command as rotate

if TYPE_CHECKING:
    from rppam.redis.key_usage import Survey

_HELP: Final = {"help_option_names": ["-h", "--help"]}
CALLS_MAX: Final = 200


@click.group("redis", context_settings=_HELP, epilog="Example: rppam redis setup --dir redis-files --tls")
def command() -> None:
    """Set up a Redis for this product, make passwords, look at its memory."""


command.add_command(rotate)


@command.command("password", context_settings=_HELP, epilog="Example: rppam redis password > redis.password")
def password() -> None:
    """Print a new password: 48 letters and digits, without a meaning to any shell or file."""
    from rppam.setup.redis_passwords import new_password

    click.echo(new_password().reveal())


@command.command(
    "setup",
    context_settings=_HELP,
    epilog=(
        "Example: rppam redis setup --dir redis-files --tls --sentinel"
        " --host 10.0.1.20 --host 10.0.1.21 --host 10.0.1.22"
    ),
)
@click.option("--dir", "folder", required=True, type=click.Path(path_type=Path), help="Folder for the files.")
@click.option(
    "--host",
    "hosts",
    multiple=True,
    help="Where Redis will run, HOST or HOST:PORT; with --sentinel three times, primary first.  [default: 127.0.0.1]",
)
@click.option("--sentinel", is_flag=True, help="A primary, two replicas, and a sentinel beside each.")
@click.option(
    "--sentinel-host",
    "sentinel_hosts",
    multiple=True,
    help="Where the sentinels run, HOST:PORT, three times.  [default: the hosts, port 26379]",
)
@click.option("--tls", is_flag=True, help="TLS: an authority, server certificates, a client certificate (.pfx).")
@click.option(
    "--prefix", default="rppam:", show_default=True, help="redis.keyPrefix; the nodes' user sees nothing else."
)
@click.option("--service-name", default="rppam-master", show_default=True, help="Name of the primary at the sentinels.")
@click.option("--memory", default="1gb", show_default=True, help="maxmemory, at least 256mb.")
@click.option("--conf-dir", default="/etc/redis", show_default=True, help="Where the files will stand on Redis' host.")
@click.option("--data-dir", default="/var/lib/redis", show_default=True, help="Where Redis keeps its data there.")
@click.option(
    "--node-dir", default="/etc/rppam/certs", show_default=True, help="Where each node has password and certificates."
)
@click.option("--dry-run", is_flag=True, help="Only say what would be written.")
@click.option("--force", is_flag=True, help="Replace files that say something else; each is kept as .bak-TIME.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def setup(folder: Path, *, dry_run: bool, force: bool, as_json: bool, **wished: Any) -> None:
    """Write everything a hardened Redis for this product needs, and the matching section for rppam.config.

    redis.conf and users.acl, with --sentinel also sentinel.conf, with --tls certificates; a Compose file, a systemd
    drop-in, a firewall sheet, and INSTALL.txt, which tells what to do with them. Run it again at any time: what stands
    there is kept, passwords and certificates included.
    """
    from rppam.kernel.system_clock import SystemClock
    from rppam.setup.redis_wishes import WishError, make_wishes
    from rppam.setup.redis_write import SetupError, plan_files, write_files

    now = SystemClock().wall_ms()
    try:
        wishes = make_wishes(**wished)
        files = plan_files(wishes, folder, now)
        outcome = write_files(files, folder, now, force=force, dry_run=dry_run)
    except WishError as error:
        raise click.UsageError(str(error)) from None
    except SetupError as error:
        raise click.ClickException(str(error)) from None
    if as_json:
        told = {name: [str(path) for path in paths] for name, paths in outcome._asdict().items()}
        click.echo(json.dumps({"dryRun": dry_run, **told}))
        return
    for path in outcome.written:
        click.echo(f"{'would write' if dry_run else 'wrote'} {path}")
    for path in outcome.backups:
        click.echo(f"kept the old one as {path}")
    if not outcome.written:
        click.echo(f"{folder}: all {len(outcome.kept)} files stand there already")
    elif not dry_run:
        click.echo(f"What to do with them: {folder / 'INSTALL.txt'}")


@command.command("info", context_settings=_HELP, epilog="Example: rppam redis info --config /etc/rppam/rppam.config")
@click.option("--config", type=CONFIG_FILE, help="The config file; else RPPAM_CONFIG.")
@click.option(
    "--scan-calls", default=CALLS_MAX, show_default=True, type=click.IntRange(1, 10_000),
    help="Walk at most so many steps of 1,000 keys each.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def info(config: Path | None, scan_calls: int, as_json: bool) -> int:
    """Show what the keys of this cluster take of Redis' memory, by family.

    Walks with SCAN within bounds and measures samples, so that a busy Redis does not notice. Exit code 69 when Redis
    cannot be reached; rppam doctor tells why.
    """
    from rppam.config.load import load_settings
    from rppam.config.places import config_path

    path = config_path(config)
    settings = load_settings(path)
    if settings.redis.connection is None:
        raise click.UsageError(f"{path}: expected redis.connectionString, found none")
    survey = asyncio.run(_survey(settings, scan_calls))
    if survey is None:
        return Exit.REDIS_UNREACHABLE
    (_print_json if as_json else _print_table)(survey, settings.redis.key_prefix)
    return Exit.DONE


async def _survey(settings: Any, calls_max: int) -> "Survey | None":
    from rppam.doctor import Report, StoreCheck
    from rppam.kernel.system_clock import SystemClock
    from rppam.redis.key_usage import survey

    report = Report()
    said = settings.redis.connection
    report.hide(said.password, said.sentinel_password, settings.redis.tls_cert_password)
    store = StoreCheck(settings, report, SystemClock())
    await store.reach()
    if store.connection is None:
        for finding in report.findings:
            click.echo(f"rppam: {finding.code}: {finding.what} {finding.evidence}", err=True)
        click.echo("rppam: Redis cannot be reached; run: rppam doctor", err=True)
        return None
    try:
        return await survey(
            store.connection, settings.redis.key_prefix, timeout_ms=said.sync_timeout_ms, calls_max=calls_max
        )
    finally:
        await store.close()


def _print_json(survey: "Survey", prefix: str) -> None:
    families = [
        {
            "family": family.name,
            "keys": family.keys,
            "measured": family.measured,
            "estimatedBytes": family.estimated_bytes,
            "largestKey": family.largest[1],
            "largestBytes": family.largest[0],
        }
        for family in _sorted(survey)
    ]
    told = {"keyPrefix": prefix, "complete": survey.walked_all, "keysInDatabase": survey.keys_in_all}
    click.echo(json.dumps({**told, "families": families}, ensure_ascii=False))


def _print_table(survey: "Survey", prefix: str) -> None:
    width = max([len("family"), *(len(name) for name in survey.families)])
    click.secho(f"{'family':<{width}}  {'keys':>9}  {'bytes':>12}  largest", bold=True)
    for family in _sorted(survey):
        about = "" if family.measured == family.keys else "~"
        size = f"{about}{family.estimated_bytes:,}"
        click.echo(
            f"{family.name:<{width}}  {family.keys:>9,}  {size:>12}  {family.largest[1]} ({family.largest[0]:,})"
        )
    total = sum(family.estimated_bytes for family in survey.families.values())
    keys = sum(family.keys for family in survey.families.values())
    of = f" of {survey.keys_in_all:,} in the database" if survey.keys_in_all is not None else ""
    click.echo(f"{keys:,} keys under {prefix}{of}, about {total:,} bytes")
    if not survey.walked_all:
        click.echo("Not all keys were walked; raise --scan-calls to go on.")


def _sorted(survey: "Survey") -> list[Any]:
    return sorted(survey.families.values(), key=lambda family: (-family.estimated_bytes, family.name))
