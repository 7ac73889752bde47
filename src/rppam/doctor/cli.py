"""``rppam doctor``: every check of a node or a witness from its host, in order, with a verdict and what to do.

It changes nothing on this host, and on Redis writes three keys under our prefix that live for a second. Progress goes
to stderr, so stdout can be read by machines.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from rppam.cli.paths import CONFIG_FILE
from rppam.config.errors import ConfigError, Problem
from rppam.kernel.errors import Exit
from rppam.kernel.finding import Finding, Severity, Verdict, verdict_of

if TYPE_CHECKING:
    from rppam.config.settings import Settings
    from rppam.doctor.report import Report
    from rppam.kernel.clock import Clock

_COLOURS: Final = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.NOTE: "blue"}


@click.command(
    "doctor",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: rppam doctor --config /etc/rppam/rppam.config --json | jq .verdict",
)
@click.option("--config", type=CONFIG_FILE, help="The config file; else RPPAM_CONFIG.")
@click.option(
    "--sentinel-conf",
    type=click.Path(path_type=Path),
    help="A sentinel.conf to look into for 'sentinel rename-command'. Default: /etc/redis/sentinel.conf, if readable.",
)
@click.option(
    "--witness/--node",
    "witness",
    default=None,
    help="What the config is for. Default: a witness if its file's name says so, or the list of members on disk.",
)
@click.option("--all-platforms", is_flag=True, help="Each fix for all platforms, not for that of this host alone.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout; progress stays on stderr.")
def command(
    config: Path | None, sentinel_conf: Path | None, witness: bool | None, all_platforms: bool, as_json: bool
) -> int:
    """Check everything a node needs, or a witness, from this host, and say what to do.

    Works while it is stopped and while it runs. Every finding has a code that stays; docs/reference/doctor.md
    lists them. What is acknowledged (rppam settings acknowledge) is shown and counts no more. Exit code 0: fine; 1:
    warnings; 2: errors; 78: the configuration cannot be read.
    """
    from rppam.catalogue.table import finding
    from rppam.config.load import load_settings
    from rppam.config.places import LINUX, config_path
    from rppam.config.rules import witness_problems
    from rppam.doctor.check_members import is_witness
    from rppam.doctor.own_host import OwnHost
    from rppam.doctor.report import Report, platform_of
    from rppam.settings.files import problems_of

    path = config_path(config)
    report, platform = Report(), "" if all_platforms else platform_of()

    def problems_as_witness(settings: "Settings") -> "Iterable[Problem]":
        as_witness = is_witness(settings, path.name) if witness is None else witness
        return witness_problems(settings) if as_witness else ()

    try:
        settings = load_settings(path, check_pushed=problems_of, check_built=problems_as_witness)
    except ConfigError as error:
        found = [finding("RD-600", problem.sentence(), fix=problem.fix) for problem in error.problems]
        report.add(*(replace(one, fix=one.fix.replace(LINUX.config_file, str(path))) for one in found))
        _show(report.findings, platform, as_json=as_json)
        return Exit.CONFIGURATION
    asyncio.run(_check(settings, path, sentinel_conf, report, witness=witness))
    own = OwnHost.of(settings, path)
    report.findings = [replace(one, fix=own.fitted(one.fix)) for one in report.findings]
    _show(report.findings, platform, as_json=as_json)
    return verdict_of(report.findings).exit


async def _check(
    settings: "Settings", path: Path, sentinel_conf: Path | None, report: "Report", *, witness: bool | None
) -> None:
    from rppam.doctor import check_container as container, check_host as host, check_node as node
    from rppam.doctor.check_dns import check_dns
    from rppam.doctor.check_https import check_https
    from rppam.doctor.check_members import MemberCheck, is_witness
    from rppam.doctor.check_redis import StoreCheck
    from rppam.kernel.system_clock import SystemClock

    clock = SystemClock()
    redis, said = settings.redis, settings.redis.connection
    report.hide(redis.password, redis.sentinel_password, redis.tls_cert_password)
    report.hide(settings.api.tls_cert_password, settings.api.metrics_token, settings.database.url)
    report.hide(settings.dns.key_secret)
    report.hide(*((said.password, said.sentinel_password) if said else ()))
    is_node = not (is_witness(settings, path.name) if witness is None else witness)
    steps = _Steps(report)
    await steps.do("configuration", lambda: host.check_config(settings, report, sentinel_conf, is_witness=not is_node))
    if is_node:
        await steps.do("keys", lambda: host.check_keys(settings, report))
        await steps.do("licence", lambda: host.check_licence(settings, report, clock.wall_ms()))
    await steps.do("data folder", lambda: host.check_data_dir(settings, report))
    await steps.do("processes", lambda: node.check_processes(settings, report))
    await steps.do("room on disks", lambda: host.check_room(settings, report, has_database=is_node))
    member = MemberCheck(settings, report, is_witness=not is_node) if settings.cluster.enabled or not is_node else None
    if member is not None:
        await steps.do("vote", member.own)
    store = StoreCheck(settings, report, clock, sentinel_conf) if said is not None and redis.enabled else None
    if store is not None:
        where = ", ".join(str(endpoint) for endpoint in said.endpoints) if said else ""
        await steps.do(f"reaching Redis at {where}", store.reach)
        await steps.do("requirements of Redis", store.look, unmade=store.why_not_asked)
        if not is_node:
            await steps.do("user of the witness", store.look_as_witness, unmade=store.why_not_asked)
    running = False
    if is_node:
        await steps.do("database", lambda: host.check_database(settings, report))
        if settings.dns.name is not None and settings.cluster.enabled:
            await steps.do("name server", lambda: check_dns(settings, report))
        running = await steps.do("node of this host", lambda: node.check_node(settings, path, report))
    if member is not None:
        running = await steps.do("member port", lambda: member.port(runs=running)) or running
        shown = await store.shown() if store is not None else None
        keyless = store.keyless if store is not None else ()
        await steps.do("other members", lambda: member.others(shown, runs=running, keyless=keyless))
        if is_node:
            await steps.do("https to the nodes", lambda: check_https(settings, shown, report))
    if store is not None:
        if not running:
            await steps.do("name", store.name_in_use, unmade=store.why_not_asked)
        await store.close()
    await steps.do("container of Redis", lambda: container.check_container(report))
    if is_node and any(one.severity is Severity.WARNING for one in report.findings):
        await _acknowledge(settings, report, clock)


async def _acknowledge(settings: "Settings", report: "Report", clock: "Clock") -> None:
    """Say of each finding whether it is acknowledged, where the list can be read; without it all count."""
    from rppam.doctor.acknowledged import Entry, acknowledged, day_of
    from rppam.doctor.acknowledging import entries_in
    from rppam.doctor.check_host import DATABASE_S, in_time

    click.echo("  acknowledged findings ...", err=True, nl=False)
    entries: tuple[Entry, ...] | str
    try:
        entries = await in_time(lambda: entries_in(settings), DATABASE_S)
    except TimeoutError:
        entries = f"no answer within {DATABASE_S:g} s"
    if isinstance(entries, str):
        click.echo(f" skipped (the list cannot be read, so all findings count: {report.clean(entries)})", err=True)
        return
    today = day_of(clock.wall_ms())
    report.findings = list(acknowledged(report.findings, entries, settings.node.node_name, today))
    known = sum(not one.counts for one in report.findings)
    click.echo(f" {known}" if known else " none", err=True)


class _Steps:
    """Runs the checks one after the other and reports progress on stderr."""

    def __init__(self, report: "Report") -> None:
        self._report = report

    async def do(
        self, name: str, check: Callable[[], Awaitable[Any] | Any], *, unmade: Callable[[], str] = lambda: ""
    ) -> Any:
        """Run one check; return what it returns. One that breaks is a finding, and returns ``None``.

        ``unmade`` is asked after a check without findings why it could not be made, if so.
        """
        from rppam.catalogue.table import finding

        click.echo(f"  {name} ...", err=True, nl=False)
        before, result = len(self._report.findings), None
        try:
            result = check()
            if isinstance(result, Awaitable):
                result = await result
        except Exception as error:  # noqa: BLE001  # whatever it was: the other checks are still worth something
            self._report.add(finding("RD-616", f"{name}: {type(error).__name__}: {error}"))
        counts = _counts(self._report.findings[before:])
        reason = "" if counts else unmade()
        click.echo(f" {counts or (f'skipped ({reason})' if reason else 'ok')}", err=True)
        return result


def _counts(findings: list[Finding]) -> str:
    """``2 errors, 1 note, 1 acknowledged``; empty without findings."""
    found = Counter(finding.severity for finding in findings if finding.counts)
    counted = [
        f"{found[severity]} {severity.value}{'s' if found[severity] > 1 else ''}"
        for severity in Severity
        if found[severity]
    ]
    known = sum(not finding.counts for finding in findings)
    return ", ".join([*counted, f"{known} acknowledged"] if known else counted)


def _show(findings: list[Finding], platform: str, *, as_json: bool) -> None:
    """``platform``: the one for which fixes are shown; empty for all. Machines get them all."""
    from rppam.catalogue.fixes import fix_on

    verdict = verdict_of(findings)
    if as_json:
        body = {"verdict": verdict.value, "findings": [finding.as_json() for finding in findings]}
        click.echo(json.dumps(body, ensure_ascii=False))
        return
    for finding in sorted(findings, key=lambda one: (not one.counts, list(Severity).index(one.severity))):
        tint = _COLOURS[finding.severity] if finding.counts else None
        click.secho(f"{finding.code} {finding.severity.value}", fg=tint, bold=True, nl=False)
        click.echo(f"  {finding.what}")
        known = finding.acknowledged
        said = f"by {known.by} until {known.until}: {known.reason}" if known is not None and not finding.counts else ""
        told = (("known: ", said), ("seen: ", finding.evidence), ("fix:  ", fix_on(finding.fix, platform)))
        for label, text in told:
            if text:
                click.echo(f"  {label}" + "\n        ".join(text.splitlines()))
        click.echo()
    colour = {Verdict.OK: "green", Verdict.WARNINGS: "yellow", Verdict.ERRORS: "red"}[verdict]
    counts = _counts(findings)
    click.secho(f"verdict: {verdict.value}" + (f" ({counts})" if counts else ""), fg=colour, bold=True)
