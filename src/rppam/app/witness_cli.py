"""``rppam witness``: a member that votes and never leads, in the foreground, for a service manager."""

import asyncio
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rppam.cli.paths import CONFIG_FILE
from rppam.kernel.errors import Exit

if TYPE_CHECKING:
    from rppam.config.settings import Settings


@click.command(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: rppam witness --config /etc/rppam/rppam-witness.config",
)
@click.option(
    "--config",
    type=CONFIG_FILE,
    help="The config file; else RPPAM_CONFIG, else rppam-witness.config beside the place of a node's config.",
)
def command(config: Path | None) -> int:
    """Run a witness in the foreground until it gets SIGTERM.

    A witness is the third voter of two nodes: with it, a majority survives the loss of any one host. It has no REST
    API, no data but what it promised, and takes no licence seat. Its config needs node.nodeName, node.dataDir, redis,
    cluster.enabled, cluster.clusterId and auth.clusterKeyPath, with the cluster's values; the leader takes it in.
    """
    from rppam.cluster.history.recorder import history_handler
    from rppam.config.load import load_settings
    from rppam.config.places import config_path, default_places, witness_places
    from rppam.config.rules import witness_problems
    from rppam.kernel.logging import logging_to
    from rppam.process.open_files import ensure_files
    from rppam.settings.files import problems_of

    ensure_files()
    path = config_path(config, witness_places(default_places()))
    settings = load_settings(
        path,
        check_pushed=problems_of,
        check_built=witness_problems,
        made_by="rppam init --witness --join BUNDLE",
    )
    log = settings.logging
    history = history_handler(settings.node.data_dir)
    with logging_to(level=log.level, fmt=log.format, directory=log.directory, stream=sys.stderr, also=history):
        asyncio.run(_serve(settings))
    return Exit.DONE


async def _serve(settings: "Settings") -> None:
    from rppam.app.witness import Witness

    witness = Witness(settings)
    loop = asyncio.get_running_loop()
    if sys.platform != "win32":
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, witness.stop, f"got {number.name}")
    await witness.run()
