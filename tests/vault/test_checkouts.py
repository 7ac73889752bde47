"""Check-outs over REST: one at a time, who holds it and until when, and every way in which one ends."""

import asyncio

import pytest
from sqlalchemy import text

from rppam.vault.checkout_service import Checkouts
from rppam.vault.service import Vault
from rppam.vault.wiring import vault_of
from tests.support.served import Served
from tests.vault.people import CHECKOUTS, ENTRIES, actions, host, let, person

pytestmark = pytest.mark.integration


async def run(served: Served, statement: str) -> None:
    await served.database.write(lambda connection: connection.execute(text(statement)).close())


async def test_one_at_a_time_has_an_exclusive_entry(open_vault: Served) -> None:
    admin, ursula = host(open_vault), await person(open_vault, "ursula")
    entry = await admin.entry()
    await let(open_vault, "servers", "ursula", "reveal")
    early = await ursula.reveal(entry)
    assert (early.status_code, early.json()["code"]) == (403, "RPPAM-8407")
    mine = await ursula.check_out(entry)
    assert (mine.status_code, mine.json()["generation"], mine.json()["userName"]) == (201, 1, "ursula"), mine.text
    assert (await ursula.reveal(entry)).json()["checkoutId"] == mine.json()["id"]
    for answer in (await admin.check_out(entry), await admin.reveal(entry), await ursula.check_out(entry)):
        said = answer.json()
        assert (answer.status_code, said["code"], said["heldBy"]) == (409, "RPPAM-8411", "ursula"), said
        assert said["until"] == mine.json()["expiresAt"]
    shown = (await admin.get(f"{ENTRIES}/{entry['id']}")).json()
    assert (shown["heldBy"], shown["heldUntil"]) == ("ursula", mine.json()["expiresAt"])
    assert (await ursula.post(f"{CHECKOUTS}/{mine.json()['id']}/checkin")).status_code == 204
    assert (await ursula.post(f"{CHECKOUTS}/{mine.json()['id']}/checkin")).status_code == 204
    assert (await ursula.reveal(entry)).status_code == 403
    next_one = await admin.check_out(entry)
    assert (next_one.status_code, next_one.json()["generation"]) == (201, 2)
    late = await ursula.post(f"{CHECKOUTS}/{mine.json()['id']}/checkin")
    assert (late.status_code, late.json()["code"]) == (409, "RPPAM-8412")
    assert (await admin.get(f"{CHECKOUTS}/{next_one.json()['id']}")).json()["endedAt"] is None
    assert [one["details"]["why"] for one in await actions(open_vault, "checkout.end")] == ["checkin"]


async def test_many_at_once_get_one(open_vault: Served) -> None:
    admin = host(open_vault)
    entry = await admin.entry()
    answers = await asyncio.gather(*(admin.check_out(entry) for _ in range(12)))
    codes = sorted(one.status_code for one in answers)
    assert codes == [201, *[409] * 11], [one.text for one in answers]


async def test_a_check_out_that_is_over_counts_for_nothing(open_vault: Served) -> None:
    admin, ursula = host(open_vault), await person(open_vault, "ursula")
    entry = await admin.entry()
    await let(open_vault, "servers", "ursula", "reveal")
    mine = (await ursula.check_out(entry)).json()
    await run(open_vault, "UPDATE checkouts SET expires_at = 1")
    assert (await ursula.reveal(entry)).status_code == 403
    late = await ursula.post(f"{CHECKOUTS}/{mine['id']}/checkin")
    assert (late.status_code, late.json()["code"]) == (409, "RPPAM-8412")
    assert (await admin.check_out(entry)).status_code == 201
    assert (await admin.get(f"{CHECKOUTS}/{mine['id']}")).json()["endedWhy"] == "expired"


async def test_the_leader_ends_what_is_over_and_what_a_disabled_user_has(open_vault: Served) -> None:
    admin, ursula = host(open_vault), await person(open_vault, "ursula")
    entries = [await admin.entry(f"e{number}") for number in range(2)]
    await let(open_vault, "servers", "ursula", "reveal")
    first, second = [(await ursula.check_out(entry)).json() for entry in entries]
    await run(open_vault, f"UPDATE checkouts SET expires_at = 1 WHERE id = '{first['id']}'")
    await run(open_vault, "UPDATE users SET disabled = 1 WHERE name = 'ursula'")
    base = open_vault.app.state.services.get(Vault)
    await Checkouts(base, minutes_max=480).sweep()
    ended = [(await admin.get(f"{CHECKOUTS}/{one['id']}")).json()["endedWhy"] for one in (first, second)]
    assert ended == ["expired", "user-disabled"]


