"""The program that holds a shell on its target while gateways come and go. It runs there, by ``python3`` 3.6 or newer.

Decides, on the target, who may write to the shell: only an attachment with a higher generation than every one before.
It keeps all output until it is acknowledged, and :data:`KEEP` bytes beyond that to show again. Where :data:`RING` bytes
wait to be acknowledged the shell waits, so nothing is dropped. What is typed has an offset and is taken once.

It ends, and leaves nothing behind, once the shell has ended and all its output and status were acknowledged, when it is
told to, and ``ttl`` seconds after the last attachment was lost. What the shell said and nobody acknowledged is kept for
:data:`LAST` seconds after an order to end it. It does not survive a restart of the target.

A frame is a kind (one byte), a length (four) and that many bytes. To the holder: ``d`` offset and what was typed,
``w`` a window size, ``a`` the offset up to which output is kept elsewhere, ``s`` a signal, ``k`` end the shell, ``q``
the status was heard, ``n`` nothing. From it: ``o`` output, ``i`` the offset up to which typing was taken, ``x`` the
status.
"""

import fcntl
import glob
import hashlib
import hmac
import json
import os
import pty
import pwd
import select
import signal
import socket
import struct
import sys
import termios
import time
from typing import Any

assert sys.platform != "win32"

RING = 4194304
KEEP = 1048576
TYPED = 65536
TYPED_MAX = 1048576
PART = 65536
LAST = 120


class Core:
    """What is decided; no input or output of its own."""

    def __init__(self, ring: int = RING, keep: int = KEEP) -> None:
        self.ring, self.keep = ring, keep
        self.buf = bytearray()
        self.base = self.acked = self.sent = self.typed = self.told = self.gen = 0
        self.part = b""
        self.status: int | None = None
        self.said = self.heard = self.full = False

    def end(self) -> int:
        """Behind the last byte of output."""
        return self.base + len(self.buf)

    def room(self) -> int:
        """How much output may still come before some is acknowledged."""
        return self.ring - (self.end() - self.acked)

    def put(self, data: bytes) -> None:
        """Keep output."""
        self.buf += data

    def attach(self, gen: int, off: int, back: int) -> dict[str, int] | None:
        """The answer to an attachment that has all before ``off`` and wants ``back`` bytes of it shown again.

        ``None``: refused. What was acknowledged counts as had.
        """
        off = max(off, self.acked)
        if gen <= self.gen or off > self.end():
            return None
        self.gen, self.part, self.said = gen, b"", False
        self.ack(off)
        self.sent, self.told = max(self.base, off - max(0, back)), self.typed
        return {"gen": gen, "from": self.sent, "off": off, "end": self.end(), "in": self.typed}

    def ack(self, off: int) -> None:
        """Hear that all before ``off`` is kept elsewhere."""
        self.acked = max(self.acked, min(off, self.end()))
        cut = self.acked - self.keep - self.base
        if cut > self.keep // 4:
            del self.buf[:cut]
            self.base += cut

    def take(self, data: bytes) -> list[Any]:
        """What bytes of the attachment ask for: kinds with payloads. Raises ValueError on nonsense."""
        self.part += data
        found: list[Any] = []
        while len(self.part) >= 5:
            kind, size = self.part[:1], struct.unpack(">I", self.part[1:5])[0]
            if size > 1048576 or kind not in (b"d", b"w", b"a", b"s", b"k", b"q", b"n"):
                raise ValueError
            if len(self.part) < 5 + size:
                break
            body, self.part = self.part[5 : 5 + size], self.part[5 + size :]
            if kind == b"a":
                self.ack(struct.unpack(">Q", body)[0])
            elif kind == b"q":
                self.heard = self.said
            elif kind == b"d":
                off = struct.unpack(">Q", body[:8])[0]
                if off > self.typed:
                    raise ValueError
                fresh = body[8 + self.typed - off :]
                self.typed += len(fresh)
                found.append((kind, fresh))
            else:
                found.append((kind, body))
        return found

    def out(self) -> bytes:
        """What is to be sent next; empty: nothing for now."""
        if self.told < self.typed and not self.full:
            self.told = self.typed
            return b"i" + struct.pack(">IQ", 8, self.typed)
        if self.sent < self.end():
            data = bytes(self.buf[self.sent - self.base : self.sent - self.base + PART])
            self.sent += len(data)
            return b"o" + struct.pack(">I", len(data)) + data
        if self.status is not None and not self.said:
            self.said = True
            return b"x" + struct.pack(">Ii", 4, self.status)
        return b""

    def more(self) -> bool:
        """Whether :meth:`out` has something."""
        return (
            (self.told < self.typed and not self.full)
            or self.sent < self.end()
            or (self.status is not None and not self.said)
        )

    def done(self) -> bool:
        """Whether nothing is left that somebody would miss."""
        return self.status is not None and self.heard and self.acked == self.end()


