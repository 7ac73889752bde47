"""One session of a user (a shell, a command, a subsystem) and its other end at the target; the two call each other.

What the user sends before the target is open is kept, up to the window; half closes, signals, breaks, sizes, exit
statuses and back-pressure pass both ways. Nothing is opened before the policy and the recording have agreed, and what
refuses is told in one line.
"""

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any, Final, Protocol

import asyncssh

from rppam.gateway.errors import GatewayError, NoTarget, TargetError, TargetProtocolError
from rppam.gateway.holder.shell import HeldShell
from rppam.gateway.model import Kind
from rppam.gateway.ports import NoTape, Tape
from rppam.gateway.ssh.agent import is_wanted, lend
from rppam.gateway.ssh.byte_channel import PACKET, WINDOW
from rppam.gateway.ssh.carries import wanted
from rppam.gateway.ssh.files import FileTape
from rppam.gateway.ssh.holding import began, closing_refused, recorded, terminal_of, unrecorded
from rppam.gateway.ssh.menu import Menu, Question
from rppam.gateway.ssh.second_person import second_person
from rppam.kernel.errors import RppamError
from rppam.kernel.logging import printable

if TYPE_CHECKING:
    from rppam.gateway.ssh.live import LiveAccess
    from rppam.gateway.ssh.server import GatewayServer

log: Final = logging.getLogger("rppam.gateway")

STATUS_S: Final = 0.25
"""How long after the last byte of a target its exit status is waited for."""
OURS: Final = 254
"""Exit code where we have refused; 255 where the target could not be had."""
NOT_HAD: Final = 255


