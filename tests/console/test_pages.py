"""Every page in a real browser over a real cluster: no violation, no error, readable by everybody."""

import json
from base64 import b32decode
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from rppam.access.mfa.model import Enrolment
from rppam.access.mfa.one_time_codes import code_at, step_at
from rppam.kernel.system_clock import SystemClock
from tests.console.conftest import AXE, PASSWORD, OpenPage
from tests.support.lab import Lab, eventually

pytestmark = [pytest.mark.integration, pytest.mark.server, pytest.mark.slow, pytest.mark.pair]

HOSTILE = "<img src=x onerror=alert(1)>"
CAST = "\n".join(
    [
        json.dumps({"version": 2, "width": 80, "height": 6}),
        json.dumps([0.1, "o", "\x1b[38;2;255;90;90mred\x1b[0m plain \x1b[44mblue\x1b[0m\r\n"]),
        json.dumps([0.2, "o", HOSTILE + "\x1b]0;" + HOSTILE + "\x07\r\nneedle\r\n"]),
        json.dumps([90.2, "m", HOSTILE]),
        json.dumps([90.3, "o", "after the pause\r\n"]),
    ]
)
PAGES = {
    "": "Welcome, Sue",
    "targets": "Targets",
    "vault": "Vault",
    "requests": "Requests",
    "terminal": "Terminal",
    "policies": "Policies",
    "access": "Sessions",
    "authority": "SSH authority",
    "cluster": "Cluster",
    "doctor": "Doctor",
    "audit": "Audit",
    "holds": "Holds and erasure",
    "notifications": "Notifications",
    "siem": "SIEM targets",
    "users": "Users and roles",
    "logins": "Log-ins",
    "lockouts": "Lockouts",
    "settings": "Settings",
    "settings/security/mfa": "security/mfa",
    "licence": "Licence",
    "account": "My account",
}


@pytest.mark.parametrize("look", ["light", "dark", "phone"])
def test_every_page_is_whole_in_both_themes_and_on_a_phone(open_page: OpenPage, look: str) -> None:
    size = {"width": 390, "height": 844} if look == "phone" else {"width": 1280, "height": 900}
    watched = open_page(viewport=size, color_scheme="dark" if look == "dark" else "light")
    page = watched.page
    watched.open("")
    page.get_by_label("User name").wait_for()
    watched.shot(f"{look}-sign-in")
    found = {"sign-in": watched.axe()} if AXE.exists() else {}
    watched.sign_in("sue")
    for path, heading in PAGES.items():
        watched.open(path)
        page.get_by_role("heading", level=1, name=heading).wait_for()
        page.locator("[aria-busy=true]").first.wait_for(state="detached")
        page.get_by_role("status").get_by_text("Healthy").wait_for()
        watched.shot(f"{look}-{path.replace('/', '-') or 'home'}")
        if AXE.exists():
            found[path] = watched.axe()
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= size["width"], f"{path} is {width} wide"
    assert {path: flaws for path, flaws in found.items() if flaws} == {}


def test_what_somebody_else_does_appears_by_itself_and_is_text(open_page: OpenPage, lab: Lab) -> None:
    watched = open_page()
    watched.sign_in("audrey")
    watched.open("users")
    watched.page.get_by_role("cell", name="bob").first.wait_for()
    body = {"username": "mallory", "displayName": HOSTILE, "roles": ["pam_user"]}
    assert lab.running()[0].ask("/api/v1/users", method="POST", send=body, token=lab.new_token()).status == 201
    watched.page.get_by_text(HOSTILE).wait_for()
    assert watched.page.get_by_role("button", name="New user").count() == 0, "an auditor changes nothing"


def test_an_ended_session_asks_again_and_keeps_what_was_typed(open_page: OpenPage, lab: Lab) -> None:
    watched = open_page()
    page = watched.page
    watched.sign_in("sue")
    watched.open("users")
    page.get_by_role("button", name="New user").click()
    page.get_by_label("User name").fill("typed-before")
    assert lab.running()[0].ask("/api/v1/sessions?all=true", method="DELETE", token=lab.new_token()).status == 200
    page.get_by_role("button", name="Make the user").click()
    again = page.get_by_role("dialog", name="Your session is over")
    again.get_by_label("Password").fill(PASSWORD)
    again.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name="First password of typed-before").wait_for()


