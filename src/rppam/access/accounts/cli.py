"""``rppam user``: accounts, from the host that holds the config; for when nobody can log in any more.

It talks to the database of the config, so it needs neither Redis nor a running node; nodes that run hear of a change
within seconds. Reading the config with the database's password is enough to change the account there anyway.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from getpass import getuser
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import click

from rppam.access.accounts.model import FIRST_ADMIN
from rppam.cli.paths import CONFIG_FILE
from rppam.http.times import iso_utc

if TYPE_CHECKING:
    from rppam.access.accounts.model import Account
    from rppam.access.accounts.service import Accounts
    from rppam.access.accounts.store import SqlAccounts
    from rppam.access.lockouts.store import SqlLockouts
    from rppam.access.mfa.store import SqlFactors

T = TypeVar("T")

_LOCKED_MAX: Final = 10_000
_NO_ACCOUNT: Final = "(a name that no account has)"
_HELP: Final = {"help_option_names": ["-h", "--help"]}


class _Parts(NamedTuple):
    accounts: "Accounts"
    users: "SqlAccounts"
    factors: "SqlFactors"
    lockouts: "SqlLockouts"


@click.group("user", context_settings=_HELP, epilog="Example: rppam user reset-password admin")
def command() -> None:
    """Manage accounts from this host."""


def _options(function: Any) -> Any:
    config = click.option("--config", type=CONFIG_FILE, help="The config file; else RPPAM_CONFIG.")
    return config(click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")(function))


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


@command.command("list", context_settings=_HELP, epilog="Example: rppam user list --json")
@_options
def list_(config: Path | None, as_json: bool) -> None:
    """List all accounts."""
    accounts = _ask(config, lambda parts: parts.accounts.all())
    rows = [
        {
            "id": account.id,
            "name": account.name,
            "displayName": account.display_name,
            "roles": sorted(account.roles),
            "disabled": account.disabled,
            "deleted": account.deleted_at is not None,
            "mfaEnrolled": account.has_mfa,
            "createdAt": iso_utc(account.created_at),
            "passwordChangedAt": iso_utc(account.password_changed_at),
        }
        for account in accounts
    ]
    if as_json:
        click.echo(json.dumps({"users": rows}))
        return
    if not rows:
        click.echo("There are no accounts yet: the first start of a node makes one.", err=True)
        return
    width = max(len(account.name) for account in accounts)
    click.echo(f"{'NAME':<{width}}  {'ROLES':<24}  {'STATE':<8}  {'2ND FACTOR':<10}  PASSWORD CHANGED")
    for account in accounts:
        roles, second = ",".join(sorted(account.roles)) or "-", "yes" if account.has_mfa else "no"
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


@command.command("reset-mfa", context_settings=_HELP, epilog="Example: rppam user reset-mfa jane")
@click.argument("name")
@_options
def reset_mfa(name: str, config: Path | None, as_json: bool) -> None:
    """Take the second factor of the account NAME away, for a lost phone, and end its sessions."""

    async def reset(parts: _Parts) -> "Account":
        account = await parts.factors.remove((await _named(parts, name)).id, None)
        assert account is not None  # no proof, so none was used already
        return account

    said = "has no second factor any more; its sessions end"
    _say(_ask(config, reset), said, as_json)


@command.command("locked", context_settings=_HELP, epilog="Example: rppam user locked")
@_options
def locked(config: Path | None, as_json: bool) -> None:
    """Show which users and addresses may not sign in for a while, after too many wrong tries."""
    found = _ask(config, lambda parts: parts.lockouts.all(_LOCKED_MAX))
    rows = [
        {
            "kind": one.kind.value,
            "name": one.shown or None,
            "since": iso_utc(one.since),
            "until": iso_utc(one.until),
            "level": one.level,
        }
        for one in found
    ]
    if as_json:
        click.echo(json.dumps({"locked": rows}))
        return
    if not rows:
        click.echo("Nobody is locked.", err=True)
        return
    width = max(len(one.shown or _NO_ACCOUNT) for one in found)
    click.echo(f"{'WHAT':<7}  {'WHO':<{width}}  {'SINCE':<20}  {'UNTIL':<20}  IN A ROW")
    for one in found:
        name = one.shown or _NO_ACCOUNT
        click.echo(f"{one.kind.value:<7}  {name:<{width}}  {iso_utc(one.since)}  {iso_utc(one.until)}  {one.level}")


@command.command("unlock", context_settings=_HELP, epilog="Example: rppam user unlock admin")
@click.argument("name")
@_options
def unlock(name: str, config: Path | None, as_json: bool) -> None:
    """Let the user or the address NAME try to sign in again. All nodes know within two seconds."""
    from rppam.access.lockouts.model import address_suspect, user_suspect
    from rppam.kernel.network import UNKNOWN_ADDRESS, address_group

    suspect = user_suspect(name) if address_group(name) == UNKNOWN_ADDRESS else address_suspect(name)
    stood, _ = _ask(config, lambda parts: parts.lockouts.unlock(suspect.subject))
    if as_json:
        click.echo(json.dumps({"name": name, "wasLocked": stood is not None}))
        return
    click.echo(f"{name} is unlocked." if stood else f"{name} was not locked.", err=True)


async def _set_disabled(parts: _Parts, name: str, *, to: bool) -> "Account":
    from rppam.access.accounts.model import UserChange

    account, _ = await parts.users.change((await _named(parts, name)).id, UserChange(disabled=to))
    return account


async def _named(parts: _Parts, name: str) -> "Account":
    """The account of this name. Raises ``AccountUnknown``, ``NameInvalid``."""
    from rppam.access.accounts.errors import AccountUnknown
    from rppam.access.accounts.model import normalise_name

    account = await parts.accounts.find(normalise_name(name))
    if account is None or account.deleted_at is not None:
        raise AccountUnknown(f"no account is named {normalise_name(name)!r}; list them with `rppam user list`")
    return account


def _say(account: "Account", what: str, as_json: bool) -> None:
    if as_json:
        said = {"name": account.name, "disabled": account.disabled, "mfaEnrolled": account.has_mfa}
        click.echo(json.dumps(said))
    else:
        click.echo(f"{account.name} {what}")


def _state(account: "Account") -> str:
    if account.deleted_at is not None:
        return "deleted"
    return "disabled" if account.disabled else "active"


def _forget_first_password(config: Path | None) -> None:
    """What the first start left in the data directory is not the password any more."""
    from rppam.cluster.driver.datadir import FIRST_ADMIN_FILE
    from rppam.config.load import load_settings

    (load_settings(config).node.data_dir / FIRST_ADMIN_FILE).unlink(missing_ok=True)


def _ask(config: Path | None, question: "Callable[[_Parts], Awaitable[T]]") -> T:
    from rppam.access.accounts.passwords import Passwords
    from rppam.access.accounts.service import Accounts
    from rppam.access.accounts.store import SqlAccounts
    from rppam.access.lockouts.store import SqlLockouts
    from rppam.access.mfa.store import SqlFactors
    from rppam.config.load import load_settings
    from rppam.db.database import Database
    from rppam.kernel.actor import Actor, ActorKind, acting
    from rppam.kernel.system_clock import SystemClock

    settings = load_settings(config)

    async def run() -> T:
        database = Database(settings.database.url, settings.database.timeout_ms, node=settings.node.node_name)
        passwords = Passwords()
        try:
            await database.start()
            users = SqlAccounts(database)
            accounts = Accounts(users, passwords, SystemClock())
            return await question(_Parts(accounts, users, SqlFactors(database), SqlLockouts(database)))
        finally:
            passwords.close()
            await database.stop()

    with acting(Actor(ActorKind.HOST, name=getuser())):
        return asyncio.run(run())
