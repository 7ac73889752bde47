"""Every page on a phone with long words in it: nothing sticks out, nothing scrolls sideways, nothing is cut off."""

import hashlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from tests.console.conftest import AXE, PASSWORD, OpenPage
from tests.console.places import asking, reaching, shell, signed_in, typed
from tests.console.test_pages import PAGES
from tests.gateway.places import Sshd
from tests.support.lab import HOST, Lab, eventually
from tests.support.redis_servers import Server

pytestmark = [pytest.mark.integration, pytest.mark.server, pytest.mark.slow, pytest.mark.pair]

WIDTH: Final = 390
LONG: Final = "a-name-of-one-word-that-no-page-can-break-at-a-blank.of.the.far.department.example.com"
KEY: Final = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJvYidzIG93biBrZXkgZm9yIHRoZSB0ZXN0cyEhISEh sue@laptop"
STICKING: Final = """(width) => {
    // What may scroll by itself: the screen of a terminal, which is as wide as its columns.
    const free = (one) => one.closest(".screen, .xterm, .map, .sr, .skip, option, [hidden]") !== null;
    const said = (one, why) => `${why}: ${one.outerHTML.slice(0, 140)}`;
    const found = [];
    const whole = document.documentElement.scrollWidth;
    if (whole > width) found.push(`the page is ${whole} wide`);
    for (const one of document.querySelectorAll("body *")) {
        const box = one.getBoundingClientRect();
        if (free(one) || !box.width || !box.height) continue;
        if (box.right > width + 0.5 || box.left < -0.5) found.push(said(one, `from ${box.left} to ${box.right}`));
        const clips = ["auto", "scroll", "hidden", "clip"].includes(getComputedStyle(one).overflowX);
        if (clips && !one.matches("input, select, textarea") && one.scrollWidth > one.clientWidth + 1)
            found.push(said(one, `${one.scrollWidth} in ${one.clientWidth}`));
    }
    return found.slice(0, 6);
}"""
"""Also what a box cuts off or scrolls by itself: the page is not wider by it."""


class Company(NamedTuple):
    """A cluster with long words, a session that goes on and one that carried files."""

    lab: Lab
    host: str
    recording: str
    session: str
    content: bytes
    """Of the file that was carried."""


@pytest.fixture(scope="module")
def company(redis: Server, tmp_path_factory: pytest.TempPathFactory, target: Sshd) -> Iterator[Company]:
    folder = tmp_path_factory.mktemp("narrow")
    with reaching(redis, folder, target) as lab:
        ask, sue, bob = asking(lab), signed_in(lab, "sue"), signed_in(lab, "bob")
        (host,) = ask("GET", "/api/v1/resources")["items"]
        (account,) = ask("GET", "/api/v1/accounts")["items"]
        ask("POST", "/api/v1/resources", name=LONG, kind="ssh", address=LONG, tags=[LONG[:64]], description=LONG)
        ask("POST", "/api/v1/users", username=LONG[:64], displayName=LONG, roles=["pam_user"], password=PASSWORD)
        entry = {"folder": f"{LONG}/{LONG}", "name": LONG, "type": "password", "description": LONG}
        made = ask("POST", "/api/v1/vault/entries", **entry, fields={"password": LONG})
        sue("POST", "/api/v1/vault/checkouts", entryId=made["id"], reason=LONG)
        ask("POST", "/api/v1/siem/targets", name=LONG[:60], kind="syslog", url=f"tls://{LONG}:6514")
        (found,) = ask("GET", "/api/v1/users?search=bob")["items"]
        ask("PATCH", f"/api/v1/users/{found['id']}", allowedFrom=["10.0.0.0/8", "127.0.0.0/8", "fd00:1:2:3::/64"])
        group = ask("POST", "/api/v1/user-groups", name=LONG[:60], members=[found["id"]])
        ask("POST", "/api/v1/approval-policies", name=LONG[:60], level="group", subject=group["id"], maxMinutes=60)
        bob("POST", "/api/v1/access-requests", accountId=account["id"], rights=["use"], minutes=60, reason=LONG)
        for _ in range(2):
            ask("POST", "/api/v1/access/ca")
        ask("POST", "/api/v1/access/ca/2/activate")
        sue("POST", "/api/v1/users/me/ssh-certificates", key=KEY)
        sue("POST", "/api/v1/users/me/ssh-keys", key=f"{KEY}-{LONG[:60]}")
        ask("POST", "/api/v1/audit/holds", name=LONG, reason=LONG)
        wrong = {"username": LONG[:64], "password": "wrong wrong wrong"}
        for _ in range(10):
            lab.running()[0].ask("/api/v1/auth/login", method="POST", send=wrong)
        yield with_files(lab, host["id"], folder, target)


