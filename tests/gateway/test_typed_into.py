"""OpenSSH's client in a terminal of its own, typed into: its escapes, breaks and signals; and old and new scp."""

import asyncio
import contextlib
import os
import re
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from rppam.gateway.ports import Credential
from rppam.kernel.secret import Secret
from tests.gateway import test_recorded
from tests.gateway.places import HOST, Place, Sshd, sshd
from tests.gateway.test_clients import allow, until_gone
from tests.gateway.test_forwards import echo, through
from tests.gateway.test_kept import terminal, until
from tests.support.ports import free_port
from tests.support.served import PASSWORD
from tests.support.terminals import InTerminal

place = test_recorded.place
pytestmark = [pytest.mark.integration]


@pytest.fixture
def policy() -> dict[str, Any]:
    return {}


class Typed(InTerminal):
    """``ssh`` with a controlling terminal of its own, which asks there what it has to ask."""

    def __init__(self, place: Place, *words: str, user: str = "admin+web1") -> None:
        env = {name: value for name, value in os.environ.items() if not name.startswith(("SSH_", "DISPLAY"))}
        options = [word.replace("LogLevel=ERROR", "LogLevel=INFO") for word in place.options(user)]
        argv = ["setsid", "--ctty", "--wait", "ssh", *options, *words, HOST]
        super().__init__(argv, {**env, "TERM": "xterm", "SSH_ASKPASS_REQUIRE": "never"}, own_session=False)

    async def until(self, pattern: str, patience_s: float = 20) -> None:
        def found() -> bool:
            return re.search(pattern.encode(), self.out) is not None

        with contextlib.suppress(AssertionError):
            await until(lambda: found() or self.process.poll() is not None, patience_s)
        assert found(), (pattern, self.out)

    async def shell(self, prompt: str = r"[$#] ?$") -> None:
        """Log in, and see that a shell answers."""
        await self.until("[Pp]assword: ?$")
        self.type(f"{PASSWORD}\n")
        await self.until(prompt)
        self.type("echo on-$((40+2))\n")
        await self.until(r"[\r\n]on-42\r\n")


@pytest.fixture
async def typed(place: Place) -> AsyncIterator[Callable[..., Typed]]:
    made = list[Typed]()

    def start(*words: str, user: str = "admin+web1") -> Typed:
        made.append(Typed(place, *words, user=user))
        return made[-1]

    yield start
    for one in made:
        one.close()


async def test_two_tildes_are_one_and_a_tilde_with_a_point_ends_it(place: Place, typed: Callable[..., Typed]) -> None:
    user = typed()
    await user.shell()
    user.type("cat\n~~in\n")
    await user.until(r"[\r\n]~in\r\n")
    user.type("\n~.")
    assert await user.status() == 255
    await until_gone(place)
    await until(lambda: place.target.held == [])


async def test_forwards_are_added_and_taken_away_in_the_middle_where_the_policy_allows_them(
    place: Place, typed: Callable[..., Typed], monkeypatch: pytest.MonkeyPatch
) -> None:
    allow(place, monkeypatch, local_forward=True, remote_forward=False)
    here, there = free_port(), free_port()
    async with echo() as port:
        user = typed("-o", "EnableEscapeCommandline=yes")
        await user.shell()
        user.type("\n~C")
        await user.until("ssh> $")
        user.type(f"-L {here}:{HOST}:{port}\n")
        await user.until(r"Forwarding port\.")
        assert await through(here, b"data") == b"hello data"
        user.type("\n~C")
        await user.until(r"ssh> [^>]*ssh> $")
        user.type(f"-R {there}:{HOST}:{port}\n")
        await user.until(r"(Forwarding port\.[^F]*){2}")
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(HOST, there)
        user.type("\n~C")
        await user.until(r"(ssh> [^>]*){2}ssh> $")
        user.type(f"-KL {here}\n")
        await user.until(r"Cancell?ed forwarding\.")
        allow(place, monkeypatch, local_forward=False)
        user.type("echo still-$((40+2)); exit 3\n")
        await user.until(r"[\r\n]still-42\r\n")
        assert await user.status() == 3


class Switch(asyncssh.SSHServer):
    """A console server: it hears breaks, as no pseudo-terminal of Linux does."""

    heard: "list[tuple[str, str | int]]"

    def begin_auth(self, username: str) -> bool:
        return True

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        return password == "console"

    def session_requested(self) -> asyncssh.SSHServerSession[bytes]:
        return Line(self.heard)


class Line(asyncssh.SSHServerSession[bytes]):
    def __init__(self, heard: "list[tuple[str, str | int]]") -> None:
        self.heard = heard

    def connection_made(self, chan: Any) -> None:
        self.chan = chan

    def pty_requested(self, *_: object) -> bool:
        return True

    def shell_requested(self) -> bool:
        return True

    def session_started(self) -> None:
        self.chan.write(b"switch# ")

    def data_received(self, data: bytes, datatype: int | None) -> None:
        self.chan.write(data.replace(b"on-$((40+2))", b"\r\non-42\r\n"))

    def break_received(self, msec: int) -> bool:
        self.heard.append(("break", msec))
        self.chan.write(b"\r\nrommon> ")
        return True

    def signal_received(self, signal: str) -> None:
        self.heard.append(("signal", signal))


