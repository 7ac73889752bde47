"""``rppam user passkeys``: what an account may sign in with beside its password, from the host that holds the config.

It needs the database alone. Nodes that run hear of the end of sessions by the log of changes, within two seconds.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rppam.access.accounts.on_host import HELP, ask, named, options
from rppam.http.times import iso_utc

if TYPE_CHECKING:
    from rppam.access.accounts.on_host import Parts
    from rppam.access.passkeys.store import Passkey


@click.command("passkeys", context_settings=HELP, epilog="Example: rppam user passkeys jane --reset")
@click.argument("name")
@click.option("--reset", is_flag=True, help="Take all of them away, for a lost or stolen key, and end the sessions.")
@options
def command(name: str, reset: bool, config: Path | None, as_json: bool) -> None:
    """Show the passkeys of the account NAME, or take all of them away; password and code work as before."""

    async def found(parts: "Parts") -> "list[Passkey]":
        account = await named(parts, name)
        there = await parts.passkeys.of_user(account.id)
        if reset:
            await parts.passkeys.reset(account.id)
        return there

    there = ask(config, found)
    if as_json:
        click.echo(json.dumps({"name": name.lower(), "reset": reset, "passkeys": [_row(one) for one in there]}))
        return
    if not there:
        click.echo(f"{name.lower()} has no passkey{'; its sessions end' if reset else ''}", err=True)
        return
    width = max(len(one.name) for one in there)
    for one in there:
        used = "never used" if one.used_at is None else f"used {iso_utc(one.used_at)}"
        click.echo(f"{one.name:<{width}}  {one.rp_id}  added {iso_utc(one.created_at)}  {used}")
    if reset:
        click.echo(f"{name.lower()} has no passkey any more; its sessions end", err=True)


def _row(one: "Passkey") -> dict[str, object]:
    return {
        "id": one.id,
        "name": one.name,
        "site": one.rp_id,
        "createdAt": iso_utc(one.created_at),
        "usedAt": None if one.used_at is None else iso_utc(one.used_at),
    }
