"""The home page of a new installation: what its administrator does next; how a user without access asks for it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.console.conftest import AXE, PASSWORD, OpenPage, cluster
from tests.console.places import asking, authenticator
from tests.support.lab import Lab
from tests.support.redis_servers import Server

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.integration, pytest.mark.server, pytest.mark.slow, pytest.mark.pair]
ALL = {
    "Protect your own account",
    "Add a target",
    "Add an account with its secret",
    "Let people in",
    "Give somebody access",
    "Send events to a SIEM",
}


@pytest.fixture(scope="module", params=[1, 2])
def nodes(request: pytest.FixtureRequest) -> int:
    count: int = request.param
    return count


@pytest.fixture(scope="module")
def lab(redis: Server, tmp_path_factory: pytest.TempPathFactory, nodes: int) -> Iterator[Lab]:
    """An empty cluster with one administrator."""
    with cluster(redis, tmp_path_factory.mktemp("first"), nodes=nodes) as lab:
        for one in asking(lab)("GET", "/api/v1/users")["items"]:
            if one["username"] != "sue":
                asking(lab)("DELETE", f"/api/v1/users/{one['id']}")
        yield lab


def steps(page: "Page") -> set[str]:
    return set(page.get_by_role("region", name="What to do next").locator("li strong").all_inner_texts())


def gone(page: "Page", step: str) -> None:
    """The home page lacks a step without having been loaded again."""
    place = page.get_by_role("region", name="What to do next")
    place.locator("li strong", has_text=step).wait_for(state="detached")


def test_an_administrator_sees_what_to_do_next_until_it_is_done(open_page: OpenPage, lab: Lab, nodes: int) -> None:
    more = {1: "Add a second node", 2: "Add a witness or a third node"}[nodes]
    watched, home = open_page(host="localhost"), open_page(color_scheme="dark")
    page = watched.page
    authenticator(page)
    for one in (watched, home):
        one.sign_in("sue")
        one.page.get_by_role("region", name="What to do next").wait_for()
        assert steps(one.page) == ALL | {more}
    home.shot(f"dark-first-steps-{nodes}")
    if AXE.exists():
        assert home.axe() == []
    if nodes == 2:
        return  # the rest is alike
    page.get_by_role("link", name="To my account Protect your own account").click()
    page.get_by_role("button", name="Add a passkey").click()
    page.get_by_label("Name", exact=True).fill("blue key")
    page.get_by_role("button", name="Add it").click()
    gone(home.page, "Protect your own account")
    watched.open("")
    page.get_by_role("link", name="To the targets Add a target").click()
    page.get_by_role("button", name="New target").click()
    page.get_by_label("Name", exact=True).fill("web1")
    page.get_by_label("Address").fill("192.0.2.1")
    page.get_by_role("button", name="Save").click()
    page.get_by_role("button", name="New account").click()
    page.get_by_label("Name, as the target").fill("root")
    page.get_by_role("button", name="Save").click()
    page.get_by_role("cell", name="root").first.wait_for()
    gone(home.page, "Add a target")
    assert "Add an account with its secret" in steps(home.page), "it has no secret yet"
    watched.open("")
    page.get_by_role("link", name="To the vault Add an account").click()
    page.get_by_role("button", name="New entry").click()
    page.get_by_label("Folder").last.fill("servers")
    page.get_by_label("Name", exact=True).fill("root of web1")
    account = page.get_by_role("combobox", name="Of the account on a target")
    account.locator("option", has_text="root@web1").wait_for(state="attached")
    account.select_option(label="root@web1")
    page.get_by_role("button", name="Save").click()
    gone(home.page, "Add an account with its secret")
    watched.open("")
    page.get_by_role("link", name="To the users Let people in").click()
    page.get_by_role("button", name="New user").click()
    page.get_by_label("User name").fill("ben")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Make the user").click()
    gone(home.page, "Let people in")
    siem = {"name": "collector", "kind": "syslog", "url": "tls://127.0.0.1:6514"}
    asking(lab)("POST", "/api/v1/siem/targets", **siem)
    gone(home.page, "Send events to a SIEM")
    assert steps(home.page) == {"Give somebody access", more}
    asks(open_page, lab)
    gone(home.page, "Give somebody access")
    assert steps(home.page) == {more}, "a second node comes from no page"


def asks(open_page: OpenPage, lab: Lab) -> None:
    """Somebody without any access asks for it from the home page, and is told there what becomes of it."""
    ask = asking(lab)
    # Who decides has no passkey, as sue has by now: it would be asked for.
    ask("POST", "/api/v1/users", username="ada", displayName="Ada", roles=["pam_admin"], password=PASSWORD)
    watched = open_page()
    page = watched.page
    watched.sign_in("ben")
    first = page.get_by_role("region", name="Your first access")
    first.wait_for()
    assert page.get_by_role("region", name="What to do next").count() == 0
    watched.shot("light-first-access")
    if AXE.exists():
        assert watched.axe() == []
    first.get_by_role("link", name="Ask for access").focus()
    page.keyboard.press("Enter")
    box = page.get_by_role("dialog", name="Ask for access")
    what = box.get_by_role("combobox", name="To what")
    what.locator("option", has_text="root@web1").wait_for(state="attached")
    what.select_option(label="root@web1")
    box.get_by_label("Reason").fill("the disk is full")
    box.get_by_role("button", name="Ask", exact=True).click()
    box.wait_for(state="detached")
    assert page.url.endswith("#/requests"), "loaded again it does not ask again"
    watched.open("")
    first.get_by_text("This waits for a decision").wait_for()
    first.get_by_text("root@web1").wait_for()
    watched.shot("light-first-access-waits")
    (request,) = ask("GET", "/api/v1/access-requests")["items"]
    node = lab.nodes[0]
    login = node.ask("/api/v1/auth/login", method="POST", send={"username": "ada", "password": PASSWORD})
    answer = node.ask(
        f"/api/v1/access-requests/{request['id']}/approve",
        method="POST",
        send={"note": "", "version": request["version"]},
        token=login.body["accessToken"],
    )
    assert answer.status == 200, answer
    first.wait_for(state="detached")
