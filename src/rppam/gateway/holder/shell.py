"""The gateway's end of a shell that a holder keeps: to whoever carries a channel it looks like the channel of a shell.

It asks to attach, hands on output with its offset, and says to the holder what is durable. It ends in one of two ways:
the holder says how the shell ended, or the attachment is lost, which ends no shell.
"""

import asyncio
import contextlib
import signal
import struct
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, Protocol

import asyncssh

from rppam.gateway.holder import protocol
from rppam.gateway.holder.protocol import Ask, Frames, Hello, HolderError

ATTACH_S: Final = 6.0
ALIVE_S: Final = 15.0
"""So often the holder hears that its attachment lives; after four times as long it lets go of it."""
LAST_S: Final = 6.0
"""So long a shell has to end; its holder kills what has not after three seconds."""
ACK_BYTES: Final = 32 * 1024
_NAMES: Final = {-one.value: one.name.removeprefix("SIG") for one in signal.Signals}


class NotHeldError(Exception):
    """The target cannot hold a shell; the text says why."""


class GoneError(Exception):
    """No holder of this session is there any more."""


class StaleError(Exception):
    """The holder has seen as high a generation before."""


class HeldFront(Protocol):
    """The user's end, as a held shell needs it."""

    def down(self, data: bytes, is_error: bool) -> None:
        """Hand on what the target said."""
        ...

    def replay(self, data: bytes) -> None:
        """Show again what was recorded before."""
        ...

    def taken(self, off: int) -> None:
        """Hear that the holder has all that was typed before ``off``."""
        ...

    def held_back(self, on: bool) -> None:
        """Hear that the target takes no more for now, or that it does again."""
        ...

    def target_left(self, status: int | None, signal: tuple[str, bool, str, str] | None) -> None:
        """End as the target's end did."""
        ...

    def target_lost(self) -> None:
        """Hear that the attachment is lost, and the shell kept."""
        ...


