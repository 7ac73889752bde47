"""``rppam lockout``: who may not sign in after too many wrong tries, and unlocking, from a node's host.

It needs the database alone, so it works when nobody can sign in any more; ``rppam user locked`` and ``unlock`` are the
same commands. All nodes know of an unlock within two seconds.
"""

import json
from pathlib import Path
from typing import Final

import click

from rppam.access.accounts.on_host import HELP, ask, options
from rppam.cli.group import Group
from rppam.http.times import iso_utc

_LOCKED_MAX: Final = 10_000
_NO_ACCOUNT: Final = "(a name that no account has)"


@click.group("lockout", cls=Group, context_settings=HELP, epilog="Example: rppam lockout list")
def command() -> None:
    """Show who is locked out of signing in, and unlock."""


@command.command("list", context_settings=HELP, epilog="Example: rppam lockout list")
@options
def list_(config: Path | None, as_json: bool) -> None:
    """Show which users and addresses may not sign in for a while, after too many wrong tries."""
    found = ask(config, lambda parts: parts.lockouts.all(_LOCKED_MAX))
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
        click.echo(json.dumps({"items": rows}))
        return
    if not rows:
        click.echo("Nobody is locked.", err=True)
        return
    width = max(len(one.shown or _NO_ACCOUNT) for one in found)
    click.echo(f"{'WHAT':<7}  {'WHO':<{width}}  {'SINCE':<20}  {'UNTIL':<20}  IN A ROW")
    for one in found:
        name = one.shown or _NO_ACCOUNT
        click.echo(f"{one.kind.value:<7}  {name:<{width}}  {iso_utc(one.since)}  {iso_utc(one.until)}  {one.level}")


@command.command("unlock", context_settings=HELP, epilog="Example: rppam lockout unlock admin")
@click.argument("name")
@options
def unlock(name: str, config: Path | None, as_json: bool) -> None:
    """Let the user or the address NAME try to sign in again. All nodes know within two seconds."""
    from rppam.access.lockouts.model import address_suspect, user_suspect
    from rppam.kernel.network import UNKNOWN_ADDRESS, address_group

    suspect = user_suspect(name) if address_group(name) == UNKNOWN_ADDRESS else address_suspect(name)
    stood, _ = ask(config, lambda parts: parts.lockouts.unlock(suspect.subject))
    if as_json:
        click.echo(json.dumps({"name": name, "wasLocked": stood is not None}))
        return
    click.echo(f"{name} is unlocked." if stood else f"{name} was not locked.", err=True)
