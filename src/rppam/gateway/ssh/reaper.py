"""Ends the kept sessions that nobody has and that are to end: their time is over, somebody ordered it, their user may
not go on, or their shell has ended by itself, which is looked for now and then.

A gateway takes such a session up in its node's own name, since its user may have no right any more, ends the shell,
records what it still said, and closes it in the register once its holder has said that it ended and all of that is
recorded. What does not end, or cannot be reached or recorded, is tried again; it is closed there by the leader some
time after its time, and its holder ends it by itself.
"""

import asyncio
import contextlib
import logging
from typing import Final

import asyncssh

from rppam.access.accounts.model import Account
from rppam.access.accounts.store import SqlAccounts
from rppam.access.sessions.model import Identity, SessionKind
from rppam.gateway.errors import ChannelRefused, RouteUnknown
from rppam.gateway.held_store import Kept
from rppam.gateway.holder.protocol import OFFSET_MAX
from rppam.gateway.model import Kind
from rppam.gateway.ports import Tape
from rppam.gateway.ssh.beginning import check_right
from rppam.gateway.ssh.gate import Gate
from rppam.gateway.ssh.holding import Resumed, Terminal
from rppam.kernel.actor import Actor, ActorKind
from rppam.kernel.errors import RppamError

log: Final = logging.getLogger("rppam.gateway")

END_S: Final = 15.0
AGAIN_S: Final = 30.0
AT_ONCE: Final = 16
_ENDED: Final = "its shell had ended"
_NO_RIGHT: Final = "the access to this account has ended"
_DUMB: Final = Terminal(80, 24, "dumb")


class _Last:
    """Hears the last words of a shell."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self.has_ended = False
        """Its holder has said so."""
        self.over = asyncio.Event()

    def down(self, data: bytes, is_error: bool) -> None:
        self._tape.output(data, is_error, lambda: None)

    def replay(self, data: bytes) -> None:
        pass

    def taken(self, off: int) -> None:
        pass

    def held_back(self, on: bool) -> None:
        pass

    def target_left(self, status: int | None, signal: tuple[str, bool, str, str] | None) -> None:
        self.has_ended = True
        self.over.set()

    def target_lost(self) -> None:
        self.over.set()


class Reaper:
    """See the module."""

    def __init__(self, gate: Gate, accounts: SqlAccounts) -> None:
        self._gate, self._accounts = gate, accounts
        self._held = gate.holding.held
        self._later: dict[str, float] = {}
        """Sessions that were tried, and when they are tried again."""
        self._trying: dict[str, asyncio.Task[None]] = {}
        self._asked = ""
        """The last session whose user's rights were asked for."""

    async def run(self, every_s: float) -> None:
        """Never returns."""
        try:
            while True:
                await asyncio.sleep(every_s)
                try:
                    await self._look()
                except RppamError:
                    continue
                except Exception:
                    log.exception("it cannot be seen which kept sessions are to end")
        finally:
            for task in list(self._trying.values()):
                task.cancel()

    async def _look(self) -> None:
        now = asyncio.get_running_loop().time()
        self._later = {ident: at for ident, at in self._later.items() if at > now}
        due = await self._held.due({*self._later, *self._trying})
        due += [(kept, _NO_RIGHT) for kept in await self._without_right()]
        for kept, why in due:
            if not kept.generation:  # nobody has begun it: there is nothing on its target
                await self._gate.store.end(kept.id, why, 0, 0, self._actor(kept), 0)
            elif len(self._trying) < AT_ONCE and kept.id not in self._trying and kept.id not in self._later:
                self._later[kept.id] = now + AGAIN_S
                self._try(kept, why)
        for kept in await self._held.to_look():
            if len(self._trying) < AT_ONCE and kept.id not in self._trying and await self._held.looked(kept):
                self._try(kept, "")

    def _try(self, kept: Kept, why: str) -> None:
        self._trying[kept.id] = asyncio.create_task(self._tried(kept, why))

    async def _without_right(self) -> list[Kept]:
        """Of some of those that wait, in turn, the ones whose users may not go there any more."""
        found = await self._held.waiting(self._asked)
        self._asked = found[-1].id if found else ""
        gone = []
        for kept in found:
            try:
                identity = _identity((await self._accounts.get(kept.user_id)).account, kept.id)
                check_right(await self._gate.route_of(identity, kept.target_id, kept.account_id), Kind.SHELL)
            except (RouteUnknown, ChannelRefused):
                gone.append(kept)
            except RppamError as error:
                log.info("whether the user of the session %s may go on cannot be seen now: %s", kept.id, error)
        return gone

    async def _tried(self, kept: Kept, why: str) -> None:
        try:
            await self._end(kept, why)
        except (RppamError, asyncssh.Error, OSError) as error:
            log.info("the kept session %s cannot be ended now: %s", kept.id, error)
        except Exception:  # whatever is wrong with one session ends no other, and no gateway
            log.exception("the kept session %s cannot be ended now", kept.id)
        finally:
            self._trying.pop(kept.id, None)

    async def _end(self, kept: Kept, why: str) -> None:
        """End it; without a reason, if its shell has ended."""
        gate, actor = self._gate, self._actor(kept)
        route = await gate.routes.known(kept.target_id, kept.account_id)
        reached = await gate.reach(route, None, actor, kept.id)
        try:
            if not why and not await gate.holding.has_ended(kept, reached.connection):
                return
            why = why or _ENDED
            resumed = await gate.holding.resume(
                [kept], reached.connection, actor, "", _DUMB, lambda _: None, had=OFFSET_MAX, why=why
            )
            if resumed is not None:
                await self._finish(resumed, why, actor)
        finally:
            reached.connection.close()

    async def _finish(self, resumed: Resumed, why: str, actor: Actor) -> None:
        kept, shell, tape = resumed
        last = _Last(tape)
        tape.on_kept(shell.kept)
        shell.begin(last)
        shell.end()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_S):
                await last.over.wait()
        if last.has_ended:
            await tape.close(why)
        if not last.has_ended or tape.missing:
            said = "it did not end when it was told to"
            if last.has_ended:
                said = f"what it said last could not be recorded: {tape.missing}"
            log.warning("the kept session %s is not closed: %s", kept.id, said)
            shell.detach()
            await tape.leave()
            await self._held.detach(kept.id, kept.generation + 1, said, kept.bytes_up, kept.bytes_down, actor)
            return
        shell.heard()
        await shell.gone()
        await self._gate.store.end(
            kept.id, why, kept.bytes_up, kept.bytes_down, actor, kept.generation + 1, claimed=True
        )

    def _actor(self, kept: Kept) -> Actor:
        return Actor(ActorKind.NODE, "", self._gate.node, kept.id)


def _identity(account: Account, access_id: str) -> Identity:
    roles = frozenset(str(role) for role in account.roles)
    # Whether a second factor was given counts where somebody wants in; this only ends what is there.
    return Identity(account.name, account.id, roles, access_id, SessionKind.LOGIN, True)
