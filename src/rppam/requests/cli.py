"""``rppam request``: ask for access and decide about what others ask for, from any host that reaches a node.

Who asks is whose token it is: that of ``rppam login``, in a file (``--token-file``) or in RPPAM_TOKEN. A token made on
a node's host belongs to no account: it can list and revoke.
"""

import json
from collections.abc import Callable
from datetime import datetime
from functools import wraps
from typing import TYPE_CHECKING, Any, Final

import click

from rppam.access.tokens.target import Where, target_options
from rppam.cli.asking import ask_hidden
from rppam.cli.errors import fail
from rppam.cli.group import Group
from rppam.kernel.errors import Exit

if TYPE_CHECKING:
    from rppam.requests.rest_command import Rest

REQUESTS: Final = "/api/v1/access-requests"
GRANTS: Final = "/api/v1/grants"
SETTINGS: Final = {"help_option_names": ["-h", "--help"]}
_STATES: Final = ("pending", "approved", "active", "ended", "denied", "cancelled", "expired", "revoked")


@click.group(
    cls=Group, context_settings=SETTINGS, epilog="Example: rppam request new deploy@web1 --minutes 30 --reason INC-4711"
)
def command() -> None:
    """Ask for access, and decide about what others ask for.

    Exit code 0: done; 1: refused; 2: no node answers, or wrong usage.
    """


def _asking(work: Callable[..., Any]) -> Callable[..., int]:
    """Make a sub-command: with the options that say which node to ask, and errors as sentences."""

    @target_options("the token of a log-in")
    @click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
    @wraps(work)
    def run(*, where: Where, as_json: bool, **options: Any) -> int:
        from rppam.requests.rest_command import Rest, RestError, shown

        try:
            found = work(Rest(where), **options)
        except RestError as error:
            fail(str(error), error.code)
            return error.exit_code
        click.echo(json.dumps(found) if as_json else shown(found))
        return Exit.DONE

    return run


def _paged(function: Any) -> Any:
    limit = click.option("--limit", type=click.IntRange(1, 200), default=50, show_default=True, help="So many.")
    return limit(
        click.option("--after", metavar="ID", help="Only older ones than this; a list that goes on names it.")(function)
    )


def _code_option(function: Any) -> Any:
    return click.option(
        "--code", "asks_code", is_flag=True, help="Ask for a code of the authenticator; it is no argument."
    )(function)


def _code(*, asks: bool) -> dict[str, str]:
    instead = "run it on a terminal, or leave --code out where none is needed"
    return {"code": ask_hidden("Code of the authenticator", instead)} if asks else {}


def _moment(_context: click.Context, _option: click.Parameter, value: str | None) -> str | None:
    """Refuse what is no moment, in the option's own name."""
    try:
        if value is None or datetime.fromisoformat(value).tzinfo is not None:
            return value
    except ValueError:
        pass
    raise click.BadParameter(f"expected a time with its offset, such as 2027-01-31T22:00+01:00, found {value!r}")


@command.command(
    context_settings=SETTINGS, epilog="Example: rppam request new deploy@web1 --minutes 30 --reason INC-4711"
)
@click.argument("target")
@click.option("--reason", required=True, help="Why; approvers read it, and it is kept for ever.")
@click.option("--minutes", type=click.IntRange(1), default=60, show_default=True, help="Cut to the policy's maximum.")
@click.option(
    "--right",
    "rights",
    multiple=True,
    type=click.Choice(["use", "reveal", "checkout"]),
    help="What for; several times for several. Default: use.",
)
@click.option("--entry", is_flag=True, help="TARGET is the id of an entry of the vault.")
@click.option(
    "--starts-at", metavar="TIME", callback=_moment, help="Not before this moment, in ISO 8601 with an offset."
)
@click.option("--emergency", is_flag=True, help="At once, for a short time; somebody else reviews it.")
@_code_option
@_asking
def new(
    rest: "Rest",
    *,
    target: str,
    reason: str,
    minutes: int,
    rights: tuple[str, ...],
    entry: bool,
    starts_at: str | None,
    emergency: bool,
    asks_code: bool,
) -> Any:
    """Ask for access to TARGET: the id of a privileged account, or ACCOUNT@RESOURCE."""
    what = {"entryId": rest.entry(target)} if entry else {"accountId": rest.account(target)}
    body = {**what, "reason": reason, "minutes": minutes, "rights": list(rights) or ["use"], "emergency": emergency}
    if starts_at is not None:
        body["startsAt"] = starts_at
    return rest.post(REQUESTS, body | _code(asks=asks_code))


