"""Passkeys in a real browser with a virtual authenticator: added, signed in with, shown to the vault, taken away."""

import re

import pytest

from tests.console.conftest import AXE, PASSWORD, OpenPage
from tests.console.places import asking, authenticator, with_passkey
from tests.support.lab import Lab

pytestmark = [pytest.mark.integration, pytest.mark.server, pytest.mark.slow, pytest.mark.pair]
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJvYidzIG93biBrZXkgZm9yIHRoZSB0ZXN0cyEhISEh sue@laptop"


def test_a_passkey_signs_in_and_shows_a_secret(open_page: OpenPage, lab: Lab) -> None:
    entry = {"folder": "servers", "name": "root", "type": "password", "fields": {"password": "correct-horse"}}
    assert lab.nodes[0].ask("/api/v1/vault/entries", method="POST", send=entry, token=lab.token).status == 201
    watched = open_page(host="localhost")
    page = watched.page
    authenticator(page)
    with_passkey(watched, "sue", "blue key")
    watched.shot("light-account-passkey")
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("button", name="Use a passkey").click()
    page.get_by_role("button", name="Sign out").wait_for()
    watched.open("vault")
    page.get_by_role("button", name="Show root").click()
    page.get_by_label("Reason").fill("to look after it")
    page.get_by_role("button", name="Show", exact=True).click()
    proof = page.get_by_role("dialog", name="Confirm that it is you")
    proof.wait_for()
    watched.shot("light-step-up")
    if AXE.exists():
        assert watched.axe() == []
    proof.get_by_role("button", name="Use a passkey").click()
    page.get_by_text("correct-horse").wait_for()


def test_the_own_keys_come_and_go(open_page: OpenPage) -> None:
    watched = open_page(host="localhost")
    page = watched.page
    authenticator(page)
    with_passkey(watched, "audrey", "phone")
    page.get_by_role("button", name="Add a passkey").click()
    page.get_by_label("Name", exact=True).fill("again")
    page.get_by_role("button", name="Add it").click()
    page.get_by_text("This authenticator has a passkey of your account already.").wait_for()
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Add an SSH key").click()
    page.get_by_label("Public key").fill(KEY)
    page.get_by_role("button", name="Add it").click()
    page.get_by_role("cell", name="sue@laptop").first.wait_for()
    for name in ("sue@laptop", "phone"):
        page.get_by_role("button", name=f"Take away {name}").click()
        page.get_by_role("button", name="Take it away").click()
        page.get_by_role("cell", name=name).first.wait_for(state="detached")
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("button", name="Use a passkey").click()
    page.get_by_text("RPPAM-8451").wait_for()


def test_a_passkey_decides_about_a_request_and_an_emergency(open_page: OpenPage, lab: Lab) -> None:
    """Where the policy asks for a factor, for who has no authenticator; cancelled, nothing is decided."""
    node, ask = lab.nodes[0], asking(lab)
    entry = ask("POST", "/api/v1/vault/entries", folder="servers", name="db", type="password", fields={"password": "x"})
    ask("POST", "/api/v1/approval-policies", name="strict", level="default", factor="required", emergencyMinutes=30)
    login = {"username": "bob", "password": PASSWORD}
    bob = node.ask("/api/v1/auth/login", method="POST", send=login).body["accessToken"]
    (folder,) = (one for one in ask("GET", "/api/v1/vault/folders")["items"] if one["path"] == "servers")
    rights = [{"role": "pam_user", "rights": ["list"]}]
    ask("PUT", f"/api/v1/vault/folders/{folder['id']}/rights", items=rights)
    wish = {"entryId": entry["id"], "rights": ["use"], "minutes": 30, "reason": "the disk is full"}
    answer = node.ask("/api/v1/access-requests", method="POST", send=wish, token=bob, timeout_s=20)
    assert answer.status == 201, answer
    watched = open_page(host="localhost")
    page = watched.page
    authenticator(page)
    with_passkey(watched, "sue", "decides")
    watched.open("requests")
    page.get_by_role("button", name="Approve bob db").click()
    page.get_by_role("dialog").get_by_role("button", name="Approve").click()
    proof = page.get_by_role("dialog", name="Confirm that it is you")
    proof.wait_for()
    watched.shot("light-decision-step-up")
    if AXE.exists():
        assert watched.axe() == []
    page.keyboard.press("Escape")
    page.get_by_role("dialog", name="Approve db for bob").get_by_text("RPPAM-8508").wait_for()
    assert ask("GET", f"/api/v1/access-requests/{answer.body['id']}")["state"] == "pending"
    page.get_by_role("dialog").get_by_role("button", name="Approve").click()
    proof.get_by_role("button", name="Use a passkey").click()
    page.get_by_role("dialog").first.wait_for(state="detached")
    page.get_by_role("cell", name="approved").first.wait_for()
    found = ask("GET", f"/api/v1/access-requests/{answer.body['id']}")
    assert (found["state"], found["approvals"]) == ("approved", 1)
    page.get_by_role("button", name="Ask for access").click()
    what = page.get_by_role("combobox", name="To what")
    what.locator("option", has_text="servers/db").wait_for(state="attached")
    what.select_option(label="servers/db")
    page.get_by_label("Emergency").check()
    page.get_by_label("Reason").fill("the house burns")
    page.get_by_role("button", name="Ask", exact=True).click()
    proof.get_by_role("button", name="Use a passkey").click()
    page.get_by_text(re.compile("db: (approved|active)")).wait_for()


def test_an_administrator_takes_a_lost_passkey_away(open_page: OpenPage) -> None:
    bob, sue = open_page(host="localhost"), open_page()
    authenticator(bob.page)
    with_passkey(bob, "bob", "lost phone")
    sue.sign_in("sue")
    sue.open("users?search=bob")
    page = sue.page
    page.locator("summary", has_text="bob").click()
    page.get_by_role("button", name="Passkeys").click()
    page.get_by_text("lost phone (localhost)").wait_for()
    page.get_by_label("Reason").fill("the phone was lost")
    page.get_by_role("button", name="Take all away").click()
    page.get_by_text("The passkeys of bob are gone.").wait_for()
    # Bob's session is over at once, and his passkey opens nothing.
    again = bob.page.get_by_role("dialog", name="Your session is over")
    bob.open("vault")
    again.get_by_role("button", name="Use a passkey").click()
    again.get_by_text("RPPAM-8451").wait_for()


def test_by_a_bare_address_no_passkey_is_offered(open_page: OpenPage) -> None:
    watched = open_page()
    watched.sign_in("sue")
    watched.open("account")
    watched.page.get_by_text("This browser takes no passkeys here").wait_for()
    assert watched.page.get_by_role("button", name="Add a passkey").count() == 0
