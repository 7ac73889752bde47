"""Files of the vault and from where accounts log in, in a real browser over a real cluster."""

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.console.conftest import AXE, OpenPage, cluster
from tests.console.places import asking, authenticator, with_passkey
from tests.support.lab import Lab
from tests.support.redis_servers import Server

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.integration, pytest.mark.server, pytest.mark.slow, pytest.mark.pair]

CONTENT = bytes(range(256)) * 300
LARGEST = 1024 * 1024
KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk\nsecond line\n-----END OPENSSH PRIVATE KEY-----\n"


@pytest.fixture(scope="module")
def lab(redis: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with cluster(redis, tmp_path_factory.mktemp("files"), nodes=1) as lab:
        yield lab


def shown(page: "Page", entry: str) -> None:
    page.get_by_role("button", name=f"Show {entry}", exact=True).click()
    page.get_by_label("Reason").fill("to look after it")
    page.get_by_role("button", name="Show", exact=True).click()
    page.get_by_role("dialog", name="Confirm that it is you").get_by_role("button", name="Use a passkey").click()
    page.get_by_role("region", name="The secret").wait_for()


def saved(page: "Page", field: str) -> tuple[str, bytes]:
    """Under which name the browser saves the field, and what."""
    with page.expect_download() as found:
        page.get_by_role("region", name="The secret").get_by_role("button", name=f"Download {field}").click()
    return found.value.suggested_filename, Path(found.value.path()).read_bytes()


def begun(page: "Page", name: str, kind: str) -> None:
    page.get_by_role("button", name="New entry").click()
    page.get_by_label("Folder", exact=True).last.fill("files")
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Kind", exact=True).select_option(kind)


def test_a_file_is_kept_with_its_bytes_and_saved_with_its_name(open_page: OpenPage, lab: Lab, tmp_path: Path) -> None:
    watched = open_page(host="localhost")
    page = watched.page
    authenticator(page)
    with_passkey(watched, "sue", "of files")
    watched.open("vault")
    large, empty, right = (tmp_path / name for name in ("large.bin", "empty.bin", "Schlüssel 1.p12"))
    large.write_bytes(b"x" * (LARGEST + 1))
    empty.write_bytes(b"")
    right.write_bytes(CONTENT)
    begun(page, "keytab", "file")
    assert page.get_by_label("Secret", exact=True).count() == 0, "a file is the secret"
    picker = page.get_by_label("File", exact=True)
    picker.set_input_files(large)
    page.get_by_role("button", name="Save").click()
    page.get_by_text("large.bin has 1,048,577 bytes; the vault takes files of at most 1,048,576.").wait_for()
    watched.shot("light-file-too-large")
    if AXE.exists():
        assert watched.axe() == []
    picker.set_input_files(empty)
    page.get_by_role("button", name="Save").click()
    page.get_by_text("empty.bin is empty.").wait_for()
    assert asking(lab)("GET", "/api/v1/vault/entries")["items"] == [], "nothing was sent"
    picker.set_input_files(right)
    page.get_by_role("button", name="Save").click()
    page.get_by_role("dialog").wait_for(state="detached")
    shown(page, "keytab")
    page.get_by_text("76,800 bytes").wait_for()
    watched.shot("light-file-shown")
    if AXE.exists():
        assert watched.axe() == []
    assert saved(page, "content") == (right.name, CONTENT)

    page.get_by_role("button", name="New version keytab").click()
    largest = tmp_path / "largest.bin"
    largest.write_bytes(hashlib.shake_256(b"largest").digest(LARGEST))
    page.get_by_label("File", exact=True).set_input_files(largest)
    page.get_by_role("button", name="Save").click()
    page.get_by_text("keytab has a new version.").wait_for()
    (entry,) = asking(lab)("GET", "/api/v1/vault/entries")["items"]
    assert (entry["type"], entry["version"]) == ("file", 2)
    shown(page, "keytab")
    page.get_by_text("1,048,576 bytes").wait_for()
    assert saved(page, "content") == ("largest.bin", largest.read_bytes())


def test_what_a_command_has_put_is_saved_too_and_a_key_keeps_its_lines(
    open_page: OpenPage, lab: Lab, tmp_path: Path
) -> None:
    """A file without a name of its own has the entry's; a PFX is bytes beside text; what is pasted stays as it is."""
    ask = asking(lab)
    fields = {"content": base64.b64encode(CONTENT).decode()}
    ask("POST", "/api/v1/vault/entries", folder="files", name="dump.bin", type="file", fields=fields, exclusive=False)
    watched = open_page(host="localhost", color_scheme="dark")
    page = watched.page
    authenticator(page)
    with_passkey(watched, "sue", "of commands")
    watched.open("vault")
    shown(page, "dump.bin")
    assert saved(page, "content") == ("dump.bin", CONTENT)
    pfx = tmp_path / "any.pfx"
    pfx.write_bytes(CONTENT[:1000])
    begun(page, "of the web", "certificate")
    page.get_by_label("PFX file").set_input_files(pfx)
    page.get_by_label("Passphrase").fill("open sesame")
    page.get_by_role("button", name="Save").click()
    page.get_by_role("dialog").wait_for(state="detached")
    begun(page, "of a shell", "ssh-key")
    page.get_by_label("Private key").fill(KEY)
    page.get_by_role("button", name="Save").click()
    page.get_by_role("dialog").wait_for(state="detached")
    shown(page, "of the web")
    page.get_by_text("open sesame").wait_for()
    assert saved(page, "pfx") == ("of the web.pfx", CONTENT[:1000])
    watched.shot("dark-pfx-shown")
    if AXE.exists():
        assert watched.axe() == []
    shown(page, "of a shell")
    secret = page.get_by_role("region", name="The secret")
    secret.get_by_text("second line").wait_for()
    assert secret.locator("code").first.evaluate("one => one.textContent") == KEY


def test_from_where_an_account_logs_in_is_changed_and_seen(open_page: OpenPage, lab: Lab) -> None:
    watched = open_page()
    page = watched.page
    watched.sign_in("sue")
    watched.open("users?search=bob")
    page.get_by_role("button", name="Change bob").click()
    page.get_by_label("May log in from").fill("10.2.0.0/16, elsewhere")
    page.get_by_label("Reason").fill("from the office alone")
    page.get_by_role("button", name="Save").click()
    page.get_by_text("RPPAM-").first.wait_for()
    assert "elsewhere" in page.get_by_role("dialog").inner_text()
    watched.shot("light-networks")
    if AXE.exists():
        assert watched.axe() == []
    page.get_by_label("May log in from").fill("10.2.0.0/16, fd00::/8 192.0.2.7")
    page.get_by_role("button", name="Save").click()
    page.get_by_text("from 10.2.0.0/16, ").wait_for()
    ask = asking(lab)
    (bob,) = ask("GET", "/api/v1/users?search=bob")["items"]
    assert bob["allowedFrom"] == ["10.2.0.0/16", "192.0.2.7/32", "fd00::/8"]
    stranger = open_page()
    stranger.open("")
    stranger.page.get_by_label("User name").fill("bob")
    stranger.page.get_by_label("Password").fill("correct horse battery staple")
    stranger.page.get_by_role("button", name="Sign in").click()
    stranger.page.get_by_role("alert").wait_for()
    assert stranger.page.get_by_role("button", name="Sign out").count() == 0
    page.get_by_role("button", name="Change bob").click()
    page.get_by_label("May log in from").fill("")
    page.get_by_label("Reason").fill("from anywhere again")
    page.get_by_role("button", name="Save").click()
    page.get_by_role("dialog").wait_for(state="detached")
    (bob,) = ask("GET", "/api/v1/users?search=bob")["items"]
    assert bob["allowedFrom"] == []
