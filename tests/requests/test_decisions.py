"""What time and people change between asking and deciding, on both databases."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rppam.access.accounts.model import UserChange
from rppam.access.accounts.store import SqlAccounts
from rppam.db.database import Database
from rppam.db.engine import now_ms
from rppam.kernel.instant import WallMs
from rppam.requests.errors import DecisionRefused, NotPossible, RequestError
from rppam.requests.machine import MINUTE_MS, CountsFrom, State, Verdict
from rppam.requests.model import Contact, Group, Level, Mode, Policy, Rules, Window
from rppam.requests.policies_store import SqlPolicies
from rppam.requests.store import SqlRequests
from rppam.requests.vault_grants import VaultGrants
from rppam.requests.wiring import find_object
from rppam.vault.ports import Grant
from tests.requests.people import furnish, hire, pass_time
from tests.requests.test_store import WANTED, ready

pytestmark = [pytest.mark.integration, pytest.mark.server]
EVERY_DAY = (1, 2, 3, 4, 5, 6, 7)
HOUR = 60


async def in_minutes(database: Database, minutes: float) -> WallMs:
    """A moment of the database's clock."""
    now = await database.read(now_ms)
    return WallMs(now + int(minutes * MINUTE_MS))


async def standing(database: Database) -> list[Grant]:
    """What ursula has now, as the vault asks for it."""
    return list(await database.read(lambda connection: VaultGrants().standing(connection, "id-ursula")))


async def refused(store: SqlRequests, ident: str, by: str) -> str:
    with pytest.raises(DecisionRefused) as caught:
        await store.decide(ident, by, Verdict.APPROVE)
    return str(caught.value)


async def grouped(database: Database, *members: str, **rules: Any) -> tuple[SqlRequests, SqlPolicies]:
    """A policy whose approvers are the group ``g``."""
    await hire(database)
    await furnish(database)
    policies = SqlPolicies(database)
    await policies.create_group(Group("g", "ops", members, 1))
    await policies.create(Policy("p", "p", Level.DEFAULT, "", 0, Rules(approver_group="g", **rules), 1))
    return SqlRequests(database, find_object), policies


@pytest.mark.parametrize("counts_from", list(CountsFrom))
async def test_what_begins_later_is_no_access_before(database: Database, counts_from: CountsFrom) -> None:
    store = await ready(database, counts_from=counts_from)
    starts = await in_minutes(database, 60)
    made = await store.create("id-ursula", WANTED._replace(starts_at=starts))
    done = await store.decide(made.request.id, "id-anna", Verdict.APPROVE)
    assert (done.request.state, done.request.starts_at) == (State.APPROVED, starts)
    assert await standing(database) == []
    with pytest.raises(NotPossible):
        await database.write(lambda connection: VaultGrants().used(connection, done.grant_id))
    await pass_time(database, 59)
    assert await standing(database) == [], "a minute before"
    await pass_time(database, 2)
    [grant] = await standing(database)
    assert grant.id == done.grant_id
    left = (grant.until - await in_minutes(database, 0)) / MINUTE_MS
    # From approval: counted from the moment that was agreed on, of which a minute has passed.
    expected = 30 if counts_from is CountsFrom.USE else 29
    assert expected - 0.5 < left < expected + 0.5
    await database.write(lambda connection: VaultGrants().used(connection, grant.id))
    await pass_time(database, 31)
    assert await standing(database) == []


@pytest.mark.parametrize(
    ("opens", "starts", "granted"),
    [(-1, None, True), (2, None, False), (2, 2.5, True), (-1, 4, False)],
    ids=["inside", "outside", "begins inside", "begins outside"],
)
async def test_within_a_window_nobody_is_asked_and_outside_as_many_as_the_policy_says(
    database: Database, opens: int, starts: float | None, granted: bool
) -> None:
    now = datetime.fromtimestamp(await in_minutes(database, 0) / 1000, UTC)
    begins, ends = now + timedelta(hours=opens), now + timedelta(hours=opens + 2)
    window = Window(EVERY_DAY, f"{begins:%H:%M}", f"{ends:%H:%M}")
    store = await ready(database, mode=Mode.TIMED, approvals=2, windows=(window,))
    when = None if starts is None else await in_minutes(database, starts * HOUR)
    made = await store.create("id-ursula", WANTED._replace(starts_at=when))
    if granted:
        assert (made.request.state, made.request.approvers) == (State.APPROVED, ())
        assert len(await standing(database)) == (1 if when is None else 0)
        return
    assert (made.request.state, made.request.terms.needed) == (State.PENDING, 2)
    assert (await store.decide(made.request.id, "id-anna", Verdict.APPROVE)).request.state is State.PENDING
    assert await standing(database) == []
    assert (await store.decide(made.request.id, "id-bert", Verdict.APPROVE)).request.state is State.APPROVED


