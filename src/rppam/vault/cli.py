"""``rppam vault``: secrets, check-outs, folders and keys, over a node's REST API.

A secret is read from a prompt, from stdin or from a file, never from the command line, which others can read.
"""

import base64
import binascii
import json
import sys
import time
from pathlib import Path
from typing import Any, Final

import click

from rppam.access.tokens.target import Where, target_options
from rppam.cli.asking import ask_hidden
from rppam.cli.group import Group
from rppam.kernel.errors import Exit
from rppam.process.private_memory import keep_from_dumps
from rppam.targets.rest_command import HELP, Refused, Rest, listed, shown, table
from rppam.vault.ceremony_cli import ceremony, seal, unseal
from rppam.vault.generate_cli import WORD_COUNT, generate
from rppam.vault.key_cli import key
from rppam.vault.model import binary_fields
from rppam.vault.rotation_cli import rotate, rotation, rotations

VAULT: Final = "/api/v1/vault"
ENTRIES: Final = f"{VAULT}/entries"
CHECKOUTS: Final = f"{VAULT}/checkouts"
ASK_EVERY_S: Final = 2.0
_WAITED_FOR: Final = frozenset({"RPPAM-8411", "RPPAM-8413"})
"""Somebody else has it, or its secret is to be changed before anybody gets it."""
_json: Final = click.option("--json", "as_json", is_flag=True, help="JSON on stdout.")
_where: Final = target_options("a token")
_reason: Final = click.option("--reason", required=True, help="Why; it is recorded.")


@click.group(
    "vault", cls=Group, context_settings=HELP, epilog='Example: rppam vault reveal servers/root --reason "CHG123456"'
)
def command() -> None:
    """Keep secrets of privileged accounts, show them, and check them out."""
    keep_from_dumps()


for _one in (key, generate, rotate, rotation, rotations, ceremony, unseal, seal):
    command.add_command(_one)


@command.command("ls", context_settings=HELP, epilog="Example: rppam vault ls --folder servers")
@click.option("--folder", help="In this folder and below.")
@click.option("--search", default="", help="Part of a name, a folder or a description.")
@click.option("--tag", "tags", multiple=True, help="With this tag; several times for all of several.")
@click.option("--owner", metavar="NAME", help="Those that this user looks after.")
@_json
@_where
def list_(
    *, where: Where, folder: str | None, search: str, tags: tuple[str, ...], owner: str | None, as_json: bool
) -> None:
    """List entries that you may know of."""
    rest = Rest(where)
    owner_id = None if owner is None else _user(rest, owner)
    found = rest.all(ENTRIES, folder=folder, search=search, tag=tags, ownerId=owner_id)
    if as_json:
        click.echo(json.dumps({"items": found}, ensure_ascii=False))
        return
    rows = [("ENTRY", "TYPE", "STATE", "TAGS", "OWNER", "CHANGED", "ID")]
    for one in found:
        state = one["state"] if one["heldBy"] is None else f"with {one['heldBy']}"
        about = (one["type"], state, ",".join(one["tags"]), one["ownerName"] or "")
        rows.append((_path(one), *about, one["changedAt"], one["id"]))
    table(rows)


@command.command("get", context_settings=HELP, epilog="Example: rppam vault get servers/root")
@click.argument("entry")
@_json
@_where
def get(*, where: Where, entry: str, as_json: bool) -> None:
    """Show what is known of ENTRY (FOLDER/NAME or id), not its secret, and who has it checked out."""
    rest = Rest(where)
    found = rest.ask("GET", f"{ENTRIES}/{_entry(rest, entry)['id']}")
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False))
        return
    for name, value in found.items():
        click.echo(f"{name:<16} {'' if value is None else value}")


