"""Shells that outlive their gateway: begun by a holder on the target, and gone on with by whichever gateway its user
reaches next.

The order is what makes it safe. The register gives the next generation to one gateway; the recording takes no chunk of
a lower one from then on; the holder lets nobody type with a lower one. What the recording has decides what is shown and
recorded next, so nothing is missing and nothing is there twice.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple

import asyncssh

from rppam.crypto.data_keys import DataKeys
from rppam.gateway.held_store import KEPT_MAX, Kept, SqlHeld
from rppam.gateway.holder.protocol import OFFSET_MAX, Ask, modes_of, new_token
from rppam.gateway.holder.shell import GoneError, HeldShell, NotHeldError, StaleError, attach, look_at
from rppam.gateway.model import About, Kind, NewAccess
from rppam.gateway.policy import AccessPolicy
from rppam.gateway.ports import Recorded, Recordings, Tape
from rppam.gateway.store import SqlAccess
from rppam.kernel.actor import Actor
from rppam.kernel.errors import RppamError
from rppam.kernel.secret import Secret

if TYPE_CHECKING:
    from rppam.gateway.ssh.live import LiveAccess

log: Final = logging.getLogger("rppam.gateway")

REPAINT_BYTES: Final = 64 * 1024
"""So much of what was shown before is shown again to a terminal that has none of it."""
LATER_S: Final = 600
"""A holder waits so much longer than the register, which ends what nobody came back to in an orderly way."""
AGAIN_MAX: Final = 1024 * 1024
"""So much is shown again to a client that says what it has."""
WINDOW: Final = 2 * 1024 * 1024
GONE: Final = "the target says that the shell is gone"
NOW_RECORDED: Final = "this session is recorded from here on: it was not so far, and the policy asks for it now"
Environment = Mapping[str | bytes, str | bytes]


class Terminal(NamedTuple):
    """The user's terminal."""

    columns: int
    rows: int
    term: str
    modes: tuple[tuple[int, str, int], ...] = ()


class Resumed(NamedTuple):
    """A kept session that is gone on with."""

    kept: Kept
    shell: HeldShell
    tape: Tape

    @property
    def notice(self) -> str:
        """What its user is told of its recording; empty: nothing is new."""
        return NOW_RECORDED if self.tape.ident and not self.kept.recording else ""


def terminal_of(term: tuple[str, tuple[int, int, int, int], Mapping[int, int]]) -> Terminal:
    """The terminal that a client of SSH has described."""
    return Terminal(term[1][0], term[1][1], term[0], modes_of(term[2]))


