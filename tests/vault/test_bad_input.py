"""What comes in that nobody hopes for: huge and odd secrets, keys that are gone, and a node that wakes too late."""

from typing import Any

import pytest
from sqlalchemy import text

from tests.support.served import Served
from tests.vault.people import CHECKOUTS, ENTRIES, SECRET, Person, actions, host, let, person

pytestmark = pytest.mark.integration
ROOM = 1 << 20
"""The most that one field may hold."""
ODD = "line one\nline two\r\n\ttab \0 NUL 🐎👩‍🚀 \u202e right to left \\ \" ' %s {x} $(id) `id` \x1b[31m"


async def run(served: Served, statement: str) -> None:
    await served.database.write(lambda connection: connection.execute(text(statement)).close())


@pytest.mark.parametrize("word", [ODD, "\n", "\0", " ", "🐎" * (ROOM // 4), "\n" * (ROOM // 2), "x" * ROOM])
async def test_a_secret_comes_back_as_it_was_whatever_is_in_it(open_vault: Served, word: str) -> None:
    admin = host(open_vault)
    entry = await admin.entry(fields={"password": word}, exclusive=False)
    assert (await admin.reveal(entry)).json()["fields"]["password"] == word
    assert (await admin.put(f"{ENTRIES}/{entry['id']}", fields={"password": "short"})).status_code == 200
    restored = await admin.post(f"{ENTRIES}/{entry['id']}/versions/1/restore")
    assert (restored.status_code, restored.json()["version"]) == (200, 3)
    assert (await admin.reveal(entry)).json()["fields"]["password"] == word


async def test_what_is_too_large_is_refused_with_the_bound_and_changes_nothing(open_vault: Served) -> None:
    admin = host(open_vault)
    entry = await admin.entry(exclusive=False)
    for size, status, code, bound in ((ROOM + 1, 400, "RPPAM-8402", ROOM), (3_000_000, 413, "RPPAM-6014", 2 * ROOM)):
        more = await admin.put(f"{ENTRIES}/{entry['id']}", fields={"password": "y" * size})
        assert (more.status_code, more.json()["code"]) == (status, code), more.text
        assert str(bound) in more.json()["detail"]
        assert "yyyy" not in more.text
    assert (await admin.reveal(entry)).json()["fields"]["password"] == SECRET
    assert [one["version"] for one in (await admin.get(f"{ENTRIES}/{entry['id']}/versions")).json()["items"]] == [1]


async def test_where_the_key_of_half_the_entries_is_gone_the_other_half_goes_on(open_vault: Served) -> None:
    admin = host(open_vault)
    lost = [await admin.entry(f"lost{number}", exclusive=False) for number in range(3)]
    assert (await admin.post("/api/v1/vault/keys/rotate")).status_code == 200
    there = [await admin.entry(f"there{number}", exclusive=False) for number in range(3)]
    await run(open_vault, "DELETE FROM vault_keks WHERE version = 1")
    for entry in lost:
        path = f"{ENTRIES}/{entry['id']}"
        for answer in (await admin.reveal(entry), await admin.post(f"{path}/versions/1/restore")):
            said = answer.json()
            assert (answer.status_code, said["code"]) == (503, "RPPAM-8422"), answer.text
            assert "is gone" in said["detail"]
            assert "backup" in str(said)
        assert (await admin.get(path)).json()["version"] == 1
        assert len((await admin.get(f"{path}/versions")).json()["items"]) == 1
    for entry in there:
        assert (await admin.reveal(entry)).json()["fields"]["password"] == SECRET
    assert (await admin.get(ENTRIES)).json()["total"] == 6
    assert len(await actions(open_vault, "secret.restore")) == 0
    # Somebody who still knows a secret stores it anew, and the entry is whole again.
    assert (await admin.put(f"{ENTRIES}/{lost[0]['id']}", fields={"password": "anew"})).status_code == 200
    assert (await admin.reveal(lost[0])).json()["fields"]["password"] == "anew"


async def checked_in(who: Person, held: dict[str, Any], **more: Any) -> tuple[int, str, str]:
    answer = await who.post(f"{CHECKOUTS}/{held['id']}/checkin", **more)
    return answer.status_code, answer.json()["code"], answer.json()["detail"]


async def test_who_wakes_after_a_minute_and_checks_in_ends_nothing_of_anybody_else(open_vault: Served) -> None:
    admin, ursula = host(open_vault), await person(open_vault, "ursula")
    entry = await admin.entry(rotateAfterUse=False)
    await let(open_vault, "servers", "ursula", "reveal")
    held = (await ursula.check_out(entry, minutes=1)).json()
    # The minute in which her node is paused: by the database's clock it is over.
    await run(open_vault, "UPDATE checkouts SET started_at = started_at - 61000, expires_at = expires_at - 61000")
    late = await checked_in(ursula, held)
    assert late[:2] == (409, "RPPAM-8412")
    assert "ended already (expired)" in late[2]
    assert (await ursula.reveal(entry)).status_code == 403
    other = (await admin.check_out(entry)).json()
    assert other["generation"] == held["generation"] + 1
    later = await checked_in(ursula, held)
    assert later[:2] == (409, "RPPAM-8412")
    assert f"generation {held['generation']}; {other['generation']} came after it" in later[2]
    wrong = await checked_in(admin, other, generation=held["generation"])
    assert wrong[:2] == (409, "RPPAM-8412")
    stands = (await admin.get(f"{CHECKOUTS}/{other['id']}")).json()
    assert (stands["endedAt"], stands["userName"]) == (None, "admin")
    ends = await actions(open_vault, "checkout.end")
    assert [one["details"]["why"] for one in ends] == ["expired"]
