"""What the gateway refuses, and the one line that its user reads."""

import asyncio
import re
import socket
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from rppam.gateway.model import PinnedKey
from rppam.gateway.policy import ACCESS
from rppam.gateway.ports import Credential
from rppam.kernel.secret import Secret
from tests.gateway.places import HOST, Place
from tests.gateway.test_register import recorded
from tests.support.ports import free_port
from tests.support.served import PASSWORD

pytestmark = [pytest.mark.integration]


def one_line(err: str, code: str) -> None:
    lines = [line for line in err.splitlines() if line.strip()]
    assert len(lines) == 1, err
    assert re.fullmatch(rf"RP-PAM: .+ \({code}\)", lines[0]), err


async def test_a_wrong_password(place: Place) -> None:
    ended = await place.ssh("id", answers=("wrong",))
    assert ended.code == 255
    assert "Permission denied" in ended.err


async def test_wrong_ones_lock_the_user_as_over_rest(place: Place) -> None:
    for _ in range(8):
        ended = await place.ssh("id", answers=("wrong",), user="ursula+web1")
    ended = await place.ssh("id", user="ursula+web1")
    assert ended.code == 255
    assert "RPPAM-1904" in ended.err or "too many wrong" in ended.err, ended


async def test_unknown_and_not_granted_targets_are_the_same(place: Place) -> None:
    unknown = await place.ssh("id", user="admin+nowhere")
    denied = await place.ssh("id", user="ursula+web1")
    assert unknown.code == denied.code == 254
    assert unknown.err == denied.err
    one_line(unknown.err, "RPPAM-8601")


async def test_no_target_and_no_terminal(place: Place) -> None:
    ended = await place.ssh("id", user="admin")
    assert ended.code == 254
    one_line(ended.err, "RPPAM-8603")


async def test_a_target_that_is_down(place: Place) -> None:
    place.routes.add("down", free_port(), "root", place.key)
    ended = await place.ssh("id", user="admin+down")
    assert ended.code == 255
    one_line(ended.err, "RPPAM-8611")


async def test_a_name_that_cannot_be_resolved(place: Place) -> None:
    place.routes.add("lost", 22, "root", place.key, host="nowhere.invalid")
    ended = await place.ssh("id", user="admin+lost")
    assert ended.code == 255
    one_line(ended.err, "RPPAM-8613")


async def test_a_wrong_credential(place: Place) -> None:
    place.routes.add("bad", place.target.port, place.target.user, Credential(password=Secret("wrong")))
    ended = await place.ssh("id", user="admin+bad")
    assert ended.code == 255
    one_line(ended.err, "RPPAM-8614")
    assert "wrong" not in ended.err


async def test_a_target_that_says_nothing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rppam.gateway.ssh.target.ALL_S", 1.0)
    with socket.socket() as silent:
        silent.bind((HOST, 0))
        silent.listen(8)
        place.routes.add("silent", silent.getsockname()[1], "root", place.key)
        ended = await place.ssh("id", user="admin+silent")
    assert ended.code == 255
    one_line(ended.err, "RPPAM-8612")


async def test_a_target_that_is_no_ssh_server(place: Place) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(talk, HOST, 0) as server:
        place.routes.add("http", server.sockets[0].getsockname()[1], "root", place.key)
        ended = await place.ssh("id", user="admin+http")
    assert ended.code == 255
    one_line(ended.err, "RPPAM-8617")


async def test_a_changed_host_key_is_refused_whatever_the_policy(place: Place) -> None:
    assert (await place.ssh("true")).code == 0
    (pin,) = place.hosts.pins["id-web1"]
    assert pin.public == place.target.host_key
    place.hosts.pins["id-web1"] = [PinnedKey(pin.algorithm, pin.public[:-3] + "AAA", "SHA256:other")]
    ended = await place.ssh("id")
    assert ended.code == 255
    one_line(ended.err, "RPPAM-8615")
    assert "SHA256:other" in ended.err


async def test_an_unknown_host_key_where_it_has_to_be_pinned(place: Place) -> None:
    place.routes.add("careful", place.target.port, place.target.user, place.key, trust="pin")
    ended = await place.ssh("id", user="admin+careful")
    assert ended.code == 255
    one_line(ended.err, "RPPAM-8616")
    assert "SHA256:" in ended.err
    assert "id-careful" not in place.hosts.pins


