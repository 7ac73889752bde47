"""Terminals of WebSockets: the gateway's end of ``/api/v1/access/terminals/{id}``.

A terminal is a kept session that is named by its id, so any gateway goes on with it: the one before loses it. What it
shows has offsets, and so has what is typed: the client says what it has, and sends again what was not taken. What
passes is documented for people in docs/reference/terminals.md. Where the target can keep no shell, the terminal ends
with its WebSocket, and says so at its start.
"""

import asyncio
import contextlib
import json
import logging
import socket
import struct
import sys
from typing import Any, Final

import asyncssh

from rppam.access.sessions.model import Identity, SessionKind
from rppam.gateway.errors import AccessUnknown, ChannelRefused, NoGateway, RouteUnknown, TakenElsewhere
from rppam.gateway.held_store import NOT_BEGUN, Kept
from rppam.gateway.holder.shell import HeldShell, NotHeldError
from rppam.gateway.model import Kind
from rppam.gateway.ports import NoTape, Route, Tape
from rppam.gateway.relay import ALIVE_S, HERE, Pipe, Wish, read_wish
from rppam.gateway.ssh import beginning
from rppam.gateway.ssh.beginning import check_right, told_of
from rppam.gateway.ssh.byte_channel import PACKET, WINDOW
from rppam.gateway.ssh.channel import Back
from rppam.gateway.ssh.gate import Gate
from rppam.gateway.ssh.holding import GONE, Terminal, closing_refused, recorded, resumed_access, unrecorded
from rppam.gateway.ssh.live import ELSEWHERE, LiveAccess
from rppam.gateway.ssh.second_person import second_person, watched_again
from rppam.gateway.ssh.target import Reached
from rppam.gateway.ssh.terminal_ends import ended, is_taken, trouble
from rppam.kernel.actor import Actor, ActorKind

log: Final = logging.getLogger("rppam.gateway")

AHEAD_BYTES: Final = 256 * 1024
"""So much is shown before the client has to say that it has it."""
SIZES: Final = range(1, 1001)
_AGAIN_S: Final = 1.0


