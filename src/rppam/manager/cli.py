"""``rppam cluster``: orders of an administrator, from any host that reaches one node of the cluster.

Each sub-command gives its order to the asked node, which hands it on to the one that it is for, and shows what came of
it. How a cluster stands is shown by ``rppam status``.
"""

import asyncio
import getpass
import json
import re
import socket
import sys
from collections.abc import Callable, Coroutine
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from rppam.access.tokens import target_of, target_options
from rppam.kernel.errors import Exit
from rppam.manager.adopt_command import command as adopt
from rppam.manager.found_command import command as found
from rppam.manager.history_command import command as history
from rppam.manager.key_command import command as key

if TYPE_CHECKING:
    from rppam.manager.orders_command import Orders

SETTINGS: Final = {"help_option_names": ["-h", "--help"]}
WAIT_S: Final = 15.0


class Say:
    """Where the words go: people's to the terminal as they come, a machine's as one object at the end."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._told: dict[str, object] = {}

    def step(self, text: str) -> None:
        """Progress, on stderr, for people who watch."""
        if not self._as_json and sys.stderr.isatty():
            click.echo(f"{text} ...", err=True)

    def line(self, text: str, **facts: object) -> None:
        """What was done."""
        self._told |= facts
        if not self._as_json:
            click.echo(text)

    def warn(self, text: str) -> None:
        """What people must read, whatever goes to stdout."""
        click.echo(f"rppam cluster: {text}", err=True)

    def end(self) -> None:
        """The object."""
        if self._as_json:
            click.echo(json.dumps(self._told))


Work = Callable[..., Coroutine[Any, Any, Exit]]
"""(orders, say, and the sub-command's own options)."""


def _order(work: Work) -> Callable[..., int]:
    """A sub-command of ``work``: with the options that say which node to ask, and errors as sentences."""

    @target_options("an admin token")
    @click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
    @wraps(work)
    def run(
        *,
        url: str | None,
        token_file: Path | None,
        config: Path | None,
        ca: Path | None,
        as_json: bool,
        **options: Any,
    ) -> int:
        from rppam.manager.orders_command import OrderError, Orders

        say = Say(as_json=as_json)
        target = target_of(url, token_file, config, _operator(), ca)
        try:
            code = asyncio.run(work(Orders(target), say, **options))
        except OrderError as error:
            say.line(f"rppam cluster: {error}", error=str(error), code=error.code) if as_json else say.warn(str(error))
            say.end()
            return error.exit_code
        say.end()
        return code

    return run


def _node_name(_context: click.Context, _argument: click.Parameter, value: str) -> str:
    """``value``, which becomes a part of a path; wrong usage where it is no name that a node can have."""
    from rppam.config.kinds import NAME_FORM

    if not re.fullmatch(NAME_FORM, value):
        raise click.UsageError(
            f"NODE: expected a node's name (1 to 63 of a-z, 0-9 and '-'); found {value!r}. 'rppam status' lists them"
        )
    return value


def _operator() -> str:
    """Who orders, where the token is made on this host."""
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"[:64]
    except (OSError, KeyError):  # an account without a name
        return "operator@host"


@click.group(context_settings=SETTINGS, epilog="Example: rppam cluster switchover --to node2")
def command() -> None:
    """Give the cluster orders: who leads, who is in maintenance, who is a member; and see what happened.

    Exit code 0: done; 1: refused, or not done in time; 2: no node answers, or wrong usage.
    """


command.add_command(adopt)
command.add_command(found)
command.add_command(key)
command.add_command(history)


@command.command(context_settings=SETTINGS, epilog="Example: rppam cluster switchover --to node2")
@click.option("--to", metavar="NODE", help="Who shall lead. Default: the first by cluster.priority that answers.")
@_order
async def switchover(orders: "Orders", say: Say, to: str | None) -> Exit:
    """Let another node lead, now and without a gap that anybody notices.

    The leader stops, releases and invites its successor; it does not stand again for a while. Works while failover is
    paused, too.
    """
    from rppam.manager.orders_command import CLUSTER

    view = await orders.look()
    _check_led(view)
    taken = await orders.give("POST", f"{CLUSTER}/switchover", {"target": to})
    say.line(taken.said, said=taken.said, before=taken.node)
    await _tell_leader(orders, say, view, taken)
    return Exit.DONE


@command.command(context_settings=SETTINGS, epilog="Example: rppam cluster maintenance node3 on")
@click.argument("node", callback=_node_name)
@click.argument("state", type=click.Choice(["on", "off"]))
@_order
async def maintenance(orders: "Orders", say: Say, node: str, state: str) -> Exit:
    """Put NODE into maintenance, or take it out.

    A node in maintenance gives up leadership, does not stand, is drained by load balancers, and goes on voting. It
    stays so over restarts until it is taken out.
    """
    view = await orders.look()
    taken = await orders.give("PUT", f"/api/v1/admin/nodes/{node}/maintenance", {"maintenance": state == "on"})
    say.line(taken.said, said=taken.said, node=node)
    if state == "on" and view.leader == node:
        await _tell_leader(orders, say, view, taken)
    return Exit.DONE


@command.command(context_settings=SETTINGS, epilog="Example: rppam cluster pause")
@_order
async def pause(orders: "Orders", say: Say) -> Exit:
    """Pause automatic failover: no node takes over by itself until it is resumed.

    The present leader stays. Should it die meanwhile, nobody leads: pause only for work that you watch.
    """
    return await _pause(orders, say, is_on=True)


@command.command(context_settings=SETTINGS, epilog="Example: rppam cluster resume")
@_order
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
    "never start again with their old data directory.",
)
@click.option(
    "--back",
    multiple=True,
    metavar="NAME",
    help="With --force: this node is a member again, where a list of members was taken over that nobody of you made. "
    "Once for each.",
)
@click.option("--back-witness", multiple=True, metavar="NAME", help="The same of a witness.")
@click.option("--yes", is_flag=True, help="With --force: do not ask for the names again.")
@_order
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
    """Remove dead members, so that their votes are not missed any more.

    The leader does it in two steps that no fault can turn into two clusters. A NODE that is silent is waited for until
    you state that it is off. A node that runs is removed once it is in maintenance, a witness once it is stopped.
    """
    from rppam.manager.orders_command import CLUSTER

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
    after = await orders.changed(nodes, WAIT_S)
    left = [line.voter for line in after.votes if line.kind != "store"]
    say.line(f"done: the members are {', '.join(left)} (version {after.electorate_version})", members=left)
    return Exit.DONE


