"""``rppam node``: one node in the foreground, for a service manager.

On Linux this process becomes the node's supervisor, so it imports as little as it can; see ``supervisor``. With
``--single-process``, and elsewhere, everything runs in this one process: there is then nobody who gives up for it what
it holds should it be killed, and leadership ends with the lease.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rppam.cli.paths import CONFIG_FILE
from rppam.kernel.errors import Exit

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from rppam.config.settings import Settings
    from rppam.process.notify import WindowsService

LOG_LEVELS = ("Verbose", "Debug", "Information", "Warning", "Error", "Fatal")


@click.command(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: rppam node --config /etc/rppam/rppam.config",
)
@click.option("--config", "config", type=CONFIG_FILE, help="The config file; else RPPAM_CONFIG.")
@click.option(
    "--log-format", type=click.Choice(["human", "json"], case_sensitive=False), help="Overrides logging.format."
)
@click.option("--log-level", type=click.Choice(LOG_LEVELS, case_sensitive=False), help="Overrides logging.level.")
@click.option(
    "--single-process", is_flag=True, help="Run everything in this process. The only way where there is no Linux."
)
def command(config: Path | None, log_format: str | None, log_level: str | None, single_process: bool) -> int:
    """Run one node in the foreground until it gets SIGTERM.

    SIGTERM or Ctrl-C: step down and release leadership, let requests end, exit 0. SIGHUP: say which settings have
    changed and need a restart. Ends with 69 when Redis cannot be reached and abortConnect=true, 73 when
    another process has the data directory, 75 when Redis or other members show that the name, the key prefix or the
    last licence seat is taken (start it again: that may pass), 78 when the configuration is wrong.

    The node is several processes: this one supervises, a control process holds leadership, and api.workers processes
    answer requests. When the control process dies, this one withdraws and releases what it held, and starts another.
    """
    from rppam.config.places import config_path
    from rppam.process.open_files import ensure_files
    from rppam.process.private_memory import keep_from_dumps

    keep_from_dumps()
    ensure_files()
    path = config_path(config)
    if sys.platform == "linux" and not single_process:
        from rppam.process.supervisor.children import Start
        from rppam.process.supervisor.run import supervise

        return supervise(Start(path, log_format, log_level))
    if sys.platform == "win32":
        from rppam.process.notify import run_as_service

        code = run_as_service(lambda service: _run_alone(path, log_format, log_level, service))
        if code is not None:
            return code
    return _run_alone(path, log_format, log_level)


def _run_alone(
    path: Path, log_format: str | None, log_level: str | None, service: "WindowsService | None" = None
) -> int:
    """The whole node in this process."""
    import asyncio

    from rppam.cluster.history.recorder import history_handler
    from rppam.config.load import load_settings
    from rppam.kernel.logging import logging_to
    from rppam.settings.files import problems_of

    settings = load_settings(path, check_pushed=problems_of)
    log = settings.logging
    with logging_to(
        level=log_level or log.level,
        fmt=log_format or log.format,
        directory=log.directory,
        stream=sys.stderr,
        also=history_handler(settings.node.data_dir),
    ):
        factory = _loop_factory()
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(_serve(settings, path, service))
    return Exit.DONE


def _loop_factory() -> "Callable[[], asyncio.AbstractEventLoop] | None":
    if sys.platform == "win32":
        return None
    import uvloop

    return uvloop.new_event_loop


async def _serve(settings: "Settings", path: Path, service: "WindowsService | None") -> None:
    import asyncio
    import signal

    from rppam.app.hangup import explain_hangup
    from rppam.app.wiring import build_node

    node = build_node(settings)
    loop = asyncio.get_running_loop()
    if sys.platform != "win32":
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, node.stop, f"got {number.name}")
        loop.add_signal_handler(signal.SIGHUP, explain_hangup, settings, path)
    elif service is not None:

        def stop(why: str) -> None:  # on a thread of the system
            loop.call_soon_threadsafe(node.stop, why)

        service.on_stop = stop
    await node.run()
