"""A session with a target as the process that holds it knows it: its connection, its channels, what it has carried."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final

import asyncssh

from rppam.db.errors import DatabaseError
from rppam.gateway.model import Kind, NewAccess
from rppam.gateway.store import SqlAccess
from rppam.kernel.actor import Actor
from rppam.ledger.model import Entity

if TYPE_CHECKING:
    from rppam.gateway.ssh.channel import Front

log: Final = logging.getLogger("rppam.gateway")
GOODBYE_S: Final = 0.2
"""How long the user's side may take to show why a session was ended before its connection is closed."""


class LiveAccess:
    """See the module."""

    def __init__(
        self,
        new: NewAccess,
        actor: Actor,
        connection: asyncssh.SSHClientConnection,
        store: SqlAccess,
        close_user: Callable[[str], None],
        still_may: Callable[[], Awaitable[object]],
    ) -> None:
        """``close_user`` closes the user's connection with a reason; ``still_may`` raises
        :class:`~rppam.gateway.errors.RouteUnknown` where the user may not be there any more."""
        self.new, self.actor, self.connection = new, actor, connection
        self.up = self.down = 0
        self.why = ""
        """Why it was ended from here; empty while it was not."""
        self.ended = asyncio.Event()
        """Its end stands in the register."""
        self.still_may, self.asked_at = still_may, asyncio.get_running_loop().time()
        self._store, self._close_user = store, close_user
        self._fronts: set[Front] = set()
        self._touched = asyncio.get_running_loop().time()
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def idle_s(self) -> float:
        """How long its user has sent nothing."""
        return asyncio.get_running_loop().time() - self._touched

    @property
    def channels(self) -> int:
        """How many are open."""
        return len(self._fronts)

    def joined(self, front: "Front") -> None:
        """Count a channel."""
        self._fronts.add(front)
        self._touched = asyncio.get_running_loop().time()

    def left(self, front: "Front") -> None:
        """Count it no more."""
        self._fronts.discard(front)

    def sent(self, count: int) -> None:
        """Count bytes of the user."""
        self.up += count
        self._touched = asyncio.get_running_loop().time()

    def received(self, count: int) -> None:
        """Count bytes of the target."""
        self.down += count

    def forwarded_up(self, count: int) -> None:
        """Count bytes of a forwarded connection; they are use as well."""
        self.sent(count)

    def channel_ended(self, front: "Front", kind: Kind, how: str, up: int, down: int, took_ms: int) -> None:
        """Record that a channel is over."""
        self.left(front)
        facts = {"kind": kind.value, "exit": how, "bytesUp": up, "bytesDown": down, "milliseconds": took_ms}
        self.spawn(self.note("access.channel", facts))

    async def note(self, action: str, facts: dict[str, Any], refused: str = "") -> None:
        """Record something of this session; what cannot be recorded is logged."""
        target = Entity("access-session", self.new.id, self.new.target)
        try:
            await self._store.note(action, target, self.actor, facts, refused)
        except DatabaseError as error:
            log.error("%s of the session %s could not be recorded: %s", action, self.new.id, error)  # noqa: TRY400

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Do ``work`` beside; :meth:`close` waits for it."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def kill(self, why: str, said: str) -> None:
        """End it: ``why`` for the register, ``said`` for the user."""
        if self.why:
            return
        self.why = why
        for front in list(self._fronts):
            front.end_with(said)
        self.connection.close()
        asyncio.get_running_loop().call_later(GOODBYE_S, self._close_user, said)

    async def close(self, why: str, again: Callable[[], Awaitable[None]]) -> None:
        """Close the connection to the target and the entry in the register; tried again after ``again`` until it
        stands there."""
        self.why = self.why or why
        self.connection.close()
        while self._tasks:
            await asyncio.wait(set(self._tasks))
        while True:
            try:
                await self._store.end(self.new.id, self.why, self.up, self.down, self.actor)
            except DatabaseError as error:
                log.warning("the end of the session %s is not recorded yet: %s", self.new.id, error)
                await again()
            else:
                self.ended.set()
                return
