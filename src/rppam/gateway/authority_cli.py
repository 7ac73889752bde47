"""``rppam ca``: the authority that signs certificates of SSH users, asked of any node."""

import json
from pathlib import Path
from typing import Any, Final

import click

from rppam.access.tokens.target import Where, asked, asked_as_owner, target_options
from rppam.cli.errors import fail
from rppam.cli.group import Group
from rppam.gateway.authority_options import CA, HELP, HOST, failed, json_option, where_options
from rppam.gateway.revocations_cli import COMMANDS
from rppam.kernel.errors import Exit

MINE: Final = "/api/v1/users/me/ssh-certificates"


@click.group("ca", cls=Group, context_settings=HELP, epilog="Example: rppam ca show > /etc/ssh/rppam-ca.pub")
def command() -> None:
    """Show and roll the SSH authority of the cluster, get certificates of it, and revoke them."""


for _one in COMMANDS:
    command.add_command(_one)


@command.command(context_settings=HELP, epilog="Example: rppam ca show > /etc/ssh/rppam-ca.pub")
@click.option("--all", "everything", is_flag=True, help="Every key, with state and fingerprint.")
@json_option
@where_options
def show(*, everything: bool, as_json: bool, where: Where) -> int:
    """Print the lines for TrustedUserCAKeys of a target's sshd: of the key that signs, and of the next one.

    Exit code 0: shown; 1: there is none; 2: could not look.
    """
    found, problem = asked(where, HOST, "GET", CA)
    if problem:
        return failed(found, problem)
    items = [one for one in found["items"] if everything or one["state"] in {"active", "next"}]
    if not items:
        fail("there is no authority yet; `rppam ca create` makes one")
        return Exit.NO
    if as_json:
        click.echo(json.dumps({"items": items}, ensure_ascii=False))
        return Exit.DONE
    for one in items:
        if everything:
            click.echo(f"{one['number']:<3} {one['state']:<9} {one['madeAt']}  {one['fingerprint']}")
        else:
            click.echo(one["publicKey"])
    return Exit.DONE


@command.command(context_settings=HELP, epilog="Example: rppam ca create")
@json_option
@where_options
def create(*, as_json: bool, where: Where) -> int:
    """Make the authority, or, where there is one, its next key, for targets to get to know.

    Exit code 0: made; 1: there is a next key already; 2: could not be made.
    """
    return _changed("POST", CA, where, as_json=as_json)


@command.command(context_settings=HELP, epilog="Example: rppam ca activate 2")
@click.argument("number", type=click.IntRange(1))
@json_option
@where_options
def activate(*, number: int, as_json: bool, where: Where) -> int:
    """Sign with the next key, NUMBER; what the one before has signed still counts.

    Exit code 0: done; 1: it is not the next key; 2: could not be done.
    """
    return _changed("POST", f"{CA}/{number}/activate", where, as_json=as_json)


@command.command(context_settings=HELP, epilog="Example: rppam ca retire 1")
@click.argument("number", type=click.IntRange(1))
@json_option
@where_options
def retire(*, number: int, as_json: bool, where: Where) -> int:
    """Have nothing count that the key NUMBER has signed, and forget its private half.

    Exit code 0: done; 1: it is the one that signs; 2: could not be done.
    """
    return _changed("DELETE", f"{CA}/{number}", where, as_json=as_json)


@command.command(context_settings=HELP, epilog="Example: rppam ca sign ~/.ssh/id_ed25519.pub")
@click.argument("key", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--minutes", type=click.IntRange(1, 10_080), help="How long it is to count, if that may be so long.")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="Default: KEY-cert.pub beside KEY.")
@json_option
@target_options("a token of the user")
def sign(*, key: Path, minutes: int | None, output: Path | None, as_json: bool, where: Where) -> int:
    """Get a certificate for the own public KEY, by which ssh logs in at the gateway.

    It asks for the password where the log-in was over ten minutes ago.

    Exit code 0: written; 1: refused; 2: could not be got.
    """
    body: dict[str, Any] = {"key": key.read_text(encoding="utf-8").strip()}
    if minutes is not None:
        body["minutes"] = minutes
    found, problem = asked_as_owner(where, HOST, "POST", MINE, body)
    if problem:
        return failed(found, problem)
    place = output or key.with_name(f"{key.name.removesuffix('.pub')}-cert.pub")
    place.write_text(found["certificate"] + "\n", encoding="utf-8")
    text = f"{place}: serial {found['serial']}, counts until {found['expiresAt']}"
    click.echo(json.dumps(found) if as_json else text)
    return Exit.DONE


def _changed(method: str, path: str, where: Where, *, as_json: bool) -> int:
    found, problem = asked(where, HOST, method, path)
    if problem:
        return failed(found, problem)
    text = f"key {found['number']} is {found['state']}: {found['fingerprint']}"
    click.echo(json.dumps(found) if as_json else text)
    return Exit.DONE
