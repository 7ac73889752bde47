"""A log-in with ssh is approved in a real browser by somebody who has a passkey alone, at another node."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.console.conftest import AXE, PASSWORD, OpenPage
from tests.console.places import asking, authenticator, reaching, shell, typed, with_passkey
from tests.console.test_dialogs import Looked
from tests.gateway.places import Sshd
from tests.support.lab import Lab
from tests.support.redis_servers import Server

pytestmark = [pytest.mark.integration, pytest.mark.server, pytest.mark.slow, pytest.mark.pair]


@pytest.fixture(scope="module")
def lab(redis: Server, tmp_path_factory: pytest.TempPathFactory, target: Sshd) -> Iterator[Lab]:
    """See :func:`tests.console.places.reaching`."""
    with reaching(redis, tmp_path_factory.mktemp("ssh-logins"), target) as lab:
        yield lab


def test_it_is_approved_and_refused(open_page: OpenPage, lab: Lab, tmp_path: Path) -> None:
    watched = open_page(host="localhost")
    page = watched.page
    authenticator(page)
    with_passkey(watched, "sue", "blue key")
    asking(lab)("PUT", "/api/v1/settings/security/mfa", mfaRequirement="required_for_admins")
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("button", name="Use a passkey").click()
    page.get_by_role("button", name="Sign out").wait_for()
    watched.open("account")
    page.get_by_role("heading", name="My account").wait_for()
    assert page.get_by_role("heading", name="Log-ins with ssh that wait").count() == 0
    answers = f"case \"$1\" in *assword*) echo '{PASSWORD}';; *) echo;; esac"
    with shell(lab.nodes[2], tmp_path, answers=answers, LogLevel="INFO") as session:
        page.get_by_role("heading", name="Log-ins with ssh that wait").wait_for()
        phrase = page.get_by_role("region", name="Log-ins with ssh that wait").locator("code").inner_text()
        watched.shot("light-ssh-logins")
        if AXE.exists():
            assert watched.axe() == []
        seen = Looked(watched)
        for word in ("Approve", "Refuse"):
            site, opener = f"SshLogins: {word} the log-in {{0}}", page.get_by_role("button", name=f"{word} {phrase}")
            opener.focus()
            page.keyboard.press("Enter")
            seen.escaped(site, seen.judge(site, f"{word} the log-in {phrase}"), opener)
        assert seen.flaws == []
        page.get_by_role("button", name=f"Approve {phrase}").click()
        page.get_by_role("dialog").get_by_role("button", name="Approve").click()
        page.get_by_text("Press Enter in the terminal.").wait_for()
        typed(session, "echo in-$((40+2)); exit")
        assert session.stdout is not None
        said = session.stdout.read().decode()
    assert phrase in said
    assert "in-42" in said
    with shell(lab.nodes[1], tmp_path, answers=answers, LogLevel="INFO") as session:
        page.get_by_role("button", name="Refuse", exact=False).first.click()
        page.get_by_role("dialog").get_by_role("button", name="Refuse").click()
        page.get_by_role("heading", name="Log-ins with ssh that wait").wait_for(state="detached")
        assert session.stdout is not None
        assert "this log-in was refused in the browser" in session.stdout.read().decode()
