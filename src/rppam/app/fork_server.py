"""The template of a node's processes: it reads the settings, opens the API's port, imports everything, and is copied.

``python -m rppam.app.fork_server`` is started by the supervisor only. Each copy is a child *of the supervisor*: the
template forks twice and the process in between ends at once, so that the supervisor adopts the copy, which then dies
with it. The template runs no thread and no event loop, so a copy starts from a state that is known; and it reads the
settings once, so all processes of a node have the same ones.
"""

import argparse
import gc
import os
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from rppam.kernel.errors import Exit, RppamError
from rppam.process.control_channel import ControlChannel, Message
from rppam.process.linux import TEMPLATE_NAME, call_this_process, die_with_parent
from rppam.process.private_memory import keep_from_dumps
from rppam.process.shared_state import SharedState

if TYPE_CHECKING:
    from rppam.app.children import Inherited


def main() -> NoReturn:
    """Serve copies until the supervisor hangs up."""
    arguments = _arguments()
    if sys.platform == "win32":
        sys.exit("the processes of a node need Linux")
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # a terminal sends them to the whole group; the supervisor hears for all
    keep_from_dumps()
    die_with_parent(arguments.parent)
    call_this_process(TEMPLATE_NAME)
    line, page, words, *sockets = (int(number) for number in arguments.descriptors.split(","))
    try:
        _serve(arguments, ControlChannel.of(line), page, words, [socket.socket(fileno=number) for number in sockets])
    except RppamError as error:
        sys.stderr.write(f"{error.line()}\n")
        sys.exit(error.exit_code)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="rppam-template", description="Started by the supervisor of a node.")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--log-format")
    parser.add_argument("--log-level")
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--descriptors", required=True)
    return parser.parse_args()


def _serve(
    arguments: argparse.Namespace, line: ControlChannel, page: int, words: int, sockets: list[socket.socket]
) -> NoReturn:
    import rppam.app.slices  # noqa: F401 - declares the settings that the config may name
    from rppam.config.load import load_settings
    from rppam.config.show import fingerprint
    from rppam.settings.files import problems_of

    settings = load_settings(arguments.config, check_pushed=problems_of)
    # What takes long comes now: a wrong config is told at once.
    import cryptography.hazmat.backends.openssl  # noqa: F401  # what is imported here is shared by all copies
    import uvicorn.lifespan.off  # noqa: F401

    from rppam.app.boot_context import inherit
    from rppam.app.children import Inherited
    from rppam.app.vip import configured_address
    from rppam.app.worker import worker_parts
    from rppam.cluster.history.recorder import FILE_NAME as HISTORY_FILE
    from rppam.http.server import listen
    from rppam.process.rpc import is_for_calls, listen_for_calls

    known = inherit(settings)
    access = settings.access
    opened = [] if sockets else [*listen(settings.api.host, settings.api.port), listen_for_calls()]
    if not sockets and access.enabled:
        opened += listen(access.host, access.port, what="the SSH gateway")
    (calls,) = (plug for plug in sockets or opened if is_for_calls(plug))
    others = [plug for plug in sockets or opened if plug is not calls]
    ssh = [plug for plug in others if access.enabled and plug.getsockname()[1] == access.port]
    ports = [plug for plug in others if plug not in ssh]
    level, fmt = arguments.log_level or settings.logging.level, arguments.log_format or settings.logging.format
    node_page = SharedState(page)
    parts = worker_parts(known, node_page, calls)
    inherited = Inherited(known, arguments.config, level, fmt, node_page, words, parts, ports, calls, ssh)
    gc.collect()
    gc.freeze()  # what is there now stays for ever, and is shared as long as no collection writes to it
    line.send(
        "hello",
        [plug.fileno() for plug in opened],
        workers=settings.api.workers,
        gateways=access.gateways if access.enabled else 0,
        drain_s=settings.api.drain_s,
        log_level=level,
        log_format=fmt,
        log_directory=str(settings.logging.directory) if settings.logging.directory else None,
        history=str(settings.node.data_dir / HISTORY_FILE),
        address=[str(address.interface), address.device] if (address := configured_address(settings)) else None,
        uses_tls=settings.cluster.enabled or (settings.redis.connection is not None and settings.redis.connection.ssl),
        fingerprint=fingerprint(settings),
    )
    while True:
        line.wait()
        try:
            order = line.receive()
        except EOFError:
            os._exit(Exit.DONE)
        if order is not None and order.word == "copy":
            pid = _copy(arguments.parent, line, order, inherited)
            line.send("copied", place=order.facts["place"], generation=order.facts["generation"], pid=pid)


def _copy(supervisor: int, line: ControlChannel, order: Message, inherited: "Inherited") -> int:
    """Fork twice; the process id of the copy, which the supervisor adopts."""
    if sys.platform == "win32":
        raise NotImplementedError
    from rppam.app.children import live  # imported already

    ours, theirs = os.pipe()
    between = os.fork()
    if between == 0:
        try:
            copy = os.fork()
            if copy == 0:
                os.close(ours)
                os.close(theirs)
                line.close()
                die_with_parent(supervisor)
                live(order, inherited)
            os.write(theirs, str(copy).encode())
        finally:
            os._exit(0)
    os.close(theirs)
    os.waitpid(between, 0)
    pid = int(os.read(ours, 32) or b"0")
    os.close(ours)
    for descriptor in order.descriptors:
        os.close(descriptor)
    return pid


if __name__ == "__main__":
    main()
