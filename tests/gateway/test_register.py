"""The register of sessions: who is on which target, ending one, and what the ledger says of it all."""

import asyncio
import json
import uuid
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from sqlalchemy import Connection, Engine, delete, event, insert, select, update

from rppam.access.accounts.model import AccountRole
from rppam.access.accounts.tables import user_roles, users
from rppam.access.sessions.model import Identity
from rppam.gateway.model import Alive
from rppam.gateway.store import SqlAccess
from rppam.gateway.tables import access_sessions
from rppam.ledger.tables import audit_events
from tests.gateway.places import Place
from tests.support.unnamed import names_nobody

pytestmark = [pytest.mark.integration]
SESSIONS = "/api/v1/access/sessions"


async def live(place: Place, count: int = 1) -> list[dict[str, Any]]:
    """The sessions that are live, once there are so many."""
    headers = place.served.bearer(AccountRole.ADMIN)
    text = ""
    for _ in range(200):
        answer = await place.served.http.get(SESSIONS, params={"active": "true"}, headers=headers)
        assert answer.status_code == 200, answer.text
        if len(answer.json()["items"]) == count:
            items: list[dict[str, Any]] = answer.json()["items"]
            return items
        text = answer.text
        await asyncio.sleep(0.05)
    raise AssertionError(text)


async def recorded(place: Place, action: str) -> list[dict[str, Any]]:
    wanted = select(audit_events.c.body).where(audit_events.c.action == action)
    rows = await place.served.database.read(lambda connection: connection.execute(wanted).all())
    return [json.loads(row.body) for row in rows]


async def test_a_session_is_listed_and_killed_with_a_reason(place: Place) -> None:
    running = asyncio.create_task(place.ssh("echo on; sleep 60"))
    (one,) = await live(place)
    assert (one["user"], one["target"], one["account"], one["node"]) == ("admin", "web1", place.target.user, "node1")
    admin = place.served.bearer(AccountRole.ADMIN)
    for role, status in ((AccountRole.USER, 404), (AccountRole.AUDITOR, 403)):
        told = await place.served.http.post(f"{SESSIONS}/{one['id']}/kill", json={}, headers=place.served.bearer(role))
        assert told.status_code == status
    told = await place.served.http.post(f"{SESSIONS}/{one['id']}/kill", json={"reason": "lunch"}, headers=admin)
    assert told.status_code == 200, told.text
    ended = await asyncio.wait_for(running, 5)
    assert ended.code == 255
    assert "this session was ended by admin: lunch" in ended.err
    await live(place, 0)
    past = (await place.served.http.get(f"{SESSIONS}/{one['id']}", headers=admin)).json()
    assert (past["active"], past["why"]) == (False, "ended by admin: lunch")
    again = await place.served.http.post(f"{SESSIONS}/{one['id']}/kill", json={}, headers=admin)
    assert again.status_code == 404
    (kill,) = await recorded(place, "access.kill")
    assert kill["reason"] == "lunch"
    (end,) = await recorded(place, "access.end")
    assert end["details"]["why"] == "ended by an administrator: lunch"
    assert end["committed"] == ["by"]
    (start,) = await recorded(place, "access.start")
    assert start["object"]["id"] == one["id"] == start["actor"]["session"]
    assert len(await recorded(place, "hostkey.make")) == 1
    await names_nobody(place.served)


async def test_bytes_and_channels_are_counted(place: Place) -> None:
    assert (await place.ssh("head -c 5000 /dev/zero; wc -c", given=bytes(1000))).code == 0
    await live(place, 0)
    (end,) = await recorded(place, "access.end")
    assert (end["details"]["bytesUp"], end["details"]["bytesDown"]) == (1000, 5005)
    (channel,) = await recorded(place, "access.channel")
    assert channel["details"]["exit"] == "0"
    assert channel["details"]["kind"] == "exec"


async def test_a_refusal_is_recorded(place: Place) -> None:
    await place.ssh("id", user="admin+nowhere")
    (refused,) = await recorded(place, "access.refuse")
    assert (refused["outcome"], refused["details"]["code"]) == ("failure", "RPPAM-8601")


async def test_a_disabled_user_is_thrown_out(place: Place) -> None:
    running = asyncio.create_task(place.ssh("sleep 60"))
    await live(place)
    mine = update(users).where(users.c.name == "admin").values(disabled=True)
    await place.served.database.write(lambda connection: connection.execute(mine))
    ended = await asyncio.wait_for(running, 5)
    assert "the user was disabled" in ended.err
    assert (await place.ssh("id")).code == 255