@command.command("ls", context_settings=SETTINGS, epilog="Example: rppam request ls --to-decide")
@click.option("--mine", is_flag=True, help="Only what the token's account has asked for.")
@click.option("--to-decide", is_flag=True, help="Only what waits for a decision of the token's account.")
@click.option("--state", "states", multiple=True, type=click.Choice(_STATES), help="Several times for several.")
@_paged
@_asking
def list_(rest: "Rest", *, mine: bool, to_decide: bool, states: tuple[str, ...], limit: int, after: str | None) -> Any:
    """List requests, the newest first."""
    if to_decide:
        return rest.page("/api/v1/approvals", limit, after)
    return rest.page(REQUESTS, limit, after, f"mine={str(mine).lower()}", *(f"state={one}" for one in states))


@command.command("grants", context_settings=SETTINGS, epilog="Example: rppam request grants --mine")
@click.option("--mine", is_flag=True, help="Only access of the token's account.")
@click.option("--past", is_flag=True, help="Access that is over as well.")
@_paged
@_asking
def grants(rest: "Rest", *, mine: bool, past: bool, limit: int, after: str | None) -> Any:
    """List who has access to what until when, the newest first."""
    return rest.page(GRANTS, limit, after, f"mine={str(mine).lower()}", f"live={str(not past).lower()}")


@command.command(context_settings=SETTINGS, epilog="Example: rppam request show ID --json")
@click.argument("ident", metavar="ID")
@_asking
def show(rest: "Rest", *, ident: str) -> Any:
    """Show one request, who may decide about it, and what they have decided."""
    return rest.get(rest.path(REQUESTS, ident))


def _decision(name: str, about: str, example: str) -> None:
    @command.command(name, help=about, context_settings=SETTINGS, epilog=f"Example: {example}")
    @click.argument("ident", metavar="ID")
    @click.option("--note", default="", help="What the requester reads with it.")
    @_code_option
    @_asking
    def decide(rest: "Rest", *, ident: str, note: str, asks_code: bool) -> Any:
        return rest.post(rest.path(REQUESTS, ident, name), {"note": note} | _code(asks=asks_code))


_decision("approve", "Approve a request of somebody else.", 'rppam request approve ID --note "go on"')
_decision("deny", "Deny a request of somebody else.", 'rppam request deny ID --note "not before the freeze ends"')


@command.command(context_settings=SETTINGS, epilog="Example: rppam request cancel ID")
@click.argument("ident", metavar="ID")
@_asking
def cancel(rest: "Rest", *, ident: str) -> Any:
    """Take an own request back; access that was granted by it ends."""
    return rest.post(rest.path(REQUESTS, ident, "cancel"), None)


@command.command(context_settings=SETTINGS, epilog="Example: rppam request extend ID --minutes 30 --reason INC-4711")
@click.argument("ident", metavar="ID")
@click.option("--minutes", type=click.IntRange(1), required=True, help="So much longer.")
@click.option("--reason", required=True, help="Why.")
@_asking
def extend(rest: "Rest", *, ident: str, minutes: int, reason: str) -> Any:
    """Ask for more time for access that runs; it is decided like the first."""
    return rest.post(rest.path(REQUESTS, ident, "extend"), {"minutes": minutes, "reason": reason})


@command.command(context_settings=SETTINGS, epilog='Example: rppam request revoke ID --reason "host is compromised"')
@click.argument("ident", metavar="ID")
@click.option("--reason", required=True, help="Why.")
@_asking
def revoke(rest: "Rest", *, ident: str, reason: str) -> Any:
    """Take away the access that the request ID was granted, at once on all nodes."""
    found = rest.get(rest.path(REQUESTS, ident))
    return rest.post(rest.path(GRANTS, rest.grant_of(found), "revoke"), {"reason": reason})


@command.command(context_settings=SETTINGS, epilog='Example: rppam request review ID --note "seen in the recording"')
@click.argument("ident", metavar="ID")
@click.option("--note", required=True, help="What came of looking at it.")
@_asking
def review(rest: "Rest", *, ident: str, note: str) -> Any:
    """Close the review of somebody else's emergency."""
    return rest.post(rest.path(REQUESTS, ident, "review"), {"note": note})
