"""``rppam status``: the cluster on one screen, from any node.

Asks one node and shows its view; it does not compare views of several.
"""

import asyncio
import json
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING, NamedTuple

import click

from rppam.access.tokens.target import Where, target_options
from rppam.cli.errors import tell
from rppam.kernel.errors import Exit

if TYPE_CHECKING:
    from rich.console import Console, ScreenContext

    from rppam.cluster.health.model import ClusterHealth
    from rppam.manager.orders_command import Orders


class _Seen(NamedTuple):
    """One answer, or why there is none."""

    code: Exit
    body: object
    view: "ClusterHealth | None" = None
    failure: str = ""


@click.command(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: rppam status --url http://node2:7101 --token-file admin.token --watch",
)
@target_options("an admin token")
@click.option("--watch", is_flag=True, help="Refresh it every --interval seconds until Ctrl-C.")
@click.option(
    "--interval", default=1.0, show_default=True, type=click.FloatRange(0.2, 3600), help="Seconds between questions."
)
@click.option("--json", "as_json", is_flag=True, help="The node's answer as one JSON object a line.")
def command(*, where: Where, watch: bool, interval: float, as_json: bool) -> int:
    """Show leader, epoch, quorum, Redis, nodes and warnings of the cluster, as one node sees them.

    Where this host's own node does not answer, it says which other member does.

    Exit code 0: healthy; 1: it answers and is not healthy; 2: no node answers there, or wrong usage.
    """
    from rich.console import Console

    from rppam.manager.orders_command import Orders

    orders, console = Orders(where), Console()
    codes = [Exit.ERRORS]

    async def look_on(screen: "ScreenContext | None") -> None:
        """In one loop, so that Ctrl-C never meets one that is being closed."""
        while True:
            seen = await _look(orders, asks_others=not watch)
            codes[:] = [seen.code]
            _show(seen, orders.url, console, screen, as_json=as_json)
            if not watch:
                return
            await asyncio.sleep(interval)

    has_screen = watch and not as_json and console.is_terminal
    unheard = (KeyboardInterrupt, BrokenPipeError) if watch else ()
    with suppress(*unheard), console.screen() if has_screen else nullcontext() as screen:
        asyncio.run(look_on(screen))
    return codes[-1]


async def _look(orders: "Orders", *, asks_others: bool) -> _Seen:
    from rppam.http.client import NoAnswerError
    from rppam.manager.orders_command import OrderError

    try:
        body, view = await orders.health()
    except OrderError as error:
        failure = str(error)
        if asks_others and isinstance(error.__cause__, NoAnswerError) and (advice := await orders.elsewhere()):
            failure = f"{failure}. {advice}"
        return _Seen(error.exit_code, {"url": orders.url, "error": failure, "code": error.code}, failure=failure)
    return _Seen(Exit.DONE if view.healthy else Exit.NO, body, view)


def _show(seen: _Seen, url: str, console: "Console", screen: "ScreenContext | None", *, as_json: bool) -> None:
    from rich.text import Text

    from rppam.manager.status_screen import status_picture

    picture = Text(seen.failure, style="red") if seen.view is None else status_picture(seen.view, url)
    if as_json:
        click.echo(json.dumps(seen.body))
        if seen.view is None:
            tell(seen.failure)
    elif screen is not None:
        screen.update(picture)
    elif seen.view is None:
        tell(seen.failure)
    else:
        console.print(picture)
