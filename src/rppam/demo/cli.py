"""``rppam demo``: the command line."""

from pathlib import Path
from typing import Final

import click

NODES_MAX: Final = 9


@click.command(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: rppam demo --nodes 3 --base-port 7101",
)
@click.option("--nodes", default=3, show_default=True, type=click.IntRange(1, NODES_MAX), help="How many nodes.")
@click.option(
    "--base-port",
    default=7101,
    show_default=True,
    type=click.IntRange(1, 65_535),
    help="API port of the first node; the others follow in steps of ten.",
)
@click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path),
    help="Keep files and logs in DIR/rppam-demo instead of a temporary folder. DIR may hold other files.",
)
@click.option(
    "--for",
    "for_s",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="End this many seconds after the start.",
)
@click.option("--witness", is_flag=True, help="Add a member that votes and never leads; most members then decide.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line on stdout; sentences go to stderr.")
def command(
    *, nodes: int, base_port: int, directory: Path | None, for_s: float | None, witness: bool, as_json: bool
) -> int:
    """Run a real Redis server and NODES nodes as processes of this machine, and follow what happens.

    Kill, stop or continue any of them from another terminal: the demo reports how the cluster reacts, and restarts
    nothing. Ctrl-C ends everything and leaves nothing behind.

    Exit code 0 when ended by Ctrl-C, SIGTERM or --for; 1 when the cluster did not get ready.
    """
    import asyncio
    import logging
    import sys

    from rppam.demo.files import DemoOptions
    from rppam.demo.run import run_demo
    from rppam.demo.screen import reporter_for
    from rppam.kernel.system_clock import SystemClock
    from rppam.setup.errors import DemoError

    if sys.platform == "win32":
        raise DemoError("rppam demo runs on Linux: it starts and ends whole process trees the way only Linux can")
    logging.getLogger("rppam").addHandler(logging.NullHandler())  # the demo reports by itself
    if witness and nodes == 1:
        raise click.UsageError("a single node has no other to vote with: --witness needs --nodes 2 or more")
    options = DemoOptions(nodes=nodes, base_port=base_port, directory=directory, for_s=for_s, witness=witness)
    return asyncio.run(run_demo(options, reporter_for(as_json=as_json), SystemClock()))
