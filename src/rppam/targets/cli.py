"""``rppam target``: resources, their pinned keys, and files of them, over a node's REST API."""

import json
import sys
from typing import Any, Final

import click

from rppam.access.tokens.target import Where, target_options
from rppam.cli.group import Group
from rppam.targets.rest_command import HELP, Rest, shown, table

PATH: Final = "/api/v1/resources"
_json: Final = click.option("--json", "as_json", is_flag=True, help="JSON on stdout.")
_where: Final = target_options("a token")


@click.group("target", cls=Group, context_settings=HELP, epilog="Example: rppam target ls --tag prod")
def command() -> None:
    """Manage targets: machines and services that people get access to."""


@command.command("ls", context_settings=HELP, epilog="Example: rppam target ls --search web --tag prod")
@click.option("--search", default="", help="Part of a name, an address or a description.")
@click.option("--tag", "tags", multiple=True, help="With this tag; several times for all of several.")
@_json
@_where
def list_(*, where: Where, search: str, tags: tuple[str, ...], as_json: bool) -> None:
    """List targets by name."""
    found = Rest(where).all(PATH, search=search, tag=tags)
    if as_json:
        click.echo(json.dumps({"items": found}, ensure_ascii=False))
        return
    rows = [("NAME", "KIND", "ADDRESS", "TAGS")]
    rows += [(one["name"], one["kind"], _address(one), ",".join(one["tags"])) for one in found]
    table(rows)


@command.command("add", context_settings=HELP, epilog="Example: rppam target add web1 10.0.0.1 --kind ssh --tag prod")
@click.argument("name")
@click.argument("address")
@click.option("--kind", default="ssh", show_default=True, help="ssh, rdp, postgresql, mysql, ldap, http ...")
@click.option("--port", type=click.IntRange(1, 65_535), help="Else the usual one of the kind.")
@click.option("--tag", "tags", multiple=True, help="Several times for several.")
@click.option("--description", default="", help="One line for people.")
@click.option("--tofu", is_flag=True, help="Pin the first host key that it shows; else pin one with 'target pin'.")
@_json
@_where
def add(
    *,
    where: Where,
    name: str,
    address: str,
    kind: str,
    port: int | None,
    tags: tuple[str, ...],
    description: str,
    tofu: bool,
    as_json: bool,
) -> None:
    """Add the target NAME at ADDRESS."""
    body: dict[str, Any] = {"name": name, "kind": kind, "address": address, "tags": list(tags)}
    body |= {"description": description, "hostKeyPolicy": "tofu" if tofu else "pin"}
    if port is not None:
        body["port"] = port
    made = Rest(where).ask("POST", PATH, body)
    shown(made, lambda one: f"{one['name']} is added: {one['id']}", as_json=as_json)


@command.command("show", context_settings=HELP, epilog="Example: rppam target show web1")
@click.argument("name")
@_json
@_where
def show(*, where: Where, name: str, as_json: bool) -> None:
    """Show the target NAME (or id), its accounts and pinned keys."""
    rest = Rest(where)
    found = rest.one(PATH, name, "name")
    found["accounts"] = [one["name"] for one in rest.all("/api/v1/accounts", resourceId=found["id"])]
    found["hostKeys"] = rest.ask("GET", f"{PATH}/{found['id']}/host-keys")["items"]
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False))
        return
    for title, value in (
        ("name", found["name"]),
        ("id", found["id"]),
        ("kind", found["kind"]),
        ("address", _address(found)),
        ("tags", ", ".join(found["tags"])),
        ("description", found["description"]),
        ("accounts", ", ".join(found["accounts"])),
        *((one["type"], f"{one['fingerprint']}  {one['id']}") for one in found["hostKeys"]),
    ):
        click.echo(f"{title:<20} {value}")


@command.command("rm", context_settings=HELP, epilog="Example: rppam target rm web1")
@click.argument("name")
@_where
def remove(*, where: Where, name: str) -> None:
    """Delete the target NAME (or id), which has no accounts any more."""
    rest = Rest(where)
    found = rest.one(PATH, name, "name")
    rest.ask("DELETE", f"{PATH}/{found['id']}")
    click.echo(f"{found['name']} is deleted", err=True)


