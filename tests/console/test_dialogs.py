"""Every dialog of the console, opened by keyboard: readable in both themes, closed by Escape, the focus back again."""

import re
from base64 import b32decode
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from rppam.access.mfa.model import Enrolment
from rppam.access.mfa.one_time_codes import code_at, step_at
from rppam.kernel.system_clock import SystemClock
from tests.console.conftest import AXE, PASSWORD, OpenPage, Watched
from tests.console.dialogs import Dialog, plain, sites
from tests.console.places import (
    Company,
    asking,
    authenticator,
    one_of_everything,
    shell,
    signed_in,
    typed,
    with_passkey,
)
from tests.gateway.places import Sshd
from tests.support.lab import Lab, eventually
from tests.support.redis_servers import Server

if TYPE_CHECKING:
    from playwright.sync_api import Locator

pytestmark = [pytest.mark.integration, pytest.mark.server, pytest.mark.slow, pytest.mark.pair]

KEY: Final = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJvYidzIG93biBrZXkgZm9yIHRoZSB0ZXN0cyEhISEh sue@laptop"
AXE_DIALOG: Final = """async () => (await axe.run({include: ['dialog[open]']}, {
    runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
})).violations.flatMap((one) => one.nodes.map((node) => `${one.id}: ${node.html.slice(0, 160)}`))"""
PASTE: Final = """() => {
    const data = new DataTransfer();
    data.setData("text/plain", "echo one\\necho two\\n".repeat(400));
    const event = new ClipboardEvent("paste", {clipboardData: data, bubbles: true, cancelable: true});
    document.activeElement.dispatchEvent(event);
}"""
BY_THEMSELVES: Final = {
    "SignIn: Backup codes",
    "SshLogins: Approve the log-in {0}",
    "SshLogins: Refuse the log-in {0}",
}
"""Seen where they appear: at the first log-in (`test_pages.py`), or while one by SSH waits (`test_ssh_logins.py`)."""


class Looked:
    """What was opened, and what was wrong with it."""

    def __init__(self, watched: Watched) -> None:
        self.watched, self.page = watched, watched.page
        self.sites: Counter[str] = Counter()
        self.flaws: list[str] = []

    def at(self, path: str) -> None:
        """Open a page, with all that is folded away."""
        if "?" in path or self.page.url.endswith(f"#/{path}"):
            self.watched.open("licence")  # else it would go on as it is
        self.watched.open(path)
        self.page.locator("main h1").first.wait_for()
        self.page.wait_for_timeout(100)
        self.page.locator("main [aria-busy=true]").first.wait_for(state="detached")
        self.page.evaluate("document.querySelectorAll('main details').forEach((one) => (one.open = true))")

    def button(self, name: str) -> "Locator":
        return self.page.locator("main").get_by_role("button", name=name, exact=True).first

    def focused(self, where: str) -> None:
        """Wait until it is. Not by the browser's own waiting, which the policy of the pages forbids."""
        for _ in range(50):
            if self.page.evaluate(where):
                return
            self.page.wait_for_timeout(100)
        raise AssertionError(f"{where}: {self.page.evaluate('document.activeElement?.outerHTML')}")

    def judge(self, site: str, title: str) -> "Locator":
        """The dialog that is open now."""
        box = self.page.get_by_role("dialog", name=title, exact=True)
        box.wait_for()
        self.sites[site] += 1
        self.focused("document.activeElement?.closest('dialog[open]') !== null")
        for theme in ("light", "dark") if AXE.exists() else ():
            self.page.emulate_media(color_scheme=theme)
            if not self.page.evaluate("'axe' in window"):
                self.page.evaluate(AXE.read_text(encoding="utf-8"))
            self.flaws += [f"{site} ({theme}): {flaw}" for flaw in self.page.evaluate(AXE_DIALOG)]
            self.watched.shot(f"dialog-{theme}-{re.sub('[^A-Za-z]+', '-', site)}")
        return box

    def escaped(self, site: str, box: "Locator", back: "Locator | None") -> None:
        self.page.keyboard.press("Escape")
        box.wait_for(state="detached")
        if back is not None:
            name = "(one) => one === document.activeElement || document.activeElement?.outerHTML?.slice(0, 120)"
            self.page.wait_for_timeout(50)
            if (now := back.evaluate(name)) is not True:
                self.flaws.append(f"{site}: after it the focus is on {now}")

    def look(self, one: Dialog) -> None:
        """Open it by keyboard, judge it, close it by Escape."""
        self.at(one.path)
        for name in one.before:
            self.button(name).click()
        opener = self.button(one.button)
        opener.focus()
        self.page.keyboard.press("Enter")
        self.escaped(one.site, self.judge(one.site, one.title), opener)


