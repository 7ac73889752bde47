"""``rppam cluster``: orders of an administrator, from any host that reaches one node of the cluster.

Each sub-command gives its order to the asked node, which hands it on to the node that it is for, and shows the outcome.
``rppam status`` shows how a cluster stands.
"""

import asyncio
import json
import re
import sys
from collections.abc import Callable, Coroutine
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from rppam.access.tokens.target import Where, target_options
from rppam.cli.errors import tell
from rppam.cli.group import Group
from rppam.kernel.errors import Exit
from rppam.manager.key_command import command as key
from rppam.manager.on_host import adopt, found

if TYPE_CHECKING:
    from rppam.cluster.health.model import ClusterHealth
    from rppam.manager.orders_command import Orders, Taken

CLUSTER: Final = "/api/v1/admin/cluster"
SETTINGS: Final = {"help_option_names": ["-h", "--help"]}


COLOURS: Final = {
    "elected": "green",
    "leader": "green",
    "store-back": "green",
    "started": "green",
    "stepped-down": "yellow",
    "order": "cyan",
    "no-leader": "red",
    "store-lost": "red",
    "database-back": "green",
    "database-lost": "red",
    "control-ended": "red",
    "permission-withdrawn": "red",
    "process-ended": "yellow",
    "restarts-slowed": "red",
}


