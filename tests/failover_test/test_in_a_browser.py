"""The report of a failover test as a browser shows it: readable without a network, in light and dark, on any width."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rppam.failover_test.observed import Failure
from rppam.failover_test.page import page_of
from tests.console.conftest import CHROMIUM, FLAGS, SHOTS
from tests.failover_test.test_verdicts import BROKEN, GOOD, WHY, report

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Dialog, Page, Request, ViewportSize

pytestmark = [pytest.mark.integration, pytest.mark.pair]

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is not here: 'make servers' installs it")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        one = play.chromium.launch(executable_path=str(CHROMIUM), args=list(FLAGS))
        yield one
        one.close()


class Opened:
    """The report as a file that somebody opens; what it should not have done is kept."""

    def __init__(self, browser: "Browser", file: Path, *, scheme: str = "light", width: int = 1_280) -> None:
        size: ViewportSize = {"width": width, "height": 900}
        context = browser.new_context(color_scheme="dark" if scheme == "dark" else "light", viewport=size)
        context.set_default_timeout(60_000)
        self.flaws: list[str] = []
        self._file = file.as_uri()
        self.page: Page = context.new_page()
        self.page.on("console", lambda message: self.flaws.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.flaws.append(f"error: {error}"))
        self.page.on("dialog", self._asked_by)
        self.page.on("request", self._requested)
        self.page.goto(file.as_uri())
        if SHOTS:
            self.page.screenshot(path=f"{SHOTS}/{file.stem}-{scheme}-{width}.png", full_page=True)

    def _asked_by(self, dialog: "Dialog") -> None:
        self.flaws.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _requested(self, request: "Request") -> None:
        if request.url != self._file:
            self.flaws.append(request.url)

    def background(self) -> str:
        return str(self.page.evaluate("getComputedStyle(document.body).backgroundColor"))

    def is_too_wide(self) -> bool:
        """Whether the page itself has to be moved sideways."""
        wide = self.page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
        return bool(wide)


def test_a_report_shows_verdicts_and_timeline_and_asks_nobody(browser: "Browser", tmp_path: Path) -> None:
    seen = replace(GOOD, failures=[Failure(300, "read", "http://10.0.1.11:7101", "connection refused")])
    (tmp_path / "kept.html").write_text(page_of(report(seen)))
    opened = Opened(browser, tmp_path / "kept.html")
    page = opened.page
    text = page.inner_text("body")
    assert text.count("✓ kept") == 5
    assert "✗ broken" not in text
    assert "connection refused" in text
    drawing = page.locator("svg").first.bounding_box()
    assert drawing is not None
    assert drawing["width"] > 300, "the timeline is drawn"
    dark = Opened(browser, tmp_path / "kept.html", scheme="dark")
    assert dark.background() != opened.background()
    narrow = Opened(browser, tmp_path / "kept.html", width=360)
    assert not narrow.is_too_wide()
    assert not opened.is_too_wide()
    assert opened.flaws == dark.flaws == narrow.flaws == []


@pytest.mark.parametrize("promise", BROKEN)
def test_a_broken_promise_is_what_one_sees_first(browser: "Browser", tmp_path: Path, promise: int) -> None:
    file = tmp_path / f"broken-{promise}.html"
    told = report(replace(GOOD, **BROKEN[promise]), cluster=HOSTILE, by=HOSTILE)
    file.write_text(page_of(told))
    opened = Opened(browser, file)
    assert opened.page.inner_text("h1") == "A promise was broken"
    assert " ".join(WHY[promise].split()) in " ".join(opened.page.inner_text("body").split())
    assert opened.page.inner_text("body").count("✗ broken") == [one["held"] for one in told["verdicts"]].count(False)
    assert HOSTILE in opened.page.inner_text("body"), "it is text"
    assert opened.flaws == []