@pytest.fixture(scope="module")
def company(redis: Server, tmp_path_factory: pytest.TempPathFactory, target: Sshd) -> Iterator[Company]:
    with one_of_everything(redis, tmp_path_factory.mktemp("dialogs"), target) as made:
        yield made


@pytest.fixture(scope="module")
def lab(company: Company) -> Lab:
    """What the pages are opened at."""
    return company.lab


@pytest.mark.timeout(1_200)
def test_every_dialog_is_readable_and_gives_the_focus_back(
    open_page: OpenPage, company: Company, target: Sshd, tmp_path: Path
) -> None:
    watched = open_page(host="localhost")
    authenticator(watched.page)
    watched.sign_in("sue")
    seen = Looked(watched)
    node = company.lab.running()[0]
    with shell(node, tmp_path) as session:
        typed(session, "echo be''gun")
        ask = asking(company.lab)

        def live() -> bool:
            return [one["state"] for one in ask("GET", "/api/v1/recordings")["items"]] == ["live"]

        eventually(live, within_s=120, what="a session that is recorded", say=company.lab.logs)
        for one in plain(company.host, target.user):
            seen.look(one)
        of_a_session(seen, target.user)
    of_the_cluster(seen, company.lab)
    of_policies_and_requests(seen, company.lab)
    of_lockouts(seen, company.lab)
    of_the_authority(seen)
    of_an_entry(seen, company.lab)
    of_tokens(seen, target.user)
    of_holds(seen, company.lab, target.user)
    of_factors(seen)
    of_users(seen, open_page)
    of_a_terminal(seen, target.user)
    of_the_end(seen, company.lab)
    assert seen.flaws == []
    missing = set(sites()) - set(seen.sites) - BY_THEMSELVES
    assert missing == set(), "each dialog of the sources is opened here"


def of_a_session(seen: Looked, user: str) -> None:
    """That is watched."""
    page = seen.page
    seen.at("access")
    page.get_by_role("link", name="Watch sue web1").click()
    opener = page.get_by_role("button", name="End the session")
    opener.wait_for()
    opener.focus()
    page.keyboard.press("Enter")
    box = seen.judge("Watch: End the session {0}", f"End the session sue → {user}@web1")
    seen.escaped("Watch: End the session {0}", box, opener)


def of_the_cluster(seen: Looked, lab: Lab) -> None:
    """For one node each."""
    follower = next(node.name for node in lab.nodes if node is not lab.wait_for_leader())
    seen.at("cluster")
    for site, title, button in (
        ("Cluster: Put {0} into maintenance", f"Put {follower} into maintenance", "Maintenance"),
        ("Cluster: Remove {0} from the cluster", f"Remove {follower} from the cluster", "Remove"),
    ):
        row = seen.page.get_by_role("row").filter(has=seen.page.get_by_role("button", name="Remove"))
        opener = row.filter(has_text=follower).first.get_by_role("button", name=button)
        opener.focus()
        seen.page.keyboard.press("Enter")
        seen.escaped(site, seen.judge(site, title), opener)


