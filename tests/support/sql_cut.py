"""A database that goes away at a commit: before it has come there, or after it, when the answer is lost.

PostgreSQL: a proxy that reads along and breaks both connections at the COMMIT, unsent or unanswered. SQLite has no way
between: before, the commit fails as on a broken disk; after, the caller has hung up when the answer is there.
"""

import asyncio
import contextlib
import socket
import sqlite3
import struct
import threading
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Any, Final, Protocol, TypeVar
from urllib.parse import urlsplit, urlunsplit

from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from rppam.db.database import Database

T = TypeVar("T")
COMMIT: Final = b"COMMIT\x00"


class When(StrEnum):
    BEFORE = "before the commit"
    AFTER = "after the commit"


class Cut(Protocol):
    """What breaks the connection of one database."""

    @property
    def url(self) -> str:
        """Of the database that breaks."""

    def watch(self, database: Database) -> None:
        """Break the connections of this one."""

    def arm(self, number: int, when: When) -> None:
        """Break at the so-many-th commit from now, once."""

    def has_fired(self) -> bool:
        """Whether it came to that; it is disarmed now."""

    async def run(self, work: Callable[[], Awaitable[T]]) -> T:
        """Run what is to be broken."""

    def close(self) -> None:
        """End it."""


class _Trigger:
    """Counts commits down."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._left = 0
        self._when = When.BEFORE
        self._fired = False

    def arm(self, number: int, when: When) -> None:
        with self._guard:
            self._left, self._when, self._fired = number, when, False

    def has_fired(self) -> bool:
        with self._guard:
            self._left = 0
            return self._fired

    def at_commit(self) -> When | None:
        """What to do at this one."""
        with self._guard:
            if self._left == 0:
                return None
            self._left -= 1
            if self._left:
                return None
            self._fired = True
            return self._when


class PostgresCut:
    """See the module."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        self._target = (parts.hostname, parts.port)
        self._socket = socket.create_server(("127.0.0.1", 0))
        user, _, _ = parts.netloc.rpartition("@")
        port = self._socket.getsockname()[1]
        self.url = urlunsplit(parts._replace(netloc=f"{user}@127.0.0.1:{port}"))
        self._trigger = _Trigger()
        self.arm, self.has_fired = self._trigger.arm, self._trigger.has_fired
        threading.Thread(target=self._accept, daemon=True).start()

    def watch(self, database: Database) -> None:
        """Nothing to do: it stands on the way."""

    async def run(self, work: Callable[[], Awaitable[T]]) -> T:
        return await work()

    def close(self) -> None:
        self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._socket.accept()
                far = socket.create_connection(self._target)
            except OSError:
                return
            lost = threading.Event()
            for work in (self._requests, self._replies):
                threading.Thread(target=work, args=(near, far, lost), daemon=True).start()

    def _requests(self, near: socket.socket, far: socket.socket, lost: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := near.recv(65_536):
                when = self._trigger.at_commit() if data.endswith(COMMIT) else None
                if when is When.BEFORE:
                    break
                if when is When.AFTER:
                    lost.set()
                far.sendall(data)
            else:
                lost.clear()
        if not lost.is_set():
            _reset(near, far)

    def _replies(self, near: socket.socket, far: socket.socket, lost: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := far.recv(65_536):
                if lost.is_set():
                    break  # it is committed: this is the answer
                near.sendall(data)
        _reset(near, far)


def _reset(*lines: socket.socket) -> None:
    for line in lines:
        with contextlib.suppress(OSError):
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with contextlib.suppress(OSError):
            line.shutdown(socket.SHUT_RDWR)
        line.close()


class SqliteCut:
    """See the module."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._trigger = _Trigger()
        self.arm, self.has_fired = self._trigger.arm, self._trigger.has_fired
        self._running: tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]] | None = None

    def watch(self, database: Database) -> None:
        event.listen(database._engine, "commit", self._at_commit)

    async def run(self, work: Callable[[], Awaitable[T]]) -> T:
        async def done() -> T:
            return await work()

        task = asyncio.create_task(done())
        self._running = (asyncio.get_running_loop(), task)
        return await task

    def close(self) -> None:
        self._running = None

    def _at_commit(self, connection: Any) -> None:
        when = self._trigger.at_commit()
        if when is None:
            return
        if when is When.BEFORE:
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR
            raise OperationalError("COMMIT", {}, error)
        connection.connection.dbapi_connection.commit()
        assert self._running is not None
        loop, task = self._running
        gone = threading.Event()

        def hang_up() -> None:
            task.cancel()
            gone.set()

        loop.call_soon_threadsafe(hang_up)
        gone.wait(10)


def cut_of(url: str) -> Cut:
    """What breaks a database of either kind."""
    return SqliteCut(url) if url.startswith("sqlite") else PostgresCut(url)
