"""Entries of the vault in a real browser: made up by rules whose bits are shown, with tags and somebody who looks after
them, changed, renewed and restored."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.console.conftest import AXE, OpenPage, cluster
from tests.console.places import asking, signed_in
from tests.support.lab import Lab
from tests.support.redis_servers import Server

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = [pytest.mark.integration, pytest.mark.server, pytest.mark.slow, pytest.mark.pair]
ENTRIES = "/api/v1/vault/entries"
BITS = re.compile(r"^([\d,]+) bits: ")


@pytest.fixture(scope="module")
def lab(redis: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with cluster(redis, tmp_path_factory.mktemp("entries"), nodes=1) as lab:
        lab.nodes[0].kill()
        lab.nodes[0].config["vault"] = {"revealFactor": "none"}
        lab.nodes[0].start()
        lab.wait_until_healthy()
        yield lab


def bits(box: "Locator", page: "Page", *, other_than: int = 0) -> int:
    """How hard the dialog says it is to guess, once it says something else than before."""
    for _ in range(100):
        for said in box.get_by_role("status").all_inner_texts():
            found = BITS.match(said)
            if found and (value := int(found[1].replace(",", ""))) != other_than:
                return value
        page.wait_for_timeout(100)
    raise AssertionError(box.inner_text())


def secret(lab: Lab, entry: str) -> dict[str, str]:
    found = signed_in(lab, "sue")("POST", f"{ENTRIES}/{entry}/reveal", reason="to compare")
    fields: dict[str, str] = found["fields"]
    return fields


def test_a_passphrase_is_made_up_by_rules_whose_bits_are_shown(open_page: OpenPage, lab: Lab) -> None:
    watched = open_page()
    page = watched.page
    watched.sign_in("sue")
    watched.open("vault")
    page.get_by_role("button", name="New entry").click()
    box = page.get_by_role("dialog", name="New entry")
    box.get_by_label("Folder").fill("servers/linux")
    box.get_by_label("Name", exact=True).fill("root of db1")
    by_characters = bits(box, page)
    assert by_characters > 140
    box.get_by_label("How many characters").fill("4")
    box.get_by_text("expected rules that give 40 bits or more").wait_for()
    box.get_by_label("Where the secret comes from").select_option("words")
    of_six = bits(box, page)
    assert 60 < of_six < by_characters
    box.get_by_label("How many words").fill("8")
    of_eight = bits(box, page, other_than=of_six)
    assert of_eight > of_six
    box.get_by_label("Between the words").select_option(".")
    box.get_by_label("Tags").fill("linux, pci prod")
    owner = box.get_by_role("combobox", name="Looked after by")
    owner.locator("option", has_text="audrey").wait_for(state="attached")
    owner.select_option(label="audrey (Audrey)")
    watched.shot("light-entry-words")
    for theme in ("light", "dark") if AXE.exists() else ():
        page.emulate_media(color_scheme=theme)
        assert watched.axe() == []
    box.get_by_role("button", name="Save").click()
    row = page.get_by_role("row").filter(has_text="root of db1")
    row.get_by_text("looked after by audrey").wait_for()
    (made,) = asking(lab)("GET", ENTRIES)["items"]
    assert (sorted(made["tags"]), made["ownerName"], made["type"]) == (["linux", "pci", "prod"], "audrey", "password")
    words = secret(lab, made["id"])["password"].split(".")
    assert len(words) == 8
    assert all(word.isalpha() for word in words)

    page.get_by_role("button", name="Change root of db1").click()
    box = page.get_by_role("dialog", name="Change root of db1")
    owner = box.get_by_role("combobox", name="Looked after by")
    assert owner.locator("option:checked").inner_text() == "audrey", "who looks after it is not lost by looking"
    box.get_by_label("Tags").fill("linux")
    box.get_by_label("Description").fill("the first database")
    box.get_by_label("Search: Looked after by").fill("bob")
    owner.locator("option:checked", has_text="bob").wait_for(state="attached")
    box.get_by_label("Reason").fill("bob does it now")
    box.get_by_role("button", name="Save").click()
    row.get_by_text("looked after by bob").wait_for()
    (now,) = asking(lab)("GET", ENTRIES)["items"]
    assert (now["tags"], now["ownerName"], now["description"]) == (["linux"], "bob", "the first database")
    assert now["version"] == made["version"], "its secret is as before"
    page.get_by_label("Tag", exact=True).fill("pci")
    page.get_by_text("No entry matches").wait_for()
    page.get_by_label("Tag", exact=True).fill("linux")
    row.wait_for()


def test_a_secret_gets_a_new_version_and_an_old_one_is_restored(open_page: OpenPage, lab: Lab) -> None:
    ask = asking(lab)
    fields = {"username": "svc", "password": "the-first-one"}
    made = ask("POST", ENTRIES, folder="databases", name="reports", type="database", fields=fields, exclusive=False)
    watched = open_page(color_scheme="dark")
    page = watched.page
    watched.sign_in("sue")
    watched.open("vault")
    page.get_by_role("link", name="reports").click()
    page.get_by_role("heading", level=1, name="reports").wait_for()
    page.get_by_role("button", name="New version").click()
    box = page.get_by_role("dialog", name="A new version of reports")
    box.get_by_label("Which characters").select_option("lower,upper,digits")
    box.get_by_label("How many characters").fill("32")
    assert bits(box, page) > 180
    box.get_by_role("button", name="Save").click()
    versions = page.get_by_role("region", name="Versions")
    versions.get_by_role("row").filter(has_text="earlier").get_by_role("button", name="Restore 1").wait_for()
    second = secret(lab, made["id"])
    assert second["username"] == "svc", "what is not made up stays"
    assert re.fullmatch(r"[A-Za-z0-9]{32}", second["password"])
    page.get_by_role("button", name="New version").click()
    box.get_by_label("Where the secret comes from").select_option("given")
    assert box.get_by_label("How many characters").count() == 0
    box.get_by_label("Secret", exact=True).fill("typed by hand")
    box.get_by_label("User name").fill("svc2")
    box.get_by_role("button", name="Save").click()
    versions.get_by_role("button", name="Restore 2").wait_for()
    assert secret(lab, made["id"]) == {"username": "svc2", "password": "typed by hand"}
    watched.shot("dark-entry")
    for theme in ("light", "dark") if AXE.exists() else ():
        page.emulate_media(color_scheme=theme)
        assert watched.axe() == []
    versions.get_by_role("button", name="Restore 1").click()
    page.get_by_label("Reason").fill("the target still has it")
    page.get_by_role("dialog").get_by_role("button", name="Restore").click()
    versions.get_by_role("button", name="Restore 3").wait_for()
    assert secret(lab, made["id"]) == fields


def test_who_may_only_use_an_entry_sees_it_and_changes_nothing(open_page: OpenPage, lab: Lab) -> None:
    ask = asking(lab)
    made = ask(
        "POST", ENTRIES, folder="shared", name="wifi", type="password", fields={"password": "x"}, tags=["office"]
    )
    folder = next(one for one in ask("GET", "/api/v1/vault/folders")["items"] if one["path"] == "shared")
    rights = [{"role": "pam_user", "rights": ["list", "use"]}]
    ask("PUT", f"/api/v1/vault/folders/{folder['id']}/rights", items=rights)
    watched = open_page()
    page = watched.page
    watched.sign_in("bob")
    watched.open(f"vault/{made['id']}")
    page.get_by_role("heading", level=1, name="wifi").wait_for()
    page.get_by_role("link", name="office").wait_for()
    assert page.get_by_role("main").get_by_role("button").count() == 0
    assert page.get_by_role("region", name="Versions").count() == 0
