"""Asks the process that touches targets (:mod:`rppam.rotation.hands`): starts it at the first question, ends it at the
end, and bounds each question, so that no target and no library keeps the leader from anything."""

import asyncio
import json
import os
import sys
from types import TracebackType
from typing import Final, Self

from rppam.rotation.requests import Answer, Request

BOUND_S: Final = 34.0
_LINE_MAX: Final = 64 * 1024
_KEPT: Final = ("PATH", "PYTHONPATH", "VIRTUAL_ENV", "SYSTEMROOT", "TEMP", "TMP", "TMPDIR", "HOME", "LANG")


class Hands:
    """See the module. One question at a time."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        """Of the process; ``None`` while there is none."""
        return None if self._process is None else self._process.pid

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._end()

    async def ask(self, request: Request) -> Answer:
        """What it came to; ``unknown`` where the process did not answer."""
        try:
            async with asyncio.timeout(BOUND_S):
                process = self._process = self._process or await _started()
                assert process.stdin is not None
                assert process.stdout is not None
                process.stdin.write(json.dumps(request.text()).encode() + b"\n")
                await process.stdin.drain()
                line = await process.stdout.readline()
                return Answer(**json.loads(line))
        except (TimeoutError, OSError, ValueError, TypeError):
            await self._end()
            return Answer("unknown", f"nobody could say what became of it at {request.place}")

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        try:
            process.kill()
        except ProcessLookupError:
            return
        await process.wait()


async def _started() -> asyncio.subprocess.Process:
    """Without what the environment of this process may hold of keys."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "rppam.rotation.hands",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={name: os.environ[name] for name in _KEPT if name in os.environ},
        limit=_LINE_MAX,
    )
