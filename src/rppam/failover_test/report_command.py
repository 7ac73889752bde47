"""``rppam failover-report``: show a report of a failover test again, and verify it against the ledger."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from rppam.access.tokens.target import Where, asked, target_options
from rppam.cli.errors import fail, tell
from rppam.kernel.errors import Exit

EVENTS = "/api/v1/audit/events"


@click.command(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: rppam failover-report test.html --verify",
)
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@target_options("a token of pam_admin or pam_auditor")
@click.option("--verify", is_flag=True, help="Compare its digest with that in the cluster's ledger.")
@click.option("--json", "as_json", is_flag=True, help="The report as one JSON object.")
def command(file: Path, *, where: Where, verify: bool, as_json: bool) -> int:
    """Show the report in FILE, the JSON or the HTML that 'rppam failover-test --report' has written.

    With --verify a node is asked for the ledger's event of this test: a report that was changed has another digest.

    Exit code 0: shown, and verified where asked for; 1: it is not what the ledger has; 2: it is no report, or no node
    answers.
    """
    from rppam.failover_test.page import report_in
    from rppam.failover_test.report import NoReportError, digest_of
    from rppam.failover_test.shown import lines_of
    from rppam.kernel.logging import one_line

    try:
        report = report_in(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, NoReportError) as error:
        fail(f"{file}: {error}")
        return Exit.ERRORS
    digest = digest_of(report)
    code, said = _verified(where, report, digest) if verify else (Exit.DONE, "")
    if as_json:
        click.echo(json.dumps(report | {"digest": digest} | ({"ledger": said} if verify else {})))
        return code
    facts = (report.get("cluster"), report["method"], report.get("startedAt"))
    click.echo("failover test of {} by {}, begun {}".format(*(one_line(str(fact)) for fact in facts)))
    for line in lines_of(report):
        click.echo(line)
    click.echo(f"digest: {digest}")
    if said and code is Exit.DONE:
        click.echo(said)
    elif said:
        tell(said)
    return code


def _verified(where: Where, report: Mapping[str, Any], digest: str) -> tuple[Exit, str]:
    test = quote(str(report.get("test")), safe="")
    found, why = asked(where, "failover-report@host", "GET", f"{EVENTS}?action=failover.test&object={test}")
    if why:
        return Exit.ERRORS, f"not verified: {why}"
    events = [one for one in found.get("events", []) if isinstance(one, Mapping)]
    if not events:
        return Exit.NO, f"NOT recorded: the ledger of this cluster has no failover test {report.get('test')}"
    event, details = events[0].get("id"), events[0].get("details")
    if isinstance(details, Mapping) and details.get("digest") == digest:
        return Exit.DONE, f"verified: the ledger's event {event} has this digest"
    return Exit.NO, f"NOT what was recorded: the ledger's event {event} has another digest"