async def test_a_break_reaches_the_console_of_a_switch(place: Place, typed: Callable[..., Typed]) -> None:
    heard = list[tuple[str, str | int]]()

    class Here(Switch):
        pass

    Here.heard = heard
    server = await asyncssh.create_server(
        Here, HOST, 0, server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")], encoding=None,
        line_editor=False, kex_algs=["curve25519-sha256"],
    )  # fmt: skip
    try:
        credential = Credential(password=Secret("console"))
        place.routes.add("switch", server.sockets[0].getsockname()[1], "console", credential, is_host=False)
        user = typed("-tt", user="admin+switch")
        await user.shell("switch# ")
        user.type("\n~B")
        await user.until("rommon> $")
        assert heard == [("break", 1000)]
        async with place.client("admin+switch") as client:
            process = await client.create_process(term_type="xterm", encoding=None)
            await process.stdout.readuntil(b"switch# ")
            process.send_signal("INT")
            process.send_break(300)
            await until(lambda: len(heard) == 3)
        assert heard[1:] == [("signal", "INT"), ("break", 300)]
    finally:
        server.close()  # from Python 3.12 on, to wait for it is to wait for the user's connection, too


@pytest.mark.parametrize("name", ["INT", "TERM"])
async def test_a_signal_reaches_what_runs_in_a_shell_that_is_kept(place: Place, name: str) -> None:
    async with place.client() as client:
        screen = await terminal(client)
        screen.type(f"sh -c \"trap 'echo got-\\$((40+2)); exit 4' {name}; echo ready-\\$((1+1)); "
                    'while :; do sleep 0.05; done"; echo left-$?\n')  # fmt: skip
        await screen.until("ready-2\r\n")
        assert place.target.held, "it is one that a holder keeps"
        screen.process.send_signal(name)
        await screen.until("got-42\r\n")
        await screen.until("left-4\r\n")
        screen.type("exit 0\n")
        await screen.process.wait()


# ---- scp -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def fussy(tmp_path: Path) -> Iterator[Sshd]:
    """A target on which root is refused what its modes refuse."""
    bounds = "--bounding-set=-dac_override,-dac_read_search"
    with sshd(tmp_path / "fussy", under=("setpriv", bounds) if os.getuid() == 0 else ()) as one:
        yield one


@pytest.mark.parametrize("how", [("-O",), ("-s",)], ids=["old", "sftp"])
async def test_scp_both_ways_and_what_the_target_refuses(
    place: Place, fussy: Sshd, tmp_path: Path, how: tuple[str, ...]
) -> None:
    (fussy.folder / "authorized_keys").write_text((place.target.folder / "user.pub").read_text())
    place.routes.add("fussy", fussy.port, fussy.user, place.key)
    data, there = os.urandom(700_000), tmp_path / "there"
    (tmp_path / "tree" / "below").mkdir(parents=True)
    (tmp_path / "tree" / "a-file").write_bytes(data)
    (tmp_path / "tree" / "below" / "run").write_bytes(b"#!/bin/sh\n")
    (tmp_path / "tree" / "below" / "run").chmod(0o751)
    there.mkdir()
    argv = ["scp", *how, "-p", *place.options("admin+fussy")]

    async def scp(*words: str) -> Any:
        return await place.run(*argv, *words)

    assert (await scp("-r", str(tmp_path / "tree"), f"{HOST}:{there}/up")).code == 0
    assert (there / "up" / "a-file").read_bytes() == data
    assert (there / "up" / "below" / "run").stat().st_mode & 0o777 == 0o751
    assert (await scp("-r", f"{HOST}:{there}/up", str(tmp_path / "down"))).code == 0
    assert (tmp_path / "down" / "a-file").read_bytes() == data
    missing = await scp(f"{HOST}:{there}/none", str(tmp_path / "none"))
    assert (missing.code, (tmp_path / "none").exists()) == (1, False)
    assert re.search(rf"{there}/none: No such file or directory", missing.err), missing
    nowhere = await scp(str(tmp_path / "tree" / "a-file"), f"{HOST}:{there}/no/where")
    assert nowhere.code == 1
    assert "No such file or directory" in nowhere.err, nowhere
    secret = there / "secret"
    secret.write_bytes(b"secret")
    secret.chmod(0)
    closed = await scp(f"{HOST}:{secret}", str(tmp_path / "secret"))
    assert (closed.code, (tmp_path / "secret").exists()) == (1, False)
    assert re.search(rf"{secret}.*: Permission denied", closed.err), closed
    there.chmod(0o500)
    try:
        kept = await scp(str(tmp_path / "tree" / "a-file"), f"{HOST}:{there}/new")
    finally:
        there.chmod(0o700)
    assert (kept.code, (there / "new").exists()) == (1, False)
    assert "Permission denied" in kept.err, kept
    both = await scp(f"{HOST}:{there}/none", f"{HOST}:{there}/up/a-file", str(tmp_path / "tree"))
    assert both.code == 1, "one that is missing is told, and the other comes all the same"
    assert (tmp_path / "tree" / "a-file").read_bytes() == data
