"""``rppam account``: privileged accounts on targets, over a node's REST API."""

import json
from typing import Final

import click

from rppam.access.tokens.target import Where, target_options
from rppam.cli.group import Group
from rppam.targets.rest_command import HELP, Rest, shown, table

PATH: Final = "/api/v1/accounts"
RESOURCES: Final = "/api/v1/resources"
_json: Final = click.option("--json", "as_json", is_flag=True, help="JSON on stdout.")
_where: Final = target_options("a token")


@click.group("account", cls=Group, context_settings=HELP, epilog="Example: rppam account add web1 root")
def command() -> None:
    """Manage privileged accounts on targets; their secrets are in the vault."""


@command.command("ls", context_settings=HELP, epilog="Example: rppam account ls --target web1")
@click.option("--target", metavar="NAME", help="Those on one target.")
@click.option("--search", default="", help="Part of a name or of the target's name.")
@_json
@_where
def list_(*, where: Where, target: str | None, search: str, as_json: bool) -> None:
    """List accounts by name."""
    rest = Rest(where)
    on = None if target is None else rest.one(RESOURCES, target, "name")["id"]
    found = rest.all(PATH, search=search, resourceId=on)
    if as_json:
        click.echo(json.dumps({"items": found}, ensure_ascii=False))
        return
    rows = [("ACCOUNT", "TARGET", "TAGS", "ID")]
    table(rows + [(one["name"], one["resourceName"], ",".join(one["tags"]), one["id"]) for one in found])


@command.command("add", context_settings=HELP, epilog="Example: rppam account add web1 root")
@click.argument("target")
@click.argument("name")
@click.option("--tag", "tags", multiple=True, help="Several times for several.")
@click.option("--description", default="", help="One line for people.")
@_json
@_where
def add(*, where: Where, target: str, name: str, tags: tuple[str, ...], description: str, as_json: bool) -> None:
    """Add the account NAME on TARGET."""
    rest = Rest(where)
    body = {"resourceId": rest.one(RESOURCES, target, "name")["id"], "name": name, "tags": list(tags)}
    made = rest.ask("POST", PATH, body | {"description": description})
    shown(made, lambda one: f"{one['name']} on {one['resourceName']} is added: {one['id']}", as_json=as_json)


@command.command("rm", context_settings=HELP, epilog="Example: rppam account rm web1 root")
@click.argument("target")
@click.argument("name")
@_where
def remove(*, where: Where, target: str, name: str) -> None:
    """Delete the account NAME on TARGET, which no entry of the vault names any more."""
    rest = Rest(where)
    found = rest.one(PATH, f"{rest.one(RESOURCES, target, 'name')['name']}/{name}", "resourceName", "name")
    rest.ask("DELETE", f"{PATH}/{found['id']}")
    click.echo(f"{found['name']} on {found['resourceName']} is deleted", err=True)
