"""``rppam session``: who is on which target, watching and ending a session, asked of any node."""

import json
import re
import sys
from collections.abc import Mapping
from typing import Any, Final

import click

from rppam.access.tokens.target import Where, asked, target_options
from rppam.cli.errors import fail, tell
from rppam.cli.group import Group
from rppam.gateway.watching import watched
from rppam.kernel.errors import Exit
from rppam.targets.rest_command import listed

HOST: Final = "session@host"
SESSIONS: Final = "/api/v1/access/sessions"
RECORDINGS: Final = "/api/v1/recordings"
FACTOR: Final = "RPPAM-8628"
_IDENT: Final = re.compile(r"[0-9a-f-]{36}")
_HELP: Final = {"help_option_names": ["-h", "--help"]}
_TOKEN: Final = "the token of an administrator"  # noqa: S105 - no token
_json = click.option("--json", "as_json", is_flag=True, help="JSON on stdout.")


@click.group("session", cls=Group, context_settings=_HELP, epilog="Example: rppam session ls")
def command() -> None:
    """List, watch and end sessions with targets."""


@command.command("ls", context_settings=_HELP, epilog="Example: rppam session ls --all --json")
@click.option("--all", "everything", is_flag=True, help="Past ones as well.")
@click.option("--limit", type=click.IntRange(1, 200), default=50, show_default=True, help="The newest so many.")
@_json
@target_options(_TOKEN)
def list_(*, everything: bool, limit: int, as_json: bool, where: Where) -> int:
    """Show who is on which target, the newest first.

    Exit code 0: shown; 2: could not look.
    """
    query = f"?pageSize={limit}" + ("" if everything else "&active=true")
    found, problem = asked(where, HOST, "GET", SESSIONS + query)
    if problem:
        fail(problem, str(found.get("code", "")))
        return Exit.ERRORS
    if as_json:
        click.echo(json.dumps({"items": found["items"]}, ensure_ascii=False))
        return Exit.DONE
    rows = [("SESSION", "SINCE", "USER", "ACCOUNT", "NODE", "STATE")]
    for one in found["items"]:
        place = f"{one['account']}@{one['target']}"
        rows.append((one["id"], one["startedAt"], one["user"], place, one["node"], state_of(one)))
    listed(rows, "no session is shown" if everything else "nobody is on a target; --all shows past sessions as well")
    return Exit.DONE


def state_of(session: Mapping[str, Any]) -> str:
    """How a session of the list is: live, kept for its user by its target, or why it is over."""
    if not session["active"]:
        return str(session["why"])
    since = session.get("detachedAt")  # which a node of the release before may not say
    return f"kept, nobody attached since {since}" if since else "live"


@command.command(context_settings=_HELP, epilog="Example: rppam session kill alice --reason lunch")
@click.argument("session")
@click.option("--reason", default="", metavar="TEXT", help="Its user and the ledger are told.")
@_json
@target_options(_TOKEN)
def kill(*, session: str, reason: str, as_json: bool, where: Where) -> int:
    """End SESSION, on whatever node it is; where a second factor is needed, its code is asked for.

    SESSION is an id, or the user or ACCOUNT@TARGET of the only one that goes on.

    Exit code 0: ordered; 1: there is none, it is over, or there are several; 2: could not be ordered.
    """
    session, wrong = _named(where, session)
    if wrong is not None:
        return wrong
    body = {"reason": reason}
    found, problem = asked(where, HOST, "POST", f"{SESSIONS}/{session}/kill", body)
    if found.get("code") == FACTOR and sys.stdin.isatty():
        body["code"] = click.prompt("Code of your authenticator", hide_input=True, err=True)
        found, problem = asked(where, HOST, "POST", f"{SESSIONS}/{session}/kill", body)
    if problem:
        fail(problem, str(found.get("code", "")))
        return Exit.NO if found.get("status") == 404 else Exit.ERRORS
    click.echo(json.dumps(found) if as_json else f"{found['user']} on {found['target']}: the session is ended")
    return Exit.DONE


@command.command(context_settings=_HELP, epilog="Example: rppam session watch alice")
@click.argument("session")
@target_options(_TOKEN)
def watch(*, session: str, where: Where) -> int:
    """Show in this terminal what SESSION shows its user, as it goes on; Ctrl-C leaves it. The ledger says who watched.

    SESSION is an id, or the user or ACCOUNT@TARGET of the only one that goes on.

    Exit code 0: it ended; 1: nothing of it is recorded now, or there are several; 2: could not look.
    """
    from rppam.http.client import NoAnswerError
    from rppam.http.download import pieces

    session, wrong = _named(where, session)
    if wrong is not None:
        return wrong
    found, problem = asked(where, HOST, "GET", f"{RECORDINGS}?session={session}")
    if problem:
        fail(problem, str(found.get("code", "")))
        return Exit.ERRORS
    live = [one["id"] for one in found["items"] if one["state"] == "live"]
    if not live:
        tell("nothing of this session is recorded now; `rppam recording ls` has what was")
        return Exit.NO
    target = where.target(HOST)
    url = f"{target.url}{RECORDINGS}/{live[0]}/watch"
    try:
        why = watched(lambda: pieces(url, target.token(), target.trust), lambda text: click.echo(text, nl=False))
    except NoAnswerError as error:
        fail(str(error))
        return Exit.ERRORS
    if why:
        click.echo(err=True)
        tell(why)
    return Exit.ERRORS if why else Exit.DONE


def _named(where: Where, word: str) -> tuple[str, Exit | None]:
    """The id of the session that ``word`` means; an id is taken as it is. The exit code where that was told to fail."""
    if _IDENT.fullmatch(word):
        return word, None
    found, problem = asked(where, HOST, "GET", f"{SESSIONS}?pageSize=200&active=true")
    if problem:
        fail(problem, str(found.get("code", "")))
        return word, Exit.ERRORS
    meant = [one for one in found["items"] if word in {one["user"], f"{one['account']}@{one['target']}"}]
    if len(meant) == 1:
        return str(meant[0]["id"]), None
    if meant:
        told = ", ".join(f"{one['id']} ({one['user']} on {one['account']}@{one['target']})" for one in meant)
        fail(f"{word!r} is on several; name one by its id: {told}")
    else:
        fail(f"no session that goes on is of {word!r}: 'rppam session ls' shows them")
    return word, Exit.NO