def shell(cfg: Any) -> None:
    """Become the shell. Never returns."""
    for one in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(one, signal.SIG_DFL)
    mode = termios.tcgetattr(0)
    for place, name, value in cfg["modes"]:
        what = getattr(termios, name, None)
        if what is not None and place == 6:
            mode[6][what] = bytes([value]) if value < 255 else b"\0"
        elif what is not None:
            mode[place] = mode[place] | what if value else mode[place] & ~what
    termios.tcsetattr(0, termios.TCSANOW, mode)
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", *cfg["size"]))
    os.environ.update(TERM=cfg["term"], SSH_TTY=os.ttyname(0), RPPAM_SESSION=cfg["id"])
    who = pwd.getpwuid(os.getuid())
    path = who.pw_shell or "/bin/sh"
    os.chdir(who.pw_dir if os.path.isdir(who.pw_dir) else "/")
    if not os.path.exists(".hushlogin"):
        for name in ("/run/motd.dynamic", "/etc/motd"):
            try:
                with open(name, "rb") as file:
                    os.write(1, file.read(65536))
            except OSError:
                pass
    os.execv(path, ["-" + os.path.basename(path)])


class Holder:
    """A shell, its terminal and the one attachment that it listens to."""

    def __init__(self, cfg: Any, listener: Any, pid: int, fd: int) -> None:
        self.cfg, self.listener, self.pid, self.fd = cfg, listener, pid, fd
        self.core = Core(cfg["ring"])
        self.cli: Any = None
        self.wire = self.typed = b""
        self.exited: int | None = None
        self.idle = self.heard = time.monotonic()
        self.killed = self.until = 0.0
        self.deaf = self.ordered = False

    def hup(self, sig: int = signal.SIGHUP) -> None:
        """Signal the shell and what runs in its foreground."""
        self.killed = self.killed or time.monotonic()
        self.signal(sig)
        try:
            os.killpg(self.pid, sig)
        except OSError:
            pass

    def signal(self, sig: int) -> None:
        """Signal what runs in the foreground; 0, which would mean ourselves, is nobody."""
        try:
            group = os.tcgetpgrp(self.fd)
            if group > 0:
                os.killpg(group, sig)
        except OSError:
            pass

    def drop(self) -> None:
        """Let go of the attachment."""
        if self.cli:
            self.cli.close()
            self.cli, self.idle, self.wire = None, time.monotonic(), b""

    def accept(self) -> None:
        """Take an attachment, or refuse it."""
        new = self.listener.accept()[0]
        new.settimeout(2)
        try:
            line = b""
            while not line.endswith(b"\n") and len(line) < 4096:
                got = new.recv(4096)
                if not got:
                    raise ValueError
                line += got
            ask = json.loads(line.decode())
            shown = hashlib.sha256(ask["token"].encode()).hexdigest()
            if not hmac.compare_digest(shown, self.cfg["hash"]):
                raise ValueError
            if ask.get("look"):
                answer = {
                    "attended": self.cli is not None,
                    "gen": self.core.gen,
                    "ended": self.core.status is not None,
                }
            else:
                answer = self.core.attach(ask["gen"], ask["off"], ask["back"]) or {"refused": self.core.gen}
            new.sendall(json.dumps(answer).encode() + b"\n")
        except Exception:
            new.close()
            return
        if "from" not in answer:
            new.close()
            return
        self.drop()
        new.setblocking(False)
        self.cli, self.heard = new, time.monotonic()

    def output(self) -> None:
        """Read what the shell says."""
        try:
            data = os.read(self.fd, min(PART, self.core.room()))
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self.core.put(data)
        self.deaf = not data

    def over(self, how: int) -> None:
        """Nothing more comes."""
        self.core.status = -os.WTERMSIG(how) if os.WIFSIGNALED(how) else os.WEXITSTATUS(how)

    def input(self) -> None:
        """Read what the attachment says."""
        try:
            data = self.cli.recv(PART)
            frames = self.core.take(data)
        except BlockingIOError:
            return
        except Exception:
            data, frames = b"", []
        for kind, body in frames:
            if kind == b"d":
                self.typed += body
                self.core.full = len(self.typed) >= TYPED
            elif kind == b"w" and len(body) >= 8 and self.core.status is None:
                size = struct.unpack(">4H", body[:8])
                fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("4H", *size))
                self.signal(signal.SIGWINCH)
            elif kind == b"s" and self.core.status is None:
                self.signal(body[0])
            elif kind == b"k":
                self.ordered = True
                self.hup()
        self.heard = time.monotonic()
        if not data or len(self.typed) > TYPED_MAX:
            self.drop()

    def send(self) -> None:
        """Send what waits."""
        if not self.wire:
            self.wire = self.core.out()
        try:
            self.wire = self.wire[self.cli.send(self.wire) :]
        except BlockingIOError:
            pass
        except OSError:
            self.drop()

    def step(self, wake: int) -> bool:
        """Wait for something, and do it; false at the end."""
        core, live = self.core, self.core.status is None
        hears = live and not self.deaf and core.room() > 0
        ends = live and self.exited is not None and (self.deaf or hears)
        reads = [self.listener, wake] + ([self.fd] if hears else [])
        if self.cli:  # also while the shell takes nothing: it may be told to end
            reads.append(self.cli)
        writes = [self.fd] if live and self.typed and not self.deaf else []
        if self.cli and (self.wire or core.more()):
            writes.append(self.cli)
        ready, free, _ = select.select(reads, writes, [], 0 if ends else 1)
        now = time.monotonic()
        if wake in ready:
            os.read(wake, 512)
            if self.exited is None:
                pid, how = os.waitpid(self.pid, os.WNOHANG)
                self.exited, self.until = how if pid else None, now + 1
        elif self.exited is not None and ends and (self.fd not in ready or now > self.until):
            self.over(self.exited)
        if self.fd in ready:
            self.output()
        if self.fd in free:
            try:
                self.typed = self.typed[os.write(self.fd, self.typed[:1024]) :]
            except BlockingIOError:
                pass
            except OSError:
                self.typed = b""
            core.full = len(self.typed) >= TYPED
        if self.cli and self.cli in free:
            self.send()
        if self.cli and self.cli in ready:
            self.input()
        if self.listener in ready:
            self.accept()
        if self.cli and now - self.heard > 60:
            self.drop()
        if not self.cli and not self.killed and now - self.idle > self.cfg["ttl"]:
            self.hup()
        if core.done():
            return False
        if self.killed and (not self.cli or now - self.killed > 3):
            if self.core.status is None and now - self.killed > 2:
                self.hup(signal.SIGKILL)
            left = self.ordered and core.status is not None and core.acked < core.end()
            return now - self.killed <= (LAST if left else 10) and (left or core.status is None or bool(self.cli))
        return True


