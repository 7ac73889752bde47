"""Legal holds, erasure, the vault's key and settings in the console: what is asked, what is refused, and for whom."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.console.conftest import PASSWORD, OpenPage, cluster
from tests.console.places import asking
from tests.support.lab import Lab
from tests.support.redis_servers import Server

pytestmark = [pytest.mark.integration, pytest.mark.server, pytest.mark.slow, pytest.mark.pair]


@pytest.fixture(scope="module")
def lab(redis: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with cluster(redis, tmp_path_factory.mktemp("holds"), nodes=1) as lab:
        ask = asking(lab)
        for name, role in (("sec", "security_admin"), ("mallory", "pam_user")):
            ask("POST", "/api/v1/users", username=name, displayName="", roles=[role], password=PASSWORD)
        (gone,) = ask("GET", "/api/v1/users?search=mallory")["items"]
        ask("DELETE", f"/api/v1/users/{gone['id']}")
        for name in ("one", "two", "three"):
            entry = {"folder": "servers", "name": name, "type": "password", "fields": {"password": "x"}}
            ask("POST", "/api/v1/vault/entries", **entry)
        yield lab


def test_a_name_is_erased_once_no_hold_stands_on_it_and_not_by_a_slip(open_page: OpenPage, lab: Lab) -> None:
    watched, ask = open_page(), asking(lab)
    page = watched.page
    watched.sign_in("sec")
    page.get_by_role("navigation").get_by_role("link", name="Holds and erasure").click()
    page.get_by_text("Nothing is held").wait_for()
    page.get_by_role("button", name="New legal hold").press("Enter")
    page.get_by_label("Name or address").fill("mallory")
    page.get_by_label("Reason").fill("case 42")
    page.get_by_role("button", name="Hold it").press("Enter")
    held = page.get_by_role("region", name="Legal holds").get_by_role("row").filter(has_text="mallory")
    held.get_by_text("case 42").wait_for()
    assert [(one["name"], one["by"]) for one in ask("GET", "/api/v1/audit/holds")["items"]] == [("mallory", "sec")]

    page.get_by_role("button", name="Erase a name").press("Enter")
    box = page.get_by_role("dialog", name="Erase a name from the ledger")
    box.get_by_label("Name or address").fill("mallory")
    box.get_by_label("The same, once more").fill("malory")
    box.get_by_label("Reason").fill("asked to be forgotten")
    box.get_by_text("Type it twice.").wait_for()
    box.get_by_role("button", name="Erase it for good").press("Enter")
    box.get_by_text("The two names differ.").wait_for()
    box.get_by_label("The same, once more").fill("mallory")
    box.get_by_text("mallory: in every event").wait_for()
    box.get_by_role("button", name="Erase it for good").press("Enter")
    box.get_by_text("RPPAM-8007").wait_for()
    assert box.get_by_label("Reason").input_value() == "asked to be forgotten", "nothing typed is lost"
    page.keyboard.press("Escape")
    assert ask("GET", "/api/v1/audit/events?object=mallory")["events"] != []

    held.get_by_role("button", name="Lift the hold").press("Enter")
    page.get_by_label("Reason").fill("case 42 is closed")
    page.get_by_role("dialog").get_by_role("button", name="Lift the hold").press("Enter")
    page.get_by_text("Nothing is held").wait_for()
    page.get_by_role("button", name="Erase a name").press("Enter")
    box.get_by_label("Name or address").fill("mallory")
    box.get_by_label("The same, once more").fill("mallory")
    box.get_by_label("Reason").fill("asked to be forgotten")
    box.get_by_role("button", name="Erase it for good").press("Enter")
    page.get_by_text("Forgotten; it stood in").wait_for()
    assert ask("GET", "/api/v1/audit/events?object=mallory")["events"] == []
    reasons = {
        one["action"]: (one["reason"], one["actor"]["name"])
        for one in ask("GET", "/api/v1/audit/events?action=ledger.&limit=1000")["events"]
    }
    assert reasons["ledger.erase"] == ("asked to be forgotten", "sec")
    assert reasons["ledger.release"] == ("case 42 is closed", "sec")


def test_the_key_of_the_vault_is_rotated_to_the_end_in_front_of_ones_eyes(open_page: OpenPage, lab: Lab) -> None:
    watched = open_page()
    page = watched.page
    watched.sign_in("sec")
    watched.open("vault")
    keys = page.get_by_role("region", name="Keys of the vault")
    first = keys.get_by_role("row").filter(has=page.get_by_role("cell", name="1", exact=True))
    first.get_by_text("seals").wait_for()
    assert first.locator("td").last.inner_text() == "3", "as many as there are secrets"
    page.get_by_role("button", name="Rotate now").press("Enter")
    page.get_by_label("Reason").fill("once a year")
    page.get_by_role("dialog").get_by_role("button", name="Rotate now").press("Enter")
    page.get_by_text("Key 2 seals from now on.").wait_for()
    page.get_by_text("One earlier key is retired").wait_for()
    second = keys.locator("tbody tr")
    assert second.count() == 1
    assert [second.locator("td").nth(place).inner_text() for place in (0, 1, 4)] == ["2", "seals", "3"]
    made = asking(lab)("GET", "/api/v1/audit/events?action=vault.kek-create&newest=true")["events"][0]
    assert (made["reason"], made["actor"]["name"], made["object"]["id"]) == ("once a year", "sec", "2")


def test_who_may_only_look_sees_no_button_and_who_may_not_sees_nothing(open_page: OpenPage) -> None:
    watched = open_page()
    page = watched.page
    watched.sign_in("audrey")
    watched.open("holds")
    page.get_by_text("Nothing is held").wait_for()
    assert page.get_by_role("main").get_by_role("button").count() == 0
    watched.open("vault")
    page.get_by_role("region", name="Keys of the vault").wait_for()
    assert page.get_by_role("button", name="Rotate now").count() == 0
    other = open_page()
    other.sign_in("bob")
    other.open("vault")
    other.page.get_by_role("heading", name="Folders").wait_for()
    assert other.page.get_by_text("Keys of the vault").count() == 0
    assert other.page.get_by_role("link", name="Holds and erasure").count() == 0


def test_a_setting_that_no_node_could_go_by_is_not_saved(open_page: OpenPage, lab: Lab, tmp_path: Path) -> None:
    ask, path = asking(lab), "/api/v1/settings/recordings/store"
    before = ask("GET", path)
    watched = open_page()
    page = watched.page
    watched.sign_in("sue")
    watched.open("settings")
    page.get_by_role("button", name="Change recordings/store").press("Enter")
    box = page.get_by_role("dialog")
    box.get_by_label("store (optional)", exact=True).fill("dir")
    box.get_by_label("folder (optional)", exact=True).fill(str(tmp_path / "not-there"))
    box.get_by_label("Reason").fill("a larger disk")
    box.get_by_role("button", name="Save").press("Enter")
    box.get_by_text("RPPAM-5218").wait_for()
    box.get_by_text("Nothing was changed.").wait_for()
    assert ask("GET", path) == before
    (tmp_path / "not-there").mkdir()
    box.get_by_role("button", name="Save").press("Enter")
    box.wait_for(state="detached")
    assert ask("GET", path)["folder"] == str(tmp_path / "not-there")


def test_who_looks_after_security_is_offered_what_is_allowed_alone(open_page: OpenPage) -> None:
    watched = open_page()
    page = watched.page
    watched.sign_in("sec")
    page.get_by_role("navigation").get_by_role("link", name="Settings").click()
    page.get_by_role("button", name="Change security/").first.wait_for()
    offered = page.get_by_role("main").get_by_role("button").all_inner_texts()
    assert {one.split()[-1].split("/")[0] for one in offered} == {"security"}, offered
    watched.open("users")
    page.locator("summary").filter(has_text="bob").click()
    mine = page.get_by_role("row").filter(has=page.get_by_text("bob")).get_by_role("button")
    assert mine.all_inner_texts() == ["Reset second factor", "Passkeys", "Mail and manager", "Unlock"]
    assert page.get_by_role("button", name="New user").count() == 0
