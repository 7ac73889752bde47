"""``rppam vault rotate``, ``rotation`` and ``rotations``: secrets changed on their targets."""

import json
import time
from typing import Any, Final

import click

from rppam.access.tokens.target import Where, target_options
from rppam.kernel.errors import Exit
from rppam.targets.rest_command import HELP, Refused, Rest, table

VAULT: Final = "/api/v1/vault"
ENTRIES: Final = f"{VAULT}/entries"
ASK_EVERY_S: Final = 1.0
ASKED_MAX: Final = 120
_json: Final = click.option("--json", "as_json", is_flag=True, help="JSON on stdout.")
_where: Final = target_options("a token")


@click.command("rotate", context_settings=HELP, epilog='Example: rppam vault rotate servers/root --reason "leaver"')
@click.argument("entry")
@click.option("--reason", default="", help="Why; it is recorded.")
@click.option("--no-wait", is_flag=True, help="Do not wait until it is done.")
@_json
@_where
def rotate(*, where: Where, entry: str, reason: str, no_wait: bool, as_json: bool) -> int:
    """Change the secret of ENTRY (FOLDER/NAME or id) on its target, to one that nobody knows.

    Exit code 0: done, or ordered with --no-wait; 1: not yet, and why; it is tried again.
    """
    rest = Rest(where)
    found = rest.one(ENTRIES, entry, "folder", "name")
    made = rest.ask("POST", f"{ENTRIES}/{found['id']}/rotate", {"reason": reason})
    if not no_wait:
        made = _awaited(rest, found["id"], made)
    if as_json:
        click.echo(json.dumps(made, ensure_ascii=False))
    elif made["phase"] == "done":
        click.echo(f"{made['target']} takes a new secret for {entry}", err=True)
    elif no_wait:
        click.echo(f"ordered: {made['id']}", err=True)
    else:
        raise Refused(f"{made['target']} has not got another secret yet ({made['problem'] or made['phase']})")
    return Exit.DONE if made["phase"] == "done" or no_wait else Exit.NO


def _awaited(rest: Rest, entry_id: str, made: dict[str, Any]) -> dict[str, Any]:
    """The rotation once it is over, or has failed an attempt."""
    now = made
    for _ in range(ASKED_MAX):
        listed = rest.ask("GET", f"{ENTRIES}/{entry_id}/rotation")["rotations"]
        now = next((one for one in listed if one["id"] == made["id"]), now)
        if now["endedAt"] is not None or now["attempts"] > made["attempts"]:
            break
        time.sleep(ASK_EVERY_S)
    return now


@click.command("rotation", context_settings=HELP, epilog="Example: rppam vault rotation servers/root --every-hours 720")
@click.argument("entry")
@click.option("--every-hours", type=click.IntRange(0), help="Change it by time; 0: not.")
@click.option("--by", metavar="ENTRY", help="Entry of another account on the target that changes it; '' for none.")
@click.option("--length", type=click.IntRange(1), help="Characters of a new secret.")
@click.option("--without", help="Characters that the target refuses.")
@click.option("--on/--off", "enabled", default=None, help="Whether it is changed by itself.")
@_json
@_where
def rotation(*, where: Where, entry: str, as_json: bool, by: str | None, **asked: Any) -> None:
    """Show how the secret of ENTRY is changed on its target, or say how."""
    rest = Rest(where)
    path = f"{ENTRIES}/{rest.one(ENTRIES, entry, 'folder', 'name')['id']}/rotation"
    found = rest.ask("GET", path)
    names = {"every_hours": "everyHours", "length": "length", "without": "without", "enabled": "enabled"}
    wanted = {names[name]: value for name, value in asked.items() if name in names and value is not None}
    if by is not None:
        wanted["byEntryId"] = rest.one(ENTRIES, by, "folder", "name")["id"] if by else None
    if wanted:
        kept = {name: found[name] for name in ("enabled", "everyHours", "byEntryId", "length", "without", "revision")}
        found = rest.ask("PUT", path, kept | wanted)
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False))
        return
    for name, value in found.items():
        if name != "rotations" and not (name == "problem" and not value):
            click.echo(f"{name:<12} {'' if value is None else value}")
    if found["rotations"]:
        click.echo()
        _table(found["rotations"])


@click.command("rotations", context_settings=HELP, epilog="Example: rppam vault rotations")
@click.option("--all", "every", is_flag=True, help="Also those that are over.")
@_json
@_where
def rotations(*, where: Where, every: bool, as_json: bool) -> int:
    """List secrets that are being changed on their targets, and why it fails.

    Exit code 0: none fails; 1: one or more do.
    """
    found = Rest(where).ask("GET", f"{VAULT}/rotations?open={'false' if every else 'true'}")["items"]
    if as_json:
        click.echo(json.dumps({"items": found}, ensure_ascii=False))
    else:
        _table(found)
    return Exit.NO if any(one["problem"] and one["endedAt"] is None for one in found) else Exit.DONE


def _table(found: list[dict[str, Any]]) -> None:
    rows: list[tuple[str, ...]] = [("ENTRY", "TARGET", "CAUSE", "PHASE", "TRIES", "SINCE", "PROBLEM")]
    names = ("entry", "target", "cause", "phase", "attempts", "createdAt", "problem")
    rows += [tuple(str(one[name]) for name in names) for one in found]
    table(rows)
