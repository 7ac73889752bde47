"""Recordings in a real browser: searched, played from where the text is, held, and until when they are kept."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.console.conftest import AXE, OpenPage
from tests.console.places import asking, reaching, shell, typed
from tests.gateway.places import Sshd
from tests.support.lab import Lab, eventually
from tests.support.redis_servers import Server

pytestmark = [pytest.mark.integration, pytest.mark.server, pytest.mark.slow, pytest.mark.pair]


@pytest.fixture(scope="module")
def lab(redis: Server, tmp_path_factory: pytest.TempPathFactory, target: Sshd) -> Iterator[Lab]:
    """With one recording of sue: a needle seconds after its beginning."""
    folder = tmp_path_factory.mktemp("recordings")
    with reaching(redis, folder, target) as lab:
        with shell(lab.nodes[0], folder) as session:
            typed(
                session,
                "PS1='> '; for one in $(seq 40); do echo hay; done; sleep 4; echo nee''dle in it; sleep 1; exit",
            )
            assert session.wait(60) == 0

        def done() -> bool:
            items = lab.running()[0].ask("/api/v1/recordings", token=lab.token).body["items"]
            return [one["state"] for one in items] == ["done"]

        eventually(done, within_s=30, what="the end of the recording", say=lab.logs)
        yield lab


def test_what_was_said_is_found_and_played_from_there(open_page: OpenPage, lab: Lab) -> None:
    watched = open_page()
    page = watched.page
    watched.sign_in("sue")
    watched.open("access")
    place = page.get_by_role("region", name="Search in recordings")
    place.get_by_label("Text").fill("NEEDLE in")
    place.get_by_label("Only with the target").fill("web1")
    page.keyboard.press("Enter")
    place.get_by_text("Recordings searched: 1. Lines found: 1.").wait_for()
    hit = place.get_by_role("link", name="needle in it")
    hit.wait_for()
    watched.shot("light-hunt")
    if AXE.exists():
        assert watched.axe() == []
    hit.focus()
    page.keyboard.press("Enter")
    page.get_by_role("heading", level=1, name="Recording").wait_for()
    page.locator(".xterm-rows").get_by_text("needle in it").first.wait_for()
    slider = page.get_by_role("slider", name="Position")
    at, end = float(slider.input_value()), float(slider.get_attribute("max") or 0)
    assert 2.0 < at < end, f"{at} of {end}: neither its beginning nor its end"
    assert page.get_by_role("button", name="Play").is_visible(), "it waits there"
    assert page.get_by_label("Search in the recording").input_value() == "NEEDLE in"
    watched.shot("light-player-from-hit")
    page.go_back()
    place.get_by_role("link", name="needle in it").wait_for()
    place.get_by_label("Only with the target").fill("elsewhere")
    place.get_by_role("button", name="Search").click()
    place.get_by_text("Recordings searched: 0. Lines found: 0.").wait_for()

    def looked_twice() -> bool:
        """The search is recorded as its answer ends, which the page does not wait for."""
        looks = lab.running()[0].ask("/api/v1/audit/events?action=recording.search", token=lab.token).body["events"]
        assert len(looks) <= 2, "going back searched nothing"
        return len(looks) == 2

    eventually(looked_twice, within_s=10, what="the record of both searches", say=lab.logs)
    page.get_by_role("button", name="Sign out").click()
    watched.sign_in("bob")
    watched.open("access")
    assert place.get_by_label("Text").input_value() == "", "nothing is left for the next one"
    assert place.get_by_label("Only of the user").count() == 0
    assert page.get_by_role("link", name="needle in it").count() == 0


def test_a_search_that_breaks_off_says_so(open_page: OpenPage) -> None:
    watched = open_page(color_scheme="dark")
    page = watched.page
    facts = {"recording": "abc", "startedAt": "2026-01-01T00:00:00Z", "user": "bob", "account": "root", "target": "web"}
    said = [
        {"searched": 0},
        {**facts, "atMs": 61_000, "line": "<img src=x onerror=alert(1)>"},
        {**facts, "problem": "gone"},
    ]
    text = "".join(json.dumps(one) + "\n" for one in said)
    page.route("**/recordings/search", lambda route: route.fulfill(body=text, content_type="application/x-ndjson"))
    watched.sign_in("sue")
    watched.open("access")
    page.get_by_label("Text", exact=True).fill("img")
    page.keyboard.press("Enter")
    page.get_by_text("The answer broke off: not all recordings were searched.").wait_for()
    page.get_by_text("Stopped. Recordings searched: 0. Lines found: 1.").wait_for()
    page.get_by_text("It could not be searched to its end: gone").wait_for()
    page.get_by_role("link", name="1:01 <img src=x onerror=alert(1)>").wait_for()
    watched.shot("dark-hunt-broken")
    if AXE.exists():
        assert watched.axe() == []


def test_a_recording_is_held_with_a_reason_and_says_until_when_it_is_kept(
    open_page: OpenPage, lab: Lab, tmp_path: Path
) -> None:
    ask = asking(lab)
    before = ask("GET", "/api/v1/settings/recordings/retention")
    watched, auditor = open_page(), open_page()
    page = watched.page
    watched.sign_in("sue")
    auditor.sign_in("audrey")
    for one in (watched, auditor):
        one.open("access")
        one.page.get_by_role("cell", name="for ever").wait_for()
    assert auditor.page.get_by_role("button", name="Hold").count() == 0, "an auditor looks"
    page.get_by_role("button", name="Hold sue web1").click()
    page.get_by_label("Reason").fill("case 42")
    page.get_by_role("dialog").get_by_role("button", name="Hold").click()
    for one in (watched, auditor):
        one.page.get_by_role("cell", name="on hold case 42 (sue)").wait_for()
    watched.shot("light-held")
    (held,) = ask("GET", "/api/v1/recordings")["items"]
    assert (held["hold"], held["heldBy"], held["keptBy"]) == ("case 42", "sue", "hold")
    page.get_by_role("link", name="Play sue web1").click()
    page.get_by_text("case 42 (sue)").wait_for()
    page.get_by_role("button", name="Lift the hold").click()
    page.get_by_role("dialog").get_by_text("Held for: case 42.").wait_for()
    page.get_by_label("Reason").fill("closed")
    page.get_by_role("dialog").get_by_role("button", name="Lift the hold").click()
    page.get_by_role("dialog").wait_for(state="detached")
    page.get_by_text("for ever").wait_for()
    leader = lab.wait_for_leader()
    answer = leader.ask(
        "/api/v1/settings/recordings/retention", method="PUT", send={**before, "days": 90}, token=lab.new_token()
    )
    assert answer.status == 200, answer
    watched.open("access")

    def dated() -> bool:
        page.reload()
        cell = page.get_by_role("cell", name="until")
        page.get_by_role("link", name="Play sue web1").wait_for()
        return cell.count() == 1

    eventually(dated, within_s=30, what="the new retention on the page", say=lab.logs)
    watched.shot("light-kept-until")
    if AXE.exists():
        assert watched.axe() == []
