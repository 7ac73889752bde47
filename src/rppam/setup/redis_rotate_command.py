"""``rppam redis rotate-password``: two commands with the change of the nodes' files between them."""

import asyncio
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from rppam.access.tokens import ca_option
from rppam.cli.paths import CONFIG_FILE
from rppam.kernel.exits import Exit

if TYPE_CHECKING:
    from rppam.config.settings import Settings
    from rppam.setup.redis_rotation import Admin

_HELP: Final = {"help_option_names": ["-h", "--help"]}
_CONFIG: Final = click.option("--config", type=CONFIG_FILE, help="The config file of a node; else RPPAM_CONFIG.")
_ADMIN: Final = click.option(
    "--admin-password-file", required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="File with the password of a Redis user that may change users.",
)  # fmt: skip
_ADMIN_USER: Final = click.option("--admin-user", default="default", show_default=True, help="That user's name.")
_WITNESS: Final = click.option(
    "--witness", is_flag=True, help="The password of the witnesses' own user, rppam-witness, and not that of the nodes."
)
_JSON: Final = click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")


@click.group(
    "rotate-password",
    context_settings=_HELP,
    epilog="Example: rppam redis rotate-password begin --admin-password-file admin.pw --out new.pw",
)
def command() -> None:
    """Change the Redis password of the nodes without an outage.

    begin adds a new password on every Redis server, beside the old one. Then copy it over the file that redis.password
    names on each node, and on each witness that enters Redis as the nodes do: it is noticed within seconds, without a
    restart. finish takes the old one away. Witnesses of the user rppam-witness have a password of their own, which both
    leave alone; with --witness both change that one, and the nodes' stays.
    """


@command.command(
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
    from rppam.setup.redis_passwords import new_password
    from rppam.setup.redis_rotation import RotationError, add

    settings = _settings(config)
    if not out.exists():
        descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(new_password().reveal() + "\n")
    admin, user = _admin(admin_user, admin_password_file), WITNESS_USER if witness else None
    try:
        told = asyncio.run(add(settings, admin, _secret(out), force=force, user=user))
    except RotationError as error:
        raise click.ClickException(str(error)) from None
    file_here = settings.redis.password_file
    if witness:
        told.append(f"next: copy {out} over the file that redis.password names on every witness; then run finish with "
                    "--witness")  # fmt: skip
    elif file_here is None:
        told.append(
            'TO DO: redis.password names no file here; write {"file": PATH} on each node and restart them in turn'
        )
    else:
        told.append(f"next: copy {out} over {file_here}, and over that file of every other node; on a witness only "
                    f"where it enters Redis as the nodes do, and not as '{WITNESS_USER}'; then run finish")  # fmt: skip
    _show(told, as_json=as_json)
    return Exit.DONE


@command.command(
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
    from rppam.access.tokens import target_of
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
        told = asyncio.run(keep_only(settings, admin, password, force=force, user=user))
    except RotationError as error:
        raise click.ClickException(str(error)) from None
    _show([*late, *told], as_json=as_json)
    return Exit.DONE


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


def _secret(file: Path) -> Any:
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