class Holding:
    """See the module."""

    def __init__(
        self,
        held: SqlHeld,
        store: SqlAccess,
        keys: DataKeys,
        recordings: Recordings,
        policy: Callable[[], AccessPolicy],
        *,
        node: str,
        boot_id: str,
    ) -> None:
        self.held, self._store, self._keys, self._recordings = held, store, keys, recordings
        self._policy, self._node, self._boot_id = policy, node, boot_id

    async def begin(self, access: "LiveAccess", tape: Tape, terminal: Terminal, environment: Environment) -> HeldShell:
        """A new shell that a holder keeps. Raises :class:`NotHeldError` where the target cannot, ``DatabaseError``."""
        ident, token = access.new.id, new_token()
        if await self.held.count(access.new.user_id, ident) >= KEPT_MAX:
            raise NotHeldError(f"{KEPT_MAX} sessions of yours are kept already: end one by 'exit' in it")
        sealed = await self._keys.seal(Secret(token), f"the session {ident}")
        await self.held.hold(ident, access.generation, sealed, tape.ident, self.keep_ms)
        ask = self._ask(ident, token, access.generation, terminal, is_new=True)
        try:
            shell = await attach(access.connection, ask, environment, WINDOW)
        except (NotHeldError, GoneError, StaleError, asyncssh.Error, OSError) as error:
            await self.held.hold(ident, access.generation, "", "", 0)
            if isinstance(error, NotHeldError):
                raise
            raise NotHeldError(f"it cannot run what would keep it: {str(error) or type(error).__name__}") from error
        access.is_kept = True
        return shell

    async def resume(
        self,
        found: Sequence[Kept],
        connection: asyncssh.SSHClientConnection,
        actor: Actor,
        client: str,
        terminal: Terminal,
        on_lost: Callable[[str], None],
        *,
        had: int | None = None,
        steal: bool = False,
        why: str = "",
        agree: Callable[[Kept], Awaitable[None]] | None = None,
    ) -> Resumed | None:
        """The first of these sessions that nobody has, or with ``steal`` the first one; ``None``: there is none.

        ``had``: offset up to which the user's terminal has the output; ``None``: it has nothing of it. ``why``: what
        it is taken up to be ended for. ``agree`` is awaited before it is taken up. One that was not recorded is from
        now on, where the policy asks for that.
        """
        for kept in found:
            actor = actor._replace(session=kept.id)
            token = (await self._keys.unseal(kept.holder, kept.place)).reveal()
            ask = self._ask(kept.id, token, kept.generation + 1, terminal, is_new=False)
            if not steal and not kept.is_free and (await look_at(connection, ask, WINDOW)).is_attended:
                continue
            if agree is not None:
                await agree(kept)
            if not await self.held.take(kept, self._node, self._boot_id, client, actor):
                continue
            tape = await self._taken_tape(kept, terminal, actor, on_lost)
            back = _back(kept, tape, had)
            try:
                again = await self._again(tape, back)
                # What is recorded is shown again from there: its user may have put anything in the holder's place.
                ask = ask._replace(off=tape.kept, back=0 if kept.recording else back)
                shell = await attach(connection, ask, {}, WINDOW, again)
                if tape.ident and not kept.recording:  # nothing of it is old: what is shown again is recorded first
                    shell.hello = shell.hello._replace(off=shell.hello.start)
            except (GoneError, StaleError, NotHeldError) as error:
                log.info("the session %s is gone from its target: %s", kept.id, error)
                gone = f"{why}: {GONE}" if why else GONE
                await self._bury(kept, tape, actor, gone if isinstance(error, GoneError) else "")
                continue
            except BaseException:
                await asyncio.shield(self._bury(kept, tape, actor, ""))
                raise
            if missing := shell.hello.off - tape.kept:
                tape.gap(missing)
            return Resumed(kept, shell, tape)
        return None

    async def has_ended(self, kept: Kept, connection: asyncssh.SSHClientConnection) -> bool:
        """Whether nothing is left there to come back to, as the target says. Raises as :func:`look_at`."""
        token = (await self._keys.unseal(kept.holder, kept.place)).reveal()
        ask = self._ask(kept.id, token, kept.generation + 1, Terminal(80, 24, "dumb"), is_new=False)
        seen = await look_at(connection, ask, WINDOW)
        return seen.has_ended and not seen.is_attended

    async def _taken_tape(self, kept: Kept, terminal: Terminal, actor: Actor, on_lost: Callable[[str], None]) -> Tape:
        generation = kept.generation + 1
        try:
            if kept.recording:
                return await self._recordings.resume(kept.recording, generation, actor, on_lost)
            tape = await self._recordings.begin(recorded(kept, Kind.SHELL, "", terminal, actor), on_lost)
            if tape.ident:
                await self.held.hold(kept.id, generation, kept.holder, tape.ident, self.keep_ms)
        except BaseException as error:
            why = f"it could not be recorded: {error}"
            await self.held.detach(kept.id, kept.generation + 1, why, kept.bytes_up, kept.bytes_down, actor)
            raise
        return tape

    async def _again(self, tape: Tape, count: int) -> bytes:
        """What was recorded last; nothing where it cannot be had, which keeps nobody from going on."""
        if not tape.ident or not count:
            return b""
        try:
            return await self._recordings.last(tape.ident, count)
        except RppamError as error:
            log.warning("what the recording %s has last cannot be shown again: %s", tape.ident, error)
            return b""

    async def _bury(self, kept: Kept, tape: Tape, actor: Actor, gone: str) -> None:
        """Close a session that could not be attached to: it is over where its holder is ``gone``, and else still
        kept."""
        mine = kept.id, kept.generation + 1
        if gone:
            await tape.close("gone")
            await self._store.end(mine[0], gone, kept.bytes_up, kept.bytes_down, actor, mine[1], claimed=True)
        else:
            await tape.leave()
            await self.held.detach(*mine, "it could not be reached", kept.bytes_up, kept.bytes_down, actor)

    def _ask(self, ident: str, token: str, generation: int, terminal: Terminal, *, is_new: bool) -> Ask:
        ttl_s = self._policy().resume_minutes * 60 + LATER_S
        columns, rows, term, modes = terminal
        return Ask(ident, token, generation, is_new, 0, 0, ttl_s, columns, rows, term, modes)

    @property
    def keep_ms(self) -> int:
        """How long a session is kept without its user."""
        return self._policy().resume_minutes * 60_000


def _back(kept: Kept, tape: Tape, had: int | None) -> int:
    """How much is shown again to a terminal that has all before ``had``.

    Where nothing was recorded nobody here knows how far the shell has come: its holder shows what it has, and of that
    is left out what the terminal has already.
    """
    if had is None:
        return REPAINT_BYTES
    if kept.recording:
        return min(max(0, tape.kept - had), AGAIN_MAX)
    return AGAIN_MAX if had < OFFSET_MAX else 0


def began(kept: Kept) -> str:
    """When a session began, for people."""
    return datetime.fromtimestamp(kept.started / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")


def resumed_access(kept: Kept, client: str, node: str, boot_id: str) -> NewAccess:
    """A session that is gone on with, as the gateway ``boot_id`` of ``node`` has it."""
    about = {field.name: getattr(kept, field.name) for field in fields(About)}
    return NewAccess(**about, client=client, node=node, boot_id=boot_id)


@contextlib.asynccontextmanager
async def closing_refused(tape: Tape) -> AsyncIterator[None]:
    """End a recording whose channel the target does not open: else it would be live, and in the end a lost one."""
    try:
        yield
    except (asyncssh.Error, OSError):
        await tape.close("refused")
        raise


def unrecorded(access: "LiveAccess", shell: HeldShell, missing: str) -> None:
    """Leave a shell that has ended to its holder: what it said last is not recorded, and so not acknowledged."""
    said = f"what it said last could not be recorded: {missing}"
    access.why = f"{access.why}: {said}" if access.why else said
    shell.has_status = False


def recorded(about: About, kind: Kind, title: str, terminal: Terminal | None, actor: Actor) -> Recorded:
    """What the recording of a channel of this session begins with."""
    columns, rows, term, _ = terminal or Terminal(0, 0, "")
    return Recorded(
        about.id,
        about.target_id,
        about.target,
        about.account,
        about.user_id,
        about.user,
        kind.value,
        title,
        term,
        columns,
        rows,
        actor,
    )