async def test_forwards_are_off(place: Place) -> None:
    ended = await place.ssh(options=("-W", f"{HOST}:{place.target.port}"))
    assert ended.code != 0
    assert "stdio forwarding failed" in ended.err
    port = free_port()
    ended = await place.ssh("true", options=("-o", "ExitOnForwardFailure=yes", "-R", f"{port}:{HOST}:22"))
    assert ended.code != 0
    ended = await place.ssh("echo $SSH_AUTH_SOCK", options=("-A",))
    assert ended.out == b"\n"


async def test_x11_is_refused_and_keeps_nobody_waiting(place: Place) -> None:
    env = {**place.environment(PASSWORD), "DISPLAY": "localhost:99"}
    ended = await place.ssh("echo in $DISPLAY", options=("-Y",), env=env)
    assert (ended.code, ended.out) == (0, b"in\n"), ended


async def test_who_types_nothing_is_ended_and_told(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = place.gateway.gate.policy._replace(idle_minutes=1)
    monkeypatch.setattr(type(place.gateway.gate), "policy", property(lambda _: policy))
    monkeypatch.setattr("rppam.gateway.ssh.gate.SECONDS_A_MINUTE", 0.5)
    ended = await place.ssh("sleep 60", options=("-o", "ServerAliveInterval=1"))
    assert ended.code != 0
    assert "nothing was typed for 1 min" in ended.err, ended


async def test_a_connection_without_a_session_ends_as_an_idle_one(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = place.gateway.gate.policy._replace(idle_minutes=1)
    monkeypatch.setattr(type(place.gateway.gate), "policy", property(lambda _: policy))
    monkeypatch.setattr("rppam.gateway.ssh.server.SECONDS_A_MINUTE", 0.5)
    monkeypatch.setattr("rppam.gateway.ssh.server._LOOK_S", 0.1)
    ended = await place.ssh(options=("-N",))
    assert ended.code != 0
    assert "no session was begun for 1 min" in ended.err, ended


async def test_what_the_policy_takes_away_is_gone_at_once(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = place.gateway.gate.policy
    changed = policy._replace(exec=False, sftp=False)
    monkeypatch.setattr(type(place.gateway.gate), "policy", property(lambda _: changed))
    ended = await place.ssh("id")
    assert ended.code == 254
    one_line(ended.err, "RPPAM-8604")
    assert (await place.run("sftp", "-oBatchMode=no", *place.options(), "-b", "-", HOST)).code != 0
    changed = policy._replace(password_login=False)
    ended = await place.ssh("id")
    assert "Permission denied" in ended.err
    assert ACCESS.default == policy


@pytest.mark.parametrize("name", ["", "a\u202eb", "x" * 500, "+web1", "admin+"])
async def test_strange_names_are_nobody(place: Place, name: str) -> None:
    ended = await place.ssh("id", user=name or " ")
    assert ended.code in {255, 254}


async def test_a_silent_client_is_cut(place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    readers = [await asyncio.open_connection(HOST, place.port) for _ in range(50)]
    try:
        heads = await asyncio.gather(*(asyncio.wait_for(reader.read(7), 5) for reader, _ in readers))
        assert heads.count(b"SSH-2.0") == 40
    finally:
        for _, writer in readers:
            writer.close()


async def test_another_host_key_than_the_pinned_one_is_refused_and_recorded(place: Place) -> None:
    assert (await place.ssh("true")).code == 0
    (pinned,) = place.hosts.pins["id-web1"]
    other = f"{pinned.public[:-8]}AAAAAAAA"
    place.hosts.pins["id-web1"] = [pinned._replace(public=other, fingerprint="SHA256:another")]
    one_line((await place.ssh("true")).err, "RPPAM-8615")
    (event,) = await recorded(place, "hostkey.mismatch")
    assert (event["outcome"], event["object"]["id"]) == ("failure", "id-web1")


async def test_who_tries_one_name_after_the_other_is_cut_off(place: Place) -> None:
    """Each name is looked up, so one connection has a few."""

    class Guesser(asyncssh.SSHClient):
        names = 0

        def connection_made(self, conn: Any) -> None:
            self._conn = conn

        def password_auth_requested(self) -> str:
            Guesser.names += 1
            self._conn._username = f"nobody{Guesser.names}+web1"
            return "wrong"

    with pytest.raises(asyncssh.DisconnectError, match="too many user names"):
        await asyncssh.connect(
            HOST, place.port, username="nobody+web1", known_hosts=None, client_keys=None, agent_path=None, config=None,
            client_factory=Guesser, preferred_auth="password", kex_algs=["curve25519-sha256"],
        )  # fmt: skip
    assert Guesser.names <= 6