def of_policies_and_requests(seen: Looked, lab: Lab) -> None:
    """Of a policy, and of an own request."""
    page = seen.page
    seen.at("policies")
    page.get_by_role("button", name="For everybody").click()
    page.get_by_label("Name", exact=True).fill("two eyes")
    page.get_by_role("button", name="Save").click()
    page.get_by_role("dialog").wait_for(state="detached")
    seen.look(Dialog("Policies: Delete {0}", "Delete two eyes", "policies", "Delete two eyes"))
    (entry,) = (one for one in asking(lab)("GET", "/api/v1/vault/entries")["items"] if one["name"] == "root")
    wish = {"entryId": entry["id"], "rights": ["use"], "minutes": 60, "reason": "for me"}
    signed_in(lab, "sue")("POST", "/api/v1/access-requests", **wish)
    own = next(one for one in asking(lab)("GET", "/api/v1/grants?live=true")["items"] if one["user"] == "sue")
    name = own["objectName"]
    seen.look(Dialog("Requests: More time for {0}", f"More time for {name}", "requests", f"More time {name}"))
    site = "Requests: Take the request for {0} back"
    seen.look(Dialog(site, "Take the request for root back", "requests", "Take back root"))


def of_lockouts(seen: Looked, lab: Lab) -> None:
    wrong = {"username": "eve", "password": "wrong wrong wrong"}
    for _ in range(10):
        lab.running()[0].ask("/api/v1/auth/login", method="POST", send=wrong)
    seen.look(Dialog("Lockouts: Unlock {0}", "Unlock eve", "lockouts", "Unlock"))


def of_the_authority(seen: Looked) -> None:
    """Made, rolled, and asked for a certificate, which is revoked."""
    page = seen.page
    seen.look(Dialog("Authority: Make a key of the authority", "Make a key of the authority", "authority", "New key"))
    for _ in range(2):
        seen.button("New key").click()
        page.get_by_role("button", name="Make the key").click()
        page.get_by_role("dialog").wait_for(state="detached")
    page.get_by_role("cell", name="next: targets get to know it").wait_for()
    site = "Authority: Let the key {0} sign"
    seen.look(Dialog(site, "Let the key 2 sign", "authority", "Let it sign 2"))
    seen.look(Dialog("Authority: Retire the key {0}", "Retire the key 2", "authority", "Retire 2"))
    opener = seen.button("A certificate for my key")
    opener.focus()
    page.keyboard.press("Enter")
    seen.judge("Authority: A certificate for my key", "A certificate for my key")
    page.get_by_label("Public key").fill(KEY)
    page.get_by_role("button", name="Sign it").click()
    box = page.get_by_role("dialog").filter(has_text="ssh-ed25519-cert-v01@openssh.com")
    box.wait_for()
    title = box.get_by_role("heading").inner_text()
    seen.escaped("Authority: Certificate {0}", seen.judge("Authority: Certificate {0}", title), opener)
    serial = title.split()[-1]
    site = "Authority: Revoke the certificate {0} of {1}"
    seen.look(Dialog(site, f"Revoke the certificate {serial} of sue", "authority", f"Revoke sue {serial}"))

    seen.look(
        Dialog("Revocations: Revoke a certificate or key", title := "Revoke a certificate or key", "authority", title)
    )
    site, word = "Revocations: Let {0} count again", f"rppam user {serial}"
    seen.button(title).click()
    page.get_by_label("What", exact=True).select_option("key-id")
    page.get_by_label("Key id").fill(word)
    page.get_by_label("Reason").fill("lost")
    page.get_by_role("dialog").get_by_role("button", name="Revoke", exact=True).click()
    page.get_by_role("dialog").wait_for(state="detached")
    seen.look(Dialog(site, f"Let {word} count again", "authority", f"Let it count {word}"))


def of_an_entry(seen: Looked, lab: Lab) -> None:
    """With two versions, on a target, waiting for a change of its secret."""
    ask = asking(lab)
    (account,) = ask("GET", "/api/v1/accounts")["items"]
    fields = {"username": account["name"], "password": "one"}
    entry = {"folder": "servers", "name": "spent", "type": "password", "accountId": account["id"], "fields": fields}
    made = ask("POST", "/api/v1/vault/entries", **entry, exclusive=True, rotateAfterUse=True)
    ask("PUT", f"/api/v1/vault/entries/{made['id']}", fields={**fields, "password": "two"})
    sue = signed_in(lab, "sue")
    held = sue("POST", "/api/v1/vault/checkouts", entryId=made["id"], reason="to see", minutes=60, wait=False)
    sue("POST", f"/api/v1/vault/checkouts/{held['id']}/checkin")
    for site, title, button in (
        ("Restore the version {0} of {1}", "Restore the version 1 of spent", "Restore 1"),
        ("Give {0} out again", "Give spent out again", "Give out"),
        ("Change the secret of {0} on its target", "Change the secret of spent on its target", "Change it now"),
        ("How the secret is changed", "How the secret is changed", "Rules"),
    ):
        seen.look(Dialog(f"EntryView: {site}", title, f"vault/{made['id']}", button))


