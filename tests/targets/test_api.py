"""Resources and accounts over REST: who may, what is refused, paging, and two who change one thing at once."""

import base64
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from rppam.access.accounts.model import AccountRole
from tests.support.authority import Authority
from tests.support.served import Served
from tests.targets.test_model import ED25519

pytestmark = pytest.mark.integration
RESOURCES, ACCOUNTS = "/api/v1/resources", "/api/v1/accounts"
WEB: dict[str, Any] = {"name": "web1", "kind": "ssh", "address": "10.0.0.1", "port": 22}


async def made(served: Served, path: str = RESOURCES, **body: Any) -> dict[str, Any]:
    answer = await served.http.post(path, json=body, headers=served.bearer())
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_a_resource_and_its_account_are_made_changed_and_removed(served: Served) -> None:
    admin = served.bearer()
    web = await made(served, **WEB, tags=["Prod", "web"])
    root = await made(served, ACCOUNTS, resourceId=web["id"], name="root")
    assert (root["resourceName"], root["revision"], web["tags"]) == ("web1", 1, ["prod", "web"])
    changed = await served.http.put(f"{RESOURCES}/{web['id']}", json={**web, "port": 2222}, headers=admin)
    assert (changed.status_code, changed.json()["port"], changed.json()["revision"]) == (200, 2222, 2), changed.text
    assert changed.headers["etag"] == '"2"'
    again = await served.http.put(f"{RESOURCES}/{web['id']}", json={"port": 2222}, headers=admin)
    assert again.json()["revision"] == 2
    kept = await served.http.delete(f"{RESOURCES}/{web['id']}", headers=admin)
    assert (kept.status_code, kept.json()["code"]) == (409, "RPPAM-8306")
    assert (await served.http.delete(f"{ACCOUNTS}/{root['id']}", headers=admin)).status_code == 204
    assert (await served.http.delete(f"{RESOURCES}/{web['id']}", headers=admin)).status_code == 204
    assert (await served.http.get(f"{RESOURCES}/{web['id']}", headers=admin)).status_code == 404
    events = await served.http.get("/api/v1/audit/events", headers=admin)
    actions = [one["action"] for one in events.json()["events"]]
    assert {"resource.create", "resource.change", "resource.delete", "account.create", "account.delete"} <= set(actions)


async def test_of_two_who_change_one_thing_the_second_hears_of_it(served: Served) -> None:
    admin = served.bearer()
    web = await made(served, **WEB)
    root = await made(served, ACCOUNTS, resourceId=web["id"], name="root")
    for path, read in ((f"{RESOURCES}/{web['id']}", web), (f"{ACCOUNTS}/{root['id']}", root)):
        first = await served.http.put(path, json={**read, "description": "one"}, headers=admin)
        second = await served.http.put(path, json={**read, "description": "two"}, headers=admin)
        assert (first.status_code, second.status_code, second.json()["code"]) == (200, 409, "RPPAM-8305")
        late = await served.http.put(path, json={"description": "three"}, headers={**admin, "If-Match": '"1"'})
        assert (late.status_code, late.json()["code"]) == (412, "RPPAM-6024")
        gone = await served.http.delete(path, headers={**admin, "If-Match": '"1"'})
        assert gone.status_code == 412
        assert (await served.http.get(path, headers=admin)).json()["description"] == "one"


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "a+b"},
        {"kind": "pigeon"},
        {"address": "a b"},
        {"port": 0},
        {"tags": ["a b"]},
        {"more": 1},
        {"port": "22"},
    ],
)
async def test_what_cannot_be_is_refused(served: Served, wrong: dict[str, object]) -> None:
    answer = await served.http.post(RESOURCES, json={**WEB, **wrong}, headers=served.bearer())
    assert answer.status_code == 400, answer.text


async def test_names_are_taken_without_upper_and_lower_case(served: Served) -> None:
    web = await made(served, **WEB)
    other = await made(served, **WEB | {"name": "web2"})
    await made(served, ACCOUNTS, resourceId=web["id"], name="root")
    admin = served.bearer()
    assert (await served.http.post(RESOURCES, json={**WEB, "name": "WEB1"}, headers=admin)).status_code == 409
    renamed = await served.http.put(f"{RESOURCES}/{other['id']}", json={"name": "Web1"}, headers=admin)
    assert (renamed.status_code, renamed.json()["code"]) == (409, "RPPAM-8303")
    root = {"resourceId": web["id"], "name": "root"}
    assert (await served.http.post(ACCOUNTS, json=root, headers=admin)).status_code == 409
    nowhere = await served.http.post(ACCOUNTS, json={**root, "resourceId": "none"}, headers=admin)
    assert (nowhere.status_code, nowhere.json()["code"]) == (404, "RPPAM-8301")


