"""An emergency in a real browser: its user asks for more time, and somebody else closes its review."""

from collections.abc import Iterator

import pytest

from tests.console.conftest import AXE, OpenPage, cluster
from tests.console.places import asking, signed_in
from tests.support.lab import Lab
from tests.support.redis_servers import Server

pytestmark = [pytest.mark.integration, pytest.mark.server, pytest.mark.slow, pytest.mark.pair]


@pytest.fixture(scope="module")
def lab(redis: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with cluster(redis, tmp_path_factory.mktemp("emergencies"), nodes=1) as lab:
        yield lab


def test_an_emergency_is_prolonged_reviewed_by_somebody_else_and_given_back(open_page: OpenPage, lab: Lab) -> None:
    ask, bob = asking(lab), signed_in(lab, "bob")
    fields = {"password": "correct-horse"}
    entry = ask("POST", "/api/v1/vault/entries", folder="servers", name="db", type="password", fields=fields)
    (folder,) = (one for one in ask("GET", "/api/v1/vault/folders")["items"] if one["path"] == "servers")
    ask("PUT", f"/api/v1/vault/folders/{folder['id']}/rights", items=[{"role": "pam_user", "rights": ["list"]}])
    wish = {"entryId": entry["id"], "rights": ["use"], "minutes": 30, "reason": "the house burns", "emergency": True}
    made = bob("POST", "/api/v1/access-requests", **wish)
    assert (made["state"], made["reviewed"]) == ("active", False)
    his, hers = open_page(), open_page()
    his.sign_in("bob")
    hers.sign_in("sue")
    for one in (his, hers):
        one.open("requests")
    assert his.page.get_by_role("button", name="Review").count() == 0, "it is his own"
    his.page.get_by_role("button", name="More time db").click()
    box = his.page.get_by_role("dialog", name="More time for db")
    box.get_by_label("Minutes").fill("15")
    box.get_by_label("Reason").fill("it still burns")
    box.get_by_role("button", name="Ask").click()
    box.wait_for(state="detached")
    (longer,) = [one for one in bob("GET", "/api/v1/access-requests?mine=true")["items"] if one["extends"]]
    assert (longer["extends"], longer["minutes"], longer["reason"]) == (made["id"], 15, "it still burns")
    page = hers.page
    page.get_by_role("cell", name="it still burns").first.wait_for()
    page.get_by_role("button", name="Review bob db").click()
    box = page.get_by_role("dialog", name="Review the emergency of bob")
    box.get_by_text("the house burns").wait_for()
    box.get_by_label("What you found").fill("seen in the recording")
    hers.shot("light-review")
    for theme in ("light", "dark") if AXE.exists() else ():
        page.emulate_media(color_scheme=theme)
        assert hers.axe() == []
    box.get_by_role("button", name="Close the review").click()
    page.get_by_role("heading", name="Emergencies to review").wait_for(state="detached")
    assert ask("GET", f"/api/v1/access-requests/{made['id']}")["reviewed"] is True
    (event,) = ask("GET", "/api/v1/audit/events?action=request.review")["events"]
    assert (event["actor"]["name"], event["reason"]) == ("sue", "seen in the recording")
    his.page.get_by_role("button", name="Give back db").press("Enter")
    his.page.get_by_role("dialog", name="Give db back").get_by_role("button", name="Give back").press("Enter")
    his.page.get_by_text("Nothing is granted").wait_for()
    assert bob("GET", "/api/v1/grants?live=true")["items"] == []
    events = ask("GET", "/api/v1/audit/events?action=request.cancel")["events"]
    assert made["id"] in {one["object"]["id"] for one in events if one["actor"]["name"] == "bob"}