class Terminals:
    """Takes the workers' calls."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._open: set[asyncio.Task[None]] = set()

    async def serve(self, plug: socket.socket) -> None:
        """Never returns; cancelled, it leaves every terminal to its holder."""
        if sys.platform == "win32":
            raise NoGateway("there is no gateway on this system")
        if sys.version_info >= (3, 13):
            # Else it looks at the name that the socket was bound by.
            server = await asyncio.start_unix_server(self._called, sock=plug, cleanup_socket=False)
        else:
            server = await asyncio.start_unix_server(self._called, sock=plug)
        try:
            await asyncio.Event().wait()
        finally:
            server.close()
            for task in self._open:
                task.cancel()
            await asyncio.gather(*self._open, return_exceptions=True)

    async def _called(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        pipe = Pipe(reader, writer)
        try:
            wish = read_wish(await pipe.receive())
            if wish is not None:
                pipe.put(HERE)
                await WebTerminal(self._gate, pipe, wish).run()
        except asyncio.CancelledError:
            pass
        finally:
            self._open.discard(task)
            pipe.close()


class _Typed:
    """How far the client has typed."""

    def __init__(self) -> None:
        self.at = self.taken = 0
        """Offsets behind what came, and behind what the target took."""
        self.is_stuck = False
        """Whether the target takes nothing now."""


class WebTerminal:
    """One of them. It is the user's end of the channel, as :class:`~rppam.gateway.ssh.channel.Front` is for SSH."""

    def __init__(self, gate: Gate, pipe: Pipe, wish: Wish) -> None:
        self._gate, self._pipe, self._wish = gate, pipe, wish
        self._loop = asyncio.get_running_loop()
        self._identity = Identity(
            wish.subject, wish.user_id, frozenset(wish.roles), wish.session, SessionKind.LOGIN, wish.mfa
        )
        self._access: LiveAccess | None = None
        self._back: HeldShell | asyncssh.SSHClientChannel[bytes] | None = None
        self.tape: Tape = NoTape()
        self._at = self._had = self._acked = self._came = self._sent = 0
        self._typed = _Typed()
        self._pauses: set[str] = set()
        self._is_over = False
        self._over = asyncio.Event()
        self._began = self._loop.time()
        self._tasks: set[asyncio.Task[Any]] = set()

    async def run(self) -> None:
        """Carry it until either side ends."""
        self._spawn(self._live())
        reading = self._loop.create_task(self._read())
        opening = self._loop.create_task(self._open())
        over = self._loop.create_task(self._over.wait())
        try:
            await asyncio.wait({reading, opening}, return_when=asyncio.FIRST_COMPLETED)
            if why := trouble(opening):
                self._say(**why)
            elif opening.done():
                await asyncio.wait({reading, over}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (reading, opening, over):
                task.cancel()
            await asyncio.gather(opening, return_exceptions=True)
            await asyncio.shield(self._close())
            for task in set(self._tasks):
                task.cancel()

    # ---- the beginning -----------------------------------------------------------------------------------------------

    async def _open(self) -> None:
        gate, wish = self._gate, self._wish
        kept = await gate.holding.held.find(wish.id)
        if kept is None or kept.user_id != wish.user_id or kept.kind != "terminal":
            raise AccessUnknown("no terminal has this id, or it is over")
        if gate.draining:
            raise RouteUnknown(f"no new session is taken: {gate.draining}")
        if not gate.policy.shell:
            raise ChannelRefused("shell is not allowed here; the right that is missing is 'shell'")
        route = await gate.route_of(self._identity, kept.target_id, kept.account_id)
        check_right(route, Kind.SHELL)
        actor = Actor(ActorKind.USER, wish.user_id, wish.subject, kept.id, wish.client)
        reached = await gate.reach(route, self._identity, actor, kept.id)
        for line in told_of(route, reached):
            self.say(line)
        try:
            await self._attach(kept, route, reached, actor)
        except BaseException:
            if self._access is None:
                reached.connection.close()
            else:
                await asyncio.shield(self._close())
            raise
        assert self._access is not None
        self._spawn(self._watch(self._access))

    async def _attach(self, kept: Kept, route: Route, reached: Reached, actor: Actor) -> None:
        gate, wish, connection = self._gate, self._wish, reached.connection
        terminal = Terminal(wish.columns, wish.rows, wish.term)
        resumed, is_begun = None, kept.holder != NOT_BEGUN  # it may have waited for a second person as its gateway died
        if is_begun:
            agree = watched_again(gate, route, actor, self.say, lambda: self._is_over)
            lost = self._lost_recording
            resumed = await gate.holding.resume(
                [kept], connection, actor, wish.client, terminal, lost, had=wish.off, steal=True, agree=agree
            )
            if resumed is None and await gate.holding.held.find(kept.id) is None:
                raise AccessUnknown(GONE)
        taken = resumed is not None
        if not is_begun:
            facts = beginning.reached_with(gate.node, reached)
            taken = await gate.holding.held.take(kept, gate.node, gate.boot_id, wish.client, actor, facts)
        if not taken:
            raise NoGateway("another gateway has just taken it up")

        async def still_may() -> float | None:
            return await gate.still_may(self._identity, route)

        new = resumed_access(kept, wish.client, gate.node, gate.boot_id)
        access = LiveAccess(new, actor, connection, gate.store, gate.holding.held, self._hang_up, still_may, resumed)
        access.generation = kept.generation + 1
        beginning.watched(gate, access, route, resumed)
        self._access = access
        gate.add(access)
        access.joined(self)
        if resumed is not None:
            access.taken_up()
            self.tape = resumed.tape
            self._hold(resumed.shell, is_resumed=True)
            if resumed.notice:
                self.say(resumed.notice)
        else:
            await self._begin(access, terminal, route)

    async def _begin(self, access: LiveAccess, terminal: Terminal, route: Route) -> None:
        new = access.new
        what = recorded(new, Kind.SHELL, "", terminal, access.actor)
        self.tape = await self._gate.recordings.begin(what, self._lost_recording)
        await second_person(self._gate, access, route, self.tape, self.say, lambda: self._is_over)
        try:
            if self._gate.policy.resume == "never":
                raise NotHeldError("the policy keeps none")
            if not route.is_host:
                raise NotHeldError("it is no host that could run what would keep it")
            self._hold(await self._gate.holding.begin(access, self.tape, terminal, {}), is_resumed=False)
        except NotHeldError as error:
            await self._gate.holding.held.hold(new.id, access.generation, "", "", 0)
            async with closing_refused(self.tape):
                back, _ = await access.connection.create_session(
                    lambda: Back(self),
                    encoding=None,
                    request_pty="force",
                    term_type=terminal.term,
                    term_size=(terminal.columns, terminal.rows),
                    window=WINDOW,
                    max_pktsize=PACKET,
                )
            self._connect(back)
            self._hello(is_kept=False, is_resumed=False)
            self.say(f"this session ends when its connection does: {new.target}: {error}")

    def _hold(self, shell: HeldShell, *, is_resumed: bool) -> None:
        assert self._access is not None
        self._access.shell = shell
        hello, had = shell.hello, self._wish.off
        self._at, self._typed.at, self._typed.taken = hello.start, hello.typed, hello.typed
        self._had = had if had is not None and hello.start <= had <= hello.end else hello.start
        self._acked = self._had
        self.tape.on_kept(shell.kept)
        self._connect(shell)
        self._hello(is_kept=True, is_resumed=is_resumed)
        if is_resumed:
            self.tape.resize(self._wish.columns, self._wish.rows)
            shell.change_terminal_size(self._wish.columns, self._wish.rows)
        shell.begin(self)

    def _connect(self, back: "HeldShell | asyncssh.SSHClientChannel[bytes]") -> None:
        self._back = back
        self.tape.on_room(lambda full: self._pause("recording", on=full))

    def _hello(self, *, is_kept: bool, is_resumed: bool) -> None:
        assert self._access is not None
        new = self._access.new
        self._say(
            type="hello", id=new.id, target=new.target, account=new.account, offset=self._had, typed=self._typed.at,
            kept=is_kept, resumed=is_resumed, recorded=bool(self.tape.ident),
        )  # fmt: skip

    # ---- from the user -----------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        while (message := await self._pipe.receive()) is not None:
            if isinstance(message, bytes):
                self._type(message)
            else:
                with contextlib.suppress(ValueError, TypeError, KeyError):
                    self._told(json.loads(message))

    def _type(self, message: bytes) -> None:
        if len(message) <= 8 or self._back is None or self._access is None:
            return
        (off,) = struct.unpack(">Q", message[:8])
        if off > self._typed.at:
            self._hang_up("what was typed has a gap", again=True)
            return
        fresh = message[8 + self._typed.at - off :]
        if not fresh:
            return
        if self._typed.at + len(fresh) - self._typed.taken > AHEAD_BYTES:
            self._hang_up("more was typed ahead than is kept for a target that takes nothing", again=True)
            return
        self._access.sent(len(fresh))
        self._sent += len(fresh)
        self.tape.input(fresh)
        if not self._back.is_closing():
            self._back.write(fresh)
        self._typed.at += len(fresh)
        if not isinstance(self._back, HeldShell) and not self._typed.is_stuck:
            self.taken(self._typed.at)

    def _told(self, said: dict[str, Any]) -> None:
        kind = said["type"]
        if kind == "ack":
            self._acked = max(self._acked, min(int(said["offset"]), self._at))
            self._pause("user")
        elif kind == "resize":
            columns, rows = int(said["columns"]), int(said["rows"])
            if columns in SIZES and rows in SIZES and self._back is not None:
                self.tape.resize(columns, rows)
                self._back.change_terminal_size(columns, rows)
        elif kind == "close":
            self._end_shell()

    def _end_shell(self) -> None:
        if self._access is not None:
            self._access.is_kept = False
        if self._back is not None:
            self._back.close()

    def _pause(self, why: str, *, on: bool | None = None) -> None:
        """Hear the target no more, or again. ``None``: no more while too much of what it said is on its way, whatever
        the client says it has."""
        before = bool(self._pauses)
        on = max(self._at - self._acked, self._pipe.waiting_bytes) > AHEAD_BYTES if on is None else on
        (self._pauses.add if on else self._pauses.discard)(why)
        if self._back is None or before == bool(self._pauses):
            return
        if on:
            self._back.pause_reading()
        else:
            self._back.resume_reading()

    # ---- from the target ---------------------------------------------------------------------------------------------

    def down(self, data: bytes, is_error: bool) -> None:
        """Hand on what the target said."""
        self._came += len(data)
        if self._access is not None:
            self._access.received(len(data))
        self.tape.output(data, is_error, lambda: self._show(data))

    def _show(self, data: bytes) -> None:
        start, self._at = self._at, self._at + len(data)
        data = data[max(0, self._had - start) :]
        if data and not self._is_over:
            self._pipe.put(struct.pack(">Q", self._at - len(data)) + data)
        self._pause("user")

    replay = _show
    """Show again what was recorded before."""

    def taken(self, off: int) -> None:
        """Hear that all that was typed before ``off`` was taken."""
        self._typed.taken = max(self._typed.taken, off)
        self._say(type="typed", offset=off)

    def target_at_end(self) -> None:
        """A terminal says how it ended, and needs no end of its output."""

    def status_came(self) -> None:
        """Nothing more comes but that."""

    def held_back(self, on: bool) -> None:
        """Tell the client nothing of what is typed while the target takes none; a holder tells of it by itself."""
        self._typed.is_stuck = on
        if not on and not isinstance(self._back, HeldShell):
            self.taken(self._typed.at)

    def target_left(self, status: int | None, signal: tuple[str, bool, str, str] | None) -> None:
        """End as the target's end did."""
        access = self._access
        (self._spawn if access is None else access.spawn)(self._finish(access, status, signal))

    async def _finish(
        self, access: LiveAccess | None, status: int | None, signal: tuple[str, bool, str, str] | None
    ) -> None:
        how = f"signal {signal[0]}" if signal else "no status" if status is None else str(status)
        await self.tape.close(how)
        if isinstance(self._back, HeldShell) and access is not None and (missing := self.tape.missing):
            unrecorded(access, self._back, missing)
            self._left(how)
            self.let_go(f"this session has ended, and its end could not be recorded: {missing}")
            return
        if isinstance(self._back, HeldShell):
            self._back.heard()
        if access is not None:
            access.is_kept = False
        self._left(how)
        if not self._is_over:
            self._say(type="exit", status=status, signal=signal[0] if signal else None)
        self._is_over = True
        self._over.set()

    def target_lost(self) -> None:
        """Hear that the way to the target is lost, and its shell kept."""
        if self._access is not None:
            self._access.spawn(self._leave())

    async def _leave(self) -> None:
        await self.tape.leave()
        self._left("detached")
        if self._access is not None and await is_taken(self._gate.holding.held, self._access):
            self.taken_elsewhere(ELSEWHERE)  # its holder hears of that before we do
        else:
            self.let_go("the way to the target was lost")

    # ---- ends --------------------------------------------------------------------------------------------------------

    def _lost_recording(self, why: str) -> None:
        text = f"this session can no longer be recorded: {why}"
        if isinstance(self._back, HeldShell):
            self.let_go(text)
        else:
            self.end_with(text)

    def end_with(self, text: str) -> None:
        """Tell the user why the session ends, and end it."""
        if not self._is_over:
            self._say(type="end", code="", text=text, again=False)
        self._is_over = True
        if self._back is not None:
            self._back.close()
        self._loop.call_later(_AGAIN_S, self._over.set)

    def let_go(self, text: str) -> None:
        """Tell the user, and leave without ending what a holder keeps."""
        if not self._is_over:
            self._say(type="end", code="", text=text, again=True)
        self._is_over = True
        if isinstance(self._back, HeldShell):
            self._back.detach()
        self._over.set()

    def taken_elsewhere(self, text: str) -> None:
        """As :meth:`let_go`, and tell the client not to come again by itself: two would take it from each other."""
        if not self._is_over:
            self._say(**ended(TakenElsewhere(text), again=False))
        self._is_over = True
        self.let_go(text)

    def _hang_up(self, text: str, *, again: bool = False) -> None:
        if not self._is_over:
            self._say(type="end", code="", text=text, again=again)
        self._is_over = True
        self._over.set()

    def _left(self, how: str) -> None:
        access = self._access
        if access is not None and self in access:
            took_ms = int((self._loop.time() - self._began) * 1000)
            access.channel_ended(self, Kind.SHELL, how, self._sent, self._came, took_ms)

    async def _watch(self, access: LiveAccess) -> None:
        await access.connection.wait_closed()
        await asyncio.sleep(_AGAIN_S)
        if not isinstance(self._back, HeldShell):
            self._hang_up("the target closed the connection")

    async def _live(self) -> None:
        while True:
            await asyncio.sleep(ALIVE_S)
            self._say(type="alive")
            self._pause("user")

    async def _close(self) -> None:
        access, self._access = self._access, None
        self._is_over = True
        if access is None:
            return
        # Who was shown how the shell ended has left, as over SSH.
        why = "the connection was lost" if access.is_kept or self in access else "the user left"
        if access.is_kept and not access.why and isinstance(self._back, HeldShell):
            self._back.detach()
            await self.tape.leave()
        elif self._back is not None:
            self._back.close()
            if isinstance(self._back, HeldShell):
                await self._back.gone()
            if isinstance(self._back, HeldShell) and not self._back.has_status:
                await self.tape.leave()
            else:
                await self.tape.close("the user left")
        try:
            await access.close(why, lambda: asyncio.sleep(_AGAIN_S))
        finally:
            self._gate.remove(access)

    def _spawn(self, work: Any) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def say(self, text: str) -> None:
        """Put a line of ours before the user."""
        self._say(type="notice", text=text)

    def _say(self, **what: Any) -> None:
        if not self._pipe.is_closing:
            self._pipe.put(json.dumps(what))
