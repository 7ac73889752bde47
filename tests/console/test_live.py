"""Live events: what is said to whom, and that any node goes on where another one was."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, func, select

from rppam.access.accounts.model import AccountRole
from rppam.http.bounds import ApiLimits
from rppam.ledger.tables import audit_events
from tests.support.served import Served

pytestmark = pytest.mark.integration
EVENTS = "/api/v1/events"
TARGET = {"name": "hook", "kind": "webhook", "url": "https://x.example/", "secret": "s3cret"}


class Heard:
    """What a stream says, event by event."""

    def __init__(self, lines: AsyncIterator[str]) -> None:
        self._lines = lines
        self.id = ""

    async def next(self, *wanted: str) -> dict[str, Any]:
        """The next event of one of these names."""
        name = ""
        async with asyncio.timeout(10):
            async for line in self._lines:
                word, _, text = line.partition(": ")
                if word == "id":
                    self.id = text
                elif word == "event":
                    name = text
                elif word == "data" and name in wanted:
                    found: dict[str, Any] = json.loads(text)
                    return {"event": name, **found}
        raise AssertionError(f"the stream ended before {wanted}")


@asynccontextmanager
async def listening(served: Served, role: str, query: str = "") -> AsyncIterator[Heard]:
    async with served.http.stream("GET", EVENTS + query, headers=served.bearer(role)) as answer:
        assert answer.status_code == 200, await answer.aread()
        yield Heard(answer.aiter_lines())


async def add(served: Served, name: str) -> None:
    headers = served.bearer(AccountRole.SECURITY_ADMIN)
    answer = await served.http.post("/api/v1/siem/targets", json={**TARGET, "name": name}, headers=headers)
    assert answer.status_code == 201, answer.text


async def created(heard: Heard) -> dict[str, Any]:
    """The next new target: a token that is used first is an event of its own."""
    while (found := await heard.next("changed"))["kind"] != "siem-target":
        pass
    return found


async def test_auditors_hear_what_changed_and_others_only_of_what_kind(served: Served) -> None:
    async with listening(served, AccountRole.AUDITOR) as audrey, listening(served, AccountRole.USER) as ursula:
        hello = await audrey.next("hello")
        assert (hello["node"], hello["gap"]) == ("node1", False)
        full = await audrey.next("cluster")
        assert full["members"].keys() == {"node1", "node2", "node3"}
        outline = await ursula.next("cluster")
        assert (outline["leader"]["leaderNode"], outline["members"], outline["findings"]) == ("node1", {}, [])
        await add(served, "one")
        changed = await created(audrey)
        assert (changed["action"], changed["outcome"]) == ("siem.create", "success")
        hidden = await created(ursula)
        assert hidden == {"event": "changed", "position": changed["position"], "kind": "siem-target"}
        assert audrey.id == str(changed["position"])


async def test_another_node_goes_on_from_the_position_and_nothing_is_missing(
    served: Served, tmp_path: Path, limits: ApiLimits
) -> None:
    async with listening(served, AccountRole.AUDITOR) as before:
        await before.next("hello")
        await add(served, "one")
        first = (await created(before))["position"]
    await add(served, "while nobody listens")
    other = Served(tmp_path / "keys", limits, node="node2")
    await other.start()
    try:
        async with listening(other, AccountRole.AUDITOR, f"?after={first}") as after:
            hello = await after.next("hello")
            assert (hello["node"], hello["gap"]) == ("node2", False)
            told = [await created(after) for _ in range(2)]
            assert told[0]["position"] == first, "one from before may come again"
            assert told[1]["position"] > first, "the missed one has to"
    finally:
        await other.stop()


async def test_a_row_that_becomes_visible_late_is_told_all_the_same(served: Served) -> None:
    await add(served, "one")
    await add(served, "two")

    async def row(seq: int) -> dict[str, Any]:
        wanted = select(audit_events).where(audit_events.c.seq == seq)
        return await served.database.read(lambda one: dict(one.execute(wanted).one()._mapping))

    wanted = select(func.min(audit_events.c.seq)).where(audit_events.c.object_kind == "siem-target")
    first = await served.database.read(lambda one: one.execute(wanted).scalar_one())
    late = await row(first)
    await served.database.write(lambda one: one.execute(delete(audit_events).where(audit_events.c.seq == first)))
    async with listening(served, AccountRole.AUDITOR) as heard:
        assert (await heard.next("hello"))["position"] > first
        await served.database.write(lambda one: one.execute(audit_events.insert().values(**late)))
        assert (await created(heard))["position"] == first


async def test_who_was_away_for_too_long_is_told_so(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rppam.console.live.WINDOW", 2)
    for name in ("one", "two", "three", "four"):
        await add(served, name)
    async with listening(served, AccountRole.AUDITOR, "?after=1") as heard:
        assert (await heard.next("hello"))["gap"] is True


async def test_nobody_listens_without_a_token_and_no_position_is_made_up(served: Served) -> None:
    assert (await served.http.get(EVENTS)).status_code == 401
    wrong = await served.http.get(f"{EVENTS}?after=-1", headers=served.bearer())
    assert wrong.status_code == 400
