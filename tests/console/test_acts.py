"""What is done on the pages of policies, groups and folders, each once, and what is left of it in the cluster."""

import contextlib
import re
import sqlite3
from typing import Any

import pytest

from tests.console.conftest import AXE, PASSWORD, Balancer, OpenPage
from tests.console.places import authenticator, with_passkey
from tests.console.test_passkeys import KEY
from tests.support.lab import Lab

REVOKED = "/api/v1/access/ca/revocations"
pytestmark = [pytest.mark.integration, pytest.mark.server, pytest.mark.slow, pytest.mark.pair]


def told(lab: Lab, path: str) -> Any:
    answer = lab.running()[0].ask(path, token=lab.token)
    assert answer.status == 200, answer
    return answer.body


def test_a_group_approves_by_a_policy_of_its_own(open_page: OpenPage, lab: Lab) -> None:
    watched = open_page()
    page = watched.page
    watched.sign_in("sue")
    watched.open("policies")
    page.get_by_role("button", name="New group").click()
    page.get_by_label("Name", exact=True).fill("operators")
    page.get_by_role("button", name="Save").click()
    page.get_by_role("button", name="Add somebody operators").click()
    page.get_by_label("Search: User").fill("audr")
    page.get_by_role("combobox", name="User").locator("option", has_text="audrey").wait_for(state="attached")
    page.get_by_role("combobox", name="User").select_option(label="audrey (Audrey)")
    page.get_by_role("button", name="Add it").click()
    page.get_by_role("dialog").wait_for(state="detached")
    page.get_by_role("button", name="For everybody").click()
    page.get_by_label("Name", exact=True).fill("two eyes more")
    page.get_by_label("Who approves").select_option(label="Nobody within the windows, else approvers")
    page.get_by_label("Approvers are the group").select_option(label="operators")
    page.get_by_label("Windows").fill("1-5 8 to 18")
    watched.shot("light-policy")
    page.get_by_role("button", name="Save").click()
    page.get_by_text("1-5 8 to 18 is no window").wait_for()
    page.get_by_label("Windows").fill("1-3,5 08:00-18:00\n6 10:00-12:00")
    page.get_by_role("button", name="Save").click()
    page.get_by_role("cell", name="two eyes more", exact=True).wait_for()
    (policy,) = told(lab, "/api/v1/approval-policies")["items"]
    (group,) = told(lab, "/api/v1/user-groups")["items"]
    assert (policy["approverGroup"], len(group["members"])) == (group["id"], 1)
    assert [one["days"] for one in policy["windows"]] == [[1, 2, 3, 5], [6]]
    page.get_by_role("button", name="Change two eyes more").click()
    page.get_by_label("Access for at most").fill("30")
    page.get_by_label("Reason", exact=True).fill("shorter is better")
    page.get_by_role("button", name="Save").click()
    page.get_by_role("cell", name="30 min").wait_for()
    (policy,) = told(lab, "/api/v1/approval-policies")["items"]
    assert (policy["maxMinutes"], len(policy["windows"]), policy["revision"]) == (30, 2, 2)


def test_rights_on_a_folder_are_given_changed_and_taken_away(open_page: OpenPage, lab: Lab) -> None:
    watched = open_page()
    page = watched.page
    watched.sign_in("sue")
    watched.open("vault")
    page.get_by_role("button", name="New folder").click()
    page.get_by_label("Path").fill("servers/linux")
    page.get_by_role("button", name="Save").click()
    page.get_by_role("button", name="Rights servers/linux").click()
    page.get_by_role("button", name="Give a user rights").click()
    page.get_by_label("Search: User").fill("bob")
    user = page.get_by_role("combobox", name="User")
    user.locator("option", has_text="bob").wait_for(state="attached")
    user.select_option(label="bob (Bob)")
    page.get_by_role("button", name="Give", exact=True).click()
    page.get_by_role("listitem").filter(has_text="bob").wait_for()
    watched.shot("light-rights")
    folder = next(one for one in told(lab, "/api/v1/vault/folders")["items"] if one["path"] == "servers/linux")
    place = f"/api/v1/vault/folders/{folder['id']}/rights"
    assert [(one["userName"], one["rights"]) for one in told(lab, place)["items"]] == [("bob", ["list", "use"])]
    page.get_by_role("button", name="Give a role rights").click()
    page.get_by_role("combobox", name="Role").select_option(label="Approver")
    page.get_by_role("button", name="Give", exact=True).click()
    page.get_by_role("listitem").filter(has_text="Approver").wait_for()
    page.get_by_role("button", name="Change bob").click()
    for right in ("see that it is there", "connect with it"):
        page.get_by_label(right).uncheck()
    page.get_by_label("Reason").fill("he has left")
    page.get_by_role("button", name="Save").click()
    page.get_by_role("listitem").filter(has_text="bob").wait_for(state="detached")
    assert [one["role"] for one in told(lab, place)["items"]] == ["pam_approver"]