def with_files(lab: Lab, host: str, folder: Path, target: Sshd) -> Company:
    """One connection of sue with a shell and, beside it, SFTP."""
    remote, control, content = target.folder / LONG, folder / "c", os.urandom(100_000)
    (folder / "local").write_bytes(content)
    batch = f"put {folder}/local {remote}\nrename {remote} {remote}2\nrm {remote}2\n"
    with shell(lab.nodes[0], folder, ControlMaster="yes", ControlPath=str(control)) as session:
        typed(session, "echo be''gun")
        eventually(control.exists, within_s=60, what="a connection to share", say=lab.logs)
        argv = ["sftp", "-o", f"ControlPath={control}", "-o", "BatchMode=yes", "-b", "-", HOST]
        done = subprocess.run(argv, input=batch.encode(), capture_output=True, check=False, timeout=60)
        assert done.returncode == 0, done
        typed(session, "exit")
        assert session.wait(60) == 0
    ask = asking(lab)

    def recorded() -> bool:
        return [one["state"] for one in ask("GET", "/api/v1/recordings")["items"]] == ["done"]

    eventually(recorded, within_s=30, what="the end of the recording", say=lab.logs)
    (one,) = ask("GET", "/api/v1/recordings")["items"]
    return Company(lab, host, one["id"], one["session"], content)


@pytest.fixture(scope="module")
def lab(company: Company) -> Lab:
    """What the pages are opened at."""
    return company.lab


def places(company: Company) -> list[str]:
    hosts = [one["id"] for one in asking(company.lab)("GET", "/api/v1/resources")["items"]]
    entries = [f"targets/{host}" for host in hosts]
    one = [f"access/{company.recording}", f"access/watch/{company.session}", "access?past"]
    return [*PAGES, *entries, *one, "settings/recordings/retention", "cluster", "account"]


@pytest.mark.parametrize("locale", ["en-GB", "de-DE"])
@pytest.mark.timeout(900)
def test_nothing_sticks_out_on_a_phone(open_page: OpenPage, company: Company, locale: str) -> None:
    watched = open_page(viewport={"width": WIDTH, "height": 844}, locale=locale)
    page = watched.page
    watched.open("")
    page.locator("input[type=password]").wait_for()
    found = {"sign-in": page.evaluate(STICKING, WIDTH)}
    page.locator("input").first.fill("sue")
    page.locator("input[type=password]").fill(PASSWORD)
    page.keyboard.press("Enter")
    page.locator("main h1").wait_for()
    for place in places(company):
        watched.open("licence")
        watched.open(place)
        page.locator("main h1").first.wait_for()
        page.wait_for_timeout(300)
        page.locator("main [aria-busy=true]").first.wait_for(state="detached")
        page.get_by_role("status").get_by_text("Healthy" if locale == "en-GB" else "Gesund").wait_for()
        page.evaluate("document.querySelectorAll('main details').forEach((one) => (one.open = true))")
        watched.shot(f"narrow-{locale[:2]}-{place.split('?')[0].replace('/', '-')[:24] or 'home'}")
        found[place] = page.evaluate(STICKING, WIDTH)
    page.locator("button.menu").click()
    found["the menu"] = page.evaluate(STICKING, WIDTH)
    watched.shot(f"narrow-{locale[:2]}-menu")
    assert {place: flaws for place, flaws in found.items() if flaws} == {}


def test_what_sftp_carried_stands_beside_the_recording(open_page: OpenPage, company: Company) -> None:
    digest = hashlib.sha256(company.content).hexdigest()
    watched = open_page()
    page = watched.page
    watched.sign_in("audrey")
    watched.open(f"access/{company.recording}")
    files = page.get_by_role("region", name="Files")
    row = files.get_by_role("row").filter(has_text="to the target")
    row.get_by_text(digest).wait_for()
    assert LONG in row.inner_text()
    assert "100,000" in row.inner_text()
    assert "→" in files.get_by_role("row").filter(has_text="renamed").inner_text()
    assert files.get_by_role("row").filter(has_text="removed").count() == 1
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        watched.shot(f"{theme}-files-of-a-recording")
        if AXE.exists():
            assert watched.axe() == []
    watched.open("access?past")
    page.get_by_role("link", name="Show sue web1").click()
    files.get_by_text(digest).wait_for()
    assert page.get_by_text("The record says that you watched").count() == 0, "it is over"
    assert page.get_by_role("link", name="Play shell").count() == 1
