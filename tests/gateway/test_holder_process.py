"""Real holders: who may type is decided by them, they wait where nobody acknowledges, and they leave nothing behind."""

import contextlib
import json
import os
import shlex
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rppam.gateway.holder import protocol
from rppam.gateway.holder.program import lingers_not
from rppam.gateway.holder.protocol import Ask, Frames

pytestmark = [pytest.mark.integration]
TOKEN = "ab" * 32
NEW = Ask("one", TOKEN, 1, True, 0, 0, 20, 80, 24, "dumb", ())


class Attachment:
    """What a gateway has at the other end of its connection."""

    def __init__(self, home: Path, ask: Ask) -> None:
        command = protocol.COMMAND.replace("python3", shlex.quote(sys.executable))
        env = {"HOME": str(home), "PATH": os.environ["PATH"], "PS1": "$ "}
        self.process = subprocess.Popen(
            command,
            shell=True,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.into, self.out = self.process.stdin, self.process.stdout
        self.frames, self.text, self.taken, self.status = Frames(), b"", 0, None
        self.send(ask.lines())
        self.hello = json.loads(self.out.readline() or b"null")

    def send(self, data: bytes) -> None:
        self.into.write(data)
        self.into.flush()

    def type(self, text: str, off: int | None = None) -> None:
        self.send(b"".join(protocol.typed(self.taken if off is None else off, text.encode())))

    def read(self) -> bool:
        data = os.read(self.out.fileno(), 65536)
        for kind, body in self.frames.take(data):
            if kind == b"o":
                self.text += body
            elif kind == b"i":
                (self.taken,) = struct.unpack(">Q", body)
            else:
                (self.status,) = struct.unpack(">i", body)
        return bool(data)

    def until(self, word: bytes) -> None:
        while word not in self.text:
            assert self.read(), self.text

    def kill(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        with contextlib.suppress(OSError):
            self.into.close()
        self.out.close()


Attach = Callable[[Ask], Attachment]


@pytest.fixture
def attach(tmp_path: Path) -> Iterator[Attach]:
    made: list[Attachment] = []

    def one(ask: Ask) -> Attachment:
        made.append(Attachment(tmp_path, ask))
        return made[-1]

    yield one
    for each in made:
        each.kill()


def until_gone(home: Path, patience_s: float = 10) -> None:
    until = time.monotonic() + patience_s
    while (home / ".rppam").exists():
        assert time.monotonic() < until, "something is left behind"
        time.sleep(0.02)


def test_only_a_higher_generation_may_type(tmp_path: Path, attach: Attach) -> None:
    first = attach(NEW)
    first.type("x=1; echo on-$((40+2))\n")
    first.until(b"on-42")
    again = NEW._replace(is_new=False, off=0, back=0)
    assert attach(again).hello == {"refused": 1}
    second = attach(again._replace(generation=2))
    assert second.hello["gen"] == 2
    second.taken = second.hello["in"]
    assert attach(again._replace(generation=2)).hello == {"refused": 2}
    assert attach(again._replace(generation=3, token="cd" * 32)).hello is None
    while first.read():  # the holder has let go of it
        pass
    second.type("echo x-$x; exit 5\n")
    second.until(b"x-1\r\n")
    while second.status is None:
        second.read()
    assert second.status == 5
    second.send(protocol.acknowledged(len(second.text)) + protocol.HEARD)
    until_gone(tmp_path)


def test_output_waits_for_its_acknowledgement_and_is_shown_again(tmp_path: Path, attach: Attach) -> None:
    ring, lines = 200_000, 60_000
    first = attach(NEW._replace(ring=ring))
    first.type(f"seq -w 1 {lines}; echo all-$((1+1))\n")
    while len(first.text) < ring:
        first.read()
    assert len(first.text) == ring, "more came than there is room for"
    durable = 100_000
    text = first.text[:durable]
    first.kill()
    second = attach(NEW._replace(is_new=False, generation=2, off=durable, back=1000))
    assert second.hello["from"] == durable - 1000
    second.taken = second.hello["in"]
    second.text = text[:-1000]
    while b"all-2" not in second.text[-200:]:
        second.read()
        second.send(protocol.acknowledged(len(second.text)))
    assert b"".join(b"%05d\r\n" % number for number in range(1, lines + 1)) in second.text
    second.send(protocol.END)
    while second.status is None:
        second.read()
    second.send(protocol.acknowledged(len(second.text)) + protocol.HEARD)
    until_gone(tmp_path)


def test_what_was_said_before_an_ordered_end_is_kept_until_it_is_acknowledged(tmp_path: Path, attach: Attach) -> None:
    first = attach(NEW)
    first.type("exec sh -c 'trap \"echo last-42; exit 3\" HUP; echo on-$((40+2)); while :; do sleep 1; done'\n")
    first.until(b"on-42\r\n")
    first.send(protocol.END)
    while first.status is None:
        first.read()
    assert first.status == 3
    first.kill()
    again = NEW._replace(is_new=False, generation=2)
    seen = attach(again._replace(look=True)).hello
    assert (seen["ended"], seen["attended"]) == (True, False)
    time.sleep(1.5)  # a holder looks around every second
    second = attach(again)
    while second.status is None:
        second.read()
    assert (second.text, second.status) == (first.text, 3)
    assert b"last-42" in second.text
    second.send(protocol.acknowledged(len(second.text)) + protocol.HEARD)
    until_gone(tmp_path)


def test_what_was_typed_twice_is_done_once(tmp_path: Path, attach: Attach) -> None:
    first = attach(NEW)
    first.type("echo a-$((1+1))\n", 0)
    first.until(b"a-2")
    first.kill()
    second = attach(NEW._replace(is_new=False, generation=2))
    second.type("echo a-$((1+1))\necho b-$((1+1))\nexit\n", 0)
    while second.status is None:
        second.read()
    assert (second.text.count(b"a-2\r\n"), second.text.count(b"b-2\r\n")) == (1, 1)
    second.send(protocol.acknowledged(len(second.text)) + protocol.HEARD)
    until_gone(tmp_path)


def test_a_shell_that_nobody_comes_back_to_ends_with_what_it_started(tmp_path: Path, attach: Attach) -> None:
    first = attach(NEW._replace(ttl_s=1))
    first.type("trap '' HUP; echo on-$((40+2)); sleep 1000\n")
    first.until(b"on-42")
    first.kill()
    until_gone(tmp_path, 10)
    assert attach(NEW._replace(is_new=False, generation=2)).hello == {"gone": True}
    until_gone(tmp_path)


def test_a_shell_has_the_size_of_the_window_also_when_that_changes(attach: Attach) -> None:
    first = attach(NEW)
    first.type("echo as-$((40+2)) $(stty size)\n")
    first.until(b"as-42 24 80\r\n")
    first.send(protocol.sized(132, 50) + b"w" + struct.pack(">I", 2) + b"no")
    first.type("echo now-$((40+2)) $(stty size)\n", first.taken)
    first.until(b"now-42 50 132\r\n")


def test_a_holder_that_was_killed_is_gone(tmp_path: Path, attach: Attach) -> None:
    first = attach(NEW)
    first.type("kill -9 $PPID\n")
    assert first.process.wait(5) == 0
    assert attach(NEW._replace(is_new=False, generation=2)).hello == {"gone": True}
    until_gone(tmp_path)


def test_an_order_to_end_is_heard_while_the_shell_takes_nothing(tmp_path: Path, attach: Attach) -> None:
    first = attach(NEW)
    command = "stty raw -echo; echo on-$((40+2)); exec sleep 77\n"
    first.type(command)
    first.until(b"on-42")
    first.type("x" * 180_000, len(command))
    first.send(protocol.END)
    before = time.monotonic()
    while first.status is None:
        assert first.read()
    assert first.status < 0
    assert time.monotonic() - before < 5
    assert first.taken < 180_000, "what it has no room for it does not say to have"
    first.send(protocol.acknowledged(len(first.text)) + protocol.HEARD)
    until_gone(tmp_path)


def test_nothing_in_the_account_s_folder_is_run_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "ast.py").write_text("1/0")
    (tmp_path / "zlib.py").write_text("1/0")
    (tmp_path / "socket.py").write_text("1/0")
    command = protocol.COMMAND.replace("python3", shlex.quote(sys.executable))
    env = {"HOME": str(tmp_path), "PYTHONPATH": str(tmp_path), "PATH": os.environ["PATH"]}
    asked = NEW._replace(is_new=False).lines()
    done = subprocess.run(command, shell=True, env=env, cwd=tmp_path, input=asked, capture_output=True, check=False)
    assert json.loads(done.stdout) == {"gone": True}, done.stderr


def test_a_system_that_ends_what_is_left_running_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    monkeypatch.setenv("XDG_SESSION_ID", "7")
    root = f"{tmp_path}/"
    assert not lingers_not(root)
    (tmp_path / "etc/systemd/logind.conf.d").mkdir(parents=True)
    (tmp_path / "etc/systemd/logind.conf").write_text("[Login]\n#KillUserProcesses=yes\nKillUserProcesses=no\n")
    assert not lingers_not(root)
    (tmp_path / "etc/systemd/logind.conf.d/50-site.conf").write_text("[Login]\nKillUserProcesses = yes\n")
    assert lingers_not(root)
    monkeypatch.delenv("XDG_SESSION_ID")
    assert not lingers_not(root), "this connection is no session of logind"