def test_a_recording_plays_under_the_strict_policy(open_page: OpenPage) -> None:
    """Colours of 24 bits, a hostile title and a search; what the server answers is put in its place."""
    watched = open_page()
    page = watched.page
    facts = {"user": "bob", "account": "root", "target": "web", "title": HOSTILE, "state": "done"}
    page.route("**/api/v1/recordings/abc", lambda route: route.fulfill(json=facts))
    page.route("**/api/v1/recordings/abc/export*", lambda route: route.fulfill(body=CAST, content_type="text/plain"))
    page.route("**/api/v1/recordings/abc/verify", lambda route: route.fulfill(json={"ok": True, "problem": ""}))
    watched.sign_in("sue")
    watched.open("access/abc")
    page.get_by_text("whole, as the ledger has it").wait_for()
    red = page.locator(".xterm-rows span", has_text="red").first
    red.wait_for()
    assert red.evaluate("one => getComputedStyle(one).color") == "rgb(255, 90, 90)"
    page.get_by_label("Search in the recording").fill("needle")
    page.get_by_role("button", name="Search").click()
    page.get_by_role("listitem").get_by_text("needle").wait_for()
    page.locator("summary", has_text="Markers (2)").click()
    page.get_by_role("button", name=HOSTILE).first.wait_for()  # its title, and the mark
    page.get_by_role("button", name="After 90 s of nothing").click()
    page.get_by_text("0:02 / 0:02").wait_for()
    watched.shot("light-player")
    if AXE.exists():
        assert watched.axe() == []


def test_german_speaks_german(open_page: OpenPage) -> None:
    watched = open_page(locale="de-DE")
    page = watched.page
    watched.open("")
    page.get_by_label("Benutzername").fill("sue")
    page.get_by_label("Kennwort").fill(PASSWORD)
    page.get_by_role("button", name="Anmelden").click()
    page.get_by_role("heading", name="Willkommen, Sue").wait_for()
    watched.shot("light-german")
    assert page.evaluate("document.documentElement.lang") == "de"


@contextmanager
def second_factor_required(lab: Lab) -> Iterator[None]:
    """Of administrators, as in a new cluster."""
    leader, path = lab.wait_for_leader(), "/api/v1/settings/security/mfa"
    before = leader.ask(path, token=lab.new_token()).body
    wanted = {**before, "mfaRequirement": "required_for_admins"}
    assert leader.ask(path, method="PUT", send=wanted, token=lab.new_token()).status == 200
    try:
        yield
    finally:
        assert lab.wait_for_leader().ask(path, method="PUT", send=before, token=lab.new_token()).status == 200


def test_a_first_log_in_enrols_the_second_factor_with_a_picture_for_the_phone(open_page: OpenPage, lab: Lab) -> None:
    body = {"username": "fay", "displayName": "Fay", "roles": ["pam_admin"], "password": PASSWORD}
    assert lab.running()[0].ask("/api/v1/users", method="POST", send=body, token=lab.new_token()).status == 201
    watched, tried = open_page(), {"username": "fay", "password": PASSWORD}
    page = watched.page
    with second_factor_required(lab):

        def asked_everywhere() -> bool:
            answers = [one.ask("/api/v1/auth/login", method="POST", send=tried).body for one in lab.running()]
            return all(answer.get("mfaRequired") for answer in answers)

        eventually(asked_everywhere, within_s=30, what="a second factor is asked for", say=lab.logs)
        watched.open("")
        page.get_by_label("User name").fill("fay")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        picture = page.get_by_role("img", name="Key for an authenticator app")
        picture.wait_for()
        watched.shot("light-enrol")
        if AXE.exists():
            assert watched.axe() == []
        assert len(picture.locator("path").get_attribute("d") or "") > 2_000
        key = page.locator("form pre").inner_text().replace(" ", "")
        enrolment = Enrolment(b32decode(key + "=" * (-len(key) % 8)), 6, 30)
        page.get_by_label("Code from").fill(code_at(enrolment, step_at(enrolment, SystemClock().wall_ms())))
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("dialog", name="Backup codes").wait_for()
        page.get_by_role("button", name="Sign out").wait_for()
