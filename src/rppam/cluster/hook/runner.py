"""Calls the leader's program: when this node begins to lead, again and again while it does, and when it has ceased to.

A call that fails or takes too long is told and made again while this node leads. It is called anew every half minute
even if all is well: nobody can take back what a call that hung has asked of a cloud, but the leader puts it right.
Leadership never waits for the program, neither to begin nor to be released.

What it does not promise: that the program of a former leader is not still at work when the next leader's begins. It is
killed when leadership ends, and what it had asked for by then may still be done.
"""

import asyncio
import logging
import os
import signal
import stat
import sys
from collections.abc import Mapping
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Final

from rppam.cluster.driver.leader_tasks import LoopTask
from rppam.cluster.driver.node_tasks import NodeTask
from rppam.cluster.hook.errors import HookFailed
from rppam.kernel.errors import RppamError

log: Final = logging.getLogger("rppam.node")

HOLD_EVERY_S: Final = 30.0
AGAIN_S: Final = 1.0
AGAIN_S_MAX: Final = 30.0
LOOK_EVERY_S: Final = 30.0
SAID_BYTES: Final = 300
"""Of what the program prints last: for the message."""


class Event(StrEnum):
    """What the program is called for: ``RPPAM_EVENT``."""

    GAINED = "gained"
    """This node leads from now on. Called until it succeeds."""
    HELD = "held"
    """It still does."""
    LOST = "lost"
    """It does not any more. Another node may lead already, so nothing may be taken from that one."""


class Hook:
    """One program, and what it is told."""

    def __init__(self, program: Path, limit_s: float, told: Mapping[str, str]) -> None:
        """``told``: variables of its environment beside the event and the epoch."""
        self.program, self._limit_s, self._told = program, limit_s, dict(told)

    def check(self) -> None:
        """Whether it could be run. Raises HookFailed."""
        try:
            mode = self.program.stat().st_mode
        except OSError as error:
            raise self._failed(f"no such program here ({error.strerror})") from None
        if not stat.S_ISREG(mode) or not os.access(self.program, os.X_OK):
            raise self._failed("this account may not run it (chmod 755)")
        if sys.platform != "win32" and mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise self._failed("others than its owner may change it (chmod 755)")

    async def call(self, event: Event, epoch: int) -> None:
        """Run it to its end. Raises HookFailed where that is not success, in time. Cancelled, it is killed."""
        await asyncio.to_thread(self.check)
        told = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", **self._told}
        told |= {"RPPAM_EVENT": str(event), "RPPAM_EPOCH": str(epoch)}
        process = await self._started(told)
        said = b""
        try:
            async with asyncio.timeout(self._limit_s):
                assert process.stdout is not None
                while part := await process.stdout.read(4_096):
                    said = (said + part)[-SAID_BYTES:]
                code = await process.wait()
        except TimeoutError:
            raise self._failed(f"{event}: it did not end within {self._limit_s:g} s and was killed", said) from None
        finally:
            await _end(process)
        if code:
            raise self._failed(f"{event}: it ended with {code}", said)

    async def _started(self, told: Mapping[str, str]) -> asyncio.subprocess.Process:
        starting = asyncio.ensure_future(
            asyncio.create_subprocess_exec(
                self.program, env=told, cwd="/", start_new_session=True,
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            )
        )  # fmt: skip
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            with suppress(OSError):
                await _end(await starting)  # half started it could not be killed with all that it starts
            raise
        except OSError as error:
            raise self._failed(f"it cannot be started ({error.strerror})") from None

    def _failed(self, why: str, said: bytes = b"") -> HookFailed:
        lines = said.decode("utf-8", "replace").strip().splitlines()
        last = f"; its last words: {lines[-1]}" if lines else ""
        return HookFailed(f"{self.program}: {why}{last}. {HookFailed.row.remedy}")


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kill what is left of it and of what it started."""
    if sys.platform != "win32":
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    with suppress(ProcessLookupError):
        process.kill()
    await process.wait()
    with suppress(TimeoutError):  # one that left the session may hold the pipe; nobody waits for it
        async with asyncio.timeout(1):
            while process.stdout is not None and await process.stdout.read(4_096):
                pass


class HookTask(LoopTask):
    """The leader's part. Implements ``LeaderTask``."""

    def __init__(self, hook: Hook) -> None:
        super().__init__("the leader's program")
        self._hook, self._epoch, self._told = hook, 0, ""
        self._leaving: asyncio.Task[None] | None = None

    def start(self, epoch: int) -> None:
        """Begin; what an end before this one still does is over."""
        if self._leaving is not None:
            self._leaving.cancel()
        self._epoch = epoch
        super().start(epoch)

    async def stop(self) -> None:
        """Kill the program; then have it called once for the end, which nobody waits for."""
        await super().stop()  # where that takes too long it is asked again
        led, self._epoch = self._epoch, 0
        if led:
            self._leaving = asyncio.get_running_loop().create_task(self._leave(led), name="the leader's program: lost")

    async def run(self, epoch: int) -> None:
        """Call it until this node ceases to lead."""
        event, again_s = Event.GAINED, AGAIN_S
        while True:
            try:
                await self._hook.call(event, epoch)
            except HookFailed as error:
                self._tell(error)
                await asyncio.sleep(again_s)
                again_s = min(2 * again_s, AGAIN_S_MAX)
            else:
                if event is Event.GAINED:
                    log.info("%s has done its work (epoch %d)", self._hook.program, epoch)
                self._tell("")
                event, again_s = Event.HELD, AGAIN_S
                await asyncio.sleep(HOLD_EVERY_S)

    async def _leave(self, epoch: int) -> None:
        try:
            await self._hook.call(Event.LOST, epoch)
        except HookFailed as error:
            log.error("%s: %s", self.name, error)  # noqa: TRY400 - a sentence for the administrator

    def _tell(self, trouble: RppamError | str) -> None:
        if trouble and str(trouble) != self._told:
            log.error("%s: %s", self.name, trouble)
        elif self._told and not trouble:
            log.info("%s: what was wrong is over", self.name)
        self._told, self.trouble = str(trouble), trouble


class HookWatch(NodeTask):
    """The part of every node: whether the program could be run here, before it counts."""

    def __init__(self, hook: Hook) -> None:
        super().__init__("the watch over the leader's program", LOOK_EVERY_S, self.look)
        self._hook = hook

    async def look(self) -> str:
        """Raises HookFailed."""
        await asyncio.to_thread(self._hook.check)
        return ""
