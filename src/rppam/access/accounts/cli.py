"""``rppam user``: accounts, from the host that holds the config; for when nobody can log in any more.

It talks to the database of the config, so it needs neither Redis nor a running node; nodes that run hear of a change
within seconds. Reading the config with the database's password is enough to change the account there anyway.
"""

import json
import sys
from collections.abc import Sequence
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from rppam.access.accounts.model import FIRST_ADMIN, AccountRole
from rppam.access.accounts.on_host import HELP as _HELP, ask as _ask, named as _named, options as _options
from rppam.access.lockouts.cli import list_ as locked, unlock
from rppam.access.passkeys.cli import command as passkeys
from rppam.access.sessions.cli import command as sessions
from rppam.cli.group import Group
from rppam.http.times import iso_utc

if TYPE_CHECKING:
    from rppam.access.accounts.model import Account
    from rppam.access.accounts.on_host import Parts
    from rppam.kernel.secret import Secret

_ROLE: Final = click.Choice([role.value for role in AccountRole])
_password_option: Final = click.option(
    "--password-file",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    help="A file with the password, one line; - for standard input. A password is never an argument.",
)


@click.group("user", cls=Group, context_settings=_HELP, epilog="Example: rppam user reset-password admin")
def command() -> None:
    """Manage accounts from this host: the commands work with the database itself, while nodes run or not.

    Exit code 0: done; 1: the database cannot be reached, or does not answer now; 2: it refuses, or something asked for
    is wrong; 78: the configuration cannot be read.
    """


@command.command("reset-password", context_settings=_HELP, epilog="Example: rppam user reset-password admin")
@click.argument("name", default="admin")
@_options
def reset_password(name: str, config: Path | None, as_json: bool) -> None:
    """Give the account NAME (admin when left out) a new random password and show it once."""
    password = _ask(config, lambda parts: parts.accounts.reset_password(name))
    if name.lower() == FIRST_ADMIN:
        _forget_first_password(config)
    if as_json:
        click.echo(json.dumps({"name": name.lower(), "password": password.reveal()}))
        return
    click.echo(f"The new password of {name} (it is shown only now):", err=True)
    click.echo(password.reveal())


@command.command(context_settings=_HELP, epilog="Example: rppam user add jane --role pam_user --role pam_approver")
@click.argument("name")
@click.option("--role", "roles", type=_ROLE, multiple=True, help="May be repeated.  [default: pam_user]")
@click.option("--display-name", default="", help="For people, in any script.")
@_password_option
@_options
def add(
    name: str, roles: Sequence[str], display_name: str, password_file: Path | None, config: Path | None, as_json: bool
) -> None:
    """Make the account NAME; without --password-file its random password is shown once."""
    given = _typed(password_file)
    held = frozenset(map(AccountRole, roles or (AccountRole.USER,)))
    account, shown = _ask(config, lambda parts: parts.accounts.create(name, display_name, held, given))
    if as_json:
        password = shown.reveal() if shown else None
        click.echo(json.dumps({**_row(account), "password": password}))
        return
    click.echo(f"The account {account.name} has the roles {_roles(account)}.", err=True)
    if shown is not None:
        click.echo(f"The password of {account.name} (it is shown only now):", err=True)
        click.echo(shown.reveal())


