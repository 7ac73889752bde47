"""Ends the kept sessions that nobody has and that are to end: their time is over, somebody ordered it, or their user
may not go on.

A gateway takes such a session up as its user would, ends the shell, records what it still said, and closes it in the
register. What it cannot reach is closed there by the leader some time later, and its holder ends it by itself.
"""

import asyncio
import logging
from typing import Final

import asyncssh

from rppam.access.accounts.model import Account
from rppam.access.accounts.store import SqlAccounts
from rppam.access.sessions.model import Identity, SessionKind
from rppam.gateway.held_store import Kept
from rppam.gateway.holder.protocol import OFFSET_MAX
from rppam.gateway.ssh.gate import Gate
from rppam.gateway.ssh.holding import Resumed, Terminal
from rppam.kernel.actor import Actor, ActorKind
from rppam.kernel.errors import RppamError

log: Final = logging.getLogger("rppam.gateway")

END_S: Final = 15.0
AGAIN_S: Final = 30.0
_DUMB: Final = Terminal(80, 24, "dumb")


class _Last:
    """Hears the last words of a shell."""

    def __init__(self, resumed: Resumed) -> None:
        self._resumed = resumed
        self.status: int | None = None
        self.over = asyncio.Event()

    def down(self, data: bytes, is_error: bool) -> None:
        self._resumed.tape.output(data, is_error, lambda: None)

    def replay(self, data: bytes) -> None:
        pass

    def taken(self, off: int) -> None:
        pass

    def held_back(self, on: bool) -> None:
        pass

    def target_left(self, status: int | None, signal: tuple[str, bool, str, str] | None) -> None:
        self.over.set()

    def target_lost(self) -> None:
        self.over.set()


class Reaper:
    """See the module."""

    def __init__(self, gate: Gate, accounts: SqlAccounts) -> None:
        self._gate, self._accounts = gate, accounts
        self._later: dict[str, float] = {}

    async def run(self, every_s: float) -> None:
        """Never returns."""
        while True:
            await asyncio.sleep(every_s)
            try:
                due = await self._gate.holding.held.due()
            except RppamError:
                continue
            except Exception:
                log.exception("it cannot be seen which kept sessions are to end")
                continue
            self._later = {kept.id: self._later.get(kept.id, 0.0) for kept, _ in due}
            for kept, why in due:
                try:
                    await self._end(kept, why)
                except (RppamError, asyncssh.Error, OSError) as error:
                    log.info("the kept session %s cannot be ended now: %s", kept.id, error)
                except Exception:  # whatever is wrong with one session ends no other, and no gateway
                    log.exception("the kept session %s cannot be ended now", kept.id)

    async def _end(self, kept: Kept, why: str) -> None:
        now = asyncio.get_running_loop().time()
        if now < self._later.get(kept.id, 0.0):
            return
        self._later[kept.id] = now + AGAIN_S
        actor = Actor(ActorKind.NODE, "", self._gate.node, kept.id)
        identity = _identity((await self._accounts.get(kept.user_id)).account, kept.id)
        route = await self._gate.routes.find(identity, kept.target, kept.account)
        reached = await self._gate.reach(route, identity, actor, kept.id)
        try:
            holding = self._gate.holding
            resumed = await holding.resume([kept], reached.connection, actor, "", _DUMB, lambda _: None, had=OFFSET_MAX)
            if resumed is not None:
                await self._finish(resumed, why, actor)
        finally:
            reached.connection.close()

    async def _finish(self, resumed: Resumed, why: str, actor: Actor) -> None:
        kept, shell, tape = resumed
        last = _Last(resumed)
        tape.on_kept(shell.kept)
        shell.begin(last)
        shell.end()
        try:
            async with asyncio.timeout(END_S):
                await last.over.wait()
        except TimeoutError:
            log.warning("the shell of the session %s did not end when it was told to", kept.id)
        await tape.close(why)
        shell.heard()
        await shell.gone()
        await self._gate.store.end(kept.id, why, kept.bytes_up, kept.bytes_down, actor, kept.generation + 1)


def _identity(account: Account, access_id: str) -> Identity:
    roles = frozenset(str(role) for role in account.roles)
    # Whether a second factor was given counts where somebody wants in; this only ends what is there.
    return Identity(account.name, account.id, roles, access_id, SessionKind.LOGIN, True)
