"""The socket at which a gateway takes the workers' calls, on every Python."""

import asyncio
import contextlib
import os
import re
from pathlib import Path
from typing import Any

import pytest

from rppam.gateway.relay import listening
from rppam.gateway.ssh.terminals import Terminals


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_it_is_served_though_the_handle_by_which_it_was_bound_is_another_file_now(tmp_path: Path, loop: str) -> None:
    """From Python 3.13 on, a server looks at the name of its socket, here a handle of this process that is closed."""
    plug = listening(tmp_path, 1)
    found = re.match(r"/proc/self/fd/(\d+)/(.+)", plug.getsockname())
    assert found is not None
    taken = [os.open(os.devnull, os.O_RDONLY)]
    while taken[-1] < int(found[1]):
        taken.append(os.open(os.devnull, os.O_RDONLY))
    gate: Any = None

    async def served() -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.2):
                await Terminals(gate).serve(plug)

    try:
        new_loop = None if loop == "asyncio" else pytest.importorskip("uvloop").new_event_loop
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(served())
    finally:
        for handle in taken:
            os.close(handle)
    assert (tmp_path / found[2]).exists(), "the next gateway at this place takes it away"
