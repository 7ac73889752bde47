"""Sessions with a real target, in a real browser: watched from any node, ended with a reason, asked for by keyboard."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.console.conftest import AXE, PASSWORD, Balancer, OpenPage
from tests.console.places import asking, authenticator, reaching, shell, typed, with_passkey
from tests.gateway.places import Sshd
from tests.support.lab import Lab, eventually
from tests.support.redis_servers import Server

if TYPE_CHECKING:
    from playwright.sync_api import Page

FOCUSED = """() => {
    const one = document.activeElement;
    const name = one.labels?.[0]?.textContent ?? one.getAttribute("aria-label") ?? one.textContent ?? "";
    return name.replaceAll(/\\s+/g, "");
}"""
pytestmark = [pytest.mark.integration, pytest.mark.server, pytest.mark.slow, pytest.mark.pair]


@pytest.fixture(scope="module")
def lab(redis: Server, tmp_path_factory: pytest.TempPathFactory, target: Sshd) -> Iterator[Lab]:
    """See :func:`tests.console.places.reaching`."""
    with reaching(redis, tmp_path_factory.mktemp("sessions"), target) as lab:
        yield lab


def test_a_session_is_watched_over_the_death_of_the_serving_node_and_ended(
    open_page: OpenPage, lab: Lab, balancer: Balancer, tmp_path: Path
) -> None:
    watched = open_page()
    page = watched.page
    watched.sign_in("sue")
    watched.open("access")
    page.get_by_text("No session is running").wait_for()
    held = lab.nodes[2]
    with shell(held, tmp_path) as session:
        page.get_by_role("link", name="Watch sue web1").wait_for()
        typed(session, "PS1='> '; echo be''gun")
        page.get_by_role("link", name="Watch sue web1").click()
        screen = page.get_by_role("region", name="Screen of the session")
        screen.get_by_text("begun").first.wait_for()
        watched.shot("light-watch")
        if AXE.exists():
            assert watched.axe() == []
        serving = next(node for node in lab.nodes if node.port == balancer.served)
        assert serving is not held
        serving.kill()
        typed(session, "echo af''ter")
        screen.get_by_text("after").first.wait_for(timeout=30_000)
        page.get_by_role("button", name="End the session").click()
        page.get_by_label("Reason").fill("that is enough")
        page.get_by_role("button", name="End it").click()
        assert session.wait(30) != 0
        page.get_by_text("that is enough").first.wait_for()
        page.get_by_role("link", name="Play shell").wait_for()
        serving.start()
        lab.wait_until_healthy()


def tab_to(page: "Page", name: str) -> None:
    """Press Tab until what has the focus is called ``name``."""
    seen = []
    for _ in range(120):
        page.keyboard.press("Tab")
        seen.append(page.evaluate(FOCUSED))
        if seen[-1] == name.replace(" ", ""):
            return
    raise AssertionError(f"Tab does not lead to {name!r}, but to {seen[:40]}")


def press(page: "Page", name: str) -> None:
    tab_to(page, name)
    page.keyboard.press("Enter")


def answered(page: "Page") -> None:
    """Wait until the dialog is answered."""
    box = page.get_by_role("dialog")
    for _ in range(300):
        if not box.count():
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"the dialog stays: {box.inner_text()}")


def test_by_keyboard_alone_access_is_asked_for_approved_used_watched_and_ended(
    open_page: OpenPage, lab: Lab, tmp_path: Path, target: Sshd
) -> None:
    bob, sue = open_page(), open_page()
    for one, user in ((bob, "bob"), (sue, "sue")):
        one.open("")
        one.page.get_by_label("User name").wait_for()
        for word in (user, PASSWORD):
            one.page.keyboard.type(word)
            one.page.keyboard.press("Tab" if word == user else "Enter")
        one.page.get_by_role("button", name="Sign out").wait_for()
        press(one.page, "Requests")
        one.page.get_by_role("heading", level=1, name="Requests").wait_for()
    page = bob.page
    press(page, "Ask for access")
    page.get_by_role("dialog", name="Ask for access").wait_for()
    page.locator("input:focus").wait_for()
    page.keyboard.type(target.user)
    page.locator("option", has_text=f"{target.user}@web1").wait_for(state="attached")
    tab_to(page, "To what")
    page.keyboard.press("ArrowDown")
    tab_to(page, "Reason")
    page.keyboard.type("the disk is full")
    press(page, "Ask")
    answered(page)
    page = sue.page
    page.get_by_role("cell", name="the disk is full").first.wait_for()
    press(page, f"Approve bob {target.user}@web1")
    page.get_by_role("dialog", name=f"Approve {target.user}@web1 for bob").wait_for()
    press(page, "Approve")
    answered(page)
    bob.page.get_by_role("cell", name="approved").first.wait_for()
    with shell(lab.nodes[1], tmp_path, "bob") as session:
        typed(session, "echo by''bob")
        press(page, "Sessions")
        page.get_by_role("link", name="Watch bob web1").wait_for()
        press(page, "Watch bob web1")
        page.get_by_role("region", name="Screen of the session").get_by_text("bybob").first.wait_for()
        tab_to(page, "End the session")
        tab_to(page, "Skip to the content")  # the screen is no trap
        press(page, "End the session")
        page.get_by_role("dialog").wait_for()
        page.keyboard.type("done by keyboard")
        press(page, "End it")
        assert session.wait(30) != 0
        page.get_by_text("done by keyboard").first.wait_for()


def test_a_passkey_ends_somebodys_session_where_a_factor_is_required(
    open_page: OpenPage, lab: Lab, tmp_path: Path
) -> None:
    """Asked for in the dialog itself; cancelled, the session goes on and the reason is not typed again."""
    ask = asking(lab)
    ask("POST", "/api/v1/users", username="ada", displayName="Ada", roles=["pam_admin"], password=PASSWORD)
    ask("PUT", "/api/v1/settings/access/ssh", killFactor="required")
    watched = open_page(host="localhost")
    page = watched.page
    authenticator(page)
    with_passkey(watched, "sue", "ends")
    with shell(lab.nodes[1], tmp_path, "ada") as session:
        watched.open("access")
        page.get_by_role("link", name="Watch ada web1").click()
        page.get_by_role("button", name="End the session").click()
        page.get_by_label("Reason").fill("lunch is over")
        page.get_by_role("button", name="End it").click()
        proof = page.get_by_role("dialog", name="Confirm that it is you")
        proof.wait_for()
        watched.shot("light-kill-step-up")
        if AXE.exists():
            assert watched.axe() == []
        page.keyboard.press("Escape")
        page.get_by_text("RPPAM-8628").wait_for()
        assert session.poll() is None
        assert page.get_by_label("Reason").input_value() == "lunch is over"
        page.get_by_role("button", name="End it").click()
        proof.get_by_role("button", name="Use a passkey").click()
        assert session.wait(30) != 0
        page.get_by_text("lunch is over").first.wait_for()
    ask("PUT", "/api/v1/settings/access/ssh", killFactor="none")


def test_a_token_of_the_own_page_opens_the_gateway_once(
    open_page: OpenPage, lab: Lab, tmp_path: Path, target: Sshd
) -> None:
    name = f"{target.user}@web1"
    watched = open_page()
    page = watched.page
    watched.sign_in("sue")
    watched.open("account")
    page.get_by_role("button", name="A token for one log-in").click()
    where = page.get_by_role("combobox", name="Account")
    where.locator("option", has_text=name).wait_for(state="attached")
    where.select_option(label=name)
    page.get_by_role("button", name="Make it").click()
    box = page.get_by_role("dialog", name=f"Token for {name}")
    box.get_by_text(f"sue+{target.user}+web1@").wait_for()
    watched.shot("light-token")
    token = box.locator("pre").inner_text().strip()
    box.get_by_role("button", name="Done").click()
    own = page.get_by_role("region", name="Tokens for the gateway")
    own.get_by_text(name).first.wait_for()
    if AXE.exists():
        assert watched.axe() == []
    with shell(lab.nodes[2], tmp_path, answers=f"echo '{token}'") as session:
        typed(session, "echo by''token; exit")
        assert b"bytoken" in session.communicate(timeout=60)[0]
    page.reload()
    page.get_by_text("No token waits").wait_for()
    with shell(lab.nodes[2], tmp_path, answers=f"echo '{token}'") as session:
        assert b"bytoken" not in session.communicate(b"echo by''token; exit\n", timeout=60)[0]
        assert session.returncode != 0
    page.get_by_role("button", name="A token for one log-in").click()
    where.locator("option", has_text=name).wait_for(state="attached")
    where.select_option(label=name)
    page.get_by_role("button", name="Make it").click()
    page.get_by_role("button", name="Done").click()
    page.get_by_role("button", name=f"Take away {name}").click()
    page.get_by_role("button", name="Take it away").click()
    page.get_by_text("No token waits").wait_for()


PASTE = """(size) => {
    const data = new DataTransfer();
    data.setData("text/plain", "x".repeat(size));
    const event = new ClipboardEvent("paste", {clipboardData: data, bubbles: true, cancelable: true});
    document.activeElement.dispatchEvent(event);
}"""


def test_a_terminal_goes_on_over_the_death_of_its_node_and_a_reload(
    open_page: OpenPage, lab: Lab, balancer: Balancer, target: Sshd
) -> None:
    name = f"{target.user}@web1"
    watched = open_page(color_scheme="dark")
    page = watched.page
    watched.sign_in("sue")
    watched.open(f"terminal?target=web1&account={target.user}")
    screen = page.get_by_role("region", name=f"Terminal {name}")
    page.get_by_role("main").get_by_text("live", exact=True).wait_for(timeout=30_000)
    page.get_by_text("is recorded").wait_for()
    page.keyboard.type("PS1='> '; echo be''gun\n")
    screen.get_by_text("begun").first.wait_for()
    page.set_viewport_size({"width": 800, "height": 700})
    page.wait_for_timeout(1_000)
    page.keyboard.type("clear; echo narrow $(stty size)\n")
    narrow = screen.get_by_text(re.compile(r"narrow \d+ \d+")).first
    narrow.wait_for()
    columns = int(narrow.inner_text().split()[-1])
    assert 40 < columns < 100, "the target's terminal is as wide as the page leaves it"
    page.set_viewport_size({"width": 1280, "height": 900})
    serving = next(node for node in lab.nodes if node.port == balancer.served)
    serving.kill()
    page.keyboard.type("echo once $((6*7))\n")
    screen.get_by_text("once 42").first.wait_for(timeout=60_000)
    page.get_by_role("main").get_by_text("live", exact=True).wait_for()
    assert screen.inner_text().count("once 42") == 1
    assert page.get_by_label("Password").count() == 0
    page.evaluate(PASTE, 10_000_000)
    asked = page.get_by_role("dialog", name="Paste one line of 10,000,000 characters?")
    asked.get_by_role("button", name="Cancel").click()
    page.get_by_role("textbox", name=f"Terminal {name}").focus()
    page.keyboard.press("Control+F6")
    assert page.evaluate(FOCUSED) == "Newterminal"
    watched.shot("dark-terminal")
    if AXE.exists():
        assert watched.axe() == []
    watched.open("vault")
    page.get_by_role("heading", level=1, name="Vault").wait_for()
    watched.open("terminal")
    screen.get_by_text("once 42").first.wait_for()
    page.reload()
    page.get_by_role("button", name=f"Go on here {name}").click()
    screen.get_by_text("once 42").first.wait_for(timeout=30_000)
    other = page.context.new_page()
    other.goto(page.url)
    other.get_by_role("button", name=f"Go on here {name}").click()
    page.get_by_text("this session goes on elsewhere").wait_for(timeout=30_000)
    page.get_by_role("button", name=f"Go on here {name}").click()
    screen.get_by_text("once 42").first.wait_for(timeout=30_000)
    other.get_by_text("this session goes on elsewhere").wait_for(timeout=30_000)
    other.close()
    page.get_by_role("button", name=f"Close {name}").click()
    page.get_by_role("button", name="Close", exact=True).click()
    page.get_by_text("No terminal is open here").wait_for()

    def over() -> bool:
        found = lab.running()[0].ask("/api/v1/access/sessions?active=true", token=lab.token)
        return found.body["items"] == []

    eventually(over, within_s=15, what="the end of the session", say=lab.logs)
    serving.start()
    lab.wait_until_healthy()


FAILOVERS = int(os.environ.get("RPPAM_CONSOLE_FAILOVERS", "3"))
"""`make console-failovers` has 20."""


def test_failovers_of_the_serving_node_cost_no_log_in_no_event_no_byte_and_do_no_act_twice(
    open_page: OpenPage, lab: Lab, balancer: Balancer, target: Sshd
) -> None:
    acts, other = open_page(), open_page()
    page = acts.page
    acts.sign_in("sue")
    other.sign_in("sue")
    other.open("siem")
    acts.open(f"terminal?target=web1&account={target.user}")
    screen = page.get_by_role("region", name=f"Terminal {target.user}@web1")
    page.get_by_role("main").get_by_text("live", exact=True).wait_for(timeout=30_000)
    page.keyboard.type("PS1='> '\n")
    nodes = {node.port: node for node in lab.nodes}
    for turn in range(FAILOVERS):
        acts.open("siem")
        page.get_by_role("button", name="New target").click()
        page.get_by_label("Name", exact=True).fill(f"collector {turn}")
        page.get_by_label("Address").fill("tls://siem.example.com:6514")
        assert balancer.served is not None
        serving = nodes[balancer.served]
        serving.kill()
        page.get_by_role("button", name="Save").click()
        for one in (page, other.page):  # what was done here is heard there, too
            one.get_by_role("cell", name=f"collector {turn} syslog").wait_for(timeout=60_000)
            one.get_by_role("status").get_by_text("Reconnecting").wait_for(state="detached", timeout=30_000)
        acts.open("terminal")
        page.get_by_role("textbox", name=f"Terminal {target.user}@web1").focus()
        page.keyboard.type(f"echo turn-$(({turn}+1000))\n")
        screen.get_by_text(f"turn-{1000 + turn}").first.wait_for(timeout=60_000)
        answer = lab.running()[0].ask("/api/v1/siem/targets", token=lab.token)
        assert [one["name"] for one in answer.body["items"]].count(f"collector {turn}") == 1
        serving.start()
        lab.wait_until_healthy()
        other.page.get_by_role("status").get_by_text("Healthy").wait_for(timeout=30_000)
    shown = screen.inner_text()
    assert [shown.count(f"\nturn-{1000 + turn}") for turn in range(max(0, FAILOVERS - 5), FAILOVERS)].count(1) >= 3
    assert page.get_by_label("Password").count() == other.page.get_by_label("Password").count() == 0
