"""From which of its addresses a node goes out to targets: sessions and rotation alike."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rppam.gateway.policy import ACCESS, AccessPolicy
from rppam.kernel.secret import Secret
from rppam.rotation import on_ssh
from rppam.rotation.requests import Login, Pin, Request
from tests.gateway.places import HOST, Place, Sshd
from tests.support.served import Served

pytestmark = pytest.mark.integration
OWN, STRANGE = "127.0.0.9", "192.0.2.77"


@pytest.fixture
async def place_from(
    served: Served, tmp_path: Path, target: Sshd, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Callable[..., Any]]:
    current = type(served.live).current
    wanted = AccessPolicy(recording="off")
    monkeypatch.setattr(type(served.live), "current", lambda live, one: wanted if one is ACCESS else current(live, one))
    made: list[Place] = []

    async def start(*sources: str) -> Place:
        config = served.base.config
        access = config.access.model_copy(update={"source_addresses": sources})
        served.base = served.base._replace(config=replace(config, access=access))
        made.append(Place(served, tmp_path, target))
        await made[0].start()
        return made[0]

    yield start
    for one in made:
        await one.stop()


async def test_a_session_comes_from_the_address_that_the_config_names(place_from: Callable[..., Any]) -> None:
    place = await place_from("::1", OWN)
    done = await place.ssh("echo $SSH_CONNECTION")
    assert (done.code, done.out.split()[0]) == (0, OWN.encode()), done


async def test_an_address_that_the_host_does_not_have_is_named(place_from: Callable[..., Any]) -> None:
    place = await place_from(STRANGE)
    done = await place.ssh("echo no")
    assert done.code != 0
    assert f"is to be reached from {STRANGE}, and this host cannot" in done.err
    assert "RPPAM-8629" in done.err


@pytest.mark.parametrize(("source", "came"), [(OWN, "works"), (STRANGE, "unknown")])
async def test_rotation_goes_the_same_way(target: Sshd, source: str, came: str) -> None:
    kind, public = target.host_key.split()[:2]
    login = Login(target.user, private_key=Secret(target.private_key))
    pins = (Pin(kind, f"{kind} {public}", ""),)
    request = Request("ssh", "web1", HOST, target.port, "pinned", pins, login, target.user, sources=(source,))
    answer = await on_ssh.answer(Request.of(request.text()))
    assert answer.came == came, answer
    assert (STRANGE in answer.said) == (source == STRANGE)
