"""Sessions of two persons begin once somebody else who may watches them, and not before."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from rppam.access.accounts.api import USERS
from rppam.access.accounts.model import AccountRole
from tests.gateway import test_recorded
from tests.gateway.places import Place
from tests.gateway.test_kept import sessions, terminal, until_recorded
from tests.gateway.test_recorded import listed
from tests.gateway.test_register import recorded
from tests.gateway.test_user_keys import signed_in
from tests.support.unnamed import names_nobody

place = test_recorded.place
pytestmark = [pytest.mark.integration]
TWO = "admin+two"


@pytest.fixture
def policy() -> dict[str, Any]:
    return {}


@pytest.fixture(autouse=True)
async def two(place: Place) -> None:
    place.routes.add("two", place.target.port, place.target.user, place.key, tags=("two-person",))


@contextlib.asynccontextmanager
async def watched(place: Place, ident: str, headers: dict[str, str]) -> AsyncIterator[None]:
    """As ``rppam session watch`` does it."""

    async def watch() -> None:
        async with place.served.http.stream("GET", f"/api/v1/recordings/{ident}/watch", headers=headers) as answer:
            assert answer.status_code == 200
            async for _ in answer.aiter_bytes():
                pass

    task = asyncio.create_task(watch())
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def waiting(place: Place, target: str = "") -> dict[str, Any]:
    for _ in range(200):
        if found := [one for one in await listed(place) if target in {"", one["target"]}]:
            return found[0]
        await asyncio.sleep(0.05)
    raise AssertionError("nothing is recorded")


async def test_a_command_waits_for_somebody_else_who_watches(place: Place) -> None:
    own = await signed_in(place)
    running = asyncio.create_task(place.ssh("echo began", user=TWO))
    one = await waiting(place)
    async with watched(place, one["id"], own), watched(place, one["id"], place.served.bearer(AccountRole.AUDITOR)):
        await asyncio.sleep(1.5)
        assert not running.done(), "neither oneself nor one who may not have it begin is a second person"
    approver = await as_approver(place)
    async with watched(place, one["id"], approver):
        ended = await asyncio.wait_for(running, 20)
    assert (ended.code, ended.out) == (0, b"began\n"), ended
    assert f"begins once somebody else watches it: rppam session watch {one['session']}" in ended.err
    assert "watches this session" in ended.err
    (begun,) = await recorded(place, "access.second")
    assert begun["details"]["watcher"] == "id-ursula"
    await names_nobody(place.served)
    assert len(await recorded(place, "recording.watch")) == 3


async def as_approver(place: Place) -> dict[str, str]:
    """Ursula, who approves, and may see no session of others but one that waits."""
    await signed_in(place, "ursula")
    path = f"{USERS}/id-ursula/roles"
    put = await place.served.http.put(path, json={"roles": ["pam_approver"]}, headers=place.served.bearer())
    assert put.status_code == 200, put.text
    return await signed_in(place, "ursula")


async def test_an_approver_sees_a_session_while_it_waits_and_no_other(place: Place) -> None:
    headers = await as_approver(place)
    await place.ssh("echo alone")
    plain = await waiting(place)
    path = "/api/v1/recordings"
    assert (await place.served.http.get(f"{path}/{plain['id']}/watch", headers=headers)).status_code == 404
    async with place.client(TWO) as client:
        screen = await terminal(client)
        one = await waiting(place, "two")
        asked = {"session": one["session"]}
        seen = (await place.served.http.get(path, params=asked, headers=headers)).json()["items"]
        assert [each["id"] for each in seen] == [one["id"]]
        async with watched(place, one["id"], headers):
            screen.type("echo on-$((40+2))\n")
            await screen.until("on-42")
        assert (await place.served.http.get(path, params=asked, headers=headers)).json()["items"] == []
        screen.type("echo alone-$((40+2)); exit\n")
        await screen.until("alone-42")
        await screen.process.wait()


async def test_what_cannot_be_watched_is_refused(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = await place.run("sftp", "-o", "BatchMode=no", *place.options(TWO), "-b", "-", "127.0.0.1", given=b"ls\n")
    assert refused.code != 0
    assert "RPPAM-8624" in refused.err
    monkeypatch.setattr("rppam.gateway.ssh.second_person.WAIT_S", 0.3)
    alone = await place.ssh("echo never", user=TWO)
    assert (alone.code, alone.out) == (254, b"")
    assert "nobody came to watch this session" in alone.err
    await until_recorded(place, "access.end")
    assert [one["state"] for one in await listed(place)] == ["done"]
    assert len(await sessions(place)) == 2
