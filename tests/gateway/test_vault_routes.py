"""Targets and the vault behind the gateway: who may use a secret may connect with it, and sees nothing of it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from rppam.access.accounts.model import AccountRole
from rppam.access.sessions.model import Identity, SessionKind
from rppam.gateway.ports import NoRecordings, Ways
from rppam.gateway.wiring import ways_of
from rppam.vault.service import Vault
from tests.gateway.places import HOST, Place, Sshd
from tests.gateway.test_register import live, recorded
from tests.support.served import PASSWORD, Served

pytestmark = [pytest.mark.integration]


class Catalogue:
    """What an administrator has entered over REST."""

    def __init__(self, served: Served) -> None:
        self.served = served

    async def ask(self, method: str, path: str, body: object = None) -> Any:
        answer = await self.served.http.request(method, path, json=body, headers=self.served.bearer())
        assert answer.status_code < 300, answer.text
        return answer.json() if answer.content else None

    async def account(self, resource: str, name: str, fields: dict[str, str], type_: str = "ssh-key") -> str:
        account = await self.ask("POST", "/api/v1/accounts", {"resourceId": resource, "name": name})
        entry = {"folder": "unix", "name": f"{name}", "type": type_, "accountId": account["id"], "fields": fields}
        await self.ask("POST", "/api/v1/vault/entries", {**entry, "exclusive": False})
        ident: str = account["id"]
        return ident


@pytest.fixture
async def place(served: Served, tmp_path: Path, target: Sshd) -> AsyncIterator[Place]:
    ways = ways_of(served.services)
    one = Place(served, tmp_path, target, ways=Ways(ways.routes, ways.known_hosts, NoRecordings()))
    await one.start()
    yield one
    await one.stop()


async def test_a_right_to_use_is_the_right_to_connect(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    catalogue, target = Catalogue(place.served), place.target
    new = {"name": "Web1", "kind": "ssh", "address": HOST, "port": target.port}
    resource = (await catalogue.ask("POST", "/api/v1/resources", new))["id"]
    await catalogue.account(resource, target.user, {"privateKey": target.private_key})
    refused = await place.ssh("id")
    assert refused.code == 255
    assert "RPPAM-8616" in refused.err  # its host key has to be pinned
    await catalogue.ask("POST", f"/api/v1/resources/{resource}/host-keys", {"key": target.host_key})
    fine = await place.ssh("id -un", user=f"admin+{target.user}+web1")
    assert (fine.code, fine.out.decode().strip()) == (0, target.user), fine
    # ursula may nothing, then may use what lies in the folder
    denied = await place.ssh("id -un", user="ursula+web1")
    assert "RPPAM-8601" in denied.err
    folders = (await catalogue.ask("GET", "/api/v1/vault/folders"))["items"]
    folder = next(one["id"] for one in folders if one["path"] == "unix")
    right = {"items": [{"role": "pam_user", "rights": ["use"]}]}
    await catalogue.ask("PUT", f"/api/v1/vault/folders/{folder}/rights", right)
    assert (await place.ssh("id -un", user="ursula+web1")).code == 0
    used = await recorded(place, "secret.use")
    assert len(used) == 3
    assert all(target.private_key not in str(one) for one in used)
    (start, *_) = [one for one in await recorded(place, "access.start") if one["actor"]["id"] == "id-ursula"]
    assert start["details"]["account"] == target.user
    monkeypatch.setattr("rppam.gateway.ssh.gate.RIGHTS_EVERY_S", 0.5)
    running = asyncio.create_task(place.ssh("echo on; sleep 60", user="ursula+web1"))
    await live(place)
    await catalogue.ask("PUT", f"/api/v1/vault/folders/{folder}/rights", {"items": []})
    ended = await asyncio.wait_for(running, 10)
    assert "the access to this account has ended" in ended.err
    assert "RPPAM-8601" in (await place.ssh("id -un", user="ursula+web1")).err
    # a right of a role ends with the role
    right["items"][0]["role"] = "pam_auditor"
    await catalogue.ask("PUT", f"/api/v1/vault/folders/{folder}/rights", right)
    await catalogue.ask("PUT", "/api/v1/users/id-ursula/roles", {"roles": ["pam_user", "pam_auditor"]})
    running = asyncio.create_task(place.ssh("echo on; sleep 60", user="ursula+web1"))
    await live(place)
    await catalogue.ask("PUT", "/api/v1/users/id-ursula/roles", {"roles": ["pam_user"]})
    ended = await asyncio.wait_for(running, 10)
    assert "the access to this account has ended" in ended.err


async def test_what_the_account_has_for_something_else_is_not_shown_to_its_target(place: Place) -> None:
    """A target that refuses the key would be offered the password of a database next."""
    catalogue, target = Catalogue(place.served), place.target
    new = {"name": "web1", "kind": "ssh", "address": HOST, "port": target.port}
    resource = (await catalogue.ask("POST", "/api/v1/resources", new))["id"]
    await catalogue.ask("POST", f"/api/v1/resources/{resource}/host-keys", {"key": target.host_key})
    ident = await catalogue.account(resource, target.user, {"privateKey": target.private_key})
    other = {"username": "app", "password": "of the database"}
    entry = {"folder": "unix", "name": "db", "type": "database", "accountId": ident, "fields": other}
    await catalogue.ask("POST", "/api/v1/vault/entries", {**entry, "exclusive": False})
    admin = Identity("admin", "id-admin", frozenset({AccountRole.ADMIN.value}), "", SessionKind.LOGIN, True)
    route = await place.gateway.gate.routes.find(admin, "web1", target.user)
    credential = await place.gateway.gate.routes.open(admin, route, "s1")
    assert credential.password is None
    assert credential.private_key is not None
    assert len(await recorded(place, "secret.use")) == 1


async def test_a_session_ends_with_the_check_out_of_its_secret_where_the_entry_says_so(place: Place) -> None:
    catalogue, target = Catalogue(place.served), place.target
    new = {"name": "web1", "kind": "ssh", "address": HOST, "port": target.port, "hostKeyPolicy": "tofu"}
    resource = (await catalogue.ask("POST", "/api/v1/resources", new))["id"]
    account = await catalogue.account(resource, target.user, {"privateKey": target.private_key})
    entry = (await catalogue.ask("GET", f"/api/v1/vault/entries?accountId={account}"))["items"][0]
    right = {"items": [{"role": "pam_user", "rights": ["reveal"]}]}
    await catalogue.ask("PUT", f"/api/v1/vault/folders/{entry_folder(await folders(catalogue))}/rights", right)
    login = {"username": "ursula", "password": PASSWORD}
    token = (await place.served.http.post("/api/v1/auth/login", json=login)).json()["accessToken"]

    async def ursula(path: str, body: object) -> Any:
        headers = {"Authorization": f"Bearer {token}"}
        return await place.served.http.post(path, json=body, headers=headers)

    for kills in (False, True):
        await catalogue.ask("PUT", f"/api/v1/vault/entries/{entry['id']}", {"killOnCheckin": kills})
        wish = {"entryId": entry["id"], "reason": "because", "minutes": 5}
        held = (await ursula("/api/v1/vault/checkouts", wish)).json()
        running = asyncio.create_task(place.ssh(f"echo on; sleep {60 if kills else 3}; echo off", user="ursula+web1"))
        await live(place)
        assert (await ursula(f"/api/v1/vault/checkouts/{held['id']}/checkin", {})).status_code == 204
        ended = await asyncio.wait_for(running, 10)
        assert (b"off" in ended.out) is not kills, ended
        assert ("the check-out of its secret has ended (checkin)" in ended.err) is kills


async def test_a_target_that_takes_the_secret_of_before_is_reached_and_it_is_told(place: Place) -> None:
    catalogue, target = Catalogue(place.served), place.target
    new = {"name": "web1", "kind": "ssh", "address": HOST, "port": target.port, "hostKeyPolicy": "tofu"}
    resource = (await catalogue.ask("POST", "/api/v1/resources", new))["id"]
    account = await catalogue.account(resource, target.user, {"privateKey": target.private_key})
    entry = (await catalogue.ask("GET", f"/api/v1/vault/entries?accountId={account}"))["items"][0]
    assert (await place.ssh("id -un")).code == 0
    other = asyncssh.generate_private_key("ssh-ed25519").export_private_key().decode()
    await catalogue.ask("PUT", f"/api/v1/vault/entries/{entry['id']}", {"fields": {"privateKey": other}})
    fine = await place.ssh("id -un", options=("-tt",))
    assert (fine.code, target.user in fine.out.decode()) == (0, True), fine
    assert "refuses what the vault has" in fine.err + fine.out.decode()
    first, second = [one["details"].get("secretBefore", False) for one in await recorded(place, "access.start")]
    assert (first, second) == (False, True)
    # the first session used version 1; the second was refused with 2, and took 1
    assert [one["details"]["version"] for one in await recorded(place, "secret.use")] == [1, 2, 1]
    # whoever changed it twice without the target is told that the target takes neither
    other = asyncssh.generate_private_key("ssh-ed25519").export_private_key().decode()
    await catalogue.ask("PUT", f"/api/v1/vault/entries/{entry['id']}", {"fields": {"privateKey": other}})
    refused = await place.ssh("id -un")
    assert (refused.code, "RPPAM-8614" in refused.err) == (255, True), refused
    assert [one["details"]["version"] for one in await recorded(place, "secret.use")] == [1, 2, 1, 3, 2]


async def folders(catalogue: Catalogue) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await catalogue.ask("GET", "/api/v1/vault/folders"))["items"]
    return found


def entry_folder(found: list[dict[str, Any]]) -> str:
    return next(str(one["id"]) for one in found if one["path"] == "unix")


async def test_the_first_contact_pins_where_the_resource_says_so(place: Place) -> None:
    catalogue, target = Catalogue(place.served), place.target
    new = {"name": "web1", "kind": "ssh", "address": HOST, "port": target.port, "hostKeyPolicy": "tofu"}
    resource = (await catalogue.ask("POST", "/api/v1/resources", new))["id"]
    await catalogue.account(resource, target.user, {"privateKey": target.private_key})
    assert (await place.ssh("true")).code == 0
    pins = (await catalogue.ask("GET", f"/api/v1/resources/{resource}/host-keys"))["items"]
    assert [one["key"] for one in pins] == [target.host_key] or target.host_key.endswith(pins[0]["key"])
    (pin,) = await recorded(place, "resource.pin")
    assert pin["actor"]["id"] == "id-admin"


async def test_several_accounts_have_to_be_told_apart(place: Place) -> None:
    catalogue, target = Catalogue(place.served), place.target
    new = {"name": "web1", "kind": "ssh", "address": HOST, "port": target.port, "hostKeyPolicy": "tofu"}
    resource = (await catalogue.ask("POST", "/api/v1/resources", new))["id"]
    await catalogue.account(resource, target.user, {"privateKey": target.private_key})
    await catalogue.account(resource, "other", {"password": "x"}, "password")
    unclear = await place.ssh("true")
    assert (unclear.code, "RPPAM-8602" in unclear.err, "other" in unclear.err) == (254, True, True)
    assert (await place.ssh("true", user=f"admin+{target.user}+web1")).code == 0


async def test_an_account_is_deleted_after_its_entries_and_takes_no_other_way_along(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An entry that points at nothing cannot be; whoever asks in the middle of it still learns of all others."""
    catalogue, target = Catalogue(place.served), place.target
    accounts = {}
    for name in ("web1", "web2"):
        new = {"name": name, "kind": "ssh", "address": HOST, "port": target.port, "hostKeyPolicy": "tofu"}
        resource = (await catalogue.ask("POST", "/api/v1/resources", new))["id"]
        made = await catalogue.ask("POST", "/api/v1/accounts", {"resourceId": resource, "name": target.user})
        entry = {"folder": "unix", "name": name, "type": "ssh-key", "fields": {"privateKey": target.private_key}}
        await catalogue.ask("POST", "/api/v1/vault/entries", {**entry, "accountId": made["id"], "exclusive": False})
        accounts[name] = made["id"]
    admin, http = place.served.bearer(), place.served.http
    path = f"/api/v1/accounts/{accounts['web1']}"
    kept = await http.delete(path, headers=admin)
    assert (kept.status_code, kept.json()["code"]) == (409, "RPPAM-8306")
    entries = (await catalogue.ask("GET", f"/api/v1/vault/entries?accountId={accounts['web1']}"))["items"]
    page = Vault.page

    async def then_deleted(*asked: Any) -> Any:
        found = await page(*asked)
        for one in entries:
            await catalogue.ask("DELETE", f"/api/v1/vault/entries/{one['id']}")
        entries.clear()
        await http.delete(path, headers=admin)
        return found

    roles = frozenset({AccountRole.ADMIN})
    identity = Identity("admin", "id-admin", roles, "", SessionKind.LOGIN, True)
    with monkeypatch.context() as patch:
        patch.setattr(Vault, "page", then_deleted)
        assert [one.target for one in await place.gateway.gate.routes.all(identity)] == ["web2"]
    gone = await place.ssh("echo in")
    assert (gone.code, "RPPAM-8601" in gone.err) == (254, True), gone
    assert (await place.ssh("echo in", user="admin+web2")).out == b"in\n"