@command.command(
    "put", context_settings=HELP, epilog="Example: rppam vault put servers/root --account root@web1 --secret password"
)
@click.argument("entry")
@click.option("--type", "type_", default="password", show_default=True, help="For a new entry: password, ssh-key ...")
@click.option(
    "--account", metavar="ACCOUNT", help="The privileged account that it signs in to: ACCOUNT@TARGET, or its id."
)
@click.option("--field", "fields", multiple=True, metavar="NAME=TEXT", help="A field that is no secret: username=root.")
@click.option("--secret", "secrets", multiple=True, metavar="NAME", help="A field from a prompt, or a line of stdin.")
@click.option(
    "--file",
    "files",
    multiple=True,
    metavar="NAME=FILE",
    help="A field from a file: privateKey=id_ed25519, content=any.bin.",
)
@click.option("--generate", is_flag=True, help="Have the password made up, so that nobody knows it.")
@click.option("--words", type=WORD_COUNT, help="Have it made up of so many words.")
@click.option("--tag", "tags", multiple=True, help="Several times for several, in place of all; an empty one for none.")
@click.option("--owner", metavar="NAME", help="The user who looks after it.")
@click.option("--shared", is_flag=True, help="For a new entry: several may have it checked out at once.")
@_json
@_where
def put(
    *,
    where: Where,
    entry: str,
    type_: str,
    account: str | None,
    fields: tuple[str, ...],
    secrets: tuple[str, ...],
    files: tuple[str, ...],
    generate: bool,
    words: int | None,
    tags: tuple[str, ...],
    owner: str | None,
    shared: bool,
    as_json: bool,
) -> None:
    """Make ENTRY (FOLDER/NAME), or give it a new version of its secret, other tags or another owner."""
    rest = Rest(where)
    folder, _, name = entry.strip("/").rpartition("/")
    there = [one for one in rest.all(ENTRIES, folder=folder, search=name[:100]) if _path(one) == entry.strip("/")]
    found = _fields(there[0]["type"] if there else type_, fields, secrets, files)
    body: dict[str, Any] = {"fields": found} if found else {}
    if generate or words is not None:
        body["generate"] = {} if words is None else {"words": words}
    if account is not None:
        body["accountId"] = _account(rest, account)
    if tags:
        body["tags"] = [tag for tag in tags if tag]
    if owner is not None:
        body["ownerId"] = _user(rest, owner)
    if there:
        made = rest.ask("PUT", f"{ENTRIES}/{there[0]['id']}", body)
    else:
        new = {"folder": folder, "name": name, "type": type_, "exclusive": not shared}
        made = rest.ask("POST", ENTRIES, new | body)
    shown(made, lambda one: f"{_path(one)} has version {one['version']}: {one['id']}", as_json=as_json)


@command.command(
    "reveal", context_settings=HELP, epilog='Example: rppam vault reveal servers/root --reason "CHG123456"'
)
@click.argument("entry")
@_reason
@click.option("--field", help="This field alone, as it is.")
@click.option("--code", is_flag=True, help="Ask for the code of your authenticator.")
@_json
@_where
def reveal(*, where: Where, entry: str, reason: str, field: str | None, code: bool, as_json: bool) -> int:
    """Show the secret of ENTRY (FOLDER/NAME or id). It is recorded with the reason."""
    rest = Rest(where)
    body: dict[str, Any] = {"reason": reason}
    if code:
        body["code"] = ask_hidden("Code", "run it on a terminal, or leave --code out where none is needed")
    wanted = _entry(rest, entry)
    found = rest.ask("POST", f"{ENTRIES}/{wanted['id']}/reveal", body)
    binary = binary_fields(wanted["type"])
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False))
    elif field is not None:
        if field not in found["fields"]:
            raise Refused(f"it has no field {field}; it has {', '.join(found['fields'])}")
        content = _content(found["fields"][field]) if field in binary else None
        click.echo(found["fields"][field] if content is None else content, nl=content is None)
    else:
        for name, value in found["fields"].items():
            content = _content(value) if name in binary else None
            about = value if content is None else f"{len(content)} bytes (--field {name} writes them)"
            click.echo(f"{name}: {about}")
    if found.get("secondsLeft") is not None:
        click.echo(f"it holds for {found['secondsLeft']} s", err=True)
    return Exit.DONE


@command.command("versions", context_settings=HELP, epilog="Example: rppam vault versions servers/root")
@click.argument("entry")
@_json
@_where
def versions(*, where: Where, entry: str, as_json: bool) -> None:
    """List the versions of ENTRY, the newest first."""
    rest = Rest(where)
    found = rest.ask("GET", f"{ENTRIES}/{_entry(rest, entry)['id']}/versions")["items"]
    shown(
        found, lambda one: f"{one['version']:>4}  {one['state']:<9} {one['madeAt']}  {one['madeBy']}", as_json=as_json
    )


@command.command("restore", context_settings=HELP, epilog="Example: rppam vault restore servers/root 3")
@click.argument("entry")
@click.argument("version", type=click.IntRange(1))
@_json
@_where
def restore(*, where: Where, entry: str, version: int, as_json: bool) -> None:
    """Make what VERSION of ENTRY holds the current one again."""
    rest = Rest(where)
    made = rest.ask("POST", f"{ENTRIES}/{_entry(rest, entry)['id']}/versions/{version}/restore")
    shown(made, lambda one: f"{_path(one)} has version {one['version']}", as_json=as_json)


