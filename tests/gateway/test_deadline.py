"""A session ends with the grant that lets its user be there, who is warned five minutes and one minute before."""

import asyncio
from typing import Any, cast

import pytest

from rppam.gateway.ssh import deadline
from rppam.gateway.ssh.live import LiveAccess
from tests.gateway.places import HOST, Place
from tests.gateway.test_given_back import POLICIES, REQUESTS
from tests.gateway.test_kept import Screen as Terminal, answering
from tests.gateway.test_register import live, recorded
from tests.gateway.test_vault_routes import Catalogue, place as real_place
from tests.requests.people import pass_time
from tests.support.served import PASSWORD
from tests.vault.people import Person, host, let, person

place = real_place
REQUESTED: list[str] = []
"""The request of the fixture."""
WARNS = "this session ends in {}, with the grant that lets you be here"


@pytest.fixture
async def ursula(place: Place, monkeypatch: pytest.MonkeyPatch) -> Person:
    """She has no right on the only account, and may ask for one."""
    monkeypatch.setattr("rppam.gateway.ssh.gate.RIGHTS_EVERY_S", 0.3)
    catalogue, target = Catalogue(place.served), place.target
    new = {"name": "web1", "kind": "ssh", "address": HOST, "port": target.port, "hostKeyPolicy": "tofu"}
    resource = (await catalogue.ask("POST", "/api/v1/resources", new))["id"]
    account = await catalogue.account(resource, target.user, {"privateKey": target.private_key})
    await host(place.served).made(POLICIES, name="p", level="default", approvalMode="auto_approve")
    one = await person(place.served, "ursula")
    asked = await one.made(REQUESTS, accountId=account, minutes=30, reason="because", rights=["use"])
    REQUESTED[:] = [asked["id"]]
    return one


async def heard(screen: Terminal, words: str) -> None:
    """Wait for a line of the gateway's own."""
    text = ""
    async with asyncio.timeout(10):
        while words not in text:
            more = await screen.process.stderr.read(4096)
            assert more, text
            text += more


@pytest.mark.integration
async def test_the_grant_ends_and_so_does_the_session(place: Place, ursula: Person) -> None:
    del ursula
    running = asyncio.create_task(place.ssh("echo on; sleep 60", user="ursula+web1"))
    await live(place)
    await asyncio.sleep(1)
    for minutes in (25.2, 4, 0.77):  # 4.8 min, 48 s and 2 s are left
        await pass_time(place.served.database, minutes)
        await asyncio.sleep(1.2)
    ended = await asyncio.wait_for(running, 10)
    assert ended.out == b"on\n"
    lines = [line.removeprefix("RP-PAM: ") for line in ended.err.replace("\r", "").splitlines()]
    assert lines[0] == WARNS.format("5 min")
    assert lines[1] in {WARNS.format(f"{seconds} s") for seconds in range(40, 49)}, lines
    assert lines[2:] == ["this session is ended: the access to this account has ended"]
    (start,) = await recorded(place, "access.start")
    assert start["details"]["requests"] == REQUESTED, "by which request, an auditor need not search"
    (end,) = await recorded(place, "access.end")
    assert end["details"]["why"] == "the access to this account has ended"
    assert (await place.ssh("true", user="ursula+web1")).code == 254


@pytest.mark.integration
async def test_a_terminal_is_warned_on_its_screen_and_goes_on_where_a_right_stays(place: Place, ursula: Person) -> None:
    async with place.client("ursula+web1", PASSWORD) as client:
        screen = await answering(client)
        await pass_time(place.served.database, 28)
        await heard(screen, WARNS.format("2 min"))
        await let(place.served, "unix", "ursula", "use")
        await pass_time(place.served.database, 5)
        await asyncio.sleep(1)
        screen.type("echo still-$((40+2)); exit\n")
        await screen.until("still-42")
        await screen.process.wait()
    assert ursula.name == "ursula"


class Screen:
    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


class Access:
    """As much of a session as is asked for."""

    def __init__(self, front: Screen) -> None:
        self.fronts = [front]


@pytest.mark.parametrize(
    ("left", "said"),
    [
        ([None, 1000.0, 300.1], []),
        ([300.0, 299.0, 61.0], ["5 min"]),
        ([300.0, 60.0, 59.0, 0.0], ["5 min", "1 min"]),
        ([200.0], ["3 min"]),
        ([20.0, 10.0], ["20 s"]),
        ([250.0, 3000.0, 250.0], ["4 min", "4 min"]),
        ([50.0, None, 299.0], ["50 s", "5 min"]),
    ],
)
def test_when_it_is_said(left: list[float | None], said: list[str]) -> None:
    screen = Screen()
    access: Any = Access(screen)
    for one in left:
        deadline.warn(cast("LiveAccess", access), one)
    assert screen.said == [WARNS.format(one) for one in said]