class Say:
    """Where the words go: people's to the terminal as they come, a machine's as one object at the end."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.facts: dict[str, object] = {}
        """The object."""

    def step(self, text: str) -> None:
        """Show progress, on stderr, to people who watch."""
        if not self.as_json and sys.stderr.isatty():
            click.echo(f"{text} ...", err=True)

    def line(self, text: str, **facts: object) -> None:
        """Show what was done."""
        self.facts |= facts
        if not self.as_json:
            click.echo(text)

    def warn(self, text: str) -> None:
        """Show what people must read, whatever goes to stdout."""
        tell(text)


Work = Callable[..., Coroutine[Any, Any, Exit]]
"""(orders, say, and the sub-command's own options)."""


def _order(credential: str) -> Callable[[Work], Callable[..., int]]:
    """Make a sub-command: with the options that say which node to ask, and errors as sentences."""

    def decorate(work: Work) -> Callable[..., int]:
        @target_options(credential)
        @click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
        @wraps(work)
        def run(*, where: Where, as_json: bool, **options: Any) -> int:
            from rppam.manager.orders_command import OrderError, Orders

            say = Say(as_json=as_json)
            try:
                code = asyncio.run(work(Orders(where), say, **options))
            except OrderError as error:
                code = error.exit_code
                say.facts |= {"error": str(error), "code": error.code}
                say.warn(str(error))
            if as_json:
                click.echo(json.dumps(say.facts))
            return code

        return run

    return decorate


def _node_name(_context: click.Context, _argument: click.Parameter, value: str) -> str:
    """Refuse, as wrong usage, what is no name of a node: it becomes a part of a path."""
    from rppam.config.kinds import NAME_FORM

    if not re.fullmatch(NAME_FORM, value):
        raise click.UsageError(
            f"NODE: expected a node's name (1 to 63 of a-z, 0-9 and '-'); found {value!r}. 'rppam status' lists them"
        )
    return value


@click.group(cls=Group, context_settings=SETTINGS, epilog="Example: rppam cluster switchover --to node2")
def command() -> None:
    """Give the cluster orders: who leads, who is in maintenance, who is a member; and see what happened.

    Exit code 0: done; 1: refused, or not done in time; 2: no node answers, or wrong usage.
    """


command.add_command(adopt)
command.add_command(found)
command.add_command(key)


@command.command(context_settings=SETTINGS, epilog="Example: rppam cluster switchover --to node2")
@click.option("--to", metavar="NODE", help="The next leader. Default: the first by cluster.priority that answers.")
@_order("an admin token")
async def switchover(orders: "Orders", say: Say, to: str | None) -> Exit:
    """Let another node lead, now and without a noticeable gap.

    The leader stops, releases and invites its successor; it does not stand again for a while. Works while failover is
    paused, too.
    """
    view = await orders.look()
    _check_led(view)
    taken = await orders.give("POST", f"{CLUSTER}/switchover", {"target": to})
    say.line(taken.said, said=taken.said, before=taken.node)
    await _show_new_leader(orders, say, view, taken)
    return Exit.DONE


@command.command(context_settings=SETTINGS, epilog="Example: rppam cluster maintenance node3 on")
@click.argument("node", callback=_node_name)
@click.argument("state", type=click.Choice(["on", "off"]))
@_order("an admin token")
async def maintenance(orders: "Orders", say: Say, node: str, state: str) -> Exit:
    """Put NODE into maintenance, or take it out.

    A node in maintenance gives up leadership, does not stand, is drained by load balancers, and goes on voting. It
    stays so over restarts until it is taken out.
    """
    view = await orders.look()
    taken = await orders.give("PUT", f"/api/v1/admin/nodes/{node}/maintenance", {"maintenance": state == "on"})
    say.line(taken.said, said=taken.said, node=node)
    if state == "on" and view.leader == node:
        await _show_new_leader(orders, say, view, taken)
    return Exit.DONE


@command.command(context_settings=SETTINGS, epilog="Example: rppam cluster pause")
@_order("an admin token")
async def pause(orders: "Orders", say: Say) -> Exit:
    """Pause automatic failover: no node takes over by itself until it is resumed.

    The present leader stays. Should it die meanwhile, no node leads: pause only for work that you watch.
    """
    return await _pause(orders, say, is_on=True)


@command.command(context_settings=SETTINGS, epilog="Example: rppam cluster resume")
@_order("an admin token")
async def resume(orders: "Orders", say: Say) -> Exit:
    """Resume automatic failover."""
    return await _pause(orders, say, is_on=False)


@command.command(context_settings=SETTINGS, epilog="Example: rppam cluster forget node3 --off")
@click.argument("nodes", nargs=-1, required=True, metavar="NODE...")
@click.option("--off", is_flag=True, help="State that NODE is switched off for good; then it is not waited for.")
@click.option(
    "--force",
    is_flag=True,
    help="Remove all NODEs at the asked node by your word alone. Only when a majority is lost for good: they must "
    "never start again with their old file 'promise'.",
)
@click.option(
    "--back",
    multiple=True,
    metavar="NAME",
    help="With --force: make this node a member again, where a list of members was taken over that none of you made. "
    "Once for each.",
)
@click.option("--back-witness", multiple=True, metavar="NAME", help="The same for a witness.")
@click.option("--yes", is_flag=True, help="With --force: do not ask for the names again.")
@_order("an admin token")
async def forget(
    orders: "Orders",
    say: Say,
    nodes: tuple[str, ...],
    *,
    off: bool,
    force: bool,
    back: tuple[str, ...],
    back_witness: tuple[str, ...],
    yes: bool,
) -> Exit:
    """Remove dead members, so that their votes are no longer missed.

    The leader does it in two steps that no fault can turn into two clusters. A NODE that is silent is waited for until
    you state that it is off. A node that runs is removed once it is in maintenance, a witness once it is stopped.
    """
    view = await orders.look()
    body: dict[str, Any] = {"members": list(nodes), "off": off, "force": force}
    if (back or back_witness) and not force:
        raise click.UsageError("--back goes with --force; a node that joins asks the leader by itself")
    if back or back_witness:
        body |= {"back": list(back), "backWitnesses": list(back_witness)}
    if force:
        _confirm(say, view.node, nodes, yes=yes)
        taken = await orders.give("POST", f"{CLUSTER}/forget", body)
    elif len(nodes) > 1:
        raise click.UsageError("one NODE at a time, unless with --force")
    else:
        _check_led(view)
        taken = await orders.give("POST", f"{CLUSTER}/forget", body)
    say.line(taken.said, said=taken.said, node=taken.node)
    say.step("waiting until the change is in force")
    after = await orders.changed(nodes)
    left = [line.voter for line in after.votes if line.kind != "store"]
    say.line(f"done: the members are {', '.join(left)} (version {after.electorate_version})", members=left)
    return Exit.DONE


@command.command(context_settings=SETTINGS, epilog="Example: rppam cluster history --limit 50")
@click.option(
    "--limit", default=30, show_default=True, type=click.IntRange(1, 1_000), help="How many of the newest entries."
)
@click.option("--local", is_flag=True, help="Read the file of the config's node on this host; it need not run.")
@_order("a token")
async def history(orders: "Orders", say: Say, *, limit: int, local: bool) -> Exit:
    """Show what happened, the newest last: who led when and why not, what was ordered, what died.

    Each node notes what it saw, so any of them has the story; a node that was cut off has another one. Times are of the
    node's clock, in UTC.

    Exit code 0: shown; 1: the node cannot read its file; 2: no node answers, or wrong usage.
    """
    from rppam.kernel.logging import one_line

    say.facts |= _history_here(orders.where.config, limit) if local else await _history_of(orders, limit)
    if say.as_json:
        return Exit.DONE
    found: Any = say.facts["entries"]
    lines = [
        [one_line(str(entry.get(name, ""))) for name in ("time", "event", "sentence")]
        for entry in found
        if isinstance(entry, dict)
    ]
    if not lines:
        click.echo(f"{one_line(str(say.facts.get('node', '')))} has noted nothing yet")
    width = max((len(event) for _, event, _ in lines), default=0)
    for time, event, sentence in lines:
        click.echo(f"{time.replace('T', ' ')}  {click.style(event.ljust(width), fg=COLOURS.get(event))}  {sentence}")
    if unreadable := say.facts.get("unreadable"):
        click.echo(f"{unreadable} lines of the file are no entries and were left out", err=True)
    return Exit.DONE


def _history_here(config: Path | None, limit: int) -> dict[str, object]:
    """As the node would answer, from its file."""
    from rppam.cluster.history.recorder import FILE_NAME, read_last
    from rppam.config.load import load_settings
    from rppam.http.times import iso_utc_ms

    settings = load_settings(config)
    past = read_last(settings.node.data_dir / FILE_NAME, limit)
    entries = [
        {"time": iso_utc_ms(one.at), "event": one.event, "sentence": one.sentence, "facts": dict(one.facts)}
        for one in past.entries
    ]
    return {"node": settings.node.node_name, "entries": entries, "unreadable": past.unreadable}


async def _history_of(orders: "Orders", limit: int) -> dict[str, object]:
    """Raises :class:`OrderError`."""
    from rppam.manager.orders_command import OrderError

    try:
        answer = await orders.read(f"{CLUSTER}/history?limit={limit}")
    except OrderError as error:
        why = f"{error}. With --local the file on the node's own host is read"
        raise OrderError(why, error.exit_code, code=error.code) from error
    if not isinstance(answer, dict) or not isinstance(answer.get("entries"), list):
        raise OrderError(f"{orders.url}: expected a history, found something else", Exit.ERRORS)
    return answer


async def _pause(orders: "Orders", say: Say, *, is_on: bool) -> Exit:
    """The asked node informs the others: over the member link, and through Redis while that is there."""
    view = await orders.look()
    taken = await orders.give("PUT", f"{CLUSTER}/pause", {"paused": is_on})
    say.line(taken.said, said=taken.said, paused=is_on)
    others = taken.others
    missed = [other.node for other in others if not other.told]
    for other in others:
        if not other.told:
            say.warn(f"{other.node} was not told directly, but hears of it through Redis alone: {other.said}")
    told = [taken.node, *(other.node for other in others if other.told)]
    say.line(f"told: {', '.join(told)}", missed=missed)
    return Exit.DONE if view.redis_connected or not missed else Exit.NO


async def _show_new_leader(orders: "Orders", say: Say, view: "ClusterHealth", taken: "Taken") -> None:
    say.step("waiting for the next leader")
    leader, after_ms = await orders.new_leader(view, taken)
    say.line(f"{leader} leads after {after_ms} ms", leader=leader, leaderAfterMs=after_ms)


def _check_led(view: "ClusterHealth") -> None:
    """Raise :class:`OrderError` when there is no leader for the asked node to hand the order on to."""
    from rppam.manager.orders_command import OrderError

    if not view.leader:
        why = view.no_leader_reason or "the asked node knows of none"
        raise OrderError(f"there is no leader to give this order to: {why}", Exit.NO)


def _confirm(say: Say, node: str, names: tuple[str, ...], *, yes: bool) -> None:
    """Have the names typed again: what follows cannot be undone."""
    listed = " ".join(names)
    say.warn(
        f"{node} will forget {', '.join(names)} by your word alone. This is right only if a majority is lost for good. "
        "Should one of them start again with its old file 'promise', there can be two leaders: remove that file on its "
        "host first"
    )
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("--force asks for the names again on a terminal; without one add --yes")
    if click.prompt(f"Type '{listed}' to go on", default="", show_default=False, err=True) != listed:
        raise click.Abort