@command.command("release", context_settings=HELP, epilog="Example: rppam vault release servers/root")
@click.argument("entry")
@_where
def release(*, where: Where, entry: str) -> None:
    """Let ENTRY be had again that waits for a change of its secret."""
    rest = Rest(where)
    made = rest.ask("POST", f"{ENTRIES}/{_entry(rest, entry)['id']}/release")
    click.echo(f"{_path(made)} is {made['state']}", err=True)


@command.command("rm", context_settings=HELP, epilog="Example: rppam vault rm servers/root")
@click.argument("entry")
@_where
def remove(*, where: Where, entry: str) -> None:
    """Delete ENTRY for good, with all its versions."""
    rest = Rest(where)
    found = _entry(rest, entry)
    rest.ask("DELETE", f"{ENTRIES}/{found['id']}")
    click.echo(f"{_path(found)} is deleted", err=True)


# ---- check-outs ------------------------------------------------------------------------------------------------------


@command.command(
    "checkout", context_settings=HELP, epilog='Example: rppam vault checkout servers/root --reason "INC1" --wait'
)
@click.argument("entry")
@_reason
@click.option("--minutes", type=click.IntRange(1), default=60, show_default=True, help="For how long.")
@click.option("--wait", is_flag=True, help="Queue where it cannot be had yet; Ctrl-C waits no more.")
@_json
@_where
def checkout(*, where: Where, entry: str, reason: str, minutes: int, wait: bool, as_json: bool) -> None:
    """Check ENTRY (FOLDER/NAME or id) out.

    Exit code 0: you have it; 1: somebody else has it, or its secret is to be changed first. With --wait it is had once
    neither is so; what is waited for is said on stderr.
    """
    rest = Rest(where)
    body = {"entryId": _entry(rest, entry)["id"], "reason": reason, "minutes": minutes, "wait": wait}
    told = ""
    made: dict[str, Any] = {}
    while not made:
        try:
            made = rest.ask("POST", CHECKOUTS, body)
        except Refused as error:
            if not wait or error.body.get("code") not in _WAITED_FOR:
                raise
            said = str(error.body.get("detail"))
            if said != told:
                click.echo(said, err=True)
            told = said
            time.sleep(ASK_EVERY_S)
    shown(made, lambda one: f"you have it until {one['expiresAt']}: rppam vault checkin {one['id']}", as_json=as_json)


@command.command("checkin", context_settings=HELP, epilog="Example: rppam vault checkin servers/root")
@click.argument("checkout_", metavar="CHECKOUT")
@click.option("--force", metavar="REASON", help="End somebody else's, for this reason; you manage the folder.")
@_where
def checkin(*, where: Where, checkout_: str, force: str | None) -> None:
    """Give back what you have checked out: CHECKOUT is its id, or the entry (FOLDER/NAME).

    Exit code 1: it had ended already.
    """
    rest = Rest(where)
    path = f"{CHECKOUTS}/{_checkout_id(rest, checkout_)}"
    if force is None:
        rest.ask("POST", f"{path}/checkin")
    else:
        rest.ask("POST", f"{path}/force", {"reason": force})
    click.echo("it is checked in", err=True)


def _checkout_id(rest: Rest, word: str) -> str:
    """That of the only check-out of an entry that holds, or what was typed. Raises :class:`Refused`."""
    if "/" not in word:
        return word
    entry = _entry(rest, word)
    held = [one for one in rest.all(CHECKOUTS, active="true") if one["entryId"] == entry["id"]]
    if not held:
        raise Refused(f"nothing of {_path(entry)} is checked out now, as far as you may see: 'rppam vault checkouts'")
    if len(held) > 1:
        told = ", ".join(f"{one['id']} ({one['userName']})" for one in held)
        raise Refused(f"{_path(entry)} is checked out several times; name one by its id: {told}")
    return str(held[0]["id"])


@command.command("checkouts", context_settings=HELP, epilog="Example: rppam vault checkouts --active")
@click.option("--active", is_flag=True, help="Those that hold now.")
@_json
@_where
def checkouts(*, where: Where, active: bool, as_json: bool) -> None:
    """List check-outs: your own, or all where you may see them."""
    found = Rest(where).all(CHECKOUTS, active=str(active).lower())
    if as_json:
        click.echo(json.dumps({"items": found}, ensure_ascii=False))
        return
    rows = [("ENTRY", "WHO", "UNTIL", "ENDED", "ID")]
    rows += [(one["entryName"], one["userName"], one["expiresAt"], one["endedWhy"] or "", one["id"]) for one in found]
    listed(rows, "nothing is checked out")


