"""No committed row, no act: where the database takes no event, each of these is refused, and nothing was done.

A trigger in the real database refuses events and all else works, so what is seen is the transaction of the act.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import httpx
import pytest
from sqlalchemy import select

from rppam.db.tables import metadata
from rppam.gateway.model import NewAccess
from rppam.gateway.store import SqlAccess
from rppam.http.bounds import ApiLimits
from rppam.kernel.actor import NODE
from tests.access.mfa import test_api as mfa
from tests.gateway.places import Place, sshd
from tests.gateway.test_kept import until_recorded
from tests.requests import test_api as requests
from tests.requests.people import furnish, hire, person as hired
from tests.support.authenticator import code
from tests.support.full_ledger import fill
from tests.support.served import PASSWORD, Served
from tests.vault.people import ENTRIES, Person, person

pytestmark = [pytest.mark.integration, pytest.mark.server]
Act = Callable[[], Awaitable[httpx.Response]]
_VOLATILE: Final = frozenset({"login_tries", "limit_counters", "fence", "epochs", "mfa_challenges"})
"""What counts tries, and who leads: no act of anybody."""


@pytest.fixture
async def node(tmp_path: Path, limits: ApiLimits, url: str) -> AsyncIterator[Served]:
    one = Served(tmp_path / "keys", limits, more={"vault": {"revealFactor": "none"}}, database_url=url)
    await one.start()
    yield one
    await one.stop()


async def _log_in(node: Served) -> Act:
    await person(node, "ursula")
    return lambda: node.http.post("/api/v1/auth/login", json={"username": "ursula", "password": PASSWORD})


async def _second_factor(node: Served) -> Act:
    headers = mfa.bearer(await mfa.login(node))
    begun = (await node.http.post(mfa.ENROL, headers=headers, json=mfa.MINE)).json()
    return lambda: node.http.post(mfa.ENROL, headers=headers, json={"code": code(begun["secret"])})


async def _role(node: Served) -> Act:
    admin = await person(node, "admin")
    await person(node, "ursula")
    return lambda: admin.put("/api/v1/users/id-ursula/roles", roles=["pam_admin"])


async def _setting(node: Served) -> Act:
    admin = await person(node, "admin")
    return lambda: admin.put("/api/v1/settings/security/sessions", idleMinutes=17)


async def _kill(node: Served) -> Act:
    admin = await person(node, "admin")
    new = NewAccess("a1", "id-admin", "admin", 1, "t1", "web1", "c1", "root", "ssh", "127.0.0.1", "node1", "boot")
    await node.services.get(SqlAccess).begin(new, NODE, {})
    return lambda: admin.post("/api/v1/access/sessions/a1/kill", reason="lunch")


async def _entry(node: Served) -> tuple[Person, dict[str, Any]]:
    admin = await person(node, "admin")
    return admin, await admin.entry()


async def _reveal(node: Served) -> Act:
    admin, entry = await _entry(node)
    return lambda: admin.post(f"{ENTRIES}/{entry['id']}/reveal", reason="because")


async def _check_out(node: Served) -> Act:
    admin, entry = await _entry(node)
    return lambda: admin.check_out(entry)


async def _approval(node: Served) -> Act:
    await hire(node.database)
    await furnish(node.database)
    asked = await requests.ask(await hired(node, "ursula"))
    anna = await hired(node, "anna", mfa=True)
    return lambda: anna.post(f"{requests.REQUESTS}/{asked['id']}/approve", note="fine")


ACTS: Final[Mapping[str, Callable[[Served], Awaitable[Act]]]] = MappingProxyType(
    {
        "log-in": _log_in,
        "second factor": _second_factor,
        "role": _role,
        "setting": _setting,
        "kill": _kill,
        "reveal": _reveal,
        "check-out": _check_out,
        "approval": _approval,
    }
)


async def everything(node: Served) -> dict[str, list[str]]:
    """What stands in the database, but for when a session was last seen."""

    def work(connection: Any) -> dict[str, list[str]]:
        found = {}
        for name, table in metadata.tables.items():
            if name not in _VOLATILE:
                columns = [column for column in table.columns if column.name != "last_seen_at"]
                found[name] = sorted(map(str, connection.execute(select(*columns)).all()))
        return found

    return await node.database.read(work)


@pytest.mark.parametrize("name", ACTS)
async def test_what_cannot_be_recorded_is_refused_and_nothing_is_done(node: Served, name: str) -> None:
    act = await ACTS[name](node)
    reader = await person(node, "audrey")
    before = await everything(node)
    await fill(node.database, full=True)
    refused = await act()
    assert (refused.status_code, refused.json()["code"]) == (503, "RPPAM-2908"), refused.text
    assert refused.json()["detail"] == "What was asked for cannot be recorded in the ledger, so it was not done."
    assert await everything(node) == before
    assert (await node.http.get("/system/health/ping")).status_code == 200
    for path in ("/system/health/cluster", "/api/v1/audit/events", "/api/v1/sessions", "/api/v1/users"):
        assert (await reader.get(path)).status_code == 200, path
    await fill(node.database, full=False)
    done = await act()
    assert done.status_code < 300, done.text
    assert await everything(node) != before


async def test_a_wrong_password_is_refused_also_where_that_cannot_be_recorded(node: Served) -> None:
    await person(node, "ursula")
    await fill(node.database, full=True)
    before = await everything(node)
    wrong = {"username": "ursula", "password": "not the password"}
    assert (await node.http.post("/api/v1/auth/login", json=wrong)).status_code in {401, 503}
    assert await everything(node) == before


async def test_no_session_with_a_target_begins_and_nobody_gets_in_at_the_gateway(node: Served, tmp_path: Path) -> None:
    with sshd(tmp_path / "target") as target:
        place = Place(node, tmp_path, target)
        await place.start()
        try:
            assert (await place.ssh("echo in")).out == b"in\n"
            await until_recorded(place, "access.end")
            before = await everything(node)
            await fill(node.database, full=True)
            refused = await place.ssh("echo in")
            assert (refused.code != 0, refused.out) == (True, b""), refused
            assert "RPPAM-2908" in refused.err
            assert await everything(node) == before
            await fill(node.database, full=False)
            assert (await place.ssh("echo in")).out == b"in\n"
        finally:
            await place.stop()