def test_the_ssh_authority_is_made_rolled_and_signs_what_can_be_revoked(
    open_page: OpenPage, lab: Lab, balancer: Balancer
) -> None:
    leader = lab.wait_for_leader().port
    balancer.ports.sort(key=lambda port: port == leader)  # a standby serves, and changes settings under its epoch
    watched, bob = open_page(permissions=["clipboard-read", "clipboard-write"], host="localhost"), open_page()
    page = watched.page
    watched.sign_in("sue")
    bob.sign_in("bob")
    bob.open("authority")
    bob.page.get_by_text("There is no authority yet").wait_for()
    assert bob.page.get_by_role("button", name="New key").count() == 0
    watched.open("authority")
    for _ in range(2):
        page.get_by_role("button", name="New key").click()
        page.get_by_role("button", name="Make the key").click()
        page.get_by_role("dialog").wait_for(state="detached")
    page.get_by_role("cell", name="next: targets get to know it").wait_for()
    keys = told(lab, "/api/v1/access/ca")["items"]
    assert [one["state"] for one in keys] == ["active", "next"]
    page.get_by_role("button", name="Copy For targets").click()
    lines = page.evaluate("navigator.clipboard.readText()")
    assert lines == "".join(f"{one['publicKey']}\n" for one in keys)
    page.get_by_role("button", name="Let it sign 2").click()
    page.get_by_label("Reason").fill("all targets have it")
    page.get_by_role("dialog").get_by_role("button", name="Let it sign").click()
    page.get_by_role("button", name="Retire 1").click()
    page.get_by_label("Reason").fill("the new one signs")
    page.get_by_role("button", name="Retire it").click()
    page.get_by_role("cell", name="counts no more").wait_for()
    assert [one["state"] for one in told(lab, "/api/v1/access/ca")["items"]] == ["retired", "active"]
    bob.page.reload()
    bob.page.get_by_role("button", name="A certificate for my key").click()
    bob.page.get_by_label("Public key").fill(KEY)
    bob.page.get_by_role("button", name="Sign it").click()
    box = bob.page.get_by_role("dialog").filter(has_text="ssh-ed25519-cert-v01@openssh.com")
    serial = box.get_by_role("heading").inner_text().removeprefix("Certificate ")
    box.get_by_role("button", name="Done").click()
    page.get_by_role("cell", name=serial, exact=True).wait_for()
    watched.shot("light-authority")
    page.get_by_role("button", name=f"Revoke bob {serial}").click()
    page.get_by_label("Reason").fill("the laptop was lost")
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    certificates = page.get_by_role("region", name="Certificates of users in force")
    certificates.get_by_role("row").filter(has_text=serial).get_by_text("revoked").wait_for()
    (revoked,) = told(lab, REVOKED)["items"]
    assert (revoked["kind"], revoked["word"], revoked["by"]) == ("serial", serial, "sue")
    for theme in ("light", "dark") if AXE.exists() else ():
        page.emulate_media(color_scheme=theme)
        assert watched.axe() == []


