"""``rppam redis``: the files of a Redis for this product, its passwords, and what its memory is used for.

``setup`` writes files into a folder and nothing else: it installs, starts and changes nothing. ``info`` only reads.
``rotate-password`` is two commands, with the change of the nodes' files between them.
"""

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from rppam.access.tokens.target import ca_option
from rppam.cli.errors import fail, tell
from rppam.cli.files import write_private
from rppam.cli.group import Group
from rppam.cli.paths import CONFIG_FILE
from rppam.kernel.errors import Exit

if TYPE_CHECKING:
    from rppam.config.settings import Settings
    from rppam.kernel.secret import Secret
    from rppam.redis.key_usage import Survey
    from rppam.setup.redis_rotation import Admin

_HELP: Final = {"help_option_names": ["-h", "--help"]}
CALLS_MAX: Final = 200
_JSON: Final = click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
_CONFIG: Final = click.option("--config", type=CONFIG_FILE, help="The config file of a node; else RPPAM_CONFIG.")
_ADMIN: Final = click.option(
    "--admin-password-file", required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="File with the password of a Redis user that may change users.",
)  # fmt: skip
_ADMIN_USER: Final = click.option("--admin-user", default="default", show_default=True, help="That user's name.")
_WITNESS: Final = click.option(
    "--witness", is_flag=True, help="The password of the witnesses' own user, rppam-witness, and not that of the nodes."
)


@click.group("redis", cls=Group, context_settings=_HELP, epilog="Example: rppam redis setup --dir redis-files --tls")
def command() -> None:
    """Set up a Redis for this product, make passwords, look at its memory."""


@command.command("password", context_settings=_HELP, epilog="Example: rppam redis password > redis.password")
def password() -> None:
    """Print a new password: 48 letters and digits, without a meaning to any shell or file."""
    from rppam.setup.redis_wishes import new_password

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
@_JSON
def setup(folder: Path, *, dry_run: bool, force: bool, as_json: bool, **wished: Any) -> None:
    """Write everything a hardened Redis for this product needs, and the matching section for rppam.config.

    redis.conf and users.acl, with --sentinel also sentinel.conf, with --tls certificates; a Compose file, a systemd
    drop-in, a firewall sheet, and INSTALL.txt, which tells what to do with them. Run it again at any time: what stands
    there is kept, passwords and certificates included.
    """
    from rppam.kernel.system_clock import SystemClock
    from rppam.setup.redis_files import SetupError, plan_files, write_files
    from rppam.setup.redis_wishes import WishError, make_wishes

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
@_JSON
def info(config: Path | None, scan_calls: int, as_json: bool) -> int:
    """Show what the keys of this cluster take of Redis' memory, by family.

    Walks with SCAN within bounds and measures samples, so that a busy Redis does not notice. Exit code 69 when Redis
    cannot be reached; rppam doctor tells why.
    """
    settings = _settings(config)
    survey = asyncio.run(_survey(settings, scan_calls))
    if survey is None:
        return Exit.REDIS_UNREACHABLE
    (_print_json if as_json else _print_table)(survey, settings.redis.key_prefix)
    return Exit.DONE


