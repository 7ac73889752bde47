"""``rppam audit hold``, ``holds``, ``release`` and ``erase``, over a node's REST API."""

import json
from typing import Final

import click

from rppam.access.tokens.target import Where, target_options
from rppam.targets.rest_command import HELP, Rest, table

AUDIT: Final = "/api/v1/audit"
_reason: Final = click.option("--reason", required=True, help="Why; it is recorded.")
_json: Final = click.option("--json", "as_json", is_flag=True, help="JSON on stdout.")
_where: Final = target_options("a token of security_admin or pam_admin")


@click.command("hold", context_settings=HELP, epilog='Example: rppam audit hold --name alice --reason "case 42"')
@click.option("--name", default="", help="A name or an address; left out: nothing at all is forgotten.")
@_reason
@_json
@_where
def hold(*, where: Where, name: str, reason: str, as_json: bool) -> None:
    """Have the ledger forget nothing of a name, neither by age nor by order (a legal hold)."""
    made = Rest(where).ask("POST", f"{AUDIT}/holds", {"name": name, "reason": reason})
    click.echo(json.dumps(made, ensure_ascii=False) if as_json else made["id"])


@click.command("holds", context_settings=HELP, epilog="Example: rppam audit holds")
@_json
@_where
def holds(*, where: Where, as_json: bool) -> None:
    """List the legal holds that stand."""
    found = Rest(where).ask("GET", f"{AUDIT}/holds")["items"]
    if as_json:
        click.echo(json.dumps({"items": found}, ensure_ascii=False))
        return
    rows = [("ID", "NAME", "SINCE", "BY", "REASON")]
    table(rows + [(one["id"], one["name"] or "(all)", one["madeAt"], one["by"], one["reason"]) for one in found])


@click.command("release", context_settings=HELP, epilog='Example: rppam audit release ID --reason "case 42 is closed"')
@click.argument("ident", metavar="ID")
@_reason
@_where
def release(*, where: Where, ident: str, reason: str) -> None:
    """Lift a legal hold."""
    Rest(where).ask("POST", f"{AUDIT}/holds/{ident}/release", {"reason": reason})
    click.echo("lifted", err=True)


@click.command("erase", context_settings=HELP, epilog='Example: rppam audit erase alice --reason "GDPR request 7"')
@click.argument("name")
@_reason
@_json
@_where
def erase(*, where: Where, name: str, reason: str, as_json: bool) -> None:
    """Erase NAME (of a deleted account), or an address, from the ledger, for good. Events and proofs stay."""
    done = Rest(where).ask("POST", f"{AUDIT}/erasures", {"name": name, "reason": reason})
    click.echo(json.dumps(done) if as_json else f"forgotten in {done['words']} places")