def test_what_is_revoked_is_seen_with_its_reason_and_counts_again(open_page: OpenPage, lab: Lab) -> None:
    """By key id, which no certificate of the page has to bear, by somebody who is no administrator."""
    body = {"username": "sef", "displayName": "", "roles": ["security_admin"], "password": PASSWORD}
    assert lab.nodes[0].ask("/api/v1/users", method="POST", send=body, token=lab.token).status == 201
    before = [one["id"] for one in told(lab, REVOKED)["items"]]
    watched, audrey = open_page(), open_page()
    page = watched.page
    watched.sign_in("sef")
    audrey.sign_in("audrey")
    for one in (watched, audrey):
        one.open("authority")
    page.get_by_role("button", name="Revoke a certificate or key").click()
    box = page.get_by_role("dialog")
    box.get_by_label("What", exact=True).select_option("key")
    box.get_by_label("Fingerprint").fill("no fingerprint")
    box.get_by_label("Reason").fill("the laptop was lost")
    box.get_by_role("button", name="Revoke", exact=True).click()
    box.get_by_text("expected a fingerprint").wait_for()
    box.get_by_label("What", exact=True).select_option("key-id")
    box.get_by_label("Key id").fill("rppam user bob")
    box.get_by_role("button", name="Revoke", exact=True).click()
    table = page.get_by_role("region", name="Revoked", exact=True)
    table.get_by_role("row").filter(has_text="rppam user bob").get_by_text("the laptop was lost").wait_for()
    (made,) = [one for one in told(lab, REVOKED)["items"] if one["id"] not in before]
    assert (made["kind"], made["word"], made["reason"], made["by"]) == (
        "key-id", "rppam user bob", "the laptop was lost", "sef",
    )  # fmt: skip
    seen = audrey.page.get_by_role("region", name="Revoked", exact=True)
    seen.get_by_text("rppam user bob").wait_for()
    assert seen.get_by_role("button").count() == 0, "an auditor changes nothing"
    watched.shot("light-revoked")
    for theme in ("light", "dark") if AXE.exists() else ():
        page.emulate_media(color_scheme=theme)
        assert watched.axe() == []
    page.get_by_role("button", name="Let it count rppam user bob").click()
    page.get_by_label("Reason").fill("it was found again")
    page.get_by_role("dialog").get_by_role("button", name="Let it count").click()
    table.locator("code", has_text="rppam user bob").wait_for(state="detached")
    assert [one["id"] for one in told(lab, REVOKED)["items"]] == before
    (event,) = told(lab, "/api/v1/audit/events?action=certificate.restore")["events"]
    assert (event["actor"]["name"], event["reason"]) == ("sef", "it was found again")


def test_two_tabs_are_one_log_in_and_never_two_users(open_page: OpenPage, lab: Lab) -> None:
    watched = open_page()
    first = watched.page
    watched.sign_in("sue")
    second = first.context.new_page()
    second.goto(f"{watched.origin}/console/#/vault")
    second.get_by_role("link", name="Sue").wait_for()
    second.get_by_role("button", name="Sign out").click()
    first.get_by_label("Password").wait_for()
    second.get_by_label("User name").fill("bob")
    second.get_by_label("Password").fill(PASSWORD)
    second.get_by_role("button", name="Sign in").click()
    first.get_by_role("link", name="Bob").wait_for()
    assert first.get_by_role("link", name="Users and roles").count() == 0


def test_a_tab_that_slept_for_a_day_is_awake_at_once(open_page: OpenPage, lab: Lab) -> None:
    watched = open_page()
    page = watched.page
    page.clock.install()
    watched.sign_in("audrey")
    watched.open("users")
    page.get_by_role("cell", name="bob").first.wait_for()
    page.clock.fast_forward("24:00:00")
    body = {"username": "made-meanwhile", "displayName": "", "roles": ["pam_user"]}
    assert lab.running()[0].ask("/api/v1/users", method="POST", send=body, token=lab.token).status == 201
    page.get_by_text("made-meanwhile").first.wait_for(timeout=30_000)
    page.get_by_role("status").get_by_text("Reconnecting").wait_for(state="detached", timeout=30_000)