async def test_lists_are_searched_and_paged(served: Served) -> None:
    last = ""
    for number in range(5):
        tags = ["even"] if number % 2 == 0 else ["odd", "x"]
        web = await made(served, **WEB | {"name": f"web{number}", "address": f"10.0.0.{number}", "tags": tags})
        last = web["id"]
        await made(served, ACCOUNTS, resourceId=last, name="root")
    headers = served.bearer(AccountRole.USER)
    answer = await served.http.get(f"{RESOURCES}?pageSize=2&page=3", headers=headers)
    assert ([one["name"] for one in answer.json()["items"]], answer.json()["total"]) == (["web4"], 5)
    for query, names in (("tag=odd&tag=x", "13"), ("search=0.0.2", "2"), ("search=WEB3", "3"), ("search=%25", "")):
        answer = await served.http.get(f"{RESOURCES}?{query}", headers=headers)
        assert [one["name"] for one in answer.json()["items"]] == [f"web{number}" for number in names], query
    answer = await served.http.get(f"{ACCOUNTS}?search=web2", headers=headers)
    assert [one["resourceName"] for one in answer.json()["items"]] == ["web2"]
    answer = await served.http.get(f"{ACCOUNTS}?resourceId={last}", headers=headers)
    assert answer.json()["total"] == 1


@pytest.mark.parametrize("role", [one for one in AccountRole if one is not AccountRole.ADMIN])
async def test_only_an_administrator_changes_them(served: Served, role: str) -> None:
    headers = served.bearer(role)
    assert (await served.http.post(RESOURCES, json=WEB, headers=headers)).status_code == 403
    assert (await served.http.get(RESOURCES, headers=headers)).status_code == 200


async def test_a_key_is_pinned_once_and_believed_no_more(served: Served) -> None:
    web, admin = await made(served, **WEB), served.bearer()
    path = f"{RESOURCES}/{web['id']}/host-keys"
    key = await made(served, path, key=f"web1 {ED25519}")
    assert (key["type"], key["fingerprint"][:7]) == ("ssh-ed25519", "SHA256:")
    assert (await served.http.post(path, json={"key": ED25519}, headers=admin)).status_code == 409
    assert (await served.http.post(path, json={"key": "nonsense"}, headers=admin)).status_code == 400
    assert [one["id"] for one in (await served.http.get(path, headers=admin)).json()["items"]] == [key["id"]]
    assert (await served.http.delete(f"{path}/{key['id']}", headers=admin)).status_code == 204
    assert (await served.http.delete(f"{path}/{key['id']}", headers=admin)).status_code == 404


async def test_the_keys_of_all_are_listed_a_page_at_a_time(served: Served) -> None:
    made_of: dict[str, str] = {}
    for number in range(3):
        web = await made(served, **WEB | {"name": f"web{number}"})
        key = await made(served, f"{RESOURCES}/{web['id']}/host-keys", key=ED25519)
        made_of[key["id"]] = web["id"]
    found: dict[str, str] = {}
    for page in (1, 2):
        path = f"/api/v1/host-keys?page={page}&pageSize=2"
        answer = await served.http.get(path, headers=served.bearer(AccountRole.USER))
        assert (answer.status_code, answer.json()["total"]) == (200, 3), answer.text
        found |= {one["id"]: one["resourceId"] for one in answer.json()["items"]}
    assert found == made_of


async def test_a_certificate_is_pinned_as_pem_and_taken_again_as_it_is_shown(served: Served, tmp_path: Path) -> None:
    web, admin = await made(served, **WEB | {"kind": "postgresql"}), served.bearer()
    path = f"{RESOURCES}/{web['id']}/host-keys"
    issued = Authority(tmp_path).certify("web1.example")
    key = await made(served, path, key=issued.pem().decode())
    assert (key["type"], base64.b64decode(key["key"])) == ("x509", issued.certificate.public_bytes(Encoding.DER))
    shown = {"key": f"{key['type']} {key['key']}"}
    again = await served.http.post(path, json=shown, headers=admin)
    assert (again.status_code, again.json()["code"]) == (409, "RPPAM-8308")
    other = await made(served, **WEB | {"name": "web2"})
    pinned = await made(served, f"{RESOURCES}/{other['id']}/host-keys", **shown)
    assert pinned["fingerprint"] == key["fingerprint"]
