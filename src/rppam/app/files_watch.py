"""The watch over what this node appends to: its history, and its log where that goes to files.

Both are written by threads that nobody waits for, and that lose a line rather than hold up a leader; so health says
when they cannot write. It opens them as a writer does, and writes nothing. What it does not tell: a full disk, which
is a finding of its own.
"""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from rppam.cluster.driver.node_tasks import NodeTask
from rppam.cluster.history.recorder import FILE_NAME

EVERY_S: Final = 10.0
HISTORY: Final = (
    "{path} cannot be written ({why}), so 'rppam cluster history' misses what happens from now on; the log has it. Let "
    "the account that runs rppam own that file"
)
_LOG: Final = (
    "logging.directory: {path} cannot be written ({why}), so log lines go to stderr alone. Let the account that runs "
    "rppam own that folder and what is in it"
)


class FilesWatch(NodeTask):
    """See the module."""

    def __init__(self, data_dir: Path, log_dir: Path | None) -> None:
        """``log_dir``: ``None`` where the log goes to stderr."""
        super().__init__("the watch over history and log", EVERY_S, self.look)
        self._history, self._log_dir = data_dir / FILE_NAME, log_dir

    async def look(self) -> str:
        """Look once: a warning for what cannot be written, or nothing."""
        return "; ".join(await asyncio.to_thread(lambda: list(self._problems())))

    def _problems(self) -> Iterator[str]:
        if why := _why_not(self._history):
            yield HISTORY.format(path=self._history, why=why)
        if self._log_dir is not None and (why := _why_no_log(self._log_dir)):
            yield _LOG.format(path=self._log_dir, why=why)


def _why_not(path: Path) -> str:
    """Why nothing can be appended to ``path``; empty where it can, or where there is no such file yet."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)))
    except FileNotFoundError:
        return "" if os.access(path.parent, os.W_OK | os.X_OK) else "no file can be made in its folder"
    except OSError as error:
        return error.strerror or type(error).__name__
    return ""


def _why_no_log(folder: Path) -> str:
    if not folder.exists():
        return "it is not there"
    try:
        newest = max((one.name for one in folder.iterdir() if one.name.startswith("rppam-")), default="")
    except OSError as error:
        return error.strerror or type(error).__name__
    return _why_not(folder / (newest or "rppam-"))
