"""Each act of the pages that no other test does, done once in a real browser: the ledger has it, by who did it."""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from tests.console.conftest import PASSWORD, OpenPage, Watched, cluster
from tests.console.places import asking, signed_in
from tests.console.test_passkeys import KEY
from tests.support.lab import Lab, eventually
from tests.support.redis_servers import Server

pytestmark = [pytest.mark.integration, pytest.mark.server, pytest.mark.slow, pytest.mark.pair]
WHY = "for the test of all acts"
NEW_PASSWORD = "another horse with another battery"


class Act(NamedTuple):
    """What is pressed, what is typed, and what the ledger says of it."""

    action: str
    path: str
    button: str
    confirm: str
    """In the dialog; empty: there is none."""
    given: dict[str, str | bool] = {}  # noqa: RUF012 - never changed
    """By what the dialog calls it."""


@pytest.fixture(scope="module")
def lab(redis: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with cluster(redis, tmp_path_factory.mktemp("acts")) as lab:
        yield lab


@pytest.fixture(scope="module")
def ids(lab: Lab) -> dict[str, str]:
    """One of everything; what has no name of its own in an address, by its id."""
    ask = asking(lab)
    for name, roles in (("ann", ["pam_user"]), ("zed", ["pam_user"]), ("ada", ["pam_admin"])):
        ask("POST", "/api/v1/users", username=name, displayName="", roles=roles, password=PASSWORD)
    bob, sue, ada = (signed_in(lab, one) for one in ("bob", "sue", "ada"))
    web1 = ask("POST", "/api/v1/resources", name="web1", kind="ssh", address="192.0.2.1", port=22)
    web2 = ask("POST", "/api/v1/resources", name="web2", kind="ssh", address="192.0.2.2", port=22)
    root, _ = (ask("POST", "/api/v1/accounts", resourceId=web1["id"], name=name) for name in ("root", "spare"))
    made = {
        name: ask(
            "POST", "/api/v1/vault/entries", folder="servers", name=name, type="password", fields={"password": "x"}
        )
        for name in ("db", "old", "held")
    }
    ask("POST", "/api/v1/vault/folders", path="empty", description="")
    (servers,) = (one for one in ask("GET", "/api/v1/vault/folders")["items"] if one["path"] == "servers")
    ask("PUT", f"/api/v1/vault/folders/{servers['id']}/rights", items=[{"role": "pam_user", "rights": ["list"]}])
    ada("POST", "/api/v1/vault/checkouts", entryId=made["held"]["id"], reason="to see", minutes=60, wait=False)
    wish = {"rights": ["use"], "minutes": 60, "reason": "the disk is full"}
    bob("POST", "/api/v1/access-requests", accountId=root["id"], **wish)
    bob("POST", "/api/v1/access-requests", entryId=made["db"]["id"], **wish)
    sue("POST", "/api/v1/access-requests", entryId=made["old"]["id"], **wish)
    (ann,) = ask("GET", "/api/v1/users?search=ann")["items"]
    ask("POST", "/api/v1/user-groups", name="operators", members=[ann["id"]])
    ask("POST", "/api/v1/approval-policies", name="strict", level="group", subject=group_of(lab), maxMinutes=60)
    ask("POST", "/api/v1/siem/targets", name="collector", kind="syslog", url="tls://192.0.2.3:6514")
    for days in (400, 300):
        path = "/api/v1/settings/recordings/retention"
        ask("PUT", path, **{**ask("GET", path), "days": days})
    for _ in range(10):
        wrong = {"username": "zed", "password": "wrong wrong wrong"}
        lab.running()[0].ask("/api/v1/auth/login", method="POST", send=wrong)
    return {"web1": web1["id"], "web2": web2["id"]}


def group_of(lab: Lab) -> str:
    (group,) = asking(lab)("GET", "/api/v1/user-groups")["items"]
    found: str = group["id"]
    return found


def acts(ids: dict[str, str]) -> list[Act]:
    """In an order in which each is possible."""
    web1, web2, retention = f"targets/{ids['web1']}", f"targets/{ids['web2']}", "settings/recordings/retention"
    return [
        Act("role.grant", "users?search=ann", "Change ann", "Save", {"Approver": True}),
        Act("user.password", "users?search=ann", "Reset password", "Reset", {"New password": NEW_PASSWORD}),
        Act("contact.change", "users?search=ann", "Mail and manager", "Save", {"Mail address": "ann@example.com"}),
        Act("user.disable", "users?search=ann", "Change ann", "Save", {"Switched off": True}),
        Act("lockout.end", "lockouts", "Unlock", "Unlock"),
        Act("user.delete", "users?search=zed", "Delete", "Delete"),
        Act("resource.change", web1, "Change", "Save", {"Description": "the first"}),
        Act("resource.pin", web1, "Pin a key", "Pin", {"Key, as ssh-keyscan": KEY}),
        Act("resource.unpin", web1, "Remove", "Remove"),
        Act("account.change", web1, "Change spare", "Save", {"Tags": "seldom"}),
        Act("account.delete", web1, "Delete spare", "Delete"),
        Act("resource.delete", web2, "Delete", "Delete"),
        Act("request.deny", "requests", "Deny bob root@web1", "Deny", {"Note": WHY}),
        Act("grant.create", "requests", "Approve bob db", "Approve"),
        Act("grant.revoke", "requests", "Take away bob db", "Take it away"),
        Act("request.cancel", "requests", "Take back old", "Take back"),
        Act("approval-policy.delete", "policies", "Delete strict", "Delete"),
        Act("user-group.change", "policies", "Take out operators", "Take out", {"User": "ann"}),
        Act("user-group.delete", "policies", "Delete operators", "Delete"),
        Act("checkout.begin", "vault", "Check out db", "Check out", {"Minutes": "5"}),
        Act("checkout.end", "vault", "Give back", ""),
        Act("checkout.end", "vault", "End", "End it"),
        Act("secret.delete", "vault", "Delete old", "Delete"),
        Act("folder.change", "vault", "Change empty", "Save", {"Path": "hollow"}),
        Act("folder.delete", "vault", "Delete hollow", "Delete"),
        Act("vault.kek-create", "vault", "Rotate now", "Rotate now"),
        Act("ledger.hold", "holds", "New legal hold", "Hold it", {"Name or address": "zed"}),
        Act("ledger.release", "holds", "Lift the hold zed", "Lift the hold"),
        Act("ledger.erase", "holds", "Erase a name", "Erase it for good", {
            "Name or address": "zed", "The same, once more": "zed",
        }),
        Act("channel.create", "notifications", "New channel", "Save", {
            "Name": "post", "Address": "smtp://192.0.2.4:587", "Sent from": "pam@example.com",
        }),
        Act("channel.change", "notifications", "Change post", "Save", {"Send by it": False}),
        Act("channel.delete", "notifications", "Remove post", "Remove"),
        Act("siem.change", "siem", "Change collector", "Save", {"Format": "cef"}),
        Act("siem.delete", "siem", "Remove collector", "Remove"),
        Act("setting.change", "settings", "Change recordings/retention", "Save", {"days": "200"}),
        Act("setting.change", retention, "Go back to this", "Go back"),
        Act("session.end", "logins", "End bob", "End it"),
        Act("cluster.pause", "cluster", "Pause failover", "Pause"),
        Act("cluster.resume", "cluster", "Resume failover", "Resume"),
        Act("note.write", "cluster", "Note", "Save", {"Note": "a disk is being changed"}),
        Act("leader.transfer", "cluster", "Switch over", "Switch over"),
    ]  # fmt: skip


def recorded(lab: Lab, action: str) -> dict[str, Any]:
    """What the ledger has of it, the newest, by sue."""
    path, found = f"/api/v1/audit/events?action={action}&newest=true&limit=50", list[dict[str, Any]]()

    def answered() -> bool:
        # A busy machine may have the database silent for a moment; and tokens of hosts end with all sessions.
        answer = lab.running()[0].ask(path, token=lab.new_token(), timeout_s=20)
        found[:] = answer.body["events"] if answer.status == 200 else []
        return answer.status == 200

    eventually(answered, within_s=30, what="the events", say=lab.logs)
    return {one["id"]: one for one in found if one["actor"]["name"] == "sue"}


def done(watched: Watched, lab: Lab, act: Act) -> None:
    """Press and type, and find it in the ledger."""
    page, before = watched.page, recorded(lab, act.action)
    watched.open("licence")
    watched.open(act.path)
    page.locator("main h1").first.wait_for()
    page.wait_for_timeout(100)
    page.locator("main [aria-busy=true]").first.wait_for(state="detached")
    page.evaluate("document.querySelectorAll('main details').forEach((one) => (one.open = true))")
    button = page.locator("main").get_by_role("button", name=act.button, exact=True)
    following = page.locator("main").get_by_role("button", name=re.compile("^Next")).first
    while not button.count() and following.count() and following.is_enabled():  # a list of several pages
        following.click()
        page.wait_for_timeout(500)
    assert button.count(), f"{act}: no such button among: {page.locator('main').inner_text()}"
    button.first.click()
    if act.confirm:
        box = page.get_by_role("dialog")
        for label, value in act.given.items():
            field = box.get_by_label(label).first
            if isinstance(value, bool):
                field.set_checked(value)
            elif field.evaluate("(one) => one.tagName") == "SELECT":
                field.select_option(label=str(value))
            else:
                field.fill(str(value))
        if box.get_by_label("Reason", exact=True).count():
            box.get_by_label("Reason", exact=True).fill(WHY)
        box.get_by_role("button", name=act.confirm, exact=True).click()
        box.first.wait_for(state="detached")
    new: dict[str, Any] = {}

    def told() -> bool:
        new.update({ident: one for ident, one in recorded(lab, act.action).items() if ident not in before})
        return bool(new)

    eventually(told, within_s=20, what=f"{act.action} in the ledger", say=lab.logs)
    (event,) = new.values()
    assert event["outcome"] == "success", act


@pytest.mark.timeout(900)
def test_each_act_is_done_and_stands_in_the_ledger(open_page: OpenPage, lab: Lab, ids: dict[str, str]) -> None:
    watched = open_page()
    watched.sign_in("sue")
    for act in acts(ids):
        if act.action == "session.end":
            signed_in(lab, "bob")  # the one that he had may have ended with what was changed of him
        done(watched, lab, act)
    the_own_password_is_changed(watched, lab)
    a_member_is_maintained_and_forgotten(watched, lab)
    done(watched, lab, Act("session.end-all", "logins", "End all sessions", "End all"))


def the_own_password_is_changed(watched: Watched, lab: Lab) -> None:
    """Which ends the session that does it: a log-in is asked for at once."""
    page, before = watched.page, recorded(lab, "user.password")
    watched.open("account")
    page.get_by_role("button", name="Change my password").click()
    box = page.get_by_role("dialog", name="Change my password")
    box.get_by_label("Current password").fill(PASSWORD)
    for label in ("New password", "New password, again"):
        box.get_by_label(label, exact=True).fill(NEW_PASSWORD)
    box.get_by_role("button", name="Save").click()
    again = page.get_by_role("dialog", name="Your session is over")
    again.get_by_label("Password").fill(NEW_PASSWORD)
    again.get_by_role("button", name="Sign in").click()
    again.wait_for(state="detached")
    assert len(recorded(lab, "user.password")) == len(before) + 1


def a_member_is_maintained_and_forgotten(watched: Watched, lab: Lab) -> None:
    lab.wait_until_healthy()
    page = watched.page
    leader, served = lab.wait_for_leader(), page.evaluate("location.port")
    follower = next(node for node in lab.nodes if node is not leader and str(node.port) != served)
    done(watched, lab, Act("node.maintain", "cluster", f"Maintenance {follower.name}", "Begin maintenance"))
    page.get_by_role("row").filter(has_text=follower.name).get_by_text("in maintenance").wait_for()
    done(watched, lab, Act("node.resume", "cluster", f"End maintenance {follower.name}", "End maintenance"))
    follower.kill()
    page.get_by_role("row").filter(has_text=follower.name).get_by_text("unreachable").first.wait_for(timeout=60_000)
    done(watched, lab, Act("member.remove", "cluster", f"Remove {follower.name}", "Remove", {"I state": True}))
    page.get_by_role("button", name=f"Remove {follower.name}").wait_for(state="detached", timeout=60_000)
