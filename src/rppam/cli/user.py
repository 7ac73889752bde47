"""``rppam user``: accounts, from the host that holds the config; for when nobody can log in any more.

It talks to the database of the config, so it needs neither Redis nor a running node. Whoever may read the config with
the database's password could change the account there anyway.
"""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from rppam.domain.account import FIRST_ADMIN

if TYPE_CHECKING:
    from rppam.services.accounts import Accounts

T = TypeVar("T")

_HELP: Final = {"help_option_names": ["-h", "--help"]}


@click.group("user", context_settings=_HELP, epilog="Example: rppam user reset-password admin")
def command() -> None:
    """Manage accounts from this host."""


def _options(function: Any) -> Any:
    config = click.option("--config", type=click.Path(path_type=Path), help="The config file; else RPPAM_CONFIG.")
    return config(click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")(function))


@command.command("reset-password", context_settings=_HELP, epilog="Example: rppam user reset-password admin")
@click.argument("name", default="admin")
@_options
def reset_password(name: str, config: Path | None, as_json: bool) -> None:
    """Give the account NAME (admin when left out) a new random password and show it once."""
    password = _ask(config, lambda accounts: accounts.reset_password(name))
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
    accounts = _ask(config, lambda accounts: accounts.all())
    rows = [
        {
            "id": account.id,
            "name": account.name,
            "displayName": account.display_name,
            "roles": sorted(account.roles),
            "disabled": account.disabled,
            "createdAt": _time(account.created_at),
            "passwordChangedAt": _time(account.password_changed_at),
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
    click.echo(f"{'NAME':<{width}}  {'ROLES':<24}  {'STATE':<8}  PASSWORD CHANGED")
    for account in accounts:
        roles, state = ",".join(sorted(account.roles)) or "-", "disabled" if account.disabled else "active"
        click.echo(f"{account.name:<{width}}  {roles:<24}  {state:<8}  {_time(account.password_changed_at)}")


def _time(wall_ms: int) -> str:
    return datetime.fromtimestamp(wall_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _forget_first_password(config: Path | None) -> None:
    """What the first start left in the data directory is not the password any more."""
    from rppam.adapters.system.datadir import FIRST_ADMIN_FILE
    from rppam.adapters.system.secrets import HostSecrets
    from rppam.config.load import load_settings
    from rppam.config.places import config_path

    settings = load_settings(config_path(config, os.environ), outside=HostSecrets())
    (settings.node.data_dir / FIRST_ADMIN_FILE).unlink(missing_ok=True)


def _ask(config: Path | None, question: "Callable[[Accounts], Awaitable[T]]") -> T:
    from rppam.adapters.sql.accounts import SqlAccounts
    from rppam.adapters.sql.database import Database
    from rppam.adapters.system.clock import SystemClock
    from rppam.adapters.system.secrets import HostSecrets
    from rppam.config.load import load_settings
    from rppam.config.places import config_path
    from rppam.services.accounts import Accounts
    from rppam.services.passwords import Passwords

    settings = load_settings(config_path(config, os.environ), outside=HostSecrets())

    async def run() -> T:
        database = Database(settings.database.url, settings.database.timeout_ms)
        passwords = Passwords()
        try:
            await database.start()
            return await question(Accounts(SqlAccounts(database), passwords, SystemClock()))
        finally:
            passwords.close()
            await database.stop()

    return asyncio.run(run())
