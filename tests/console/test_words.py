"""German pages say German words for states, kinds and roles, and mark what the server says in English."""

import re
from typing import Final

import pytest

from tests.console.conftest import PASSWORD, OpenPage
from tests.console.places import asking, signed_in
from tests.console.test_pages import PAGES
from tests.support.lab import Lab

pytestmark = [pytest.mark.integration, pytest.mark.server, pytest.mark.slow, pytest.mark.pair]

STATES: Final = re.compile(
    r"\b(healthy|suspect|unreachable|unknown|maintenance|leader|standby|witness|member|store|pam_\w+|security_admin"
    r"|password|ssh-key|database|api-token|certificate|success|failure|running|finished|asked|switchover|use|reveal"
    r"|checkout|pending|approved|active|expired|revoked|done|lost|deleted|network|other)\b"
)
ENGLISH: Final = re.compile(r"\b(the|is|are|and|with|has|of|which|nobody)\b")
SETTING: Final = re.compile(r"[a-z]+/[a-zA-Z]+")
"""What a setting is called, in every language."""
SAID: Final = """() => {
    const found = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const one = walker.currentNode.parentElement;
        const text = walker.currentNode.textContent.trim();
        if (text && !one.closest("[lang=en], code, pre, script, style, noscript")) found.push(text);
    }
    return found;
}"""
"""All that is on the page but code and what is marked as English."""


@pytest.fixture(scope="module")
def places(lab: Lab) -> list[str]:
    """Every page, with something of each kind on them; names are German words."""
    ask, bob = asking(lab), signed_in(lab, "bob")
    host = ask("POST", "/api/v1/resources", name="netz1", kind="network", address="192.0.2.1", port=22)
    account = ask("POST", "/api/v1/accounts", resourceId=host["id"], name="wurzel")
    made = [
        ask("POST", "/api/v1/vault/entries", folder="ordner", name=f"eintrag-{number}", type=kind, fields=fields)
        for number, (kind, fields) in enumerate({
            "password": {"password": "x"}, "ssh-key": {"privateKey": "x"}, "database": {"password": "x"},
            "api-token": {"token": "x"}, "note": {"text": "x"},
        }.items())
    ]  # fmt: skip
    folder = ask("GET", "/api/v1/vault/folders")["items"][0]
    ask("PUT", f"/api/v1/vault/folders/{folder['id']}/rights", items=[{"role": "pam_user", "rights": ["list", "use"]}])
    wish = {"accountId": account["id"], "rights": ["use", "reveal", "checkout"], "minutes": 60, "reason": "Platte voll"}
    bob("POST", "/api/v1/access-requests", **wish)
    ask("POST", "/api/v1/access/ca")
    ask("POST", "/api/v1/audit/holds", name="mallory", reason="Verfahren")
    return [*PAGES, f"targets/{host['id']}", *(f"vault/{one['id']}" for one in made)]


@pytest.mark.timeout(600)
def test_no_state_and_no_sentence_of_a_german_page_is_english_without_saying_so(
    open_page: OpenPage, places: list[str]
) -> None:
    watched = open_page(locale="de-DE")
    page = watched.page
    watched.open("")
    page.get_by_label("Benutzername").fill("sue")
    page.get_by_label("Kennwort").fill(PASSWORD)
    page.get_by_role("button", name="Anmelden").click()
    found: dict[str, list[str]] = {}
    seen: set[str] = set()
    for place in places:
        watched.open(place)
        page.locator("main h1").first.wait_for()
        page.wait_for_timeout(300)
        page.locator("main [aria-busy=true]").first.wait_for(state="detached")
        page.get_by_role("status").get_by_text("Gesund").wait_for()
        said: list[str] = page.evaluate(SAID)
        found[place] = [
            text for text in said if not SETTING.fullmatch(text) and (STATES.search(text) or ENGLISH.search(text))
        ]
        seen |= set(said)
        watched.shot(f"german-{place.split('/')[0] or 'home'}")
    assert {place: texts for place, texts in found.items() if texts} == {}
    assert {"gesund", "Mitglied", "Speicher", "Kennwort", "SSH-Schlüssel", "Netzgerät", "gelungen"} <= seen
    watched.open("cluster")
    assert page.locator("ol.timeline [lang=en]").first.inner_text() != ""


def test_a_finding_is_spoken_as_english_on_a_german_page(open_page: OpenPage, lab: Lab) -> None:
    """One that there is: of a cluster that is paused."""
    ask = asking(lab)
    leader = lab.wait_for_leader()
    pause = "/api/v1/admin/cluster/pause"
    assert leader.ask(pause, method="PUT", send={"paused": True}, token=lab.token, timeout_s=20).status < 300
    try:
        watched = open_page(locale="de-DE")
        page = watched.page
        watched.open("")
        page.get_by_label("Benutzername").fill("sue")
        page.get_by_label("Kennwort").fill(PASSWORD)
        page.get_by_role("button", name="Anmelden").click()
        watched.open("cluster")
        finding = page.locator("main .note", has_text="paused").first
        finding.wait_for()
        assert finding.locator("[lang=en]").first.inner_text() != ""
        assert page.evaluate("document.documentElement.lang") == "de"
    finally:
        assert leader.ask(pause, method="PUT", send={"paused": False}, token=lab.token, timeout_s=20).status < 300
        assert ask("GET", "/api/v1/admin/cluster/status")["clusterHealthy"] is not None