def hold(cfg: Any, listener: Any, path: str) -> None:
    """Run a shell and hold it to its end."""
    os.setsid()
    cfg.pop("token")
    pid, fd = pty.fork()
    if pid == 0:
        listener.close()
        try:
            shell(cfg)
        finally:
            os._exit(127)
    null = os.open("/dev/null", os.O_RDWR)
    for one in (0, 1, 2):
        os.dup2(null, one)
    os.set_blocking(fd, False)
    wake, woken = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(woken, False)
    signal.set_wakeup_fd(woken)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    holder = Holder(cfg, listener, pid, fd)
    try:
        while holder.step(wake):
            pass
    finally:
        os.unlink(path)
        try:
            os.rmdir(os.path.dirname(path))
        except OSError:
            pass


def lingers_not(etc: str = "/") -> bool:
    """Whether what is left running is killed when its user's last connection ends."""
    found = "no"
    for base in ("usr/lib", "etc", "run"):
        files = glob.glob(etc + base + "/systemd/logind.conf") + sorted(
            glob.glob(etc + base + "/systemd/logind.conf.d/*.conf")
        )
        for name in files:
            try:
                with open(name) as file:
                    for line in file:
                        if line.replace(" ", "").startswith("KillUserProcesses="):
                            found = line.split("=")[1].strip().lower()
            except OSError:
                pass
    return found in ("yes", "true", "1", "on") and os.getuid() != 0 and "XDG_SESSION_ID" in os.environ