class Front(asyncssh.SSHServerSession[bytes]):
    """The user's end."""

    def __init__(self, server: "GatewayServer") -> None:
        self._server = server
        self._channel: asyncssh.SSHServerChannel[bytes]
        self._back: asyncssh.SSHClientChannel[bytes] | HeldShell | None = None
        self.term: tuple[str, tuple[int, int, int, int], dict[int, int]] | None = None
        self._command: str | None = None
        self._subsystem: str | None = None
        self._early: list[bytes] = []
        self._at_end = self.is_over = self._held_back = self._is_let_go = False
        self._held: HeldShell | None = None
        self._menu: Menu | Question | None = None
        self._access: LiveAccess | None = None
        self.tape: Tape = NoTape()
        self._pauses: set[str] = set()
        self._chosen = asyncio.Event()
        self._began = asyncio.get_running_loop().time()
        self._sent = self._received = 0
        self._task: asyncio.Task[None] | None = None
        self._end_due: asyncio.TimerHandle | None = None

    # ---- what the user asks for --------------------------------------------------------------------------------------

    def connection_made(self, chan: asyncssh.SSHServerChannel[bytes]) -> None:
        self._channel = chan

    def pty_requested(self, term_type: str, term_size: Any, term_modes: Any) -> bool:
        self.term = (term_type, term_size, dict(term_modes))
        return True

    def shell_requested(self) -> bool:
        return True

    def exec_requested(self, command: str) -> bool:
        self._command = command
        return True

    def subsystem_requested(self, subsystem: str) -> bool:
        self._subsystem = subsystem
        return self._server.allows_subsystem(subsystem)

    def session_started(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._open())

    @property
    def kind(self) -> Kind:
        """What this channel carries."""
        if self._subsystem is not None:
            return Kind.SFTP if self._subsystem == "sftp" else Kind.SUBSYSTEM
        return Kind.SHELL if self._command is None else Kind.EXEC

    async def _open(self) -> None:
        try:
            await self._open_or_raise()
        except RppamError as error:
            await self._server.refused(error, self.kind)
            self._refuse(error)
        except asyncssh.ChannelOpenError as error:
            self._refuse(TargetProtocolError(f"the target refuses a {self.kind.value}: {error.reason}"))
        except (asyncssh.Error, OSError) as error:
            self._refuse(TargetProtocolError(f"the target went away: {getattr(error, 'reason', '') or error}"))
        except Exception:
            log.exception("a channel of the gateway could not be opened")
            self._refuse(TargetProtocolError("something unforeseen happened; the log of the node says more"))

    async def _open_or_raise(self) -> None:
        if not self._server.has_target and not await self._choose():
            self._end(0)
            return
        kinds = wanted(self.kind, self._command)
        self._server.check(*kinds)
        access = await self._server.access(self, *kinds)
        if self.is_over:
            access.left(self)
            return
        self._access = access
        if (resumed := access.taken_up()) is not None:
            self.tape = resumed.tape
            self.say(f"back in the session of {began(resumed.kept)}; what was last on its screen follows")
            if resumed.notice:
                self.say(resumed.notice)
            self._hold(resumed.shell, is_resumed=True)
            return
        if self.kind in {Kind.SHELL, Kind.EXEC}:
            self.tape = await self._begin_tape(access)
        elif self.kind is Kind.SFTP:
            self.tape = FileTape(access)
        server = self._server
        await second_person(server.gate, access, server.route, self.tape, self.say, lambda: self.is_over)
        environment: dict[bytes | str, bytes | str] = dict(self._channel.get_environment_bytes().items())
        held = await self._server.hold(access, self, environment) if self.may_be_kept else None
        if held is not None:
            self._hold(held)
            return
        options: dict[str, Any] = {"request_pty": False}
        if (term := self.term) is not None:
            options = {"request_pty": "force", "term_type": term[0], "term_size": term[1], "term_modes": term[2]}
        command = None if self._command is None else self._command.encode("utf-8", "surrogateescape")
        await lend(server, access, self._channel)
        async with closing_refused(self.tape):
            back, _ = await access.connection.create_session(
                lambda: Back(self),
                command=command,  # type: ignore[arg-type]  # bytes are taken, too
                subsystem=self._subsystem,
                encoding=None,
                env=environment,
                window=WINDOW,
                max_pktsize=PACKET,
                **options,
            )
        self._connect(back)

    async def _begin_tape(self, access: "LiveAccess") -> Tape:
        terminal = terminal_of(self.term) if self.term else None
        what = recorded(access.new, self.kind, self._command or "", terminal, access.actor)
        return await self._server.gate.recordings.begin(what, self.lost_recording)

    def _hold(self, shell: HeldShell, *, is_resumed: bool = False) -> None:
        self._held = shell
        if self._access is not None:
            self._access.shell = shell
        self.tape.on_kept(shell.kept)
        self._connect(shell)
        if (term := self.term) is not None and is_resumed:
            self.tape.resize(term[1][0], term[1][1])
            shell.change_terminal_size(*term[1])
        shell.begin(self)

    def _connect(self, back: "asyncssh.SSHClientChannel[bytes] | HeldShell") -> None:
        """Carry both ways from now on, what came before first."""
        self._back = back
        self.tape.on_room(lambda full: self._pause("recording", full))
        if self.is_over:
            back.close()
            return
        early, self._early = self._early, []
        for data in early:
            self._up(data)
        if self._at_end:
            back.write_eof()
        if self._held_back:
            self._held_back = False
            self._channel.resume_reading()

    @property
    def may_be_kept(self) -> bool:
        """Whether it is a shell with a terminal, which may outlive its connection; the user's agent does not."""
        return self.kind is Kind.SHELL and self.term is not None and not is_wanted(self._channel)

    async def _choose(self) -> bool:
        """Let the user choose a target; false where none was."""
        if self.term is None or self.kind is not Kind.SHELL:
            raise NoTarget("no target was named")
        menu = Menu(await self._server.routes())
        await self._asked(menu)
        if menu.chosen is None:
            return False
        self._server.choose(menu.chosen)
        return True

    async def go_on(self, began: str) -> bool:
        """Ask the user whether to go on with the session that ``began`` then."""
        question = Question(f"A session of {began} was left here. Go on with it?")
        await self._asked(question)
        return bool(question.chosen)

    async def _asked(self, menu: Menu | Question) -> None:
        self._menu = menu
        self._chosen.clear()
        if self.is_over:
            return
        self.show(menu.picture().encode(), is_error=False)
        early, self._early = self._early, []
        for data in early:
            self._menu_typed(data)
        if self._held_back:
            self._held_back = False
            self._channel.resume_reading()
        await self._chosen.wait()
        self._menu = None

    def _menu_typed(self, data: bytes) -> None:
        assert self._menu is not None
        self.show(self._menu.typed(data).encode(), is_error=False)
        if self._menu.chosen is not None or self._menu.is_given_up:
            self._chosen.set()

    # ---- from the user -----------------------------------------------------------------------------------------------

    def data_received(self, data: bytes, datatype: int | None) -> None:
        if self._menu is not None and not self._chosen.is_set():
            self._menu_typed(data)
            return
        if self._back is None:
            self._early.append(data)
            self._held_back = True
            self._channel.pause_reading()
            return
        self._up(data)

    def _up(self, data: bytes) -> None:
        assert self._back is not None
        self._sent += len(data)
        if self._access is not None:
            self._access.sent(len(data))
        self.tape.input(data)
        if not self._back.is_closing():
            self._back.write(data)

    def eof_received(self) -> bool:
        self._at_end = True
        if self._menu is not None:
            self._menu.is_given_up = True
            self._chosen.set()
        if self._back is not None and not self._back.is_closing():
            self._back.write_eof()
        return True

    def terminal_size_changed(self, width: int, height: int, pixwidth: int, pixheight: int) -> None:
        if self.term:
            self.term = (self.term[0], (width, height, pixwidth, pixheight), self.term[2])
        self.tape.resize(width, height)
        if self._back is not None:
            self._back.change_terminal_size(width, height, pixwidth, pixheight)

    def signal_received(self, signal: str) -> None:
        if self._back is not None:
            self._back.send_signal(signal)

    def break_received(self, msec: int) -> bool:
        if self._back is not None:
            self._back.send_break(msec)
        return True

    def pause_writing(self) -> None:
        self._pause("user", True)

    def resume_writing(self) -> None:
        self._pause("user", False)

    def _pause(self, why: str, on: bool) -> None:
        before = bool(self._pauses)
        (self._pauses.add if on else self._pauses.discard)(why)
        if self._back is None or before == bool(self._pauses):
            return
        if on:
            self._back.pause_reading()
        else:
            self._back.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_over = True
        self._chosen.set()
        if self._held is not None and (exc is not None or self._is_let_go):
            self._held.detach()
        elif self._back is not None:
            self._ends()
            self._back.close()
        else:
            self._left("the user left")

    def _ends(self) -> None:
        """Nothing of it is to be kept."""
        if self._held is not None and self._access is not None:
            self._access.is_kept = False

    # ---- from the target ---------------------------------------------------------------------------------------------

    def down(self, data: bytes, is_error: bool) -> None:
        """Hand on what the target said."""
        self._received += len(data)
        if self._access is not None:
            self._access.received(len(data))
        self.tape.output(data, is_error, lambda: self.show(data, is_error=is_error))

    def show(self, data: bytes, *, is_error: bool) -> None:
        """Put ``data`` before the user."""
        if not self.is_over and not self._channel.is_closing():
            self._channel.write(data, asyncssh.EXTENDED_DATA_STDERR if is_error else None)

    def replay(self, data: bytes) -> None:
        """See :class:`~rppam.gateway.holder.shell.HeldFront`."""
        self.show(data, is_error=False)

    def taken(self, off: int) -> None:
        """A client of SSH does not ask."""

    def target_lost(self) -> None:
        """Hear that the way to the target is lost, and its shell kept."""
        if self._access is not None:
            self._access.spawn(self._leave())

    async def _leave(self) -> None:
        await self.tape.leave()
        self._left("detached")
        self.let_go("the way to the target was lost; its shell is kept for you: connect again to go on")

    def target_at_end(self) -> None:
        """Hand on that the target says no more; its exit status, which comes with that, goes first: a client that has
        sent all and heard all closes the channel, and would take it for a failure not to know the status by then."""
        self._end_due = asyncio.get_running_loop().call_later(STATUS_S, self.tape.output, b"", False, self._show_end)

    def status_came(self) -> None:
        """Hear that the target has said how it ended: nothing more comes but that."""
        if self._end_due is not None:
            self._end_due.cancel()

    def _show_end(self) -> None:
        if not self.is_over and not self._channel.is_closing():
            self._channel.write_eof()

    def held_back(self, on: bool) -> None:
        """Hear that the target takes no more for now, or that it does again."""
        if on:
            self._channel.pause_reading()
        else:
            self._channel.resume_reading()

    def target_left(self, status: int | None, signal: tuple[str, bool, str, str] | None) -> None:
        """End as the target's end did."""
        access = self._access if self._held is not None else None
        spawn = asyncio.get_running_loop().create_task if access is None else access.spawn
        spawn(self._finish(status, signal))

    async def _finish(self, status: int | None, signal: tuple[str, bool, str, str] | None) -> None:
        self.status_came()
        how = f"signal {signal[0]}" if signal else "no status" if status is None else str(status)
        await self.tape.close(how)
        if self._held is not None and self._access is not None and (missing := self.tape.missing):
            unrecorded(self._access, self._held, missing)
            self._left(how)
            self.let_go(f"this session has ended, and its end could not be recorded: {missing}")
            return
        if self._held is not None:
            self._held.heard()
        self._ends()
        self._left(how)
        if self.is_over:
            return
        self.is_over = True
        with contextlib.suppress(OSError):
            if signal:
                self._channel.exit_with_signal(*signal)
            elif status is not None:
                self._channel.exit(status)
            else:
                self._channel.exit(NOT_HAD)

    # ---- ends --------------------------------------------------------------------------------------------------------

    def lost_recording(self, why: str) -> None:
        """Hear that nothing can be recorded any more."""
        text = f"this session is ended, as it can no longer be recorded: {why}"
        if self._held is None:
            self.end_with(text)
        else:
            self.let_go(f"{text}; its shell is kept for you: connect again to go on")

    def say(self, text: str) -> None:
        """Put a line of ours before the user."""
        if not self.is_over and not self._channel.is_closing():
            lead = "\r\n" if self.term and self._received else ""
            self._channel.write(f"{lead}RP-PAM: {text}\r\n".encode(), asyncssh.EXTENDED_DATA_STDERR)

    def let_go(self, text: str) -> None:
        """Tell the user, and leave without ending what a holder keeps."""
        self._is_let_go = True
        if self._held is not None:
            self._held.detach()
        if not self.is_over:
            self.say(text)
            self.is_over = True
            with contextlib.suppress(OSError):
                self._channel.exit(NOT_HAD)

    taken_elsewhere = let_go

    def end_with(self, text: str) -> None:
        """Tell the user why the session ends, and end it."""
        if self.is_over:
            return
        if not self._channel.is_closing():
            lead = "\r\n" if self.term else ""
            self._channel.write(f"{lead}RP-PAM: {text}\r\n".encode(), asyncssh.EXTENDED_DATA_STDERR)
        self.is_over = True
        with contextlib.suppress(OSError):
            self._channel.exit_with_signal("TERM", False, text[:200])
        if self._back is not None:
            self._back.close()

    def _refuse(self, error: RppamError) -> None:
        text = f"RP-PAM: {one_line(error)}\r\n"
        if not self.is_over and not self._channel.is_closing():
            self._channel.write(text.encode(), asyncssh.EXTENDED_DATA_STDERR)
        self._end(OURS if isinstance(error, GatewayError) and not isinstance(error, TargetError) else NOT_HAD)

    def _end(self, code: int) -> None:
        self._left("refused" if code else "left")
        if not self.is_over:
            self.is_over = True
            with contextlib.suppress(OSError):
                self._channel.exit(code)

    def _left(self, how: str) -> None:
        access, self._access = self._access, None
        if access is not None:
            took_ms = int((asyncio.get_running_loop().time() - self._began) * 1000)
            access.channel_ended(self, self.kind, how, self._sent, self._received, took_ms)