@command.command(context_settings=_HELP, epilog="Example: rppam user roles jane --add pam_approver")
@click.argument("name")
@click.option("--set", "whole", type=_ROLE, multiple=True, help="Have these and no others; may be repeated.")
@click.option("--add", "more", type=_ROLE, multiple=True, help="Have this one, too; may be repeated.")
@click.option("--remove", "fewer", type=_ROLE, multiple=True, help="Do not have this one; may be repeated.")
@_options
def roles(
    name: str, whole: Sequence[str], more: Sequence[str], fewer: Sequence[str], config: Path | None, as_json: bool
) -> None:
    """Show the roles of the account NAME, or change them; open sessions obey. The last enabled pam_admin stays one."""
    if whole and (more or fewer):
        raise click.UsageError("give --set, or --add and --remove; not both")

    async def changed(parts: "Parts") -> "Account":
        from rppam.access.accounts.model import UserChange

        account = await _named(parts, name)
        if not (whole or more or fewer):
            return account
        wanted = frozenset(map(AccountRole, whole)) if whole else account.roles
        wanted = (wanted | set(map(AccountRole, more))) - set(map(AccountRole, fewer))
        return (await parts.users.change(account.id, UserChange(roles=wanted)))[0]

    account = _ask(config, changed)
    if as_json:
        click.echo(json.dumps({"name": account.name, "roles": sorted(account.roles)}))
        return
    for role in sorted(account.roles):
        click.echo(role)


@command.command(context_settings=_HELP, epilog="Example: rppam user password jane --password-file new.txt")
@click.argument("name")
@_password_option
@_options
def password(name: str, password_file: Path | None, config: Path | None, as_json: bool) -> None:
    """Give the account NAME a password that is typed, or stands in a file, and end its sessions."""
    given = _typed(password_file)
    if given is None:
        given = _prompted()
    _ask(config, lambda parts: parts.accounts.reset_password(name, given))
    if name.lower() == FIRST_ADMIN:
        _forget_first_password(config)
    if as_json:
        click.echo(json.dumps({"name": name.lower()}))
    else:
        click.echo(f"{name} has another password; the sessions of the account end", err=True)


@command.command("list", context_settings=_HELP, epilog="Example: rppam user list --json")
@_options
def list_(config: Path | None, as_json: bool) -> None:
    """List all accounts."""
    accounts = _ask(config, lambda parts: parts.accounts.all())
    rows = [_row(account) for account in accounts]
    if as_json:
        click.echo(json.dumps({"items": rows}))
        return
    if not rows:
        click.echo("There are no accounts yet: the first start of a node makes one.", err=True)
        return
    width = max(len(account.name) for account in accounts)
    click.echo(f"{'NAME':<{width}}  {'ROLES':<24}  {'STATE':<8}  {'2ND FACTOR':<10}  PASSWORD CHANGED")
    for account in accounts:
        roles, second = _roles(account), "yes" if account.has_mfa else "no"
        changed = iso_utc(account.password_changed_at)
        click.echo(f"{account.name:<{width}}  {roles:<24}  {_state(account):<8}  {second:<10}  {changed}")


@command.command(context_settings=_HELP, epilog="Example: rppam user disable jane")
@click.argument("name")
@_options
def disable(name: str, config: Path | None, as_json: bool) -> None:
    """Disable the account NAME and end its sessions. The last enabled pam_admin stays."""
    _say(_ask(config, lambda parts: _set_disabled(parts, name, to=True)), "is disabled; its sessions end", as_json)


@command.command(context_settings=_HELP, epilog="Example: rppam user enable jane")
@click.argument("name")
@_options
def enable(name: str, config: Path | None, as_json: bool) -> None:
    """Let the account NAME sign in again."""
    _say(_ask(config, lambda parts: _set_disabled(parts, name, to=False)), "may sign in", as_json)


@command.command(
    "allow-from", context_settings=_HELP, epilog="Example: rppam user allow-from jane 10.2.0.0/16 fd00::/8"
)
@click.argument("name")
@click.argument("networks", nargs=-1)
@click.option("--anywhere", is_flag=True, help="Take the limit away.")
@_options
def allow_from(name: str, networks: tuple[str, ...], config: Path | None, *, anywhere: bool, as_json: bool) -> None:
    """Let the account NAME log in from these addresses and networks alone, from its next log-in on.

    By password, passkey, key, certificate and token, over HTTP and SSH. Sessions that are open go on:
    'rppam user sessions end' ends them.
    """
    from rppam.access.accounts.model import UserChange, read_networks

    if anywhere == bool(networks):
        raise click.UsageError("expected networks such as 10.2.0.0/16, or --anywhere")
    wanted = read_networks(networks)

    async def changed(parts: "Parts") -> "Account":
        return (await parts.users.change((await _named(parts, name)).id, UserChange(allowed_from=wanted)))[0]

    _say(_ask(config, changed), f"may log in from {', '.join(wanted) or 'anywhere'}", as_json, allowedFrom=wanted)