def test_a_shown_secret_leaves_the_page_by_itself(open_page: OpenPage, lab: Lab) -> None:
    entry = {"folder": "servers", "name": "for-a-moment", "type": "password", "fields": {"password": "correct-horse"}}
    assert lab.nodes[0].ask("/api/v1/vault/entries", method="POST", send=entry, token=lab.token).status == 201
    watched = open_page(host="localhost")
    page = watched.page
    page.clock.install()
    authenticator(page)
    with_passkey(watched, "sue", "of the clock")
    watched.open("vault")
    page.get_by_role("button", name="Show for-a-moment").click()
    page.get_by_label("Reason").fill("to look after it")
    page.get_by_role("button", name="Show", exact=True).click()
    page.get_by_role("dialog", name="Confirm that it is you").get_by_role("button", name="Use a passkey").click()
    secret = page.get_by_text("correct-horse")
    secret.wait_for()
    page.clock.pause_at(page.evaluate("Date.now()") / 1000 + 1)
    page.clock.run_for(1_000)
    left = int(re.sub(r"\D", "", page.get_by_text(re.compile(r"hidden in \d+ s")).inner_text()))
    assert 0 < left <= 30
    page.clock.run_for((left - 1) * 1_000)
    assert secret.is_visible(), "nobody hides it before its time"
    page.clock.run_for(2_000)
    secret.wait_for(state="detached", timeout=10_000)
    assert "correct-horse" not in page.content()


ROWS = 100_000


def test_a_hundred_thousand_accounts_are_paged_and_searched_by_the_server(open_page: OpenPage, lab: Lab) -> None:
    with contextlib.closing(sqlite3.connect(lab.database.removeprefix("sqlite:///"), timeout=30)) as database, database:
        database.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) INSERT INTO users"
            " (id, name, display_name, password_hash, disabled, created_at, password_changed_at)"
            " SELECT 'many-' || i, printf('many%06d', i), '', '-', 0, 1, 1 FROM n",
            (ROWS,),
        )
        database.execute(
            "INSERT INTO user_roles (user_id, role) SELECT id, 'pam_user' FROM users WHERE id LIKE 'many-%'"
        )
    watched = open_page()
    page = watched.page
    watched.sign_in("sue")
    watched.open("users")
    page.get_by_text(re.compile(r"1 to 25 of 100,0\d\d")).wait_for()
    page.get_by_role("searchbox", name="Search").fill("many09999")
    page.get_by_text("1 to 10 of 10").wait_for()
    page.get_by_role("searchbox", name="Search").fill("many")
    page.get_by_text("1 to 25 of 100,000").wait_for()
    page.get_by_role("button", name="Next").click()
    page.get_by_role("cell", name="many000026").first.wait_for()
    assert page.locator("tbody tr").count() == 25


def test_a_failover_test_is_begun_watched_and_kept(open_page: OpenPage, lab: Lab) -> None:
    lab.wait_until_healthy()
    before = lab.wait_for_leader().name
    watched = open_page()
    page = watched.page
    watched.sign_in("sue")
    watched.open("cluster")
    page.get_by_role("button", name="Failover test").click()
    page.get_by_label("How the leader is lost").select_option("kill")
    page.get_by_label("Reason").fill("before the audit")
    page.get_by_role("button", name="Begin the test").click()
    page.get_by_text("RPPAM-7202").first.wait_for()
    page.get_by_label("How the leader is lost").select_option("switchover")
    page.get_by_role("button", name="Begin the test").click()
    panel = page.locator("section").filter(has_text="are open, and writes are under way").first
    panel.wait_for(timeout=120_000)
    watched.shot("light-failover-test")
    page.locator("section h2 .badge").filter(has_text="passed").wait_for(timeout=120_000)
    assert page.get_by_role("heading", name="Failover tests").is_visible()
    kept = told(lab, "/api/v1/admin/cluster/failover-tests")["items"][0]
    assert (kept["by"], kept["method"], kept["leader"], kept["passed"]) == ("sue", "switchover", before, True)
    if AXE.exists():
        assert watched.axe() == []
    assert watched.flaws == []
