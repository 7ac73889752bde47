"""A fault played again without a node: only those parts of one that speak of it, in this process, in a second.

The parts are the node's own, made of a config as the node's is; what lies between them (the driver, the log, health)
is played by real nodes when the page is written.
"""

import asyncio
import json
import logging
from dataclasses import replace
from pathlib import Path

from rppam.app.checkup import Checkup
from rppam.app.redis import RedisParts, redis_parts
from rppam.cluster.consensus.record import vacant
from rppam.cluster.store.ports import ExchangeOrder, StoreListener
from rppam.cluster.store.redis_store import RedisLeadershipStore
from rppam.config.errors import ConfigValueError
from rppam.config.load import parse_settings
from rppam.config.settings import Settings
from rppam.doctor.check_container import check_container
from rppam.doctor.check_redis import StoreCheck
from rppam.doctor.redis_checkup import RedisCheckup, RedisPipeline
from rppam.doctor.report import Report
from rppam.kernel.finding import Finding
from rppam.kernel.system_clock import SystemClock
from rppam.kernel.system_entropy import SystemEntropy
from rppam.redis.errors import StoreError
from tests.doctor.fault_table.scenes import Scene
from tests.doctor.fault_table.table import NOT_STARTED, Said, is_ours, plain
from tests.support.lab import CALM
from tests.support.redis_servers import PASSWORD

READ = ExchangeOrder(None, None, vacant(1, "c" * 16), None)
CLOCK = SystemClock()
LOGGED_S = 30.0


def replay(scene: Scene, folder: Path) -> Said:
    """What is said of the fault, as :func:`tests.doctor.fault_table.table.play` has it."""
    with scene.play(folder) as section:
        redis = {name: value for name, value in section.items() if value != ""}
        config = {"node": {"nodeName": "node1"}, "redis": {"enabled": True, **redis}, "cluster": CALM}
        settings = parse_settings(json.dumps(config), folder=folder)
        said = asyncio.run(_listen(settings, scene))
        assert PASSWORD not in "".join(said[:2])
        return said._replace(log=plain(said.log, folder), health=plain(said.health, folder))


async def _listen(settings: Settings, scene: Scene) -> Said:
    doctor = await _doctor(settings, scene)
    try:
        redis = redis_parts(settings, CLOCK, SystemEntropy())
    except ConfigValueError as error:
        return Said(error.line(), NOT_STARTED, (), doctor)
    assert redis is not None
    heard = _Heard()
    logging.getLogger("rppam").addHandler(heard)
    store = RedisLeadershipStore(redis.link, settings.redis.key_prefix, "lab", "node1", lambda _: None)
    try:
        await store.start(StoreListener(lambda *_: None, lambda *_: None, lambda: None))
        log, reason = await _reason(store, redis, settings, heard)
        checks = _checks(redis, settings)
        await checks.check()
        found = _ours(scene, checks.findings())
        return Said(log or await _logged(checks, found, heard), reason, found, doctor)
    finally:
        logging.getLogger("rppam").removeHandler(heard)
        await store.stop()


async def _reason(
    store: RedisLeadershipStore, redis: RedisParts, settings: Settings, heard: "_Heard"
) -> tuple[str, str]:
    """The log's line and health's sentence, as the driver and the view of a node put them."""
    if redis.link.is_connected:
        try:
            await store.exchange(READ, settings.cluster.timing.request_timeout_ms)
        except StoreError as error:
            if redis.link.is_connected:
                return f"WARN  the store did not answer: {error}", str(error)
    reason = redis.why_down()
    if not reason:
        return "", ""
    (line,) = dict.fromkeys(line for line in heard.lines if reason in line)
    return line, reason


def _checks(redis: RedisParts, settings: Settings) -> RedisCheckup:
    said = settings.redis.connection
    assert said is not None
    pipeline = RedisPipeline.of(settings, CLOCK, timeout_ms=redis.link.options.command_timeout_ms)
    return RedisCheckup(redis.link, redis.watchers, replace(pipeline, cluster_id="lab"), (said.password,))


async def _logged(checks: RedisCheckup, codes: tuple[str, ...], heard: "_Heard") -> str:
    """The line that a node logs of the finding."""

    async def nothing() -> None: ...

    async def nobody(_most: int) -> int:
        return 0

    running = asyncio.create_task(Checkup(None, checks, lambda: None, lambda: True, nothing, nobody).run())
    try:
        async with asyncio.timeout(LOGGED_S):
            while True:
                lines = [line for line in heard.lines if line.startswith(tuple(f"WARN  {code} " for code in codes))]
                if lines:
                    return lines[0]
                await asyncio.sleep(0.02)
    finally:
        running.cancel()


async def _doctor(settings: Settings, scene: Scene) -> tuple[str, ...]:
    report = Report()
    check = StoreCheck(settings, report, CLOCK)
    try:
        await check.reach()
        await check.look()
        await check_container(report)
    finally:
        await check.close()
    return _ours(scene, report.findings)


def _ours(scene: Scene, findings: tuple[Finding, ...] | list[Finding]) -> tuple[str, ...]:
    return tuple(sorted({one.code for one in findings if is_ours(scene, one.code, one.severity.value)}))


class _Heard(logging.Handler):
    """Warnings, as a line of the log without its time."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"WARN  {record.getMessage()}")
