"""``rppam ssh-token``: tokens for one log-in at the gateway, for programs and windows without the password."""

import json
from collections.abc import Mapping
from typing import Any, Final

import click

from rppam.access.tokens.target import Where, asked, target_options
from rppam.cli.errors import fail
from rppam.cli.group import Group
from rppam.gateway.ssh_tokens_service import MINUTES
from rppam.gateway.ssh_tokens_store import MINUTES_MAX
from rppam.kernel.errors import Exit

HOST: Final = "ssh-token@host"
TOKENS: Final = "/api/v1/users/me/ssh-tokens"
_HELP: Final = {"help_option_names": ["-h", "--help"]}
_REFUSED: Final = frozenset({400, 401, 403, 404, 409, 429})
_where: Final = target_options("the token of an account")
_json: Final = click.option("--json", "as_json", is_flag=True, help="JSON on stdout.")


@click.group("ssh-token", cls=Group, context_settings=_HELP, epilog="Example: rppam ssh-token new web1")
def command() -> None:
    """Tokens for one log-in at the gateway, typed as the password."""


@command.command("new", context_settings=_HELP, epilog="Example: rppam ssh-token new web1 --minutes 5")
@click.argument("target")
@click.option("--account", default="", metavar="NAME", help="Account on the target. Default: the one there is.")
@click.option(
    "--minutes",
    type=click.IntRange(1, MINUTES_MAX),
    default=MINUTES,
    show_default=True,
    help="How long it can be used.",
)
@_where
@_json
def new(*, target: str, account: str, minutes: int, where: Where, as_json: bool) -> int:
    """Make one for TARGET; it is printed this once, and counts once, on any node.

    Exit code 0: made; 1: refused; 2: could not ask.
    """
    body = {"target": target, "account": account, "minutes": minutes}
    found, problem = asked(where, HOST, "POST", TOKENS, body)
    if problem:
        return _failed(found, problem)
    if as_json:
        click.echo(json.dumps(found))
        return Exit.DONE
    click.echo(found["token"])
    click.echo(f"for {found['target']}, once, until {found['expiresAt']}; type it as the password of ssh", err=True)
    return Exit.DONE


@command.command("ls", context_settings=_HELP, epilog="Example: rppam ssh-token ls")
@_where
@_json
def ls(*, where: Where, as_json: bool) -> int:
    """List those that can still be used.

    Exit code 0: listed; 1: refused; 2: could not ask.
    """
    found, problem = asked(where, HOST, "GET", TOKENS)
    if problem:
        return _failed(found, problem)
    if as_json:
        click.echo(json.dumps(found))
        return Exit.DONE
    for one in found["items"]:
        click.echo(f"{one['id']}  {one['target']:<20} {one['account'] or '-':<16} until {one['expiresAt']}")
    if not found["items"]:
        click.echo("there is none; make one: rppam ssh-token new TARGET")
    return Exit.DONE


@command.command("revoke", context_settings=_HELP, epilog="Example: rppam ssh-token revoke 0d3c...")
@click.argument("ident", metavar="ID")
@_where
def revoke(*, ident: str, where: Where) -> int:
    """Take one away before it is used.

    Exit code 0: it counts no more; 1: there is none that could be used; 2: could not ask.
    """
    found, problem = asked(where, HOST, "DELETE", f"{TOKENS}/{ident}")
    if problem:
        return _failed(found, problem)
    return Exit.DONE


def _failed(found: Mapping[str, Any], problem: str) -> int:
    fail(problem, str(found.get("code", "")))
    return Exit.NO if found.get("status") in _REFUSED else Exit.ERRORS