@command.command("pin", context_settings=HELP, epilog="Example: ssh-keyscan web1 | rppam target pin web1")
@click.argument("name")
@_json
@_where
def pin(*, where: Where, name: str, as_json: bool) -> None:
    """Believe the host keys (lines of ssh-keyscan) or the certificate (PEM) on stdin of the target NAME.

    Compare the fingerprints with what the target itself shows.
    """
    rest = Rest(where)
    path = f"{PATH}/{rest.one(PATH, name, 'name')['id']}/host-keys"
    text = sys.stdin.read()
    keys = [text] if "BEGIN CERTIFICATE" in text else [line for line in text.splitlines() if line.strip()[:1] != "#"]
    made = [rest.ask("POST", path, {"key": key}) for key in keys if key.strip()]
    shown(made, lambda one: f"{one['type']}  {one['fingerprint']}", as_json=as_json)


@command.command("unpin", context_settings=HELP, epilog="Example: rppam target unpin web1 KEY-ID")
@click.argument("name")
@click.argument("key_id")
@_where
def unpin(*, where: Where, name: str, key_id: str) -> None:
    """Believe a host key of the target NAME no more."""
    rest = Rest(where)
    rest.ask("DELETE", f"{PATH}/{rest.one(PATH, name, 'name')['id']}/host-keys/{key_id}")
    click.echo("it is not believed any more", err=True)


@command.command("import", context_settings=HELP, epilog="Example: rppam target import hosts.ini --format ansible")
@click.argument("file", type=click.File("r", encoding="utf-8"))
@click.option(
    "--format",
    "format_",
    type=click.Choice(["csv", "json", "ansible", "openssh"]),
    help="Else by the name's end: .csv, .json, .ini; a file named config or hosts.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@_json
@_where
def import_(*, where: Where, file: Any, format_: str | None, dry_run: bool, as_json: bool) -> int:
    """Add the targets and accounts in FILE, and change those that are there.

    It may be repeated: what is there as it stands in FILE stays. Nothing is removed. Exit code 0: all of it; 1: some
    could not be.
    """
    from rppam.targets.formats import format_of, read_targets
    from rppam.targets.importing import Import

    wanted, problems = read_targets(file.read(), format_ or format_of(file.name))
    outcome = Import(Rest(where), wanted, dry_run=dry_run)
    outcome.run()
    problems += outcome.problems
    said = {
        "created": outcome.created,
        "changed": outcome.changed,
        "unchanged": outcome.unchanged,
        "problems": problems,
    }
    if as_json:
        click.echo(json.dumps(said, ensure_ascii=False))
    else:
        for problem in problems:
            click.echo(problem, err=True)
        would, same = "would be " if dry_run else "", outcome.unchanged
        click.echo(f"{len(outcome.created)} {would}added, {len(outcome.changed)} {would}changed, {same} as they were")
    return 1 if problems else 0


@command.command("export", context_settings=HELP, epilog="Example: rppam target export --format openssh")
@click.option(
    "--format", "format_", type=click.Choice(["csv", "json", "ansible", "openssh"]), default="json", help="Of the file."
)
@click.option("--tag", "tags", multiple=True, help="With this tag; several times for all of several.")
@click.option("--json", "as_json", is_flag=True, help="The file and what it leaves out as JSON on stdout.")
@_where
def export(*, where: Where, format_: str, tags: tuple[str, ...], as_json: bool) -> None:
    """Write targets, accounts and pinned keys to stdout. No secret is among them.

    JSON, CSV and Ansible keep everything; what an OpenSSH config cannot say is named on stderr.
    """
    from rppam.targets.formats import left_out, write_targets
    from rppam.targets.importing import accounts_by_target, keys_by_target
    from rppam.targets.wanted import Wanted, WantedAccount

    rest = Rest(where)
    accounts, keys = accounts_by_target(rest), keys_by_target(rest)
    found = [
        Wanted(
            one["name"],
            one["kind"],
            one["address"],
            one["port"],
            tuple(one["tags"]),
            tuple(WantedAccount(a["name"], a["description"], tuple(a["tags"])) for a in accounts.get(one["id"], ())),
            one["description"],
            one["hostKeyPolicy"],
            one["legacyAlgorithms"],
            tuple(keys.get(one["id"], ())),
        )
        for one in rest.all(PATH, tag=tags)
    ]
    text = write_targets(found, format_)
    lacking = left_out(found, text, format_)
    if as_json:
        said = {"format": format_, "file": text, "leftOut": [one._asdict() for one in lacking]}
        click.echo(json.dumps(said, ensure_ascii=False))
        return
    for one in lacking:
        click.echo(one, err=True)
    click.echo(text, nl=False)


def _address(one: dict[str, Any]) -> str:
    host = f"[{one['address']}]" if ":" in one["address"] else one["address"]
    return f"{host}:{one['port']}"
