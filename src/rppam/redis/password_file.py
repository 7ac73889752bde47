"""The Redis password, where it stands in a file: read again when the file changes, so it can be changed at run time.

Decides which passwords a new connection tries: what the file says now, then the one that worked last. So a file may be
changed before Redis knows the new password, or after it has forgotten the old one, and neither keeps the node out. A
live connection proves the new password at once (:meth:`PasswordFile.prove`), so the administrator hears whether it
works while the old one still does. By its :attr:`~PasswordFile.mark` another host can compare the password in use with
its own.

What it does not promise: that Redis asks a live connection for the new password; it goes on with the old one.
"""

import asyncio
import hmac
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from rppam.kernel.clock import Clock
from rppam.kernel.files import FileStamp, stamp_of, why_not
from rppam.kernel.instant import WallMs
from rppam.kernel.secret import Secret
from rppam.redis.connection import Connection
from rppam.redis.errors import StoreError, StoreReplyError

_log: Final = logging.getLogger(__name__)

BYTES_MAX: Final = 64 * 1024
AGAIN_US: Final = 10_000_000
"""A password that Redis refused is tried again after this long, as it may learn it later."""


def mark_of(password: Secret, cluster_key: Secret) -> str:
    """Eight hexadecimal digits, the same for the same password, that tell nothing of it without the cluster key."""
    said = b"redis.password\0" + password.reveal().encode()
    return hmac.digest(bytes.fromhex(cluster_key.reveal()), said, "sha256").hex()[:8]


class PasswordFile:
    """One such file, named by ``redis.password``."""

    def __init__(
        self, path: Path, first: Secret, clock: Clock, cluster_key: Callable[[], Secret | None] = lambda: None
    ) -> None:
        """``first``: what the configuration found there when it was read. ``cluster_key``: that of now, if any."""
        self.problem = ""
        """What is wrong with the password in the file now; empty when it works."""
        self.written_at: WallMs | None = None
        """When the file with the password in use was written."""
        self._path, self._clock, self._cluster_key = path, clock, cluster_key
        self._newest = self._proven = first
        self._accepted: Secret | None = None
        """What Redis let this process in with last."""
        self._key: Secret | None = None
        self._newest_written: WallMs | None = None
        self._stamp: FileStamp | None = None
        """Of the file as it was read last."""
        self._unread = ""
        """Why it could not be read, as it was logged last."""
        self._try_at = 0

    @property
    def mark(self) -> str | None:
        """Of the password that Redis accepted last, see :func:`mark_of`; ``None``: of none yet, or no cluster key."""
        return None if self._accepted is None or self._key is None else mark_of(self._accepted, self._key)

    async def candidates(self) -> tuple[Secret, ...]:
        """What a new connection tries, in order."""
        await self._refresh()
        return (self._newest,) if self._newest == self._proven else (self._newest, self._proven)

    def entered(self, connection: Connection) -> None:
        """A connection was let in with the password in its target."""
        used = connection.target.password
        if used is not None:
            self._proven = self._accepted = used
        if used == self._newest:
            self.problem, self.written_at = "", self._newest_written

    async def prove(self, connection: Connection | None, timeout_ms: int) -> None:
        """Where the file has a new password, show it to Redis over ``connection``. Never raises. Call every second."""
        await self._refresh()
        self._key = self._cluster_key()
        if connection is None or self._newest == self._proven or self._clock.now() < self._try_at:
            return
        newest, user = self._newest, connection.target.user
        self._try_at = self._clock.now() + AGAIN_US
        try:
            await connection.command("AUTH", *((user,) if user else ()), newest.reveal(), timeout_ms=timeout_ms)
        except StoreReplyError as error:
            self._report(f"Redis refuses the password that stands in {self._path} now, the one of before stays in use: "
                       f"{error}")  # fmt: skip
            return
        except StoreError:
            return  # the connection is going; the next one tries both
        connection.target = replace(connection.target, password=newest)  # the crash release and checks enter with it
        self._proven = self._accepted = newest
        self.written_at, self.problem = self._newest_written, ""
        _log.info("Redis accepted the new password in %s; it is in use from now on", self._path)

    async def _refresh(self) -> None:
        """Read the file if it changed. Never raises; what could not be read is read again next time."""
        try:
            status = self._path.stat()
        except OSError as error:
            self._unreadable(f"cannot be read any more ({error.strerror})")
            return
        stamp = stamp_of(status)
        if stamp == self._stamp:
            self._forget_unread()
            return
        try:
            text = (await asyncio.to_thread(_read, self._path)).decode("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            self._unreadable(f"cannot be read ({type(error).__name__})")  # its text may hold the password
            return
        except Exception as error:  # noqa: BLE001 - reported; what runs every second must go on
            self._unreadable(f"cannot be used now: {why_not(error)}")
            return
        found = Secret(text.removesuffix("\n").removesuffix("\r"))
        if not found or len(text) > BYTES_MAX:
            self._unreadable("is empty or too long")
            return
        self._stamp = stamp
        self._forget_unread()
        self._newest_written = WallMs(status.st_mtime_ns // 1_000_000)
        if found != self._newest:
            self._newest, self._try_at = found, 0
        if found == self._proven and self.written_at is not None:
            self.problem, self.written_at = "", self._newest_written

    def _unreadable(self, why: str) -> None:
        self._unread = f"redis.password: {self._path} {why}; what was read before stays in use"
        self._report(self._unread)

    def _forget_unread(self) -> None:
        """The file was read; what else is wrong with the password stays reported."""
        if self.problem == self._unread:
            self.problem = ""

    def _report(self, sentence: str) -> None:
        if sentence != self.problem:
            _log.warning("%s", sentence)
        self.problem = sentence


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(BYTES_MAX + 1)