class HeldShell(asyncssh.SSHClientSession[bytes]):
    """See the module."""

    def __init__(self, ask: Ask, again: bytes = b"") -> None:
        """``again``: what the front is to show again before anything of the holder's."""
        self._asked = ask, len(again)
        self._channel: asyncssh.SSHClientChannel[bytes]
        self._answer: asyncio.Future[Mapping[str, Any]] = asyncio.get_running_loop().create_future()
        self._line, self._said = b"", b""
        self._frames = Frames(protocol.said(again))
        self._front: HeldFront | None = None
        self.hello = Hello(0, 0, 0, 0)
        self._at = self._kept = self._told = 0
        self._typing = protocol.Typing()
        self.has_status = False
        """Its holder has said how it ended."""
        self._is_ending = self._is_over = False
        self._alive: asyncio.TimerHandle | None = None
        self._gone = asyncio.Event()

    async def answer(self) -> Mapping[str, Any]:
        """What the holder said to the question. Raises :class:`NotHeldError`, :class:`GoneError`,
        :class:`StaleError`."""
        try:
            async with asyncio.timeout(ATTACH_S):
                found = await self._answer
        except TimeoutError:
            self._channel.close()
            raise NotHeldError(f"python3 there did not answer within {ATTACH_S:g} s") from None
        if "no" in found:
            why = "it ends what a user leaves running (KillUserProcesses)"
            raise NotHeldError(why if found["no"] == "KillUserProcesses" else "no folder there is the account's alone")
        if "gone" in found:
            raise GoneError
        if "refused" in found:
            raise StaleError(f"the holder has seen the generation {str(found['refused'])[:20]}")
        if not self._asked[0].look:
            try:
                self.hello = protocol.hello_of(found, *self._asked)
            except HolderError as error:
                raise NotHeldError(f"it says something else than a holder does: {error}") from None
            self._at, self._typing = self.hello.start, protocol.Typing(self.hello.typed)
            self._kept = self._told = self.hello.off
        return found

    def begin(self, front: HeldFront) -> None:
        """Hand on to ``front`` from now on."""
        self._front = front
        self._keep_alive()
        rest, self._line = self._line, b""
        self._take(front, rest)
        if not self._is_over:
            self._channel.resume_reading()
        elif not self.has_status:
            front.target_lost()

    # ---- what carries it says ------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Type."""
        self._send(self._typing.put(data))
        if self._typing.is_full and self._front is not None:
            self._front.held_back(True)

    def write_eof(self) -> None:
        """A terminal does not end."""

    def change_terminal_size(self, width: int, height: int, pixwidth: int = 0, pixheight: int = 0) -> None:
        """The user's terminal has another size."""
        del pixwidth, pixheight
        self._send(protocol.sized(width, height))

    def send_signal(self, name: str) -> None:
        """Send a signal to what runs in the foreground."""
        with contextlib.suppress(KeyError):
            self._send(protocol.signalled(signal.Signals[f"SIG{name}"].value))

    def send_break(self, msec: int) -> None:
        """A held terminal has no line to break."""
        del msec

    def pause_reading(self) -> None:
        """Take no output for now; the shell waits once its holder has no room."""
        self._channel.pause_reading()

    def resume_reading(self) -> None:
        """Take output again."""
        self._channel.resume_reading()

    def is_closing(self) -> bool:
        """Whether nothing can be said to it any more."""
        return self._is_over or self._is_ending or self._channel.is_closing()

    def end(self) -> None:
        """Have the holder end the shell, and hear how."""
        self._send(protocol.END)

    def close(self) -> None:
        """End the shell, however it takes it."""
        if not self.is_closing():
            self._send(protocol.END)
            self._is_ending = True
            self._channel.resume_reading()
            asyncio.get_running_loop().call_later(LAST_S, self.detach)

    async def gone(self) -> None:
        """Wait until its holder has said how it ended, and heard that this is known, or until it had the time to:
        :attr:`has_status` says which."""
        for _ in range(2):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LAST_S):
                    await self._gone.wait()
            self.detach()

    def detach(self) -> None:
        """Let go of the shell, which its holder keeps."""
        if not self._is_over:
            self._channel.abort()

    def kept(self, off: int) -> None:
        """Output before ``off`` is durable."""
        self._kept = max(self._kept, off)
        if self._kept - self._told >= ACK_BYTES or self._kept >= self._at:
            self._told = self._kept
            self._send(protocol.acknowledged(self._kept))

    def heard(self) -> None:
        """All output is durable, and so is the status: the holder may go."""
        self._send(protocol.acknowledged(self._at))
        self._send(protocol.HEARD)
        with contextlib.suppress(OSError):
            self._channel.write_eof()

    def _send(self, frame: bytes) -> None:
        if frame and not self._is_over and not self._channel.is_closing():
            with contextlib.suppress(OSError):
                self._channel.write(frame)

    def _keep_alive(self) -> None:
        if not self.is_closing():
            self._send(protocol.NOTHING)
            self._alive = asyncio.get_running_loop().call_later(ALIVE_S, self._keep_alive)

    # ---- what the target says ------------------------------------------------------------------------------------

    def connection_made(self, chan: asyncssh.SSHClientChannel[bytes]) -> None:
        self._channel = chan

    def data_received(self, data: bytes, datatype: int | None) -> None:
        if datatype is not None:
            self._said = (self._said + data)[-300:]
        elif not self._answer.done():
            self._line += data
            line, end, rest = self._line.partition(b"\n")
            if len(line) > protocol.HELLO_BYTES:
                self._refuse("it says something else than a holder does")
            elif end:
                self._answered(line, rest)
        elif self._front is None:
            self._line += data
        else:
            self._take(self._front, data)

    def _answered(self, line: bytes, rest: bytes) -> None:
        try:
            self._answer.set_result(protocol.read_answer(line))
        except HolderError:
            self._refuse("it says something else than a holder does")
            return
        self._channel.pause_reading()
        self._line = rest

    def _refuse(self, why: str) -> None:
        self._answer.set_exception(NotHeldError(why))
        self._channel.abort()

    def _take(self, front: HeldFront, data: bytes) -> None:
        try:
            for kind, body in self._frames.take(data):
                if self.has_status:
                    raise HolderError("it goes on after its end")  # its recording is being closed
                if kind == b"o":
                    self._output(front, body)
                elif kind == b"i":
                    (off,) = struct.unpack(">Q", body)
                    was_full = self._typing.is_full
                    self._send(self._typing.took(off))
                    if was_full and not self._typing.is_full:
                        front.held_back(False)
                    front.taken(off)
                else:
                    status = protocol.status_of(body)
                    if self._at < self.hello.end:
                        raise HolderError("it ends before the output that it has")
                    self.has_status = True
                    if status >= 0:
                        front.target_left(status, None)
                    else:
                        front.target_left(None, (_NAMES.get(status, "KILL"), False, "", ""))
        except (HolderError, struct.error):
            self._channel.abort()

    def _output(self, front: HeldFront, data: bytes) -> None:
        old = max(0, min(len(data), self.hello.off - self._at))
        self._at += len(data)
        if old:
            front.replay(data[:old])
        if old < len(data):
            front.down(data[old:], False)

    def eof_received(self) -> bool:
        return False

    def pause_writing(self) -> None:
        if self._front is not None:
            self._front.held_back(True)

    def resume_writing(self) -> None:
        if self._front is not None:
            self._front.held_back(False)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the library's
        self._is_over = True
        self._gone.set()
        if self._alive is not None:
            self._alive.cancel()
        if not self._answer.done():
            said = self._said.decode("utf-8", "replace").strip().replace("\n", " ")
            self._answer.set_exception(NotHeldError(_why(said)))
        elif self._front is not None and not self.has_status:
            self._front.target_lost()