def of_tokens(seen: Looked, user: str) -> None:
    """For one log-in at the gateway."""
    page, name = seen.page, f"{user}@web1"
    seen.at("account")
    opener = seen.button("A token for one log-in")
    opener.focus()
    page.keyboard.press("Enter")
    where = page.get_by_role("combobox", name="Account")
    where.locator("option", has_text=name).wait_for(state="attached")
    where.select_option(label=name)
    page.get_by_role("dialog").get_by_role("button", name="Make it").click()
    site = "SshTokens: Token for {0}"
    seen.escaped(site, seen.judge(site, f"Token for {name}"), opener)
    site = "SshTokens: Take the token for {0} away"
    seen.look(Dialog(site, f"Take the token for {name} away", "account", f"Take away {name}"))


def of_holds(seen: Looked, lab: Lab, user: str) -> None:
    ask = asking(lab)
    ask("POST", f"/api/v1/recordings/{ask('GET', '/api/v1/recordings')['items'][0]['id']}/hold", reason="case 42")
    site = "holds: Lift the hold of {0}"
    seen.look(Dialog(site, f"Lift the hold of sue → {user}@web1", "access", "Lift the hold sue web1"))


def tried(seen: Looked, site: str) -> "Locator":
    """What stands above the question of showing a secret."""
    page = seen.page
    seen.at("vault")
    opener = seen.button("Show key of web1")
    opener.focus()
    page.keyboard.press("Enter")
    page.get_by_label("Reason").fill("to look after it")
    page.get_by_role("button", name="Show", exact=True).click()
    box = seen.judge(site, "Confirm that it is you")
    seen.escaped(site, box, None)
    page.get_by_role("dialog", name="Show key of web1").wait_for()
    seen.escaped("Vault: Show {0}", page.get_by_role("dialog", name="Show key of web1"), opener)
    return opener


def of_factors(seen: Looked) -> None:
    """Without any, with a passkey, with an authenticator."""
    page = seen.page
    tried(seen, "stepup: This takes a second factor, and your acc")
    seen.at("account")
    seen.button("Add a passkey").click()
    page.get_by_label("Name", exact=True).fill("blue key")
    page.get_by_role("button", name="Add it").click()
    page.get_by_role("cell", name="blue key").first.wait_for()
    site = "OwnKeys: Take the passkey {0} away"
    seen.look(Dialog(site, "Take the passkey blue key away", "account", "Take away blue key"))
    seen.button("Add an SSH key").click()
    page.get_by_label("Public key").fill(KEY)
    page.get_by_role("button", name="Add it").click()
    page.get_by_role("cell", name="sue@laptop").first.wait_for()
    site = "OwnKeys: Take the key {0} away"
    seen.look(Dialog(site, "Take the key sue@laptop away", "account", "Take away sue@laptop"))
    tried(seen, "stepup: Your passkey proves it.")
    codes = enrolled(seen)
    tried(seen, "stepup: Confirm")
    site = "Account: Take my second factor away"
    seen.look(Dialog(site, "Take my second factor away", "account", "Take it away"))
    site = "Account: New backup codes"
    seen.look(Dialog(site, "New backup codes", "account", "New backup codes"))
    seen.button("New backup codes").click()
    page.get_by_label("Code from").fill(codes[0])
    page.get_by_role("button", name="Save").click()
    seen.escaped(
        "Account: Backup codes", seen.judge("Account: Backup codes", "Backup codes"), seen.button("New backup codes")
    )


def begun(seen: Looked, site: str) -> "Locator":
    """The dialog that shows the key of a new authenticator."""
    seen.button("Add a second factor").click()
    seen.page.get_by_label("Current password").fill(PASSWORD)
    seen.page.get_by_role("button", name="Go on").click()
    return seen.judge(site, "Add this key to your authenticator")