def places() -> list[str]:
    """Where the socket may be: folders that are ours alone."""
    found = []
    for base in (os.path.expanduser("~"), os.environ.get("XDG_RUNTIME_DIR")):
        if not base or not os.path.isdir(base):
            continue
        folder = os.path.join(base, ".rppam")
        try:
            os.makedirs(folder, 0o700, exist_ok=True)
            seen = os.lstat(folder)
            if seen.st_uid == os.getuid() and not seen.st_mode & 0o077:
                found.append(folder)
        except OSError:
            pass
    return found


def start(cfg: Any, folder: str) -> None:
    """Have a holder of this session listen in a folder."""
    os.chdir(folder)
    listener = socket.socket(socket.AF_UNIX)
    mask = os.umask(0o177)
    listener.bind("./" + cfg["id"])
    os.umask(mask)
    listener.listen(8)
    if os.fork() == 0:
        try:
            hold(cfg, listener, os.path.join(folder, cfg["id"]))
        finally:
            os._exit(0)
    listener.close()


def attach(cfg: Any) -> Any:
    """A connection to the holder of this session; ``None`` where there is none."""
    for folder in places():
        plug = socket.socket(socket.AF_UNIX)
        try:
            os.chdir(folder)
            plug.connect("./" + cfg["id"])
            return plug
        except ConnectionRefusedError:
            os.unlink(cfg["id"])
        except OSError:
            pass
        plug.close()
    return None


def say(**what: Any) -> None:
    """Answer the gateway with one line."""
    os.write(1, json.dumps(what).encode() + b"\n")


def main() -> None:
    """Attach to a session, begun if it was not, and carry bytes both ways until either side ends."""
    cfg = json.loads(sys.stdin.buffer.readline().decode())
    if cfg["new"]:
        if lingers_not():
            return say(no="KillUserProcesses")
        folders = places()
        if not folders:
            return say(no="folder")
        start(cfg, folders[0])
    plug = attach(cfg)
    if plug is None:
        for folder in places():
            try:
                os.rmdir(folder)
            except OSError:
                pass
        return say(gone=True)
    ask = {name: cfg[name] for name in ("token", "gen", "off", "back", "look") if name in cfg}
    plug.sendall(json.dumps(ask).encode() + b"\n")
    while True:
        ready = select.select([plug, 0], [], [])[0]
        for one, other in ((plug, 1), (0, plug)):
            if one in ready:
                data = os.read(0, PART) if one == 0 else plug.recv(PART)
                if not data:
                    return None
                while data and other == 1:
                    data = data[os.write(1, data) :]
                if data:
                    plug.sendall(data)


if __name__ == "__main__":
    main()