async def test_who_has_left_the_group_decides_nothing_and_has_decided_nothing(database: Database) -> None:
    people = ("id-anna", "id-bert", "id-uwe")
    store, policies = await grouped(database, *people, mode=Mode.MULTI, approvals=2)
    made = await store.create("id-ursula", WANTED)
    assert {one.user for one in made.request.approvers} == set(people), "the group alone, whatever its roles"
    assert "no approver" in await refused(store, made.request.id, "id-carl")
    assert (await store.decide(made.request.id, "id-anna", Verdict.APPROVE)).request.state is State.PENDING
    await policies.change_group(Group("g", "ops", ("id-uwe", "id-bert"), 1), None)
    assert (await store.decide(made.request.id, "id-bert", Verdict.APPROVE)).request.state is State.PENDING
    await policies.change_group(Group("g", "ops", ("id-bert",), 1), None)
    assert "none any more" in await refused(store, made.request.id, "id-uwe")
    await policies.change_group(Group("g", "ops", ("id-bert", "id-uwe"), 1), None)
    assert (await store.decide(made.request.id, "id-uwe", Verdict.APPROVE)).request.state is State.APPROVED


async def test_who_is_the_manager_no_more_decides_nothing(database: Database) -> None:
    store, policies = await ready(database, mode=Mode.MANAGER), SqlPolicies(database)
    await policies.put_contact(Contact("id-ursula", "id-uwe", "", 0), None)
    made = await store.create("id-ursula", WANTED)
    assert [one.user for one in made.request.approvers] == ["id-uwe"]
    await policies.put_contact(Contact("id-ursula", "id-bert", "", 0), None)
    assert "none any more" in await refused(store, made.request.id, "id-uwe")
    assert "no approver" in await refused(store, made.request.id, "id-bert")
    await store.cancel(made.request.id, "id-ursula")
    again = await store.create("id-ursula", WANTED)
    assert (await store.decide(again.request.id, "id-bert", Verdict.APPROVE)).request.state is State.APPROVED


async def test_of_an_excluded_pair_one_does_not_decide_about_the_other(database: Database) -> None:
    barred = (("id-ursula", "id-anna"), ("id-ursula", "id-root"))
    store = await ready(database, excluded=barred, stand_in_minutes=10)
    made = await store.create("id-ursula", WANTED)
    assert {one.user for one in made.request.approvers} == {"id-bert", "id-carl"}
    await pass_time(database, 11)
    for by in ("id-anna", "id-root"):
        assert "no approver" in await refused(store, made.request.id, by)
    assert (await store.decide(made.request.id, "id-bert", Verdict.APPROVE)).request.state is State.APPROVED
    others = await store.create("id-uwe", WANTED)
    assert (await store.decide(others.request.id, "id-anna", Verdict.APPROVE)).request.state is State.APPROVED


async def test_who_stands_in_decides_once_the_others_time_has_passed(database: Database) -> None:
    store, _ = await grouped(database, "id-anna", stand_in_minutes=60)
    made = await store.create("id-ursula", WANTED)
    assert "whose time to decide has not passed" in await refused(store, made.request.id, "id-root")
    await pass_time(database, 59)
    assert "has not passed" in await refused(store, made.request.id, "id-root")
    await pass_time(database, 2)
    assert (await store.decide(made.request.id, "id-root", Verdict.APPROVE)).request.state is State.APPROVED


async def test_who_stands_in_does_so_at_once_where_nobody_else_could_and_as_an_administrator_alone(
    database: Database,
) -> None:
    store, _ = await grouped(database, "id-ursula", stand_in_minutes=60)
    accounts = SqlAccounts(database)
    await accounts.change("id-carl", UserChange(roles=(await accounts.get("id-root")).account.roles))
    made = await store.create("id-ursula", WANTED)
    assert {one.user for one in made.request.approvers} == {"id-root", "id-carl"}
    await accounts.change("id-root", UserChange(roles=frozenset()))
    assert "none any more" in await refused(store, made.request.id, "id-root")
    with pytest.raises(RequestError):
        await store.decide(made.request.id, "id-ursula", Verdict.APPROVE)
    assert (await store.decide(made.request.id, "id-carl", Verdict.APPROVE)).request.state is State.APPROVED
