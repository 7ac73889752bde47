"""Bad moments of a page: a clock an hour off, a page of another release, an answer that never ends; and its times."""

import re
import time
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from tests.console.conftest import PASSWORD, OpenPage
from tests.support.lab import Lab

pytestmark = [pytest.mark.integration, pytest.mark.server, pytest.mark.slow, pytest.mark.pair]


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_browser_whose_clock_is_an_hour_off_stays_signed_in_and_tells_ages_right(
    open_page: OpenPage, lab: Lab, hours: int
) -> None:
    watched = open_page()
    page = watched.page
    page.clock.install(time=time.time() + hours * 3_600)
    watched.sign_in("sue")
    watched.open("logins")
    page.get_by_role("status").get_by_text("Healthy").wait_for()
    row = page.get_by_role("row").filter(has_text="this one")
    seen = row.locator("td").nth(3)
    seen.wait_for()
    assert re.search(r"now|second|this minute|minute ago", seen.inner_text()), seen.inner_text()
    page.clock.fast_forward("00:10:00")
    watched.open("users")
    page.get_by_role("cell", name="bob").first.wait_for()
    page.get_by_role("status").get_by_text("Healthy").wait_for(timeout=30_000)
    assert page.get_by_role("dialog").count() == 0, "no log-in is asked for"


def test_a_page_of_another_release_says_so_and_loads_the_new_one(open_page: OpenPage, lab: Lab) -> None:
    watched = open_page()
    page = watched.page

    def older(route: "object") -> None:
        answer = route.fetch()  # type: ignore[attr-defined]
        body = re.sub(r'(rppam-build" content=")[0-9a-f]{16}', r"\g<1>0123456789abcdef", answer.text())
        route.fulfill(response=answer, body=body)  # type: ignore[attr-defined]

    page.route("**/console/", older)
    watched.sign_in("sue")
    page.get_by_text("The cluster runs another release than this page.").wait_for()
    page.unroute("**/console/")
    page.get_by_role("button", name="Load the new page").click()
    page.get_by_role("button", name="Sign out").wait_for()
    page.get_by_role("status").get_by_text("Healthy").wait_for()
    assert page.get_by_text("The cluster runs another release").count() == 0


@pytest.mark.timeout(180)
def test_an_answer_that_never_ends_is_given_up_with_what_to_do(open_page: OpenPage, lab: Lab) -> None:
    watched = open_page()
    page = watched.page
    watched.sign_in("sue")
    page.route("**/api/v1/settings", lambda _: None)
    watched.open("settings")
    alert = page.get_by_role("alert")
    alert.get_by_text("No node answered.").wait_for(timeout=90_000)
    alert.get_by_text("It is tried again by itself").wait_for()
    page.unroute("**/api/v1/settings")
    alert.get_by_role("button", name="Try again").click()
    page.get_by_role("heading", name="recordings/retention").wait_for()
    assert PASSWORD not in page.content()


@pytest.mark.parametrize(
    ("zone", "locale", "shown"),
    [("Asia/Tokyo", "en-GB", "%-d %b %Y, %H:%M:%S"), ("America/New_York", "de-DE", "%d.%m.%Y, %H:%M:%S")],
)
def test_a_moment_is_told_in_the_readers_zone_and_in_utc_on_hover(
    open_page: OpenPage, lab: Lab, zone: str, locale: str, shown: str
) -> None:
    """With a zone that is never UTC."""
    watched = open_page(timezone_id=zone, locale=locale)
    page = watched.page
    watched.open("")
    page.locator("input").first.fill("sue")
    page.locator("input[type=password]").fill(PASSWORD)
    page.keyboard.press("Enter")
    page.locator("main h1").wait_for()
    watched.open("audit")
    moment = page.get_by_role("main").locator("td time").first
    moment.wait_for()
    at = datetime.fromisoformat(moment.get_attribute("datetime") or "")
    assert moment.inner_text() == at.astimezone(ZoneInfo(zone)).strftime(shown)
    assert moment.get_attribute("title") == at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
