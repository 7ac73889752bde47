"""``rppam cluster history``: what happened to leadership, the store, the members and the processes of one node.

Asks a node; with ``--local`` it reads the file on this host, also when the node does not run. It shows what one node
noted and does not merge several: their clocks may differ.
"""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import click

from rppam.access.tokens import target_of, target_options
from rppam.cli.errors import error_json
from rppam.kernel.errors import Exit

LIMIT: Final = 30
LIMIT_MAX: Final = 1_000
PATH: Final = "/api/v1/admin/cluster/history"
COLOURS: Final = {
    "elected": "green",
    "leader": "green",
    "store-back": "green",
    "started": "green",
    "stepped-down": "yellow",
    "order": "cyan",
    "no-leader": "red",
    "store-lost": "red",
    "control-ended": "red",
    "permission-withdrawn": "red",
    "process-ended": "yellow",
    "restarts-slowed": "red",
}


class _Line(NamedTuple):
    time: str
    event: str
    sentence: str


@click.command(
    "history",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: rppam cluster history --limit 50",
)
@click.option(
    "--limit",
    default=LIMIT,
    show_default=True,
    type=click.IntRange(1, LIMIT_MAX),
    help="So many of the newest entries.",
)
@click.option("--local", is_flag=True, help="Read the file of the config's node on this host; it need not run.")
@target_options("a token")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def command(
    *,
    limit: int,
    local: bool,
    url: str | None,
    token_file: Path | None,
    config: Path | None,
    ca: Path | None,
    as_json: bool,
) -> int:
    """Show what happened, the newest last: who led when and why not, what was ordered, what died.

    Each node notes what it saw, so any one tells the story; a node that was cut off tells another one. Times are of the
    node's clock, in UTC.

    Exit code 0: shown; 1: the node cannot read its file; 2: no node answers, or wrong usage.
    """
    from rppam.manager.orders_command import OrderError

    try:
        answer = _here(config, limit) if local else _asked(url, token_file, config, ca, limit)
    except OrderError as error:
        if as_json:
            click.echo(error_json(str(error), error.code))
        else:
            click.echo(f"rppam cluster: {error}", err=True)
        return error.exit_code
    if as_json:
        click.echo(json.dumps(answer))
    else:
        _show(answer)
    return Exit.DONE


def _here(config: Path | None, limit: int) -> Mapping[str, Any]:
    from rppam.cluster.history.recorder import FILE_NAME as HISTORY_FILE, read_last
    from rppam.config.load import load_settings
    from rppam.http.times import iso_utc_ms

    settings = load_settings(config)
    past = read_last(settings.node.data_dir / HISTORY_FILE, limit)
    entries = [
        {"time": iso_utc_ms(one.at), "event": one.event, "sentence": one.sentence, "facts": dict(one.facts)}
        for one in past.entries
    ]
    return {"node": settings.node.node_name, "entries": entries, "unreadable": past.unreadable}


def _asked(
    url: str | None, token_file: Path | None, config: Path | None, ca: Path | None, limit: int
) -> Mapping[str, Any]:
    """Raises :class:`~rppam.manager.orders_command.OrderError`."""
    from rppam.manager.orders_command import OrderError, Orders

    target = target_of(url, token_file, config, ca=ca)
    try:
        answer = asyncio.run(Orders(target).read(f"{PATH}?limit={limit}"))
    except OrderError as error:
        why = f"{error}. With --local the file on the node's own host is read"
        raise OrderError(why, error.exit_code, code=error.code) from error
    if not isinstance(answer, dict) or not isinstance(answer.get("entries"), list):
        raise OrderError(f"{target.url}: expected a history, found something else", Exit.ERRORS)
    return answer


def _show(answer: Mapping[str, Any]) -> None:
    from rppam.kernel.logging import one_line

    lines = [
        _Line(*(one_line(str(entry.get(name, ""))) for name in _Line._fields))
        for entry in answer["entries"]
        if isinstance(entry, dict)
    ]
    if not lines:
        click.echo(f"{one_line(str(answer.get('node', '')))} has noted nothing yet")
    width = max((len(line.event) for line in lines), default=0)
    for line in lines:
        event = click.style(line.event.ljust(width), fg=COLOURS.get(line.event))
        click.echo(f"{line.time.replace('T', ' ')}  {event}  {line.sentence}")
    if unreadable := answer.get("unreadable"):
        click.echo(f"{unreadable} lines of the file are no entries and were left out", err=True)
