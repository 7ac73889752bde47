"""What the demo starts ends with it, also where somebody pasted the line that starts it again."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from rppam.demo.children import Child, end_all, start
from rppam.demo.redis_server import free_port, start_redis
from rppam.process.linux import holders_of

pytestmark = [pytest.mark.integration, pytest.mark.server]


async def eventually(holds: Callable[[], object], within_s: float = 20.0) -> None:
    async with asyncio.timeout(within_s):
        while not holds():  # noqa: ASYNC110  # processes set no event
            await asyncio.sleep(0.02)


async def killed_and_pasted(child: Child, shows: str) -> psutil.Process:
    """The process that the line to paste starts, once it is what it shall be."""
    child.send(signal.SIGKILL)
    await eventually(child.ended)
    pasted = ["sh", "-c", child.again]
    subprocess.run(pasted, check=True, timeout=20)  # noqa: ASYNC221  # nothing else runs in this loop

    def found() -> list[psutil.Process]:
        return [one for one in psutil.process_iter() if shows in " ".join(words_of(one)) and one.pid != child.pid]

    await eventually(found)
    return found()[0]


def words_of(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline() if process.status() != psutil.STATUS_ZOMBIE else []
    except psutil.Error:
        return []


async def test_a_node_that_was_started_again_by_hand_ends_with_the_others(tmp_path: Path) -> None:
    words = [sys.executable, "-c", "import time; time.sleep(600)", str(tmp_path / "node1" / "rppam.config")]
    child = start("node1", words, log=tmp_path / "log")
    other = subprocess.Popen([*words[:3], "somebody else's"])  # noqa: ASYNC220  # nothing else runs in this loop
    try:
        by_hand = await killed_and_pasted(child, words[-1])
        await end_all([child], grace_s=10)
        await eventually(lambda: not words_of(by_hand))
        assert other.poll() is None, "it is none of the demo's"
    finally:
        other.kill()
        other.wait()


async def test_one_that_was_started_in_other_words_is_known_by_its_lock(tmp_path: Path) -> None:
    lock = tmp_path / "node.lock"
    code = f"import fcntl, time; file = open({str(lock)!r}, 'w'); fcntl.flock(file, fcntl.LOCK_EX); time.sleep(600)"
    child = start("node1", [sys.executable, "-c", code], log=tmp_path / "log", lock=lock)
    await eventually(lambda: holders_of(lock) == [child.pid])
    child.send(signal.SIGKILL)
    await eventually(child.ended)
    with subprocess.Popen([sys.executable, "-c", "pass;" + code]) as other:  # noqa: ASYNC220  # as above
        await eventually(lambda: holders_of(lock) == [other.pid])
        assert await end_all([child], grace_s=10) == []
        assert other.wait(10) == -signal.SIGTERM


async def test_so_does_its_redis(tmp_path: Path) -> None:
    redis = await start_redis(tmp_path, free_port(set()))
    by_hand = await killed_and_pasted(redis.child, str(tmp_path / "redis" / "redis.conf"))
    await end_all([redis.child], grace_s=10)
    await eventually(lambda: not words_of(by_hand))
