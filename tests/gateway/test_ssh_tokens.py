"""One-time tokens: one log-in, of one user, to one target, in some minutes; then, and elsewhere, they are nothing."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from rppam.access.accounts.model import Account
from rppam.access.accounts.store import SqlAccounts
from rppam.db.engine import NowMs
from rppam.gateway.errors import TooManyTokens
from rppam.gateway.policy import ACCESS
from rppam.gateway.ports import NoRecordings, Ways
from rppam.gateway.ssh_tokens_store import PREFIX, SqlSshTokens
from rppam.gateway.tables import ssh_tokens
from rppam.gateway.wiring import ways_of
from tests.access.mfa.test_api import enrolled
from tests.gateway.places import HOST, Place, Sshd
from tests.gateway.test_register import recorded
from tests.gateway.test_user_keys import signed_in
from tests.gateway.test_vault_routes import Catalogue
from tests.support.authenticator import code
from tests.support.served import PASSWORD, Served

pytestmark = [pytest.mark.integration]
TOKENS = "/api/v1/users/me/ssh-tokens"


async def account_of(place: Place, user: str) -> Account:
    stored = await place.served.services.get(SqlAccounts).find(user)
    assert stored is not None
    return stored.account


async def made(place: Place, target: str = "web1", account: str = "", *, mfa: bool = False, user: str = "admin") -> str:
    if await place.served.services.get(SqlAccounts).find(user) is None:
        await signed_in(place, user)  # which makes the account
    store = place.served.services.get(SqlSshTokens)
    _, secret = await store.make(await account_of(place, user), target, account, 5, mfa=mfa)
    return secret.reveal()


@pytest.fixture
async def listed(served: Served, tmp_path: Path, target: Sshd) -> AsyncIterator[Place]:
    """A gateway whose one target is in the catalogue and in the vault."""
    ways = ways_of(served.services)
    one = Place(served, tmp_path, target, ways=Ways(ways.routes, ways.known_hosts, NoRecordings()))
    await one.start()
    catalogue = Catalogue(served)
    new = {"name": "web1", "kind": "ssh", "address": HOST, "port": target.port}
    resource = (await catalogue.ask("POST", "/api/v1/resources", new))["id"]
    await catalogue.ask("POST", f"/api/v1/resources/{resource}/host-keys", {"key": target.host_key})
    await catalogue.account(resource, target.user, {"privateKey": target.private_key})
    yield one
    await one.stop()


async def test_it_lets_in_once_to_the_target_that_it_was_made_for(listed: Place) -> None:
    http, headers = listed.served.http, await signed_in(listed)
    answer = await http.post(TOKENS, json={"target": "web1"}, headers=headers)
    assert answer.status_code == 201, answer.text
    token: dict[str, Any] = answer.json()
    assert token["token"].startswith(PREFIX)
    shown = (await http.get(TOKENS, headers=headers)).json()["items"]
    assert [one["id"] for one in shown] == [token["id"]]
    assert "token" not in shown[0]
    fine = await listed.ssh("echo in", answers=(token["token"],))
    assert (fine.code, fine.out) == (0, b"in\n"), fine
    assert (await http.get(TOKENS, headers=headers)).json()["items"] == []
    assert (await listed.ssh("echo in", answers=(token["token"],))).code == 255
    (login,) = await recorded(listed, "access.login")
    assert login["details"] == {"how": "token", "secondFactor": False}
    (used,) = await recorded(listed, "sshtoken.use")
    assert used["details"]["token"] == token["id"]
    unknown = await http.post(TOKENS, json={"target": "web2"}, headers=headers)
    assert (unknown.status_code, unknown.json()["code"]) == (404, "RPPAM-8601")
    ursula = await http.post(TOKENS, json={"target": "web1"}, headers=await signed_in(listed, "ursula"))
    assert (ursula.status_code, ursula.json()["detail"]) == (404, unknown.json()["detail"]), "no access tells no target"
    of_host = await http.post(TOKENS, json={"target": "web1"}, headers=listed.served.bearer())
    assert of_host.json()["code"] == "RPPAM-3112"


async def test_of_another_target_account_or_user_it_is_nothing(place: Place) -> None:
    place.routes.add("web2", place.target.port, place.target.user, place.key)
    token = await made(place, "web2")
    assert (await place.ssh("echo in", answers=(token,))).code == 255
    assert (await place.ssh("echo in", answers=(token,), user="ursula+web2")).code == 255
    assert (await place.ssh("echo in", answers=(token,), user="admin")).code != 0
    bound = await made(place, "web2", "somebody")
    assert (await place.ssh("echo in", answers=(bound,), user=f"admin+{place.target.user}+web2")).code == 255
    mine = await made(place, "web2", place.target.user)
    assert (await place.ssh("echo in", answers=(mine,), user="admin+web2")).out == b"in\n"
    assert (await place.ssh("echo in", answers=(token,), user="admin+web2")).out == b"in\n", "nothing used it up"


async def test_of_two_at_one_instant_one_comes_in(place: Place) -> None:
    token = await made(place)
    ended = await asyncio.gather(*(place.ssh("echo in", answers=(token,)) for _ in range(4)))
    assert sorted(one.out for one in ended) == [b"", b"", b"", b"in\n"], ended


async def test_expired_revoked_or_of_a_password_before_it_is_nothing(place: Place) -> None:
    http, headers = place.served.http, await signed_in(place)
    token = await made(place)
    (shown,) = (await http.get(TOKENS, headers=headers)).json()["items"]
    assert (await http.delete(f"{TOKENS}/{shown['id']}", headers=headers)).status_code == 204
    again = await http.delete(f"{TOKENS}/{shown['id']}", headers=headers)
    assert (again.status_code, again.json()["code"]) == (404, "RPPAM-8627")
    assert (await place.ssh("echo in", answers=(token,))).code == 255
    token = await made(place)
    late = update(ssh_tokens).values(expires_at=NowMs())
    await place.served.database.write(lambda connection: connection.execute(late).rowcount)
    assert (await place.ssh("echo in", answers=(token,))).code == 255
    token = await made(place)
    new = {"currentPassword": PASSWORD, "newPassword": "another one of the same"}
    assert (await http.put("/api/v1/users/me/password", json=new, headers=headers)).status_code == 204
    assert (await place.ssh("echo in", answers=(token,))).code == 255


async def test_it_stands_for_the_second_factor_where_who_made_it_had_shown_one(place: Place) -> None:
    _, secret, _ = await enrolled(place.served)
    assert (await place.ssh("echo in", answers=(await made(place, mfa=True),))).out == b"in\n"
    token = await made(place)
    assert (await place.ssh("echo in", answers=(token,))).code == 255, "the code has to follow"
    fine = await place.ssh("echo in", answers=(await made(place), code(secret, 1)))
    assert fine.out == b"in\n", fine


async def test_switched_off_it_is_nothing_and_passwords_off_leave_it(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = await made(place)
    gate = place.gateway.gate
    assert ACCESS.default.token_login
    monkeypatch.setattr(type(gate), "policy", property(lambda _: ACCESS.default._replace(token_login=False)))
    assert (await place.ssh("echo in", answers=(token,))).code == 255
    monkeypatch.setattr(type(gate), "policy", property(lambda _: ACCESS.default._replace(password_login=False)))
    assert (await place.ssh("echo in")).code == 255
    assert (await place.ssh("echo in", answers=(token,))).out == b"in\n"


async def test_there_are_only_so_many(place: Place) -> None:
    for _ in range(20):
        await made(place)
    with pytest.raises(TooManyTokens, match="20 unused"):
        await made(place)


async def test_invented_ones_are_guesses_and_lock_the_user(place: Place) -> None:
    token = await made(place)
    for _ in range(12):
        ended = await place.ssh("echo in", answers=(PREFIX + "A" * 43,))
        assert ended.code == 255
    locked = await place.ssh("echo in", answers=(token,))
    assert locked.code == 255
    assert "RPPAM-6029" in locked.err, locked
    (shown,) = await place.served.services.get(SqlSshTokens).of(await account_of(place, "admin"))
    assert shown.target == "web1", "who is locked keeps the token"