def _why(said: str) -> str:
    """Why nothing answered, of what the target said instead."""
    if "not found" in said or "No such file" in said or not said:
        return "it has no python3"
    return f"python3 there says: {said[-120:]}"


async def attach(
    connection: asyncssh.SSHClientConnection,
    ask: Ask,
    environment: Mapping[str | bytes, str | bytes],
    window: int,
    again: bytes = b"",
) -> HeldShell:
    """The held shell, paused until somebody :meth:`~HeldShell.begin` s, who shows ``again`` first.

    Raises as :meth:`HeldShell.answer`, :class:`asyncssh.Error`.
    """
    shell = HeldShell(ask, again)
    channel, _ = await connection.create_session(
        lambda: shell, protocol.COMMAND, encoding=None, env=dict(environment), window=window, request_pty=False
    )
    _asked(channel, ask)
    try:
        await shell.answer()
    except BaseException:
        shell.detach()
        raise
    return shell


def _asked(channel: asyncssh.SSHClientChannel[bytes], ask: Ask) -> None:
    with contextlib.suppress(OSError):  # it has ended already: the answer says why
        channel.write(ask.lines())


class Seen(NamedTuple):
    """What a holder says of itself, which is its account's word and no more."""

    is_attended: bool
    """A gateway is attached to it, or nobody can say."""
    has_ended: bool
    """Its shell has, or there is no holder."""


async def look_at(connection: asyncssh.SSHClientConnection, ask: Ask, window: int) -> Seen:
    """Ask the holder how it is, and attach to nothing. Raises :class:`asyncssh.Error`."""
    ask = ask._replace(look=True)
    shell = HeldShell(ask)
    channel, _ = await connection.create_session(
        lambda: shell, protocol.COMMAND, encoding=None, window=window, request_pty=False
    )
    try:
        _asked(channel, ask)
        found = await shell.answer()
        return Seen(bool(found.get("attended")), found.get("ended") is True)
    except GoneError:
        return Seen(is_attended=False, has_ended=True)
    except (NotHeldError, StaleError):
        return Seen(is_attended=True, has_ended=False)
    finally:
        shell.detach()
