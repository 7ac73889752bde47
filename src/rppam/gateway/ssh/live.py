"""A session with a target as the process that holds it knows it: its connection, its channels, what it has carried."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final, Protocol

import asyncssh

from rppam.db.errors import DatabaseError
from rppam.gateway.held_store import SqlHeld
from rppam.gateway.model import Kind, NewAccess
from rppam.gateway.ports import Tape
from rppam.gateway.store import SqlAccess
from rppam.kernel.actor import Actor
from rppam.ledger.model import Entity

if TYPE_CHECKING:
    from rppam.gateway.holder.shell import HeldShell
    from rppam.gateway.ssh.holding import Resumed

log: Final = logging.getLogger("rppam.gateway")
ELSEWHERE: Final = "this session goes on elsewhere"
TAKEN: Final = ("taken up elsewhere", ELSEWHERE)
"""For the register, and for the user."""
GOODBYE_S: Final = 0.2
"""How long the user's side may take to show why a session was ended before its connection is closed."""


class Front(Protocol):
    """The user's end of a channel."""

    tape: Tape
    """What records it."""

    def end_with(self, text: str) -> None:
        """Tell the user why the session ends, and end it."""
        ...

    def let_go(self, text: str) -> None:
        """Tell the user, and leave without ending what a holder keeps."""
        ...

    def taken_elsewhere(self, text: str) -> None:
        """As :meth:`let_go`, where the session goes on at another connection of its user, who wants it there."""
        ...

    def say(self, text: str) -> None:
        """Put a line of ours before the user."""
        ...


class LiveAccess:
    """See the module."""

    def __init__(
        self,
        new: NewAccess,
        actor: Actor,
        connection: asyncssh.SSHClientConnection,
        store: SqlAccess,
        held: SqlHeld,
        close_user: Callable[[str], None],
        still_may: Callable[[], Awaitable[float | None]],
        resumed: "Resumed | None" = None,
    ) -> None:
        """``close_user`` closes the user's connection with a reason; ``still_may`` raises
        :class:`~rppam.gateway.errors.RouteUnknown` where the user may not be there any more, and says how many seconds
        that lasts where a grant ends it. ``resumed``: what it goes on with."""
        self.new, self.actor, self.connection = new, actor, connection
        self._resumed = resumed
        self.generation = resumed.kept.generation + 1 if resumed else 1
        self.up, self.down = (resumed.kept.bytes_up, resumed.kept.bytes_down) if resumed else (0, 0)
        self.is_kept = resumed is not None
        """A holder on the target has its shell: it ends when it is told to, and not with the connection."""
        self.shell: HeldShell | None = None
        self.why = ""
        """Why it was ended from here; empty while it was not."""
        self.ended = asyncio.Event()
        """Its end stands in the register."""
        self.still_may, self.asked_at = still_may, asyncio.get_running_loop().time()
        self.store, self._held, self._close_user = store, held, close_user
        self._fronts: set[Front] = set()
        self._touched = asyncio.get_running_loop().time()
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def idle_s(self) -> float:
        """How long its user has sent nothing."""
        return asyncio.get_running_loop().time() - self._touched

    def taken_up(self) -> "Resumed | None":
        """What it goes on with; it is given once, to the channel that asked for the session."""
        resumed, self._resumed = self._resumed, None
        return resumed

    @property
    def fronts(self) -> list[Front]:
        """The users' ends of its channels that are open."""
        return list(self._fronts)

    @property
    def recordings(self) -> set[str]:
        """Those of its channels."""
        return {front.tape.ident for front in self._fronts}

    def __contains__(self, front: Front) -> bool:
        """Whether it is one of its channels."""
        return front in self._fronts

    def joined(self, front: Front) -> None:
        """Count a channel."""
        self._fronts.add(front)
        self._touched = asyncio.get_running_loop().time()

    def left(self, front: Front) -> None:
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

    def channel_ended(self, front: Front, kind: Kind, how: str, up: int, down: int, took_ms: int) -> None:
        """Record that a channel is over."""
        self.left(front)
        facts: dict[str, Any] = {
            "kind": kind.value, "exit": how, "bytesUp": up, "bytesDown": down, "milliseconds": took_ms,
        }  # fmt: skip
        if kind is Kind.SHELL and self.shell is not None and self.shell.has_status:  # the account's own program says so
            facts["claimedBy"] = "target"
        self.spawn(self.note("access.channel", facts))

    async def note(self, action: str, facts: dict[str, Any], refused: str = "") -> None:
        """Record something of this session; what cannot be recorded is logged."""
        target = Entity("access-session", self.new.id, self.new.target)
        try:
            await self.store.note(action, target, self.actor, facts, refused)
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
        if self.shell is None:
            self.connection.close()
        asyncio.get_running_loop().call_later(GOODBYE_S, self._close_user, said)

    def let_go(self, why: str, said: str, *, is_taken: bool = False) -> None:
        """End it here, and leave what a holder keeps to whoever goes on with it; ``is_taken``: somebody does already.
        What no holder keeps is ended."""
        if not self.is_kept:
            self.kill(why, said)
            return
        for front in list(self._fronts):
            (front.taken_elsewhere if is_taken else front.let_go)(said)
        asyncio.get_running_loop().call_later(GOODBYE_S, self._close_user, said)

    async def close(self, why: str, again: Callable[[], Awaitable[None]]) -> None:
        """Close the connection to the target and the entry in the register; tried again after ``again`` until it
        stands there."""
        if self.why or not self.is_kept:
            self.why = self.why or why
        if self.shell is not None:
            while self.is_kept and self._tasks:
                await asyncio.wait(set(self._tasks))
            if self.why or not self.is_kept:
                await self.shell.gone()
        self.connection.close()
        while self._tasks:
            await asyncio.wait(set(self._tasks))
        mine = self.new.id, self.generation
        # What its holder has not said to have ended is left to whoever ends it next.
        has_ended = self._resumed is None if self.shell is None else self.shell.has_status
        while True:
            try:
                if self.why and has_ended:
                    await self.store.end(
                        mine[0], self.why, self.up, self.down, self.actor, mine[1], claimed=self.shell is not None
                    )
                else:
                    await self._held.detach(*mine, self.why or why, self.up, self.down, self.actor)
            except DatabaseError as error:
                log.warning("the end of the session %s is not recorded yet: %s", self.new.id, error)
                await again()
            else:
                self.ended.set()
                return
