"""The process that touches targets: what it is started with, and what is heard of one that is killed or hangs."""

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rppam.kernel.secret import Secret
from rppam.rotation.asking import Hands
from rppam.rotation.requests import Login, Pin, Request

pytestmark = pytest.mark.integration
CANARY = "canary-of-a-secret-4711"


def request(port: int, **changes: Any) -> Request:
    login = Login("root", Secret(CANARY))
    made = Request("ssh", "web1", "127.0.0.1", port, "tofu", (Pin("a", "b", "c"),), login, "root")
    return made._replace(**changes)


def seen(pid: int, name: str) -> bytes:
    return Path(f"/proc/{pid}/{name}").read_bytes()


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a target that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as plug:
        yield plug.getsockname()[1]


def test_a_request_goes_through_a_pipe_and_shows_nothing_on_the_way() -> None:
    one = request(22, new=Secret("another"))
    assert Request.of(one.text()) == one
    assert CANARY not in repr(one)
    assert {secret.reveal() for secret in one.secrets()} == {CANARY, "another"}


async def test_secrets_are_neither_among_its_arguments_nor_in_its_environment(
    monkeypatch: pytest.MonkeyPatch, silent: int
) -> None:
    monkeypatch.setenv("RPPAM_VAULT_KEY", CANARY)
    async with Hands() as hands:
        asked = asyncio.create_task(hands.ask(request(silent)))
        await asyncio.sleep(1)
        pid = hands.pid
        assert pid is not None
        assert b"rppam.rotation.hands" in seen(pid, "cmdline")
        assert CANARY.encode() not in seen(pid, "cmdline") + seen(pid, "environ")
        os.kill(pid, 9)
        answer = await asyncio.wait_for(asked, 5)
        assert answer.came == "unknown", "killed in the middle: nobody knows what became of it"
        gone = await hands.ask(request(1))
        assert (gone.came, "cannot be reached" in gone.said) == ("unknown", True), "another one is started"
        second = hands.pid
    assert second not in {None, pid}
    with pytest.raises(ProcessLookupError):
        os.kill(second or 0, 0)


async def test_one_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch, silent: int) -> None:
    monkeypatch.setattr("rppam.rotation.asking.BOUND_S", 2.0)
    async with Hands() as hands:
        answer = await hands.ask(request(silent))
    assert answer.came == "unknown"
