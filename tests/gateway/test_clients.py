"""What OpenSSH's clients and servers do beside the simplest things: escapes, masters, old servers, dead clients."""

import asyncio
import contextlib
import hashlib
import json
import os
import signal
import struct
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from rppam.gateway.ports import Credential
from tests.gateway import test_recorded
from tests.gateway.places import HOST, Place, Sshd, sshd
from tests.gateway.test_forwards import echo, opened
from tests.gateway.test_kept import until
from tests.gateway.test_recorded import exported, listed
from tests.gateway.test_refusals import one_line
from tests.gateway.test_register import recorded
from tests.gateway.test_user_keys import made, signed_in
from tests.support.ports import free_port
from tests.support.served import PASSWORD, Served

place = test_recorded.place
pytestmark = [pytest.mark.integration]


@pytest.fixture
def policy() -> dict[str, Any]:
    return {}


def allow(place: Place, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    wanted = place.gateway.gate.policy._replace(**changes)
    monkeypatch.setattr(type(place.gateway.gate), "policy", property(lambda _: wanted))


async def test_escapes_are_the_clients_own(place: Place) -> None:
    typed = b"stty -echo\n~~tilde() { echo from-$1; }; '~tilde' 1 2>/dev/null; echo at-$((40+2))\n"
    ended = await place.ssh(options=("-tt",), given=typed + b"exit 4\n")
    assert (ended.code, b"at-42" in ended.out) == (4, True), ended
    left = await place.ssh(options=("-tt",), given=b"echo at-$((40+2)); sleep 0.2\n\n~.", patience_s=30)
    assert left.code == 255
    await until_gone(place)


async def until_gone(place: Place) -> None:
    for _ in range(200):
        if not place.gateway.gate.sessions:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(place.gateway.gate.live)


async def test_modes_of_the_terminal_reach_the_program(place: Place) -> None:
    async with place.client() as client:
        for echo_on in (0, 1):
            modes = {asyncssh.PTY_ECHO: echo_on, asyncssh.PTY_VINTR: 7}
            done = await client.run("stty -a", term_type="xterm", term_size=(90, 20), term_modes=modes)
            assert ("-echo " in done.stdout) is (not echo_on), done.stdout
            assert "intr = ^G" in done.stdout


async def test_an_interrupt_reaches_the_program(place: Place) -> None:
    async with place.client() as client:
        process = await client.create_process("trap 'echo got; exit 4' INT; echo on; while :; do sleep 0.05; done")
        assert await process.stdout.readline() == "on\n"
        process.send_signal("INT")
        done = await process.wait()
        assert (done.stdout, done.exit_status) == ("got\n", 4)


async def test_another_size_is_in_the_recording(place: Place) -> None:
    async with place.client() as client:
        process = await client.create_process("stty size; read x", term_type="xterm", term_size=(80, 24))
        assert (await process.stdout.readline()).split() == ["24", "80"]
        process.change_terminal_size(100, 30)
        process.stdin.write("\n")
        await process.wait()
    (one,) = await listed(place)
    events = [json.loads(line) for line in (await exported(place, one["id"], "cast2")).decode().splitlines()[1:]]
    assert [event[2] for event in events if event[1] == "r"] == ["100x30"]


@pytest.mark.slow
async def test_four_at_once_carry_much_both_ways(place: Place) -> None:
    data = os.urandom(8_000_000)
    assert (await place.ssh("true")).code == 0
    ended = await asyncio.gather(*(place.ssh("cat", given=data, patience_s=120) for _ in range(4)))
    assert [hashlib.sha256(one.out).digest() for one in ended] == [hashlib.sha256(data).digest()] * 4


async def test_keys_and_passwords_are_switched_off_for_the_next_log_in(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, headers = await made(tmp_path, "-t", "ed25519"), await signed_in(place)
    body = {"key": key.with_suffix(".pub").read_text()}
    assert (await place.served.http.post("/api/v1/users/me/ssh-keys", json=body, headers=headers)).status_code == 201
    own = ("-o", "PubkeyAuthentication=yes", "-o", "IdentitiesOnly=yes", "-i", str(key))

    async def by_key() -> int:
        argv = ["ssh", *own, "-o", "PreferredAuthentications=publickey", *place.options(), HOST, "true"]
        return (await place.run(*argv)).code

    assert await by_key() == 0
    assert (await place.ssh("true")).code == 0
    allow(place, monkeypatch, key_login=False)
    assert (await by_key(), (await place.ssh("true")).code) == (255, 0)
    allow(place, monkeypatch, key_login=True, password_login=False)
    assert (await by_key(), (await place.ssh("true")).code) == (0, 255)


async def test_who_is_locked_out_over_rest_is_so_here_and_unlocked_at_once(place: Place) -> None:
    wrong = {"username": "admin", "password": "not the password"}
    while not (
        found := (await place.served.http.get("/api/v1/lockouts", headers=place.served.bearer())).json()["items"]
    ):
        await place.served.http.post("/api/v1/auth/login", json=wrong)
    refused = await place.ssh("true")
    assert refused.code == 255
    assert "RPPAM-1904" in refused.err or "too many wrong" in refused.err, refused
    for one in found:
        path = f"/api/v1/lockouts/{one['id']}"
        assert (await place.served.http.delete(path, headers=place.served.bearer())).status_code == 204
    assert (await place.ssh("true")).code == 0


STRANGE = """
import asyncio, asyncssh, json, sys
asyncssh.connection.saslprep = lambda name: name  # asyncssh's own client would not send it
port, name = json.loads(sys.argv[1])
async def main():
    await asyncssh.connect("127.0.0.1", port, username=name, password="x", known_hosts=None, client_keys=None,
                           agent_path=None, config=None, kex_algs=["curve25519-sha256"])
try:
    asyncio.run(main())
except (asyncssh.Error, OSError):
    sys.exit(7)
"""


@pytest.mark.parametrize("name", ["a\0b", "a\nb+web1", "x" * 2000, "\u0430dmin+web1", "a\x1b[2Jb"])
async def test_names_that_no_client_types_are_nobody(place: Place, name: str, caplog: pytest.LogCaptureFixture) -> None:
    ended = await place.run(sys.executable, "-c", STRANGE, json.dumps([place.port, name]))
    assert ended.code == 7, ended
    assert not any("\x1b" in one.getMessage() or "\0" in one.getMessage() for one in caplog.records)
    assert (await place.ssh("true")).code == 0


async def test_a_host_key_that_is_forgotten_is_trusted_anew(place: Place) -> None:
    assert (await place.ssh("true")).code == 0
    (pinned,) = place.hosts.pins["id-web1"]
    place.hosts.pins["id-web1"] = [pinned._replace(public=f"{pinned.public[:-8]}AAAAAAAA")]
    one_line((await place.ssh("true")).err, "RPPAM-8615")
    place.hosts.pins["id-web1"] = []
    assert (await place.ssh("true")).code == 0
    assert place.hosts.pins["id-web1"] == [pinned]


async def test_only_files_where_only_they_are_allowed(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    allow(place, monkeypatch, shell=False, exec=False)
    for words, right in ((("id",), "exec"), ((), "shell")):
        refused = await place.ssh(*words)
        assert (refused.code, refused.out) == (254, b"")
        one_line(refused.err, "RPPAM-8604")
        assert f"the right that is missing is '{right}'" in refused.err
    old = await place.run("scp", "-O", *place.options(), "/etc/hostname", f"{HOST}:{tmp_path}/never")
    assert (old.code != 0, (tmp_path / "never").exists()) == (True, False)
    assert (await place.ssh(options=("-W", f"{HOST}:{free_port()}"))).code != 0
    batch = place.run("sftp", "-oBatchMode=no", *place.options(), "-b", "-", HOST, given=b"ls /\n")
    assert (await batch).code == 0


async def test_more_of_sftp_and_rsync_with_recording_on(place: Place, tmp_path: Path) -> None:
    data, source, there, back = os.urandom(900_000), *(tmp_path / name for name in ("source", "there", "back"))
    source.write_bytes(data)
    back.write_bytes(data[:300_000])
    batch = f"put {source} {there}\ndf {tmp_path}\nreget {there} {back}\nmkdir {tmp_path}/d\nrmdir {tmp_path}/d\n"
    done = await place.run("sftp", "-oBatchMode=no", *place.options(), "-b", "-", HOST, given=batch.encode())
    assert done.code == 0, done
    assert (b"Avail" in done.out, back.read_bytes()) == (True, data)
    shell = "ssh " + " ".join(place.options())
    argv = ["rsync", "-v", "-e", shell]
    dry = await place.run(*argv, "--dry-run", str(source), f"{HOST}:{tmp_path}/never")
    assert (dry.code, b"source" in dry.out, (tmp_path / "never").exists()) == (0, True, False), dry
    for words in ([str(source), f"{HOST}:{tmp_path}/up"], [f"{HOST}:{tmp_path}/up", str(tmp_path / "down")]):
        assert (await place.run(*argv, *words)).code == 0
    assert (tmp_path / "down").read_bytes() == data
    assert sum("rsync --server" in one["title"] for one in await listed(place)) == 3


async def test_modules_on_standard_input_over_one_connection_that_stays(place: Place, tmp_path: Path) -> None:
    """As Ansible pipelines them."""
    path = str(tmp_path / "cm")
    plain = [f"ControlPath={path}" if word == "ControlPath=none" else word for word in place.options()]
    argv = ["ssh", "-C", "-o", "ControlMaster=auto", "-o", "ControlPersist=60s", *plain, HOST]
    module = b"import sys\nprint(sum(range(100)), len(" + repr("x" * 50_000).encode() + b"))\n"
    assert (await place.ssh("true")).code == 0
    try:
        for _ in range(3):
            several = (place.run(*argv, "/bin/sh -c 'python3 && sleep 0'", given=module) for _ in range(6))
            for ended in await asyncio.gather(*several):
                assert (ended.code, ended.out) == (0, b"4950 50000\n"), ended
        assert len(await recorded(place, "access.start")) <= 7
    finally:
        await place.run(*argv, "-O", "exit")


async def test_an_editor_that_installs_itself_through_a_long_script(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A script on standard input with ``-D`` beside it, and a second connection meanwhile."""
    allow(place, monkeypatch, local_forward=True)
    port = free_port()
    lines = "".join(f": {'x' * 60} {number}\n" for number in range(4000))
    script = f"{lines}echo listening; sleep 3; echo done\n".encode()
    first = asyncio.create_task(place.ssh("sh", options=("-T", "-D", str(port)), given=script))
    async with echo() as there:
        reader, writer = await opened(port)
        writer.write(b"\x05\x01\x00")
        assert await reader.readexactly(2) == b"\x05\x00"
        writer.write(b"\x05\x01\x00\x01" + bytes([127, 0, 0, 1]) + struct.pack(">H", there))
        assert (await reader.readexactly(10))[1] == 0
        writer.write(b"ping")
        writer.write_eof()
        assert await asyncio.wait_for(reader.read(), 10) == b"hello ping"
        writer.close()
    assert (await place.ssh("echo second")).out == b"second\n"
    ended = await first
    assert (ended.code, ended.out) == (0, b"listening\ndone\n"), ended


OLD = (
    "KexAlgorithms diffie-hellman-group14-sha1", "Ciphers aes128-cbc", "MACs hmac-sha1", "HostKeyAlgorithms ssh-rsa",
)  # fmt: skip


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
async def test_an_old_server_is_reached_only_where_its_resource_says_so(place: Place, tmp_path: Path) -> None:
    folder = tmp_path / "old"
    rsa = await made(tmp_path, "-t", "rsa", "-b", "2048")
    with sshd(folder, *OLD, f"HostKey {rsa}") as one:
        key = Credential(private_key=place.key.private_key)
        (one.folder / "authorized_keys").write_text((place.target.folder / "user.pub").read_text())
        place.routes.add("old", one.port, one.user, key)
        place.routes.add("old2", one.port, one.user, key, legacy=True)
        refused = await place.ssh("echo in", user="admin+old")
        assert (refused.code, refused.out) == (255, b"")
        one_line(refused.err, "RPPAM-8617")
        fine = await place.ssh("echo in", user="admin+old2")
        assert (fine.code, fine.out) == (0, b"in\n"), fine


async def test_what_comes_before_the_first_exchange_of_keys_ends_the_connection(place: Place) -> None:
    def packet(body: bytes) -> bytes:
        padding = 8 - (len(body) + 5) % 8
        padding += 8 if padding < 4 else 0
        return struct.pack(">IB", len(body) + padding + 1, padding) + body + bytes(padding)

    def names(*words: str) -> bytes:
        text = ",".join(words).encode()
        return struct.pack(">I", len(text)) + text

    offer = b"\x14" + os.urandom(16) + names("curve25519-sha256", "kex-strict-c-v00@openssh.com")
    offer += names("ssh-ed25519") + names("aes256-ctr") * 2 + names("hmac-sha2-256") * 2 + names("none") * 2
    offer += names() * 2 + b"\0" * 5

    async def heard(early: bytes) -> bool:
        """Whether the server goes on."""
        reader, writer = await asyncio.open_connection(HOST, place.port)
        writer.write(b"SSH-2.0-test\r\n" + early + packet(offer))
        is_over = False
        with contextlib.suppress(TimeoutError, OSError):
            async with asyncio.timeout(1.5):
                while await reader.read(65536):
                    pass
                is_over = True
        writer.close()
        return not is_over

    assert await heard(b"")
    assert not await heard(packet(b"\x02" + struct.pack(">I", 1) + b"x"))


@pytest.fixture
async def quick(served: Served, tmp_path: Path, target: Sshd, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Place]:
    """A gateway that misses clients sooner."""
    monkeypatch.setattr("rppam.gateway.ssh.algorithms.KEEPALIVE_S", 1)
    (tmp_path / "quick").mkdir()
    one = Place(served, tmp_path / "quick", target)
    await one.start()
    yield one
    await one.stop()


async def test_a_client_that_is_dead_is_missed_and_its_session_ended(quick: Place) -> None:
    mark = f"{300 + quick.port / 100000:.5f}"
    process = await asyncio.create_subprocess_exec(
        "ssh", *quick.options(), HOST, f"sleep {mark}", env=quick.environment(PASSWORD), start_new_session=True,
        stdin=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        await until(lambda: bool(quick.gateway.gate.live) and bool(running(mark)))
        os.killpg(process.pid, signal.SIGSTOP)
        began = time.monotonic()
        await until(lambda: not quick.gateway.gate.live, 30)
        assert time.monotonic() - began < 15, "three times a second without a word"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    (ended,) = await recorded(quick, "access.end")
    assert ended["details"]["why"] == "the user's connection was lost"


def running(mark: str) -> list[str]:
    """Processes that sleep for that long."""
    found = []
    for one in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if one.read_bytes() == f"sleep\0{mark}\0".encode():
                found.append(one.parent.name)
    return found


async def test_a_gateway_that_is_replaced_lets_sessions_finish_and_takes_no_new_ones(place: Place) -> None:
    assert (await place.ssh("true")).code == 0
    running = asyncio.create_task(place.ssh("echo on; sleep 4; echo done"))
    late = asyncio.create_task(place.ssh("echo on; sleep 60"))
    await until(lambda: len(place.gateway.gate.live) == 2 and all(one.down for one in place.gateway.gate.live))
    stopping = asyncio.create_task(place.gateway.stop("maintenance", 7))
    await asyncio.sleep(0.5)
    refused = await place.ssh("true")
    assert (refused.code, refused.out) == (255, b"")
    assert "no new session is taken: maintenance" in refused.err, refused
    ended = await running
    assert (ended.code, ended.out) == (0, b"on\ndone\n"), ended
    cut = await late
    assert cut.out == b"on\n"
    assert "this session is ended: maintenance" in cut.err
    await stopping
