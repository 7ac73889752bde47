"""``killOnCheckin``: each end of a check-out ends the sessions that its holder began with it, and no others."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final, NamedTuple

import pytest
from sqlalchemy import text

from rppam.vault.checkout_service import Checkouts
from tests.gateway.places import HOST, Ended, Place, Sshd
from tests.gateway.test_register import live, recorded
from tests.gateway.test_vault_routes import Catalogue, place  # noqa: F401 - a fixture
from tests.vault.people import CHECKOUTS, ENTRIES, Person, host, let, person

pytestmark = [pytest.mark.integration]
REQUESTS, GRANTS, POLICIES = "/api/v1/access-requests", "/api/v1/grants", "/api/v1/approval-policies"
NOW: Final = "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"
ENDS_S: Final = 4.0
"""The manual says a second, and here the machine is busy with other tests. Rights are asked for every five seconds."""


class Used(NamedTuple):
    """Ursula has checked an entry out by a grant, and may use another one of the account all the time."""

    place: Place
    admin: Person
    entry: str
    checkout: str
    grant: str

    async def ends(self) -> str:
        """Why the check-out has ended."""
        answer = await self.admin.get(f"{CHECKOUTS}/{self.checkout}")
        return str(answer.json()["endedWhy"] or "")


async def used(place: Place, *, kills: bool, port: int = 0) -> Used:  # noqa: F811
    """See :class:`Used`. ``port``: where the target is, when it is behind something."""
    catalogue, target, served = Catalogue(place.served), place.target, place.served
    admin, ursula = host(served), await person(served, "ursula")
    new = {"name": "web1", "kind": "ssh", "address": HOST, "port": port or target.port, "hostKeyPolicy": "tofu"}
    resource = (await catalogue.ask("POST", "/api/v1/resources", new))["id"]
    account = await catalogue.account(resource, target.user, {"privateKey": target.private_key})
    await let(served, "unix", "ursula", "use")
    secret: dict[str, Any] = {"fields": {"privateKey": target.private_key}, "type": "ssh-key"}
    entry = await admin.entry("key", accountId=account, killOnCheckin=kills, **secret)
    await admin.made(POLICIES, name="p", level="default", approvalMode="auto_approve")
    wish = {"accountId": account, "minutes": 30, "reason": "because", "rights": ["checkout"]}
    granted = await ursula.made(REQUESTS, **wish)
    held = await ursula.check_out(entry)
    assert held.status_code == 201, held.text
    return Used(place, admin, entry["id"], held.json()["id"], granted["grantId"])


async def by_force(one: Used) -> None:
    answer = await one.admin.post(f"{CHECKOUTS}/{one.checkout}/force", reason="INC1")
    assert answer.status_code == 200, answer.text


async def by_time(one: Used) -> None:
    now = text("UPDATE checkouts SET expires_at = (SELECT max(started) FROM access_sessions) + 1")
    await one.place.served.database.write(lambda connection: connection.execute(now).close())


async def by_its_grant(one: Used) -> None:
    answer = await one.admin.post(f"{GRANTS}/{one.grant}/revoke", reason="enough")
    assert answer.status_code == 200, answer.text


async def by_deletion(one: Used) -> None:
    assert (await one.admin.delete(f"{ENTRIES}/{one.entry}")).status_code == 204


async def by_disabling(one: Used) -> None:
    served = one.place.served
    answer = await served.http.patch("/api/v1/users/id-ursula", json={"disabled": True}, headers=one.admin.headers)
    assert answer.status_code == 200, answer.text
    await served.services.get(Checkouts).sweep()


ENDS: Final[dict[str, Callable[[Used], Awaitable[None]]]] = {
    "forced": by_force,
    "": by_time,  # nobody has swept
    "grant-ended": by_its_grant,
    "deleted": by_deletion,
    "user-disabled": by_disabling,
}
BY_WHOM: Final = ("forced", "", "grant-ended", "deleted")
SAID: Final = {
    "": "the check-out of its secret has ended (expired)",
    "user-disabled": "the user was disabled",
}


def on_target(place: Place, words: str) -> "asyncio.Task[Ended]":  # noqa: F811
    return asyncio.create_task(place.ssh(words, user="ursula+web1"))


@pytest.mark.parametrize("why", list(ENDS), ids=[why or "expired" for why in ENDS])
async def test_each_end_of_a_check_out_ends_its_sessions(place: Place, why: str) -> None:  # noqa: F811
    one = await used(place, kills=True)
    running = on_target(place, "echo on; sleep 60; echo off")
    await live(place)
    begun = time.monotonic()
    await ENDS[why](one)
    ended = await asyncio.wait_for(running, 20)
    took = time.monotonic() - begun
    print(f"{why or 'expired'}: ended after {took:.2f} s")
    assert SAID.get(why, f"the check-out of its secret has ended ({why})") in ended.err, ended
    assert b"off" not in ended.out
    assert took < ENDS_S
    assert await one.ends() == why
    await live(place, 0)
    [event] = await recorded(place, "access.end")
    assert SAID.get(why, why) in event["details"]["why"]


@pytest.mark.parametrize("why", ["forced", "grant-ended", "deleted"])
async def test_without_it_they_go_on(place: Place, why: str) -> None:  # noqa: F811
    one = await used(place, kills=False)
    running = on_target(place, "echo on; sleep 3; echo off")
    await live(place)
    await ENDS[why](one)
    assert b"off" in (await asyncio.wait_for(running, 20)).out
    assert await one.ends() == why


@contextlib.asynccontextmanager
async def far_away(target: Sshd) -> AsyncIterator[tuple[int, asyncio.Event]]:
    """A way to the target that nothing passes before the event."""
    opens, lines = asyncio.Event(), []

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines.append(writer)
        await opens.wait()
        there, answers = await asyncio.open_connection(HOST, target.port)
        lines.append(answers)
        await asyncio.gather(pump(reader, answers), pump(there, writer), return_exceptions=True)

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(carry, HOST, 0)
    try:
        yield server.sockets[0].getsockname()[1], opens
    finally:
        server.close()
        for line in lines:
            line.close()


@pytest.mark.parametrize("why", list(BY_WHOM), ids=[why or "expired" for why in BY_WHOM])
async def test_one_that_ends_while_its_secret_opens_the_target_begins_no_session(place: Place, why: str) -> None:  # noqa: F811
    async with far_away(place.target) as (port, opens):
        one = await used(place, kills=True, port=port)
        before = len(await recorded(place, "secret.use"))
        running = on_target(place, "echo on; sleep 2; echo off")
        for _ in range(200):
            if len(await recorded(place, "secret.use")) > before:
                break
            await asyncio.sleep(0.05)
        if why:
            await ENDS[why](one)
        else:
            now = text(f"UPDATE checkouts SET expires_at = {NOW}")
            await place.served.database.write(lambda connection: connection.execute(now).close())
        opens.set()
        ended = await asyncio.wait_for(running, 30)
        assert b"off" not in ended.out, ended
        assert "RPPAM-8601" in ended.err
        assert "the check-out of its secret has ended meanwhile" in ended.err
        assert await recorded(place, "access.start") == []
        later = await asyncio.wait_for(on_target(place, "echo on"), 30)
        assert (later.code, later.out) == (0, b"on\n"), "by the other entry she may"


async def test_a_session_that_began_before_or_belongs_to_another_goes_on(place: Place) -> None:  # noqa: F811
    one = await used(place, kills=True)
    await one.admin.post(f"{CHECKOUTS}/{one.checkout}/force", reason="INC1")
    before = on_target(place, "echo on; sleep 4; echo off")
    await live(place)
    other = asyncio.create_task(place.ssh("echo on; sleep 4; echo off"))
    await live(place, 2)
    ursula = await person(place.served, "ursula")
    again = await ursula.check_out({"id": one.entry})
    assert again.status_code == 201, again.text
    await by_deletion(one)
    for session in (before, other):
        assert b"off" in (await asyncio.wait_for(session, 20)).out
