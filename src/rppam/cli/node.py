"""``rppam node``: one node in the foreground, for a service manager."""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rppam.domain.exits import Exit

if TYPE_CHECKING:
    from collections.abc import Callable

    from rppam.config.settings import Settings


@click.command(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: rppam node --config /etc/rppam/rppam.config",
)
@click.option("--config", "config", type=click.Path(path_type=Path), help="The config file; else RPPAM_CONFIG.")
@click.option("--log-format", type=click.Choice(["human", "json"]), help="Overrides logging.format.")
@click.option("--log-level", help="Overrides logging.level: Verbose, Debug, Information, Warning, Error or Fatal.")
def command(config: Path | None, log_format: str | None, log_level: str | None) -> int:
    """Run one node in the foreground until it gets SIGTERM.

    SIGTERM or Ctrl-C: step down and release leadership, let requests end, exit 0. SIGHUP: say which settings have
    changed and need a restart. Ends with 69 when Redis cannot be reached and abortConnect=true, 73 when the name is in
    use, 77 when the licence does not allow it, 78 when the configuration is wrong.
    """
    from rppam.adapters.system.secrets import HostSecrets
    from rppam.config.load import load_settings
    from rppam.config.places import config_path
    from rppam.config.settings import LOG_LEVELS
    from rppam.runtime.logging import logging_to

    if log_level is not None and log_level not in LOG_LEVELS:
        raise click.BadParameter(
            f"expected one of {', '.join(LOG_LEVELS)}, found {log_level!r}", param_hint="--log-level"
        )
    path = config_path(config, os.environ)
    settings = load_settings(path, outside=HostSecrets())
    log = settings.logging
    with logging_to(
        level=log_level or log.level, fmt=log_format or log.format, directory=log.directory, stream=sys.stderr
    ):
        factory = _loop_factory()
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(_serve(settings, path))
    return Exit.DONE


def _loop_factory() -> "Callable[[], asyncio.AbstractEventLoop] | None":
    if sys.platform == "win32":
        return None
    import uvloop

    return uvloop.new_event_loop


async def _serve(settings: "Settings", path: Path) -> None:
    from rppam.compose.parts import build_node

    node = await build_node(settings)
    loop = asyncio.get_running_loop()
    if sys.platform != "win32":
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, node.stop, f"got {number.name}")
        loop.add_signal_handler(signal.SIGHUP, _explain_hangup, settings, path)
    await node.run()


def _explain_hangup(settings: "Settings", path: Path) -> None:
    """Settings are read at start only, so SIGHUP is answered with what a restart would change."""
    import logging

    from rppam.adapters.system.secrets import HostSecrets
    from rppam.config.changes import changed_keys
    from rppam.config.load import load_settings
    from rppam.domain.errors import RppamError

    log = logging.getLogger("rppam.node")
    try:
        changed = changed_keys(settings, load_settings(path, outside=HostSecrets()))
    except RppamError as error:
        log.error("got SIGHUP; %s would not start a node any more: %s", path, error)  # noqa: TRY400  # a sentence
        return
    if changed:
        log.warning("got SIGHUP; restart to apply the changed settings: %s", ", ".join(changed))
    else:
        log.info("got SIGHUP; nothing has changed in %s, and settings are applied at a restart only", path)
