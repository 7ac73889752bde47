"""A program in a terminal of its own, typed into as a person does."""

import asyncio
import os
import pty
import subprocess
from collections.abc import Mapping, Sequence


class InTerminal:
    """Runs ``argv`` with a terminal for all three streams; :attr:`out` is what it has shown. Made inside a loop."""

    def __init__(
        self, argv: Sequence[str], environment: Mapping[str, str] | None = None, *, own_session: bool = True
    ) -> None:
        """``own_session``: false where the program makes one for itself, such as ``setsid``."""
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(
            argv, stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=own_session
        )
        os.close(slave)
        self.out = b""
        asyncio.get_running_loop().add_reader(self.master, self._read)

    def _read(self) -> None:
        try:
            self.out += os.read(self.master, 65536)
        except OSError:
            asyncio.get_running_loop().remove_reader(self.master)

    def type(self, text: str) -> None:
        """Press these keys."""
        os.write(self.master, text.encode())

    async def status(self, within_s: float = 20) -> int:
        """How it ended."""
        return await asyncio.wait_for(asyncio.to_thread(self.process.wait), within_s)

    def close(self) -> None:
        """End it, and the terminal."""
        asyncio.get_running_loop().remove_reader(self.master)
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.master)