def enrolled(seen: Looked) -> list[str]:
    """Backup codes of a new authenticator."""
    seen.at("account")
    site = "Account: Add this key to your authenticator"
    seen.escaped(site, begun(seen, site), seen.button("Add a second factor"))
    box = begun(seen, site)
    key = box.locator("p.soft").inner_text().replace(" ", "")
    enrolment = Enrolment(b32decode(key + "=" * (-len(key) % 8)), 6, 30)
    code = code_at(enrolment, step_at(enrolment, SystemClock().wall_ms()))
    box.get_by_label("Its first code").fill(code)
    box.get_by_role("button", name="Confirm").click()
    shown = seen.judge("Account: Backup codes", "Backup codes")
    codes = shown.locator("pre").inner_text().split()
    seen.escaped("Account: Backup codes", shown, None)
    inside = seen.page.evaluate("document.activeElement?.id")
    assert inside == "main", "the button that led here is gone, so the page begins anew"
    return codes


def of_users(seen: Looked, open_page: OpenPage) -> None:
    """Somebody with a passkey and an authenticator, and passwords that are shown once."""
    page = seen.page
    bob = open_page(host="localhost")
    authenticator(bob.page)
    with_passkey(bob, "bob", "phone")
    enrolled(Looked(bob))
    path, title = "users?search=bob", "Reset the second factor of bob"
    seen.look(Dialog("Users: Reset the second factor of {0}", title, path, "Reset second factor"))
    seen.look(Dialog("Users: Take the passkeys of {0} away", "Take the passkeys of bob away", path, "Passkeys"))
    seen.at(path)
    for site, button, confirm, title in (
        ("Users: New password of {0}", "Reset password", "Reset", "New password of bob"),
        ("Users: First password of {0}", "New user", "Make the user", "First password of zoe"),
    ):
        opener = seen.button(button)
        opener.focus()
        page.keyboard.press("Enter")
        if button == "New user":
            page.get_by_label("User name").fill("zoe")
        else:
            page.get_by_label("Reason").fill("forgotten")
        page.get_by_role("dialog").get_by_role("button", name=confirm, exact=True).click()
        seen.escaped(site, seen.judge(site, title), opener)


def of_a_terminal(seen: Looked, user: str) -> None:
    page, name = seen.page, f"{user}@web1"
    seen.watched.open(f"terminal?target=web1&account={user}")
    page.get_by_role("main").get_by_text("live", exact=True).wait_for(timeout=60_000)
    screen = page.get_by_role("textbox", name=f"Terminal {name}")
    screen.focus()
    page.evaluate(PASTE)
    site = "ShellView: Paste {0} lines, {1} characters?"
    seen.escaped(site, seen.judge(site, "Paste 800 lines, 7,200 characters?"), screen)
    opener = seen.button(f"Close {name}")
    opener.focus()
    page.keyboard.press("Enter")
    site = "Terminal: Close {0}"
    seen.escaped(site, seen.judge(site, f"Close {name}"), opener)
    opener.click()
    page.get_by_role("dialog").get_by_role("button", name="Close").click()
    page.get_by_text("No terminal is open here").wait_for()
    seen.focused("document.activeElement?.textContent === 'New terminal'")


def of_the_end(seen: Looked, lab: Lab) -> None:
    """A log-in that is over is the one dialog that stays, however often Escape is pressed."""
    page = seen.page
    seen.at("users")
    seen.button("New user").click()
    page.get_by_label("User name").fill("typed-before")
    assert lab.running()[0].ask("/api/v1/sessions?all=true", method="DELETE", token=lab.new_token()).status == 200
    page.get_by_role("button", name="Make the user").click()
    title = "Your session is over"
    box = seen.judge("App: Your session is over", title)
    for _ in range(3):
        page.keyboard.press("Escape")
        page.wait_for_timeout(50)
        assert page.evaluate("document.activeElement?.closest('dialog[open]')?.textContent.includes('session is over')")
    assert box.is_visible()
