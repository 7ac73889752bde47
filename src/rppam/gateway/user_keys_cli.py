"""``rppam ssh-key``: the public keys with which users log in at the gateway, the own ones and those of others."""

import json
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import click

from rppam.access.tokens.target import Where, asked, asked_as_owner, target_options
from rppam.cli.group import Group
from rppam.gateway.authority_options import HELP, failed, json_option, where_options
from rppam.kernel.errors import Exit

HOST: Final = "ssh-key@host"
USERS: Final = "/api/v1/users"
MINE: Final = f"{USERS}/me/ssh-keys"
_own: Final = target_options("the token of an account")


@click.group("ssh-key", cls=Group, context_settings=HELP, epilog="Example: rppam ssh-key add ~/.ssh/id_ed25519.pub")
def command() -> None:
    """Public keys with which users log in at the gateway."""


@command.command("add", context_settings=HELP, epilog="Example: rppam ssh-key add ~/.ssh/id_ed25519.pub")
@click.argument("key", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@json_option
@_own
def add(*, key: Path, as_json: bool, where: Where) -> int:
    """Add the public KEY, a file, to the own account.

    It asks for the password where the log-in was over ten minutes ago.

    Exit code 0: added, it counts on all nodes; 1: refused; 2: could not ask.
    """
    try:
        text = key.read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        text = ""
    if not text or "PRIVATE KEY" in text or "\n" in text:
        raise click.UsageError(f"{key}: expected one public key, as ssh-keygen writes it into the .pub file")
    found, problem = asked_as_owner(where, HOST, "POST", MINE, {"key": text})
    if problem:
        return failed(found, problem)
    click.echo(json.dumps(found, ensure_ascii=False) if as_json else f"added: {_line(found)}")
    return Exit.DONE


@command.command("ls", context_settings=HELP, epilog="Example: rppam ssh-key ls jane")
@click.argument("user", required=False)
@json_option
@_own
def ls(*, user: str | None, as_json: bool, where: Where) -> int:
    """List the own keys, or those of USER, which is for who may take them away.

    Exit code 0: listed; 1: refused, or there is no such user; 2: could not ask.
    """
    path, found, problem = _keys_of(where, user)
    if not problem:
        found, problem = asked(where, HOST, "GET", path)
    if problem:
        return failed(found, problem)
    if as_json:
        click.echo(json.dumps({"items": found["items"]}, ensure_ascii=False))
        return Exit.DONE
    for one in found["items"]:
        click.echo(_line(one))
    if not found["items"]:
        click.echo("there is none; its owner adds one: rppam ssh-key add FILE", err=True)
    return Exit.DONE


@command.command("rm", context_settings=HELP, epilog="Example: rppam ssh-key rm 8f14e45f-...")
@click.argument("ident", metavar="ID")
@_own
def rm(*, ident: str, where: Where) -> int:
    """Take the own key ID away, as `rppam ssh-key ls` shows it.

    Exit code 0: nobody logs in with it any more; 1: there is none; 2: could not ask.
    """
    found, problem = asked(where, HOST, "DELETE", f"{MINE}/{quote(ident, safe='')}")
    return failed(found, problem) if problem else Exit.DONE


@command.command("reset", context_settings=HELP, epilog="Example: rppam ssh-key reset jane")
@click.argument("user")
@json_option
@where_options
def reset(*, user: str, as_json: bool, where: Where) -> int:
    """Take all keys of USER away and end USER's log-ins.

    For a lost laptop. Sessions with targets go on; `rppam session kill` ends those.

    Exit code 0: done; 1: refused, or there is no such user; 2: could not ask.
    """
    path, found, problem = _keys_of(where, user)
    if not problem:
        found, problem = asked(where, HOST, "DELETE", path)
    if problem:
        return failed(found, problem)
    name = user.lower()
    text = f"{name} has no key any more; the log-ins of {name} end"
    click.echo(json.dumps({"name": name, "reset": True}) if as_json else text)
    return Exit.DONE


def _keys_of(where: Where, user: str | None) -> tuple[str, Any, str]:
    """The path of somebody's keys; what the node said, and why there is none, where there is none."""
    if user is None:
        return MINE, {}, ""
    found, problem = asked(where, HOST, "GET", f"{USERS}?pageSize=200&search={quote(user, safe='')}")
    if problem:
        return "", found, problem
    matching = [one["id"] for one in found["items"] if one["username"] == user.lower()]
    if len(matching) != 1:
        return "", {"status": 404}, f"there is no account {user.lower()!r}: 'rppam user list' on a node's host has all"
    return f"{USERS}/{matching[0]}/ssh-keys", found, ""


def _line(one: Any) -> str:
    return f"{one['id']}  {one['type']}  {one['fingerprint']}  added {one['addedAt']}  {one['comment']}".rstrip()