async def _survey(settings: Any, calls_max: int) -> "Survey | None":
    from rppam.doctor.check_redis import StoreCheck
    from rppam.doctor.report import Report
    from rppam.kernel.system_clock import SystemClock
    from rppam.redis.key_usage import survey

    report = Report()
    said = settings.redis.connection
    report.hide(said.password, said.sentinel_password, settings.redis.tls_cert_password)
    store = StoreCheck(settings, report, SystemClock())
    await store.reach()
    if store.connection is None:
        for finding in report.findings:
            tell(f"{finding.what} {finding.evidence}", finding.code)
        fail("Redis cannot be reached; run: rppam doctor")
        return None
    try:
        return await survey(
            store.connection, settings.redis.key_prefix, timeout_ms=said.timeouts.sync_ms, calls_max=calls_max
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


@command.group(
    "rotate-password",
    context_settings=_HELP,
    epilog="Example: rppam redis rotate-password begin --admin-password-file admin.pw --out new.pw",
)
def rotate() -> None:
    """Change the Redis password of the nodes without an outage.

    begin adds a new password on every Redis server, beside the old one. Then copy it over the file that redis.password
    names on each node, and on each witness that enters Redis as the nodes do: it is noticed within seconds, without a
    restart. finish takes the old one away. Witnesses of the user rppam-witness have a password of their own, which both
    leave alone; with --witness both change that one, and the nodes' stays.
    """


@rotate.command(
    context_settings=_HELP,
    epilog="Example: rppam redis rotate-password begin --admin-password-file admin.pw --out new.pw",
)
@_CONFIG
@_ADMIN
@_ADMIN_USER
@click.option("--force", is_flag=True, help="Also while a replica that the sentinels know cannot be reached.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="File for the new password; taken as it is "
              "when it is there already.")  # fmt: skip
@_WITNESS
@_JSON
def begin(
    config: Path | None,
    admin_password_file: Path,
    admin_user: str,
    out: Path,
    *,
    force: bool,
    witness: bool,
    as_json: bool,
) -> int:
    """Add a new password for the nodes' user on the primary and every replica."""
    from rppam.setup.redis_acl import WITNESS_USER
    from rppam.setup.redis_rotation import RotationError, add
    from rppam.setup.redis_wishes import new_password

    settings = _settings(config)
    if not out.exists():
        write_private(out, new_password().reveal() + "\n")
    admin, user = _admin(admin_user, admin_password_file), WITNESS_USER if witness else None
    try:
        done = asyncio.run(add(settings, admin, _secret(out), force=force, user=user))
    except RotationError as error:
        raise click.ClickException(str(error)) from None
    _record(settings, "redis-password.begin", witness=witness)
    file_here = settings.redis.password_file
    if witness:
        done.append(f"next: copy {out} over the file that redis.password names on every witness; then run finish with "
                    "--witness")  # fmt: skip
    elif file_here is None:
        done.append(
            'TO DO: redis.password names no file here; write {"file": PATH} on each node and restart them in turn'
        )
    else:
        done.append(f"next: copy {out} over {file_here}, and over that file of every other node; on a witness only "
                    f"where it enters Redis as the nodes do, and not as '{WITNESS_USER}'; then run finish")  # fmt: skip
    _show(done, as_json=as_json)
    return Exit.DONE


@rotate.command(
    context_settings=_HELP,
    epilog="Example: rppam redis rotate-password finish --admin-password-file admin.pw --new new.pw",
)
@_CONFIG
@_ADMIN
@_ADMIN_USER
@click.option("--new", "new", required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False),
              help="The file that begin wrote.")  # fmt: skip
@click.option("--url", help="The node to ask for the others. Default: the config's own.")
@ca_option
@click.option("--force", is_flag=True, help="Also while a member does not show that it uses the new password, a "
              "replica cannot be reached, or one copies with the old password.")  # fmt: skip
@_WITNESS
@_JSON
def finish(
    config: Path | None,
    admin_password_file: Path,
    admin_user: str,
    new: Path,
    *,
    url: str | None,
    ca: Path | None,
    force: bool,
    witness: bool,
    as_json: bool,
) -> int:
    """Take every other password of the nodes' user away, once all who enter as that user use the new one.

    Exit code 1 when a member still uses the old one, or a replica cannot be reached: nothing was changed then.
    """
    from rppam.access.tokens.target import target_of
    from rppam.setup.redis_acl import WITNESS_USER
    from rppam.setup.redis_laggards import laggards
    from rppam.setup.redis_rotation import RotationError, keep_only

    settings = _settings(config)
    target = target_of(url, None, config, "rotate@host", ca)
    password, admin = _secret(new), _admin(admin_user, admin_password_file)
    try:
        late = asyncio.run(laggards(settings, target, password, admin, of_witnesses=witness))
    except RotationError as error:
        if not force:
            raise click.ClickException(str(error)) from None
        late = [str(error)]
    if late and not force:
        _show([*late, "nothing was changed: let every member use the new password first"], as_json=as_json)
        return Exit.NO
    try:
        user = WITNESS_USER if witness else None
        done = asyncio.run(keep_only(settings, admin, password, force=force, user=user))
    except RotationError as error:
        raise click.ClickException(str(error)) from None
    _record(settings, "redis-password.finish", witness=witness)
    _show([*late, *done], as_json=as_json)
    return Exit.DONE


def _record(settings: "Settings", action: str, *, witness: bool) -> None:
    from rppam.cli.recorded import record_on_host
    from rppam.ledger.acts import Act
    from rppam.ledger.model import Entity

    record_on_host(settings, Act(action, Entity("redis"), {"of": "witnesses" if witness else "nodes"}))


def _settings(config: Path | None) -> "Settings":
    from rppam.config.load import load_settings
    from rppam.config.places import config_path

    path = config_path(config)
    settings = load_settings(path)
    if settings.redis.connection is None:
        raise click.UsageError(f"{path}: expected redis.connectionString, found none")
    return settings


def _admin(user: str, file: Path) -> "Admin":
    from rppam.setup.redis_rotation import Admin

    return Admin(None if user == "default" else user, _secret(file))


def _secret(file: Path) -> "Secret":
    from rppam.kernel.secret import Secret

    text = file.read_text(encoding="utf-8").removesuffix("\n").removesuffix("\r")
    if not text or "\n" in text:
        raise click.UsageError(f"{file}: expected one password in one line")
    return Secret(text)


def _show(lines: list[str], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"told": lines}, ensure_ascii=False))
        return
    for line in lines:
        click.echo(line)