async def _pause(orders: "Orders", say: Say, *, is_on: bool) -> Exit:
    """The asked node tells the others: over the member link, and through Redis while that is there."""
    from rppam.manager.orders_command import CLUSTER

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


async def _tell_leader(orders: "Orders", say: Say, view: Any, taken: Any) -> None:
    new = await orders.new_leader(view, taken.node, taken, WAIT_S, say.step)
    say.line(f"{new.name} leads after {new.after_ms} ms", leader=new.name, leaderAfterMs=new.after_ms)


def _check_led(view: Any) -> None:
    """Raises :class:`OrderError` when there is no leader for the asked node to hand the order on to."""
    from rppam.manager.orders_command import OrderError

    if not view.leader:
        why = view.no_leader_reason or "the asked node knows of none"
        raise OrderError(f"there is no leader to give this order to: {why}", Exit.NO)


def _confirm(say: Say, node: str, names: tuple[str, ...], *, yes: bool) -> None:
    """Have the names typed once more: what is done here cannot be undone."""
    listed = " ".join(names)
    say.warn(
        f"{node} will forget {', '.join(names)} by your word alone. This is right only if a majority is lost for good. "
        "Should one of them start again with its old data directory, there can be two leaders: wipe those first"
    )
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("--force asks for the names again on a terminal; without one add --yes")
    if click.prompt(f"Type '{listed}' to go on", default="", show_default=False, err=True) != listed:
        raise click.Abort
