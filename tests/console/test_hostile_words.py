"""A script in every name, description and reason: each page shows it as text, and nothing of it runs."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import pytest

from tests.console.conftest import PASSWORD, OpenPage, cluster
from tests.console.places import asking, signed_in
from tests.console.test_pages import PAGES
from tests.support.lab import Lab
from tests.support.redis_servers import Server

if TYPE_CHECKING:
    from playwright.sync_api import Dialog

pytestmark = [pytest.mark.integration, pytest.mark.server, pytest.mark.slow, pytest.mark.pair]

HOSTILE: Final = '"><img src=x onerror=alert(1)><svg onload=alert(2)>'
MADE: Final = "() => document.querySelectorAll('img[src=x], main script, main [onerror], main [onload]').length"
"""What a page would have that took the word for markup."""


@pytest.fixture(scope="module")
def lab(redis: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with cluster(redis, tmp_path_factory.mktemp("hostile"), nodes=1) as lab:
        yield lab


@pytest.fixture(scope="module")
def places(lab: Lab) -> dict[str, list[str]]:
    """Pages, and what of each kind of thing is to be seen there."""
    ask, bob = asking(lab), signed_in(lab, "bob")
    seen: dict[str, list[str]] = {path: [] for path in PAGES}

    def said(path: str, kind: str) -> str:
        """A hostile word of its own, which has to be seen at this place."""
        word = f"{kind} {HOSTILE}"
        seen.setdefault(path, []).append(word)
        return word

    host = ask(
        "POST", "/api/v1/resources", name="web1", kind="ssh", address="192.0.2.1", port=22,
        description=said("targets", "target"),
    )  # fmt: skip
    path = f"targets/{host['id']}"
    account = ask(
        "POST", "/api/v1/accounts", resourceId=host["id"], name="root", description=said(path, "account")
    )  # fmt: skip
    user = ask(
        "POST", "/api/v1/users", username="mallory", displayName=said("users", "person"), roles=["pam_user"],
        password=PASSWORD,
    )  # fmt: skip
    entry = ask(
        "POST", "/api/v1/vault/entries", folder="servers", name=said("vault", "entry"), type="password",
        description=said("vault", "described"), fields={"password": "x"},
        exclusive=True,
    )  # fmt: skip
    seen[f"vault/{entry['id']}"] = [seen["vault"][0]]
    (folder,) = (one for one in ask("GET", "/api/v1/vault/folders")["items"] if one["path"] == "servers")
    ask("PUT", f"/api/v1/vault/folders/{folder['id']}", path="servers", description=said("vault", "folder"))
    sue = signed_in(lab, "sue")
    sue("POST", "/api/v1/vault/checkouts", entryId=entry["id"], reason=said("vault", "taken"), minutes=60, wait=False)
    group = ask("POST", "/api/v1/user-groups", name="operators", members=[user["id"]])
    ask("POST", "/api/v1/approval-policies", name="strict", level="group", subject=group["id"], maxMinutes=60)
    wish = {"rights": ["use"], "minutes": 60}
    bob("POST", "/api/v1/access-requests", accountId=account["id"], reason=said("requests", "wish"), **wish)
    ask("POST", "/api/v1/audit/holds", name=said("holds", "held"), reason=said("holds", "why"))
    ask("POST", "/api/v1/access/ca")
    ask("POST", "/api/v1/access/ca/revocations", kind="key-id", word="rppam user bob", reason=said("authority", "lost"))
    ask("PUT", "/api/v1/admin/cluster/note", text=said("cluster", "note"))
    ask("POST", "/api/v1/siem/targets", name="collector", kind="syslog", url="tls://192.0.2.3:6514")
    seen["audit"] = [f"why {HOSTILE}"]
    return seen


@pytest.mark.timeout(600)
@pytest.mark.parametrize("width", [1280, 390])
def test_a_script_in_a_word_is_text_on_every_page(
    open_page: OpenPage, places: dict[str, list[str]], width: int
) -> None:
    watched = open_page(viewport={"width": width, "height": 900})
    page = watched.page
    asked: list[str] = []

    def refuse(box: "Dialog") -> None:
        asked.append(box.message)
        box.dismiss()

    page.on("dialog", refuse)
    watched.sign_in("sue")
    for path, words in places.items():
        watched.open("licence")
        watched.open(path)
        page.locator("main h1").first.wait_for()
        page.wait_for_timeout(200)
        page.locator("main [aria-busy=true]").first.wait_for(state="detached")
        for word in words:
            page.get_by_role("main").get_by_text(word).first.wait_for()
        assert page.evaluate(MADE) == 0, path
        for button in page.get_by_role("main").get_by_role("button", name=HOSTILE).all()[:4]:
            button.click()  # what asks repeats the name
            page.wait_for_timeout(50)
            assert page.evaluate(MADE) == 0, path
            page.keyboard.press("Escape")
    assert asked == []
