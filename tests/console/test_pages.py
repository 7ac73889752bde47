"""Every page in a real browser over a real cluster: no violation, no error, readable by everybody."""

import pytest

from tests.console.conftest import AXE, OpenPage

pytestmark = [pytest.mark.integration, pytest.mark.server, pytest.mark.slow, pytest.mark.alone]

PAGES = {
    "": "Welcome, Sue",
    "cluster": "Cluster",
    "audit": "Audit",
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
