"""``rppam user sessions``: who is signed in, and ending sessions, from the host that holds the config.

It needs the database alone. Nodes that run hear of an end by the log of changes, within two seconds.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from rppam.access.accounts.on_host import HELP, ask, named, options
from rppam.cli.group import Group
from rppam.http.times import iso_utc

if TYPE_CHECKING:
    from rppam.access.accounts.on_host import Parts
    from rppam.access.sessions.model import SessionLine

_SHOWN_MAX: Final = 10_000
_WHY: Final = "ended on a node's host"


@click.group("sessions", cls=Group, context_settings=HELP, epilog="Example: rppam user sessions ls jane")
def command() -> None:
    """Show who is signed in, and end sessions."""


@command.command("ls", context_settings=HELP, epilog="Example: rppam user sessions ls jane --json")
@click.argument("name", required=False)
@options
def list_(name: str | None, config: Path | None, as_json: bool) -> None:
    """Show the live sessions, the newest first: of the account NAME, or of everybody."""

    async def found(parts: "Parts") -> "list[SessionLine]":
        user_id = None if name is None else (await named(parts, name)).id
        return await parts.sessions.lines(user_id, None, _SHOWN_MAX)

    lines = ask(config, found)
    rows = [
        {
            "id": one.id,
            "user": one.subject,
            "kind": one.kind.value,
            "mfa": one.mfa,
            "createdAt": iso_utc(one.created_at),
            "lastSeenAt": iso_utc(one.last_seen_at),
            "expiresAt": iso_utc(one.expires_at),
            "client": one.client,
            "agent": one.agent,
            "node": one.node,
        }
        for one in lines
    ]
    if as_json:
        click.echo(json.dumps({"items": rows}))
        return
    if not lines:
        click.echo("Nobody is signed in.", err=True)
        return
    width = max(len(one.subject) for one in lines)
    click.echo(f"{'ID':<36}  {'USER':<{width}}  {'KIND':<5}  {'2ND':<3}  {'BEGAN':<20}  {'LAST SEEN':<20}  FROM")
    for one in lines:
        second, began, seen = "yes" if one.mfa else "no", iso_utc(one.created_at), iso_utc(one.last_seen_at)
        source = one.client or f"host {one.node}"
        click.echo(f"{one.id:<36}  {one.subject:<{width}}  {one.kind.value:<5}  {second:<3}  {began}  {seen}  {source}")


@command.command("end", context_settings=HELP, epilog="Example: rppam user sessions end --user jane")
@click.argument("session_id", metavar="[ID]", required=False)
@click.option("--user", metavar="NAME", help="All sessions of this account, and log-ins on their way.")
@click.option("--all", "everybody", is_flag=True, help="All sessions of everybody, tokens of hosts included.")
@options
def end(session_id: str | None, user: str | None, everybody: bool, config: Path | None, as_json: bool) -> None:
    """End the session ID, all of an account, or all there are. Nodes know within two seconds.

    Ids are what 'rppam user sessions ls' shows. A session that is over already is ended without a word.
    """
    if (session_id is not None) + (user is not None) + everybody != 1:
        raise click.UsageError("give the ID of a session, --user NAME or --all")

    async def ended(parts: "Parts") -> int:
        if session_id is not None:
            return int(await parts.sessions.end(session_id, _WHY) is not None)
        if user is None:
            return (await parts.sessions.end_all(_WHY)).alive
        done = await parts.sessions.end_user((await named(parts, user)).id, _WHY)
        return done.alive if done is not None else 0

    count = ask(config, ended)
    if as_json:
        click.echo(json.dumps({"ended": count}))
    else:
        click.echo("1 session was ended" if count == 1 else f"{count} sessions were ended", err=True)