@pytest.mark.parametrize("change", [{"disabled": True}, {"auth_epoch": users.c.auth_epoch + 1}])
async def test_a_connection_that_stood_opens_nothing_once_the_log_ins_were_ended(
    place: Place, tmp_path: Path, change: dict[str, Any]
) -> None:
    mine = update(users).where(users.c.name == "admin").values(**change)
    async with place.client() as client:
        await place.served.database.write(lambda connection: connection.execute(mine))
        with pytest.raises(asyncssh.Error):
            await client.run(f"echo in > {tmp_path}/marker", check=True)
    assert not (tmp_path / "marker").exists()
    assert await recorded(place, "access.start") == []
    assert await recorded(place, "secret.use") == []


async def test_a_role_that_was_taken_opens_nothing_over_a_connection_that_stood(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = list[frozenset[str]]()
    find = place.gateway.gate.routes.find

    async def found(identity: Identity, *rest: Any) -> Any:
        seen.append(identity.roles)
        return await find(identity, *rest)

    monkeypatch.setattr(place.gateway.gate.routes, "find", found)
    async with place.client() as client:
        await place.served.database.write(lambda connection: connection.execute(delete(user_roles)))
        await client.run("true")
    assert seen[-1] == frozenset()


async def test_a_session_whose_gateway_has_gone_is_closed(place: Place) -> None:
    running = asyncio.create_task(place.ssh("sleep 60"))
    (one,) = await live(place)
    assert await place.gateway.gate.store.sweep() == 0
    old = update(access_sessions).values(seen=access_sessions.c.seen - 60_000)
    await place.served.database.write(lambda connection: connection.execute(old))
    assert await place.gateway.gate.store.sweep() == 1
    ended = await asyncio.wait_for(running, 5)
    assert "this node was away for too long" in ended.err
    headers = place.served.bearer(AccountRole.ADMIN)
    past = (await place.served.http.get(f"{SESSIONS}/{one['id']}", headers=headers)).json()
    assert past["why"] == "the gateway on node1 has gone"


async def test_that_thousands_live_is_said_in_few_statements(place: Place) -> None:
    running = asyncio.create_task(place.ssh("echo on; sleep 60"))
    (one,) = await live(place)
    database, store = place.served.database, place.served.services.get(SqlAccess)
    count, said = 2_500, list[str]()

    def copied(connection: Connection) -> None:
        row = connection.execute(select(access_sessions)).one()
        rows = [{**row._mapping, "id": str(uuid.uuid4()), "seen": 1} for _ in range(count)]
        connection.execute(insert(access_sessions), rows)

    await database.write(copied)
    wanted = select(access_sessions).where(access_sessions.c.id != one["id"])
    before = await database.read(lambda connection: connection.execute(wanted).all())
    tell = {row.id: Alive(row.generation, 7, 9, moved=number < 3) for number, row in enumerate(before)}
    other = before[5]
    tell[other.id] = Alive(other.generation + 1, 7, 9)

    def told(_line: object, _cursor: object, statement: str, values: object, *_: object) -> None:
        # The gateway itself may tell of its own session in the same moment.
        all_values = str(values)
        if statement.startswith("UPDATE") and any(ident in all_values for ident in tell):
            said.append(statement)

    event.listen(Engine, "before_cursor_execute", told)
    tick = await store.tick(tell)
    event.remove(Engine, "before_cursor_execute", told)
    assert len(said) == 4, "three by a thousand, and one that moved"
    assert tick.taken == {other.id}
    after = {row.id: row for row in await database.read(lambda connection: connection.execute(wanted).all())}
    assert [row.id for row in before if after[row.id].seen == 1] == [other.id]
    moved = [row.id for row in before if (after[row.id].bytes_up, after[row.id].bytes_down) == (7, 9)]
    assert moved == [row.id for row in before[:3]]
    running.cancel()


async def test_the_menu(place: Place) -> None:
    place.routes.add("web2", place.target.port, place.target.user, place.key)
    async with place.client("admin") as client:
        process = await client.create_process(term_type="xterm", term_size=(80, 24))
        await process.stdout.readuntil("Target: ")
        process.stdin.write("nonsense\rweb2\r")
        process.stdin.write("echo hel''lo; exit 5\r")
        out = await process.stdout.read()
        assert "hello" in out
        assert (await process.wait()).exit_status == 5
    (start,) = await recorded(place, "access.start")
    assert start["details"]["port"] == place.target.port
