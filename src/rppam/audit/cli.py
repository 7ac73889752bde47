"""``rppam audit``: what was recorded, from the host that holds the config, or from a bundle on any machine.

It reads the database of the config, so it needs neither Redis nor a running node. ``adopt`` and ``archive`` record what
they did; the commands of holds and erasure go over REST.
"""

import asyncio
import contextlib
import json
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from rppam.audit.archive_cli import archive, archives
from rppam.audit.retention_cli import erase, hold, holds, release
from rppam.cli.errors import tell
from rppam.cli.group import Group
from rppam.cli.paths import CONFIG_FILE
from rppam.kernel.errors import Exit

if TYPE_CHECKING:
    from rppam.ledger.model import Event
    from rppam.ledger.store import SqlLedger

T = TypeVar("T")

LIMIT: Final = 100
FOLLOW_EVERY_S: Final = 0.5
_HELP: Final = {"help_option_names": ["-h", "--help"]}
_TAMPERED: Final = (
    "Keep a copy of the database as it is now, and find out who could write to it; where an older state was restored "
    "on purpose, 'rppam audit adopt' says so"
)


@click.group("audit", cls=Group, context_settings=_HELP, epilog="Example: rppam audit list --action user.")
def command() -> None:
    """List, follow, verify and export what was recorded."""


for _one in (hold, holds, release, erase, archive, archives):
    command.add_command(_one)


def _public_key(_context: click.Context, _option: click.Parameter, given: Any) -> Any:
    """A key that was mistyped is no ledger that was tampered with."""
    from rppam.ledger.checkpoint import CheckpointRefused, verifier_of

    for text in (given,) if isinstance(given, str) else given or ():
        try:
            verifier_of(text)
        except CheckpointRefused as error:
            raise click.BadParameter(f"{error}, found {text!r}") from None
    return given


def _filters(function: Any, json_help: str = "One event a line, as JSON.") -> Any:
    for option in (
        click.option("--config", type=CONFIG_FILE, help="The config file; else RPPAM_CONFIG."),
        click.option("--json", "as_json", is_flag=True, help=json_help),
        click.option("--object", "target", metavar="WORD", help="Id, name or kind of what it was done to."),
        click.option("--actor", metavar="NAME", help="Who acted."),
        click.option("--action", metavar="NAME", help="Exact, or all that begin so where it ends with a dot: user."),
    ):
        function = option(function)
    return function