# ---- folders ---------------------------------------------------------------------------------------------------------


@command.command("folders", context_settings=HELP, epilog="Example: rppam vault folders")
@_json
@_where
def folders(*, where: Where, as_json: bool) -> None:
    """List the folders that you have a right on."""
    found = Rest(where).ask("GET", f"{VAULT}/folders")["items"]
    shown(found, lambda one: f"{one['path'] or '/':<40} {', '.join(one['rights'])}", as_json=as_json)


@command.command("allow", context_settings=HELP, epilog="Example: rppam vault allow servers --user alice --right use")
@click.argument("folder")
@click.option("--user", metavar="NAME", help="Whom; or --role.")
@click.option("--role", metavar="ROLE", help="Whom: all with this role.")
@click.option(
    "--right",
    "rights",
    multiple=True,
    help="list, use, use-shell, use-files, reveal, manage, audit; none takes all away.",
)
@_json
@_where
def allow(
    *, where: Where, folder: str, user: str | None, role: str | None, rights: tuple[str, ...], as_json: bool
) -> None:
    """Let a user or a role do so much in FOLDER and below, in place of what they could there."""
    if (user is None) is (role is None):
        raise click.UsageError("give --user or --role")
    rest = Rest(where)
    path = folder.strip("/")
    found = [one for one in rest.ask("GET", f"{VAULT}/folders")["items"] if one["path"] == path]
    ident = found[0]["id"] if found else rest.ask("POST", f"{VAULT}/folders", {"path": path})["id"]
    whom = {"role": role} if user is None else {"userId": _user(rest, user)}
    there = rest.ask("GET", f"{VAULT}/folders/{ident}/rights")
    kept = [one for one in there["items"] if any(one.get(name) != value for name, value in whom.items())]
    items = kept + ([whom | {"rights": list(rights)}] if rights else [])
    body = {"items": items, "revision": there["revision"]}
    made = rest.ask("PUT", f"{VAULT}/folders/{ident}/rights", body)["items"]
    shown(
        made,
        lambda one: f"{one['userName'] or one['role'] or one['userId']:<30} {', '.join(one['rights'])}",
        as_json=as_json,
    )


def _entry(rest: Rest, word: str) -> dict[str, Any]:
    return rest.one(ENTRIES, word, "folder", "name")


def _account(rest: Rest, word: str) -> str:
    """The id of the account named ACCOUNT@TARGET; what has no @ is an id already. Raises :class:`Refused`."""
    name, at, target = word.rpartition("@")
    if not at:
        return word
    found = [
        one["id"]
        for one in rest.all("/api/v1/accounts", search=name[:100])
        if one["name"] == name and str(one["resourceName"]).casefold() == target.casefold()
    ]
    if len(found) != 1:
        raise Refused(f"no account is named {word!r}: 'rppam account ls' lists them, 'rppam account add' adds one")
    return str(found[0])


def _user(rest: Rest, name: str) -> str:
    found: str = rest.one("/api/v1/users", name, "username")["id"]
    return found


def _path(one: dict[str, Any]) -> str:
    return f"{one['folder']}/{one['name']}".strip("/")


def _content(text: str) -> bytes | None:
    """The bytes of a field; ``None`` where an earlier release has kept it as text."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


def _fields(type_: str, plain: tuple[str, ...], secrets: tuple[str, ...], files: tuple[str, ...]) -> dict[str, str]:
    binary = binary_fields(type_)
    found: dict[str, str] = {}
    for text in plain:
        name, equals, value = text.partition("=")
        if not equals:
            raise click.UsageError(f"--field {name}: expected NAME=TEXT")
        found[name] = value
    for text in files:
        name, equals, path = text.partition("=")
        try:
            if name in binary:
                found[name] = base64.b64encode(Path(path).read_bytes()).decode()
            else:
                found[name] = Path(path).read_text(encoding="utf-8")
        except OSError as error:
            raise click.UsageError(f"--file {name}: expected a readable file ({error})") from None
        except UnicodeDecodeError:
            where = "bytes go into 'content' of the type file, or 'pfx' of the type certificate"
            raise click.UsageError(f"--file {name}: expected a readable text file; {where}") from None
    for name in secrets:
        if sys.stdin.isatty():
            found[name] = click.prompt(name, hide_input=True, confirmation_prompt=True, err=True)
        else:
            found[name] = sys.stdin.readline().removesuffix("\n")
    return found
