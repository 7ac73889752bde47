"""``rppam failover-test``: prove on the live cluster that it keeps its five promises.

Asks, decides whom to ask, shows; the test stands in :mod:`rppam.failover_test.tester`.
"""

import asyncio
import contextlib
import json
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from rppam.access.tokens.target import Target, Where, ca_option, config_option, nodes_option, urls_option
from rppam.cli.errors import tell
from rppam.kernel.errors import Exit, RppamError

if TYPE_CHECKING:
    from rppam.failover_test.client import Cluster
    from rppam.failover_test.preflight import Plan

METHODS: Final = ("switchover", "stop", "kill", "isolate", "redis-failover")
"""As :class:`rppam.failover_test.model.Method`, which is not loaded for the help."""
PERSON: Final = "failover-test@host"
SCHEDULED: Final = "schedule@cluster"
"""As :data:`rppam.failover_test.model.BY_ITSELF`."""


@click.command(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: rppam failover-test --method switchover --yes --report test.html",
)
@urls_option
@nodes_option
@click.option(
    "--token",
    metavar="@FILE|-",
    help="An admin token: @FILE reads it from a file, - from standard input. Else RPPAM_TOKEN, else one is made from "
    "the config's keys. Never the token itself: everybody on this host sees command lines.",
)
@click.option(
    "--token-file", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="The same as --token @FILE."
)
@config_option
@ca_option
@click.option(
    "--method", type=click.Choice(METHODS), default="switchover", show_default=True, help="How the leader is lost."
)
@click.option("--seconds", type=click.IntRange(5, 300), help="For how long it is. Default: what the lease needs.")
@click.option("--scheduled", is_flag=True, hidden=True, help="Begun by the leader, by failoverTest/schedule.")
@click.option("--asked", hidden=True, help="The id of a test that somebody asked the cluster for.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Check everything, say what would be done, and do nothing.")
@click.option("--json", "as_json", is_flag=True, help="The report as one JSON object on stdout.")
@click.option(
    "--report",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write it to FILE: .html or .json.",
)
def command(
    *,
    url: tuple[str, ...],
    others: tuple[str, ...],
    token: str | None,
    token_file: Path | None,
    config: Path | None,
    ca: Path | None,
    **options: Any,
) -> int:
    """Prove on the live cluster that it keeps its five promises: a standby takes over; within 15 s; no data is lost;
    sessions stay valid; the old leader comes back as a standby.

    Real sessions and writes go through the given addresses while the leader is lost. By default nothing fails
    (switchover); the other methods are allowed by the setting failoverTest/allowedMethods. The node that was taken away
    comes back by itself, whatever becomes of this command.

    Exit code 0: all five promises were kept; 1: one was broken; 2: there was no test, or wrong usage.
    """
    report: Path | None = options["report"]
    if report is not None and report.suffix not in {".html", ".json"}:
        raise click.UsageError(f"--report: expected a file that ends with .html or .json, found {report.name!r}")
    name = SCHEDULED if options["scheduled"] else PERSON
    target = _target(Where(url[0] if url else None, token_file, config, ca), token, name)
    try:
        return asyncio.run(_main(target, url, others, options))
    except (KeyboardInterrupt, asyncio.CancelledError):
        tell("interrupted, so there are no verdicts")
    except (RppamError, click.ClickException, click.Abort):
        raise
    except Exception as error:  # noqa: BLE001 - 1 would say that a promise was broken
        tell(f"failed in a way that nobody foresaw: {error!r}")
    return Exit.ERRORS


def _target(where: Where, token: str | None, name: str) -> Target:
    """Whom to ask, and with which token. Raises click.UsageError."""
    from rppam.access.tokens.host import token_in
    from rppam.access.tokens.target import given_token
    from rppam.kernel.secret import Secret

    if token is None:
        return where.target(name)
    if token.startswith("@"):
        path = Path(token[1:])
        if not path.is_file():
            raise click.UsageError(f"--token: expected @FILE with one token in it, found no file {path}")
        return where._replace(token_file=path).target()
    if token != "-":  # noqa: S105
        raise click.UsageError(
            "--token: expected @FILE, or - for standard input; found something else. A token itself would stand in the "
            "process list of this host: put it into a file or into RPPAM_TOKEN"
        )
    try:
        given = Secret(token_in(sys.stdin.readline()))
    except ValueError as error:
        raise click.UsageError(f"--token -: {error} on standard input") from None
    return given_token(given, where.url, where.config, where.ca)


async def _main(target: Target, urls: tuple[str, ...], others: tuple[str, ...], options: dict[str, Any]) -> int:
    from rppam.failover_test.client import CannotTestError, Cluster

    task = asyncio.current_task()
    if sys.platform != "win32" and task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    cluster = Cluster(target, urls, others)
    try:
        return await _test(cluster, options)
    except CannotTestError as error:
        await _refuse(cluster, options.get("asked"), str(error))
        if options["as_json"]:
            click.echo(json.dumps({"error": str(error), "verdicts": []}))
        tell(str(error))
        return Exit.ERRORS


async def _refuse(cluster: "Cluster", asked: str | None, why: str) -> None:
    """Tell who asked for the test why there is none."""
    from rppam.failover_test.client import TESTS, CannotTestError

    if asked:
        with contextlib.suppress(CannotTestError):  # it says so itself when nothing has come of it for a while
            await cluster.order("PUT", f"{TESTS}/{asked}/report", {"verdicts": [], "why": why[:500]})


async def _test(cluster: "Cluster", options: dict[str, Any]) -> int:
    """Raises CannotTestError."""
    from rppam.failover_test.model import Method
    from rppam.failover_test.preflight import preflight
    from rppam.failover_test.tester import Tester
    from rppam.failover_test.unfinished import StateFile, clean_up

    as_json, file = bool(options["as_json"]), StateFile()

    def say(text: str) -> None:
        click.echo(text, err=as_json)

    if not options["dry_run"] and (left := await clean_up(cluster, file)):
        say(left)
    plan = await preflight(cluster, Method(options["method"]))
    for sentence in plan.sentences(cluster.urls):
        say(sentence)
    if options["dry_run"]:
        say("nothing was done; without --dry-run this would be tested")
        if as_json:
            click.echo(json.dumps({"dryRun": True, "nodes": plan.nodes, "leader": plan.leader, "verdicts": []}))
        return Exit.DONE
    _confirm(plan, yes=options["yes"])
    report = await Tester(cluster, plan, say, file, options["seconds"], options.get("asked")).run()
    _write(options["report"], report)
    if as_json:
        click.echo(json.dumps(report))
    else:
        from rppam.failover_test.shown import lines_of

        for line in lines_of(report):
            click.echo(line)
    return Exit.DONE if report["passed"] else Exit.NO


def _confirm(plan: "Plan", *, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("a failover test asks on a terminal before it begins; without one add --yes")
    if not click.confirm(f"Test {plan.cluster} now by {plan.method}?", err=True):
        raise click.Abort


def _write(path: Path | None, report: dict[str, Any]) -> None:
    if path is None:
        return
    from rppam.cli.files import write_private
    from rppam.failover_test.page import page_of

    text = page_of(report) if path.suffix == ".html" else json.dumps(report, indent=2) + "\n"
    try:
        write_private(path, text)
    except OSError as error:
        tell(f"{path} cannot be written: {error.strerror}; the history has the report")
