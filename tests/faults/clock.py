"""A server whose wall clock can be stepped while it runs, without touching this host's."""

import struct
import time
from pathlib import Path

from tests.faults.lab.wallclock import build
from tests.support.redis_servers import Server, ServerKind, missing


class SteppedClock:
    """Keeps its offset below ``folder``; :meth:`kind` is a server that runs with it."""

    def __init__(self, folder: Path) -> None:
        shim = build()
        if shim is None:
            missing("no C compiler here: apt-get install gcc")
        self.shim = shim
        self.file = folder / "offset"
        self.file.write_bytes(struct.pack("=q", 0))
        self._folder = folder

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to start with this clock."""
        return {"LD_PRELOAD": str(self.shim), "CLOCK_SHIM_FILE": str(self.file)}

    def kind(self, kind: ServerKind) -> ServerKind:
        """``kind``, started through a wrapper that preloads the shim."""
        binary = kind.find()
        assert binary is not None
        wrapper = self._folder / "server"
        words = " ".join(f'{name}="{value}"' for name, value in self.environment.items())
        wrapper.write_text(f'#!/bin/sh\nexport {words}\nexec "{binary}" "$@"\n')
        wrapper.chmod(0o755)
        return ServerKind(f"{kind.name}-stepped", lambda: wrapper, kind.remedy)

    def step(self, seconds: int) -> None:
        """Set the server's wall clock this far from the host's."""
        with self.file.open("r+b") as file:
            file.write(struct.pack("=q", seconds))


def offset_s(server: Server) -> float:
    """The server's wall clock minus ours, as its TIME says."""
    seconds, micros = server.ask("TIME")
    return int(seconds) + int(micros) / 1e6 - time.time()