async def test_a_manager_ends_somebodys_check_out_and_a_stranger_none(open_vault: Served) -> None:
    admin, ursula = host(open_vault), await person(open_vault, "ursula")
    entry = await admin.entry(rotateAfterUse=True)
    await let(open_vault, "servers", "ursula", "reveal")
    held = (await admin.check_out(entry)).json()
    assert (await ursula.get(f"{CHECKOUTS}/{held['id']}")).status_code == 404
    assert (await ursula.post(f"{CHECKOUTS}/{held['id']}/checkin")).status_code == 404
    assert (await ursula.post(f"{CHECKOUTS}/{held['id']}/force", reason="mine")).status_code == 403
    forced = await admin.post(f"{CHECKOUTS}/{held['id']}/force", reason="INC1")
    assert (forced.status_code, forced.json()["endedWhy"]) == (200, "forced"), forced.text
    assert (await admin.post(f"{CHECKOUTS}/{held['id']}/force", reason="INC1")).status_code == 409
    # It was used, so nobody gets it before it is changed or released.
    blocked = await ursula.check_out(entry)
    assert (blocked.status_code, blocked.json()["code"]) == (409, "RPPAM-8413")
    assert (await ursula.post(f"{ENTRIES}/{entry['id']}/release")).status_code == 403
    assert (await admin.post(f"{ENTRIES}/{entry['id']}/release")).json()["state"] == "available"
    again = await ursula.check_out(entry)
    assert again.status_code == 201
    assert (await ursula.post(f"{CHECKOUTS}/{again.json()['id']}/checkin")).status_code == 204
    assert (await admin.put(f"{ENTRIES}/{entry['id']}", generate={})).json()["state"] == "available"


async def test_all_who_have_a_deleted_entry_have_it_no_more(open_vault: Served) -> None:
    admin, ursula = host(open_vault), await person(open_vault, "ursula")
    entry = await admin.entry(exclusive=False)
    await let(open_vault, "servers", "ursula", "reveal")
    late, *others = [(await one.check_out(entry)).json() for one in (ursula, ursula, admin)]
    await run(open_vault, f"UPDATE checkouts SET expires_at = 1 WHERE id = '{late['id']}'")
    assert (await admin.delete(f"{ENTRIES}/{entry['id']}")).status_code == 204
    ended = [(await admin.get(f"{CHECKOUTS}/{one['id']}")).json()["endedWhy"] for one in (late, *others)]
    assert ended == ["expired", "deleted", "deleted"]


async def test_who_waits_is_next(open_vault: Served) -> None:
    admin, ursula, paul = host(open_vault), await person(open_vault, "ursula"), await person(open_vault, "audrey")
    entry = await admin.entry()
    await let(open_vault, "servers", "ursula", "reveal")
    await let(open_vault, "servers", "audrey", "reveal")
    held = (await admin.check_out(entry)).json()
    first, second = await ursula.check_out(entry, wait=True), await paul.check_out(entry, wait=True)
    assert (first.json()["position"], second.json()["position"]) == (1, 2)
    await admin.post(f"{CHECKOUTS}/{held['id']}/checkin")
    early = await paul.check_out(entry, wait=True)
    assert (early.status_code, early.json()["position"], early.json()["heldBy"]) == (409, 2, "ursula")
    assert (await ursula.check_out(entry, wait=True)).status_code == 201
    # Who has not asked for a while waits no more.
    await run(open_vault, "UPDATE checkout_waits SET asked_at = 1")
    await run(open_vault, "UPDATE checkouts SET expires_at = 1")
    assert (await admin.check_out(entry)).status_code == 201


async def test_a_longer_wish_is_cut(open_vault: Served) -> None:
    admin = host(open_vault)
    entry = await admin.entry(exclusive=False)
    first = (await admin.check_out(entry, minutes=10_000)).json()
    second = (await admin.check_out(entry, minutes=1)).json()
    assert (first["generation"], second["generation"]) == (1, 2)
    await run(open_vault, "UPDATE checkouts SET started_at = expires_at - 480 * 60000 WHERE generation = 1")
    one = (await admin.get(f"{CHECKOUTS}/{first['id']}")).json()
    assert one["startedAt"][:16] == first["startedAt"][:16]
    assert (await admin.get(f"{CHECKOUTS}?active=true&entryId={entry['id']}")).json()["total"] == 2


async def test_a_process_with_a_foundation_uses_a_secret_without_showing_it(open_vault: Served) -> None:
    admin = host(open_vault)
    web = await admin.made("/api/v1/resources", name="web1", kind="ssh", address="10.0.0.1")
    root = await admin.made("/api/v1/accounts", resourceId=web["id"], name="root")
    await admin.entry(accountId=root["id"], reveal="never")
    ursula = await person(open_vault, "ursula")
    await let(open_vault, "servers", "ursula", "use")
    me = (await ursula.get("/api/v1/auth/sessions")).status_code
    assert me in {200, 403, 404}
    from rppam.foundation import Foundation

    vault = vault_of(open_vault.app.state.services.get(Foundation), lambda: None)
    facts = await open_vault.users.find("ursula")
    assert facts is not None
    from rppam.access.sessions.model import Identity, SessionKind

    identity = Identity("ursula", facts.account.id, frozenset(facts.account.roles), "s", SessionKind.LOGIN, False)
    entry, fields = await vault.use(identity, root["id"], "an SSH session")
    assert (entry.name, "correct-horse" in fields["password"].reveal()) == ("root", True)
    assert "correct-horse" not in repr(fields)
    [event] = await actions(open_vault, "secret.use")
    assert event["reason"] == "an SSH session"
