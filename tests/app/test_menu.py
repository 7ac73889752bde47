"""The menu of ``rppam-ha-manager``: its items, the commands that they become, and a real terminal."""

import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from fcntl import ioctl
from pathlib import Path

import pytest

from rppam.app.ha_manager import WORDS
from rppam.app.menu import BANNER, ITEMS, words_of


def test_the_items_are_the_products() -> None:
    assert [f"{one.key}) {one.title}" for one in ITEMS] == [
        "1) Cluster Status",
        "2) Add Node",
        "3) Remove Node",
        "4) Push Config",
        "5) Failover Test",
        "6) VIP Configuration",
        "7) Redis Configuration",
        "8) Node Maintenance Mode",
        "0) Exit",
    ]
    assert BANNER == "RP-PAM HA Manager v1.0"


@pytest.mark.parametrize("one", [one for one in ITEMS if one.words], ids=lambda one: one.title)
def test_each_item_types_a_direct_command(one: object) -> None:
    chosen = next(known for known in ITEMS if known is one)
    assert chosen.words[0] in WORDS
    assert words_of(chosen, [field.value or "x" for field in chosen.fields])[0] == chosen.words[0]


def test_what_an_item_needs_has_to_be_given() -> None:
    add, test = (next(one for one in ITEMS if one.key == key) for key in "25")
    assert words_of(add, ["10.0.0.2", "7100", "standby"]) == [
        "add-node", "--host", "10.0.0.2", "--port", "7100", "--role", "standby",
    ]  # fmt: skip
    assert words_of(test, ["kill", " "]) == ["failover-test", "--yes", "--method", "kill"]
    with pytest.raises(ValueError, match="Host: expected something, found nothing"):
        words_of(add, ["", "7100", "standby"])


class Terminal:
    """A real pseudo-terminal with the menu on it."""

    def __init__(self, folder: Path, config: Path | None = None) -> None:
        self.ours, theirs = pty.openpty()
        ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
        environment = {"PATH": os.defpath, "HOME": str(folder), "TERM": "xterm-256color", "LANG": "C.UTF-8"}
        environment["RPPAM_CONFIG"] = str(config or folder / "none.config")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "rppam.app.ha_manager"],
            stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True,
        )  # fmt: skip
        os.close(theirs)
        self.shown = ""

    def wait_for(self, text: str, within_s: float = 30.0, *, behind: str = "") -> str:
        """All that was shown since the last wait, without colours, as soon as ``text`` is in it: behind the last
        ``behind``, as what stood there before is drawn again and again."""
        until = time.monotonic() + within_s
        while True:
            plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.shown)
            if behind in plain and text in (plain.rpartition(behind)[2] if behind else plain):
                break
            assert time.monotonic() < until, f"{text!r} was not shown:\n{self.shown[-3000:]!r}"
            if select.select([self.ours], [], [], 0.2)[0]:
                try:
                    self.shown += os.read(self.ours, 65_536).decode(errors="replace")
                except OSError:
                    assert self.process.poll() is None, self.shown
        self.shown = ""
        return plain

    def type(self, text: str) -> None:
        os.write(self.ours, text.encode())


@pytest.mark.integration
def test_it_is_driven_on_a_real_terminal(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path)
    try:
        terminal.wait_for("8) Node Maintenance Mode")
        terminal.type("1")
        terminal.wait_for("there is no token")
        terminal.wait_for("exit code 2")
        terminal.type("8")
        terminal.wait_for("on or off")
        terminal.type("node3\t\t\r")
        terminal.wait_for("maintenance node3 on")
        terminal.type("n")
        terminal.wait_for("Cluster Status")
        terminal.type("0")
        assert terminal.process.wait(20) == 0
    finally:
        terminal.process.kill()
        terminal.process.wait()
        os.close(terminal.ours)


@pytest.mark.integration
def test_without_a_terminal_it_shows_its_help() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "rppam.app.ha_manager"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 2
    assert "failover-test" in ran.stdout
