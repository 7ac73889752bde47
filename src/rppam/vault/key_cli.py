"""``rppam vault key``: the keys of the vault."""

import json
from pathlib import Path
from typing import Any, Final

import click

from rppam.access.tokens.target import Where, target_options
from rppam.cli.group import Group
from rppam.cli.paths import CONFIG_FILE
from rppam.kernel.errors import Exit
from rppam.targets.rest_command import HELP, Rest

KEYS: Final = "/api/v1/vault/keys"
_json: Final = click.option("--json", "as_json", is_flag=True, help="JSON on stdout.")
_where: Final = target_options("a token of pam_admin or security_admin")


@click.group("key", cls=Group, context_settings=HELP, epilog="Example: rppam vault key status")
def key() -> None:
    """Look at the keys of the vault, rotate them, and make a master key."""


@key.command("status", context_settings=HELP, epilog="Example: rppam vault key status --url http://10.0.0.2:7101")
@_json
@_where
def status(*, where: Where, as_json: bool) -> int:
    """Show the master key's fingerprint of a node, and how far a rotation is.

    Exit code 0: the node works with the vault; 1: it refuses, and says why.
    """
    found = Rest(where).ask("GET", KEYS)
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False))
    else:
        _show(found)
    return Exit.NO if found["problem"] else Exit.DONE


@key.command("rotate", context_settings=HELP, epilog="Example: rppam vault key rotate")
@_json
@_where
def rotate(*, where: Where, as_json: bool) -> None:
    """Seal with a new key from now on. The leader wraps anew what is there, without a stop; see 'status'."""
    made = Rest(where).ask("POST", f"{KEYS}/rotate")
    click.echo(json.dumps(made) if as_json else f"key {made['version']} seals from now on")


@key.command("new", context_settings=HELP, epilog="Example: rppam vault key new /etc/rppam/keys/vault.key")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def new(*, file: Path) -> None:
    """Make a master key in FILE, which must not exist, readable by its owner alone. Copy it to every node."""
    from rppam.config.host_secrets import create_key

    create_key(file)
    click.echo(f"{file} has a new master key; copy it to every node, then set vault.keySource to file", err=True)


@key.command("token", context_settings=HELP, epilog="Example: rppam vault key token --config /etc/rppam/rppam.config")
@click.option("--config", type=CONFIG_FILE, help="The config file; else RPPAM_CONFIG.")
@click.option("--new", "is_new", is_flag=True, help="Make the key in the token, which must have none of this name.")
def token(*, config: Path | None, is_new: bool) -> int:
    """Open the token (HSM) of vault.pkcs11Module as this node does, and show the fingerprint of its master key.

    This is a try of the PIN, also where the node itself tries it no more. A key that is made here never leaves the
    token: copy it to other tokens with the tools of their maker.
    """
    from rppam.config.load import load_settings

    try:
        from rppam.vault.hsm import Token, place_of
    except ImportError:
        from rppam.vault.errors import TokenAway
        from rppam.vault.keys import NO_PACKAGE

        raise TokenAway(NO_PACKAGE) from None
    place = place_of(load_settings(config), by_person=True)
    if is_new:
        Token(place).generate()
    click.echo(Token(place).fingerprint())
    return Exit.DONE


def _show(found: dict[str, Any]) -> None:
    click.echo(f"node          {found['node']}")
    click.echo(f"master key    {found['fingerprint'] or 'none'}")
    if found["problem"]:
        click.echo(f"problem       {found['problem']}")
    for kek in found["keks"]:
        click.echo(
            f"key {kek['version']:<9} {kek['state']}, wrapped with {kek['master']}, wraps {kek['dataKeys']} data keys"
        )
