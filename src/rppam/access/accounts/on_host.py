"""What commands on a node's host need to work on accounts in the database, with neither Redis nor a running node.

Reading the config with the database's password is enough to change it there anyway. Nodes that run hear of a change by
the log of changes, within seconds. What is done is recorded in the name of who runs the command.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from getpass import getuser
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import click

from rppam.cli.paths import CONFIG_FILE

if TYPE_CHECKING:
    from rppam.access.accounts.model import Account
    from rppam.access.accounts.service import Accounts
    from rppam.access.accounts.store import SqlAccounts
    from rppam.access.lockouts.store import SqlLockouts
    from rppam.access.mfa.store import SqlFactors
    from rppam.access.passkeys.store import SqlPasskeys
    from rppam.access.sessions.store import SqlSessions

T = TypeVar("T")

HELP: Final = {"help_option_names": ["-h", "--help"]}


class Parts(NamedTuple):
    accounts: "Accounts"
    users: "SqlAccounts"
    factors: "SqlFactors"
    lockouts: "SqlLockouts"
    sessions: "SqlSessions"
    passkeys: "SqlPasskeys"


def options(function: Any) -> Any:
    """The options that every such command has."""
    config = click.option("--config", type=CONFIG_FILE, help="The config file; else RPPAM_CONFIG.")
    return config(click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")(function))


def ask(config: Path | None, question: "Callable[[Parts], Awaitable[T]]") -> T:
    """The answer, from the database of the config."""
    from rppam.access.accounts.passwords import Passwords
    from rppam.access.accounts.policy import PasswordRules
    from rppam.access.accounts.service import Accounts
    from rppam.access.accounts.store import SqlAccounts
    from rppam.access.lockouts.store import SqlLockouts
    from rppam.access.mfa.store import SqlFactors
    from rppam.access.passkeys.store import SqlPasskeys
    from rppam.access.sessions.store import SqlSessions
    from rppam.cli.database import database_named
    from rppam.config.load import load_settings
    from rppam.db.database import Database
    from rppam.kernel.actor import Actor, ActorKind, acting
    from rppam.kernel.system_clock import SystemClock
    from rppam.settings.hot import value_in_sql
    from rppam.settings.store import SqlSettingsStore

    settings = load_settings(config)
    logging.getLogger("rppam").addHandler(logging.NullHandler())  # a command says itself what it did

    async def run() -> T:
        database = Database(settings.database.url, settings.database.timeout_ms, node=settings.node.node_name)
        passwords = Passwords()
        try:
            await database.start(creates=False)
            users = SqlAccounts(database)
            rules = PasswordRules(lambda setting: value_in_sql(SqlSettingsStore(database), setting))
            accounts = Accounts(users, passwords, SystemClock(), rules=rules)
            factors, lockouts, sessions = SqlFactors(database), SqlLockouts(database), SqlSessions(database)
            return await question(Parts(accounts, users, factors, lockouts, sessions, SqlPasskeys(database)))
        finally:
            passwords.close()
            await database.stop()

    with acting(Actor(ActorKind.HOST, name=getuser())), database_named(settings):
        return asyncio.run(run())


async def named(parts: Parts, name: str) -> "Account":
    """The account of this name. Raises ``AccountUnknown``, ``NameInvalid``."""
    from rppam.access.accounts.errors import AccountUnknown
    from rppam.access.accounts.model import normalise_name

    account = await parts.accounts.find(normalise_name(name))
    if account is None or account.deleted_at is not None:
        raise AccountUnknown(f"no account is named {normalise_name(name)!r}; list them with `rppam user list`")
    return account
