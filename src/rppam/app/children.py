"""What a copy of the template becomes: the control process, an API worker, or a gateway."""

import asyncio
import logging
import os
import socket
import sys
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple, NoReturn

import uvloop

from rppam.app.board import Board
from rppam.app.boot_context import BootContext
from rppam.app.crash_release import CrashRelease, HandingStore
from rppam.app.database_watch import workers_on
from rppam.app.hangup import explain_hangup
from rppam.app.node import Node
from rppam.app.redis import redis_parts
from rppam.app.supervision import follow
from rppam.app.vip import configured_address
from rppam.app.wiring import deciding_of, people_of, whole
from rppam.app.worker import Worker, WorkerParts
from rppam.cluster.admin.forwarding import LinkRelay, answering
from rppam.cluster.admin.service import NodeAdministration
from rppam.cluster.consensus.record import Record
from rppam.cluster.driver.datadir import DataDir
from rppam.cluster.history.recorder import history_handler
from rppam.cluster.store.ports import LeadershipStore
from rppam.config.settings import Settings
from rppam.kernel.errors import Exit, RppamError
from rppam.kernel.fence import OnOutranked
from rppam.kernel.logging import logging_to
from rppam.kernel.system_clock import SystemClock
from rppam.kernel.system_entropy import SystemEntropy
from rppam.process.control_channel import ControlChannel, Message
from rppam.process.crash_release import LastWords
from rppam.process.linux import CONTROL_NAME, GATEWAY_NAME, WORKER_NAME, call_this_process
from rppam.process.rpc import answer_calls
from rppam.process.shared_state import SharedState, worker_number

log = logging.getLogger("rppam.node")

NICE: Final = 5
"""Workers yield to the control process where processors are scarce."""


class Inherited(NamedTuple):
    """What a copy has from the template."""

    known: BootContext
    config: Path
    log_level: str
    log_format: str
    page: SharedState
    words: int
    worker: WorkerParts
    sockets: list[socket.socket]
    calls: socket.socket
    """Where workers' calls come in."""
    ssh: list[socket.socket]
    """The gateway's; empty where it is off."""


def live(order: Message, inherited: Inherited) -> NoReturn:
    """Be what the order says until the end, which is this process's end."""
    code: int = Exit.ERRORS
    logging_settings = inherited.known.settings.logging
    try:
        with (
            logging_to(
                level=inherited.log_level,
                fmt=inherited.log_format,
                directory=logging_settings.directory,
                stream=sys.stderr,
                also=history_handler(inherited.known.settings.node.data_dir)
                if order.facts["role"] == "control"
                else None,
                worker=0 if order.facts["role"] == "control" else worker_number(order.facts["place"]),
            ),
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        ):
            runner.run(_work(order, inherited))
        code = Exit.DONE
    except RppamError as error:
        sys.stderr.write(f"{error.line()}\n")
        code = error.exit_code
    except BaseException:  # noqa: BLE001  # nothing above this frame is ours: it is the template's
        sys.excepthook(*sys.exc_info())
        code = Exit.NO
    finally:
        sys.stderr.flush()
        os._exit(code)


def _work(order: Message, inherited: Inherited) -> Coroutine[Any, Any, None]:
    (descriptor,) = order.descriptors
    line = ControlChannel.of(descriptor)
    words = LastWords(inherited.words) if order.facts["role"] == "control" else None
    os.close(inherited.words)
    if words is not None:
        call_this_process(CONTROL_NAME)
        return _control(inherited, line, words, order.facts["generation"])
    inherited.calls.close()
    if sys.platform != "win32":
        os.nice(NICE)
    if order.facts["role"] == "gateway":
        call_this_process(GATEWAY_NAME)
        for plug in inherited.sockets:
            plug.close()
        return _gateway(inherited, line, order.facts["place"])
    call_this_process(WORKER_NAME)
    for plug in inherited.ssh:
        plug.close()
    return _worker(inherited, line, order.facts["place"])


async def _control(inherited: Inherited, line: ControlChannel, words: LastWords, generation: int) -> None:
    known = inherited.known
    node, administration, relay, outranked = _build_control(inherited, line, words, generation)
    orders = {
        "stop": lambda facts: node.stop(facts["why"]),
        "hangup": lambda _: explain_hangup(known.settings, inherited.config),
    }
    follow(line, orders)
    async with await answer_calls(inherited.calls, answering(administration, relay, outranked)):
        await node.run()


def _build_control(
    inherited: Inherited, line: ControlChannel, words: LastWords, generation: int
) -> tuple[Node, NodeAdministration, LinkRelay, OnOutranked]:
    """A node whose surface is the page, who takes orders for it, who hands on those for others, and who hears of the
    fence."""
    known, page = inherited.known, inherited.page
    if generation > 1:
        known = known._replace(settings=_patient(known.settings))
    settings = known.settings
    clock, entropy = SystemClock(), SystemEntropy()
    data_dir = DataDir(settings.node.data_dir)
    people = people_of(settings, clock)
    redis = redis_parts(settings, clock, entropy)
    board = Board(page, line, generation, clock)

    def released(record: Record, seq: int) -> Record:
        return deciding.driver.core.released(record, seq)

    testament = CrashRelease(settings, redis, words, entropy, released)

    def through(store: LeadershipStore) -> LeadershipStore:
        return HandingStore(store, testament) if redis is not None else store

    def turned() -> None:
        board.turned()
        if deciding.link is not None:
            testament.look(deciding.driver.core.status(), deciding.link, clock.now())

    deciding = deciding_of(
        known,
        people.database,
        clock,
        entropy,
        redis,
        on_turn=turned,
        through=through,
        settings_revision=lambda: page.settings_revision(clock.as_host_us(clock.now())),
        worker_databases=workers_on(page, lambda: clock.as_host_us(clock.now())),
        config_file=inherited.config,
        halt=lambda fault, seconds: line.send("halt", fault=fault, seconds=seconds),
        listening=_kept(inherited),
    )
    deciding.view.serving = generation > 1  # the node serves already
    board.shows(deciding.view)
    node = whole(known, data_dir, people, deciding, board, board)
    return node, deciding.administration, deciding.relay, deciding.driver.outranked


def _kept(inherited: Inherited) -> list[socket.socket]:
    """The sockets where clients connect, for a virtual address; without one this process has no use for them."""
    plugs = [*inherited.sockets, *inherited.ssh]
    if configured_address(inherited.known.settings) is not None:
        return plugs
    for plug in plugs:
        plug.close()
    return []


def _patient(settings: Settings) -> Settings:
    """abortConnect speaks of the start of a node, not of one of its processes that is started again."""
    connection = settings.redis.connection
    if connection is None:
        return settings
    return replace(
        settings, redis=settings.redis.model_copy(update={"connection": replace(connection, abort_connect=False)})
    )


async def _worker(inherited: Inherited, line: ControlChannel, place: int) -> None:
    worker = Worker(inherited.worker, line, place, inherited.sockets)
    follow(line, {"stop": lambda facts: worker.stop(facts["drain_s"])})
    await worker.run()


async def _gateway(inherited: Inherited, line: ControlChannel, place: int) -> None:
    from rppam.app.gateway import GatewayProcess

    gateway = GatewayProcess(inherited.worker, place, inherited.ssh)
    follow(line, {"stop": lambda facts: gateway.stop(facts["drain_s"])})
    await gateway.run()