class Shown(Protocol):
    """The user's end of a channel, as the target's end needs it; see :class:`Front`."""

    def down(self, data: bytes, is_error: bool) -> None: ...
    def target_at_end(self) -> None: ...
    def status_came(self) -> None: ...
    def held_back(self, on: bool) -> None: ...
    def target_left(self, status: int | None, signal: tuple[str, bool, str, str] | None) -> None: ...


class Back(asyncssh.SSHClientSession[bytes]):
    """The target's end."""

    def __init__(self, front: Shown) -> None:
        self._front = front
        self._status: int | None = None
        self._signal: tuple[str, bool, str, str] | None = None

    def data_received(self, data: bytes, datatype: int | None) -> None:
        self._front.down(data, datatype is not None)

    def eof_received(self) -> bool:
        self._front.target_at_end()
        return True

    def exit_status_received(self, status: int) -> None:
        self._status = status
        self._front.status_came()

    def exit_signal_received(self, signal: str, core_dumped: bool, msg: str, lang: str) -> None:
        self._signal = (signal, core_dumped, msg, lang)
        self._front.status_came()

    def pause_writing(self) -> None:
        self._front.held_back(True)

    def resume_writing(self) -> None:
        self._front.held_back(False)

    def connection_lost(self, exc: Exception | None) -> None:
        self._front.target_left(self._status, self._signal)


def one_line(error: RppamError) -> str:
    """What the user reads: what is wrong, what to do, and the code, on one line."""
    said = str(error) or error.row.meaning
    return printable(f"{said.rstrip('.')}. {error.row.remedy} ({error.row.code})")