@command.command("list", context_settings=_HELP, epilog="Example: rppam audit list --actor admin --since 2026-03-01")
@partial(_filters, json_help="One JSON object on stdout.")
@click.option("--since", metavar="TIME", help="This moment or later, in ISO 8601.")
@click.option("--until", metavar="TIME", help="Before this moment, in ISO 8601.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=LIMIT, show_default=True, help="The newest so many.")
@click.option("--all", "everything", is_flag=True, help="With what the cluster notes for itself, too.")
def list_(
    *,
    action: str | None,
    actor: str | None,
    target: str | None,
    since: str | None,
    until: str | None,
    limit: int,
    everything: bool,
    config: Path | None,
    as_json: bool,
) -> None:
    """Show the newest events, the newest last: what people and the product did.

    What the cluster notes for itself is left out, and that is said; --all shows it, too, and so does an --action that
    names it. Exit code 0: shown; others as every command that opens the database.
    """
    from rppam.ledger.store import Query

    times = _moment(since), _moment(until)
    query = Query(action, actor, target, *times, newest=True, limit=limit, routine=everything)
    found, left_out = list(reversed(_ask(config, lambda ledger: ledger.events(query)))), list(query.left_out())
    if as_json:
        click.echo(json.dumps({"items": [_document(one) for one in found], "leftOut": left_out}, ensure_ascii=False))
        return
    for event in found:
        _show(event, as_json=False)
    if left_out:
        click.echo(f"left out: what the cluster notes for itself ({', '.join(left_out)}); --all shows it", err=True)


@command.command(context_settings=_HELP, epilog="Example: rppam audit tail --action login.")
@_filters
@click.option("--for", "seconds", type=click.FloatRange(0), help="End after so many seconds; else at Ctrl-C.")
def tail(
    *,
    action: str | None,
    actor: str | None,
    target: str | None,
    seconds: float | None,
    config: Path | None,
    as_json: bool,
) -> None:
    """Follow events as they are put into the signed tree, in its order; none is left out."""
    from rppam.audit.reading import PAGE
    from rppam.ledger.store import Query

    query = Query(action, actor, target, limit=PAGE, placed=True)

    async def follow(ledger: "SqlLedger") -> None:
        newest = await ledger.newest()
        after: int | None = newest.size - 1 if newest else -1
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while True:
                    for event in await ledger.events(query._replace(after=after)):
                        _show(event, as_json=as_json)
                        after = event.index
                    await asyncio.sleep(FOLLOW_EVERY_S)

    with contextlib.suppress(KeyboardInterrupt):  # as it is meant to end
        _ask(config, follow)


@command.command(context_settings=_HELP, epilog="Example: rppam audit verify --json")
@click.argument("bundle", required=False, type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--key",
    metavar="KEY",
    callback=_public_key,
    help="The ledger's key to trust; else the one this host has seen, or the bundle's.",
)
@click.option(
    "--cosigner",
    "trusted",
    metavar="KEY",
    multiple=True,
    callback=_public_key,
    help="The key of a cosigner to trust: it has to have cosigned, and others do not count. May be repeated.",
)
@click.option("--config", type=CONFIG_FILE, help="The config file; else RPPAM_CONFIG.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def verify(
    *, bundle: Path | None, key: str | None, trusted: tuple[str, ...], config: Path | None, as_json: bool
) -> int:
    """Verify every event, chain, root and signature of the ledger, or of BUNDLE, which needs no node and no database.

    Exit code 0: whole; 1: tampered, and the first bad place is named; 2: could not look.
    """
    from rppam.audit.judge import verify_bundle, verify_database
    from rppam.audit.verify import Tampered
    from rppam.kernel.errors import RppamError
    from rppam.ledger.checkpoint import verifier_of

    cosigners = [verifier_of(text) for text in trusted]
    found: dict[str, Any] = {"whole": True}
    code = Exit.DONE
    try:
        judged = verify_bundle(bundle, key, cosigners) if bundle else verify_database(config, key, cosigners)
        found |= judged.facts()
    except Tampered as error:
        code, found = Exit.NO, {"whole": False, "place": error.place, "sentence": error.sentence}
    except (RppamError, OSError) as error:
        code, found = Exit.ERRORS, {"whole": None, "error": str(error)}
    if as_json:
        click.echo(json.dumps(found))
    elif code == Exit.DONE:
        part = f"This part of the ledger, from event {found['first']} on," if "first" in found else "The ledger"
        click.echo(f"{part} is whole: {found['events']} events, each in its place and signed for.")
        if "archived" in found:
            click.echo(f"{found['archived']} of the events are archived; their hashes are verified.")
        for name, size in found["cosigned"].items():
            click.echo(f"The first {size} are cosigned by {name}{', whose key is trusted' if trusted else ''}.")
    elif code == Exit.NO:
        tell(f"the ledger was tampered with, at {found['place']}: {found['sentence']}. {_TAMPERED}")
    else:
        tell(f"could not look: {found['error']}")
    return code


@command.command(context_settings=_HELP, epilog="Example: rppam audit export --bundle ledger.jsonl")
@_filters
@click.option("--since", metavar="TIME", help="This moment or later, in ISO 8601.")
@click.option("--until", metavar="TIME", help="Before this moment, in ISO 8601.")
@click.option(
    "--bundle",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the whole ledger with its signatures to this file, for 'rppam audit verify'; filters are not used.",
)
def export(
    *,
    action: str | None,
    actor: str | None,
    target: str | None,
    since: str | None,
    until: str | None,
    bundle: Path | None,
    config: Path | None,
    as_json: bool,
) -> int:
    """Write events to stdout, the oldest first, or the whole ledger to a bundle."""
    from rppam.audit.judge import export_bundle, progress
    from rppam.audit.reading import PAGE, Reading
    from rppam.ledger.store import Query

    if bundle is not None:
        written = export_bundle(config, bundle)
        click.echo(f"{written} events in {bundle}", err=True)
        return Exit.DONE
    query = Query(action, actor, target, _moment(since), _moment(until), limit=PAGE)
    with Reading(config) as reading:
        newest = reading.ask(reading.ledger.newest())
        events = progress("exporting", 0, newest.size if newest else 0, reading.events(query), is_hidden=_is_screen())
        with contextlib.closing(events):
            for event in events:
                _show(event, as_json=as_json)
    return Exit.DONE


@command.command(context_settings=_HELP, epilog='Example: rppam audit adopt --reason "restored the backup of 2 March"')
@click.option("--reason", required=True, help="Why; it is recorded.")
@click.option("--witness", is_flag=True, help="This host has a witness: also if the config's name says so.")
@click.option("--config", type=CONFIG_FILE, help="The config file; else RPPAM_CONFIG.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def adopt(*, reason: str, witness: bool, config: Path | None, as_json: bool) -> int:
    """Have this host's node believe the ledger that is in the database now, after it was restored on purpose.

    Each node remembers for itself what it has seen: run it on every node's host. It is recorded. The leader signs
    nothing new until its own node has adopted it. A witness has no database: there it has the witness believe the next
    checkpoint that a leader shows it within the hour, signed by the same key; that leader records it.
    """
    from getpass import getuser

    from rppam.audit.keys import SigningKeys
    from rppam.audit.reading import Reading
    from rppam.audit.watch import adopted
    from rppam.cluster.link.data_keys import data_keys_of
    from rppam.config.places import WITNESS_CONFIG, config_path
    from rppam.kernel.actor import Actor, ActorKind, acting
    from rppam.ledger.checkpoint import origin_of
    from rppam.ledger.cosigner import SEEN_FILE, SeenFile
    from rppam.ledger.model import Entity
    from rppam.ledger.record import record

    if not reason.strip():
        raise click.BadParameter("expected why, found nothing", param_hint="--reason")
    if witness or config_path(config).name == WITNESS_CONFIG:
        return _adopt_as_witness(config, reason, as_json=as_json)
    with Reading(config) as reading, acting(Actor(ActorKind.HOST, name=getuser())):
        settings, origin = reading.settings, origin_of(reading.settings.cluster.cluster_id)

        async def recorded(before: int, now: int) -> None:
            target, facts = Entity("ledger", origin), {"seen": before, "adopted": now, "node": settings.node.node_name}
            await reading.database.write(
                lambda connection: record(connection, "ledger.adopt", target, reason=reason, details=facts)
            )

        keys = SigningKeys(reading.database, data_keys_of(settings, reading.database), origin)
        file = SeenFile(settings.node.data_dir / SEEN_FILE)
        seen = reading.ask(adopted(reading.ledger, keys, file, recorded))
    size = 0 if seen is None else seen.checkpoint.size
    if as_json:
        click.echo(json.dumps({"size": size, "node": settings.node.node_name}))
    else:
        click.echo(f"{settings.node.node_name} believes the ledger of {size} events from now on.")
    return Exit.DONE


def _adopt_as_witness(config: Path | None, reason: str, *, as_json: bool) -> int:
    from getpass import getuser

    from rppam.config.load import load_settings
    from rppam.config.places import config_path, default_places, witness_places
    from rppam.config.rules import witness_problems
    from rppam.kernel.system_clock import SystemClock
    from rppam.ledger.cosigner import SEEN_FILE, SeenFile, adopt_next

    path = config_path(config, witness_places(default_places()))
    settings = load_settings(path, check_built=witness_problems)
    file = SeenFile(settings.node.data_dir / SEEN_FILE)
    seen = adopt_next(file, reason, getuser(), SystemClock().wall_ms())
    if as_json:
        click.echo(json.dumps({"seen": seen.checkpoint.size, "node": settings.node.node_name}))
    else:
        click.echo(
            f"{settings.node.node_name} has seen {seen.checkpoint.size} events, and believes the next checkpoint that "
            "a leader shows it within the hour."
        )
    return Exit.DONE


def _document(event: "Event") -> dict[str, Any]:
    """The event for people and scripts."""
    from rppam.http.times import iso_utc_ms

    document = event.document()
    return document | {"time": iso_utc_ms(document["time"])}


def _show(event: "Event", *, as_json: bool) -> None:
    from rppam.kernel.logging import one_line

    document = _document(event)
    if as_json:
        click.echo(json.dumps(document, ensure_ascii=False))
        return
    actor, target = document["actor"], document["object"]
    by_itself = document["node"] if actor["kind"] == "node" else ""
    who = actor["name"] or actor["id"] or by_itself or actor["kind"]
    whom = " ".join(filter(None, (target["kind"], target["name"] or target["id"])))
    failed = " failed" if document["outcome"] != "success" else ""
    reason = f": {document['reason']}" if document["reason"] else ""
    place = "-" if event.index is None else event.index
    click.echo(one_line(f"{document['time']}  {place:>8}  {document['action']:<18}{failed}  {who} -> {whom}{reason}"))


def _is_screen() -> bool:
    """Whether events are shown where progress would be."""
    return sys.stdout.isatty()


def _moment(text: str | None) -> Any:
    from rppam.audit.times import TimeInvalid, wall_ms_of

    try:
        return None if text is None else wall_ms_of(text)
    except TimeInvalid as error:
        raise click.BadParameter(f"{error}, found {text!r}") from None


def _ask(config: Path | None, question: "Callable[[SqlLedger], Awaitable[T]]") -> T:
    from rppam.audit.reading import Reading

    with Reading(config) as reading:
        return reading.ask(question(reading.ledger))