@command.command("reset-mfa", context_settings=_HELP, epilog="Example: rppam user reset-mfa jane")
@click.argument("name")
@_options
def reset_mfa(name: str, config: Path | None, as_json: bool) -> None:
    """Take the second factor of the account NAME away, for a lost phone, and end its sessions."""

    async def reset(parts: "Parts") -> "Account":
        account = await parts.factors.remove((await _named(parts, name)).id, None)
        assert account is not None  # no proof, so none was used already
        return account

    said = "has no second factor any more; its sessions end"
    _say(_ask(config, reset), said, as_json)


def _also(other: click.Command, word: str, example: str) -> None:
    """The same command under this group."""
    same = copy(other)
    same.name, same.epilog = word, f"Example: {example}"
    command.add_command(same)


_also(locked, "locked", "rppam user locked")
_also(unlock, "unlock", "rppam user unlock admin")
command.add_command(passkeys)
command.add_command(sessions)


async def _set_disabled(parts: "Parts", name: str, *, to: bool) -> "Account":
    from rppam.access.accounts.model import UserChange

    account, _ = await parts.users.change((await _named(parts, name)).id, UserChange(disabled=to))
    return account


def _say(account: "Account", what: str, as_json: bool, **more: object) -> None:
    if as_json:
        said = {"name": account.name, "disabled": account.disabled, "mfaEnrolled": account.has_mfa}
        click.echo(json.dumps(said | more))
    else:
        click.echo(f"{account.name} {what}")


def _row(account: "Account") -> dict[str, object]:
    return {
        "id": account.id,
        "name": account.name,
        "displayName": account.display_name,
        "roles": sorted(account.roles),
        "disabled": account.disabled,
        "deleted": account.deleted_at is not None,
        "mfaEnrolled": account.has_mfa,
        "allowedFrom": list(account.allowed_from),
        "createdAt": iso_utc(account.created_at),
        "passwordChangedAt": iso_utc(account.password_changed_at),
    }


def _roles(account: "Account") -> str:
    return ",".join(sorted(account.roles)) or "-"


def _typed(file: Path | None) -> "Secret | None":
    """The password in a file, one line; ``-`` is standard input. ``None``: no file was named."""
    from rppam.kernel.secret import Secret

    if file is None:
        return None
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "no text in UTF-8"
        raise click.UsageError(f"--password-file {file}: expected a file with one password; found: {why}") from None
    if not text.strip():
        where = "standard input" if str(file) == "-" else "a file"
        raise click.UsageError(f"--password-file {file}: expected one password, found {where} without any")
    return Secret(text.removesuffix("\n").removesuffix("\r"))


def _prompted() -> "Secret":
    from rppam.kernel.secret import Secret

    if not sys.stdin.isatty():
        raise click.UsageError(
            "there is no terminal to ask on: name a file with --password-file FILE, or - for standard input; "
            "'rppam user reset-password' makes a random one"
        )
    return Secret(click.prompt("New password", hide_input=True, confirmation_prompt=True, err=True))


def _state(account: "Account") -> str:
    if account.deleted_at is not None:
        return "deleted"
    return "disabled" if account.disabled else "active"


def _forget_first_password(config: Path | None) -> None:
    """What the first start left in the data directory is not the password any more."""
    from rppam.cluster.driver.datadir import FIRST_ADMIN_FILE
    from rppam.config.load import load_settings

    (load_settings(config).node.data_dir / FIRST_ADMIN_FILE).unlink(missing_ok=True)
