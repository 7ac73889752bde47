"""``rppam login`` on a workstation, in a real terminal against a real node, and what commands make of it."""

import asyncio
import contextlib
import json
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from rppam.access.tokens.kept import Kept, kept_file, read_kept, usable, write_kept
from rppam.access.tokens.login_command import command as login_command
from rppam.access.tokens.logout_command import command as logout_command
from rppam.access.tokens.target import target_of
from rppam.gateway.ssh_cli import command as ssh_command
from rppam.kernel.secret import Secret
from rppam.targets.cli import command as target_command
from tests.access.mfa.test_api import enrolled, require
from tests.support.authenticator import code
from tests.support.ports import free_port
from tests.support.served import PASSWORD, Served
from tests.support.terminals import InTerminal

pytestmark = pytest.mark.integration
LATER_S = 2_000_000_000


@pytest.fixture(autouse=True)
def workstation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host without a node, and somebody's own folder on it."""
    for name in ("RPPAM_CONFIG", "RPPAM_TOKEN", "RPPAM_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "own"))
    return tmp_path / "own"


class Terminal(InTerminal):
    """``rppam`` in a terminal of its own."""

    def __init__(self, *words: str) -> None:
        super().__init__([sys.executable, "-m", "rppam", *words])

    @property
    def shown(self) -> str:
        return self.out.decode()

    async def answer(self, question: str, text: str) -> None:
        """Type when asked, so that nothing is typed while the terminal still echoes."""
        for _ in range(600):
            if question in self.shown:
                break
            await asyncio.sleep(0.05)
        assert question in self.shown, self.shown
        self.type(f"{text}\n")

    async def end(self) -> int:
        code = await self.status(30)
        await asyncio.sleep(0.1)
        return code


@pytest.fixture
async def terminals() -> AsyncIterator[list[Terminal]]:
    found: list[Terminal] = []
    yield found
    for one in found:
        one.close()


async def typed(command: Any, *words: str, text: str = "") -> Result:
    return await asyncio.to_thread(CliRunner().invoke, command, list(words), input=text, standalone_mode=False)


async def without_terminal(*words: str, text: str) -> "subprocess.CompletedProcess[str]":
    """``rppam`` in a session of its own."""
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "rppam", *words],
        input=text, capture_output=True, encoding="utf-8", check=False, start_new_session=True, timeout=60,
    )  # fmt: skip


async def logged_in(served: Served, *more: str) -> Result:
    done = await typed(login_command, "--url", served.url, "--user", "admin", *more, text=f"{PASSWORD}\n")
    assert done.return_value == 0, (done.output, done.exception)
    return done


async def who(served: Served, token: Secret) -> Any:
    return await served.http.get("/api/v1/users/me", headers={"Authorization": f"Bearer {token.reveal()}"})


async def test_password_and_code_are_asked_for_without_echo_and_commands_act_as_that_person(
    served: Served, terminals: list[Terminal], workstation: Path
) -> None:
    _, secret, _ = await enrolled(served)
    screen = Terminal("login", "--url", served.url, "--user", "admin")
    terminals.append(screen)
    await screen.answer("Password: ", PASSWORD)
    second = code(secret, 1)
    await screen.answer("Code of the authenticator: ", second)
    assert await screen.end() == 0, screen.shown
    assert f"signed in at {served.url} as admin, until 20" in screen.shown
    assert PASSWORD not in screen.shown
    assert second not in screen.shown
    file = workstation / "rppam" / "login.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert PASSWORD not in file.read_text()
    kept = read_kept()
    assert kept is not None
    assert (kept.url, kept.user) == (served.url, "admin")
    me = await who(served, kept.token)
    assert (me.status_code, me.json()["username"]) == (200, "admin")
    listed = Terminal("target", "ls", "--json")
    terminals.append(listed)
    assert await listed.end() == 0, listed.shown
    assert json.loads(listed.shown) == {"items": []}
    out = Terminal("logout")
    terminals.append(out)
    assert await out.end() == 0, out.shown
    assert not file.exists()
    assert (await who(served, kept.token)).status_code == 401
    gone = Terminal("target", "ls")
    terminals.append(gone)
    assert await gone.end() == 2
    assert "rppam target ls: there is no token: log in (rppam login --url" in gone.shown.replace("\r\n", " ")


async def test_a_wrong_password_keeps_nothing(served: Served) -> None:
    done = await typed(login_command, "--url", served.url, "--user", "admin", "--json", text="wrong\n")
    assert done.return_value == 1
    assert json.loads(done.stdout)["code"] == "RPPAM-3101", done.stdout
    assert done.stderr.splitlines()[-1].startswith("login: "), done.stderr
    assert not kept_file().exists()


async def test_who_has_to_enrol_first_is_told_where(served: Served) -> None:
    await require(served, "required_for_all")
    done = await typed(login_command, "--url", served.url, "--user", "admin", text=f"{PASSWORD}\n")
    assert done.return_value == 1
    assert f"has to enrol a second factor first. Sign in once at {served.url}/console/" in done.stderr
    assert not kept_file().exists()


async def test_where_no_node_answers_it_says_so_and_logs_nobody_in() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    done = await typed(login_command, "--url", url, "--user", "admin", text=f"{PASSWORD}\n")
    assert done.return_value == 2
    assert f"login: {url}: connection refused" in done.stderr
    assert "Password" not in done.output, "it is not even asked for"
    assert not kept_file().exists()


@pytest.mark.parametrize("user", [("--user", "admin"), ()])
async def test_without_a_terminal_and_with_nothing_to_read_it_says_what_to_use(
    served: Served, user: tuple[str, ...]
) -> None:
    done = await without_terminal("login", "--url", served.url, *user, text="")
    assert done.returncode == 2
    what = "password" if user else "user"
    assert f"rppam login: there is no terminal to ask for the {what} on, and standard input is empty" in done.stderr
    assert "--token-file FILE" in done.stderr
    assert "Warning" not in done.stderr


async def test_without_a_terminal_the_password_is_a_line_of_standard_input(served: Served) -> None:
    done = await without_terminal("login", "--url", served.url, "--user", "admin", text=f"{PASSWORD}\n")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"signed in at {served.url} as admin" in done.stdout
    done = await without_terminal("login", "--url", served.url, text=f"admin\n{PASSWORD}\n")
    assert (done.returncode, done.stderr) == (0, ""), "and so is the user"


async def test_the_token_goes_to_no_address_that_did_not_give_it(served: Served) -> None:
    done = json.loads((await logged_in(served, "--json")).stdout)
    assert (done["url"], done["user"], done["file"]) == (served.url, "admin", str(kept_file()))
    assert (await typed(target_command, "ls")).exception is None
    assert (await typed(target_command, "ls", "--url", f"{served.url}/")).exception is None
    elsewhere = await typed(target_command, "ls", "--url", f"http://127.0.0.1:{free_port()}")
    assert f"the log-in of admin counts at {served.url}, not at http://127.0.0.1:" in str(elsewhere.exception)


async def test_it_is_renewed_while_it_is_used_and_an_end_is_told_with_what_to_type(served: Served) -> None:
    await logged_in(served)
    kept = read_kept()
    assert kept is not None
    write_kept(kept._replace(renew_from_s=0))
    assert (await typed(target_command, "ls")).exception is None
    newer = read_kept()
    assert newer is not None
    assert newer.renew_from_s > time.time()
    assert (await who(served, newer.token)).status_code == 200
    write_kept(kept._replace(until_s=0))
    over = await typed(target_command, "ls")
    assert f"has expired; log in again: rppam login --url {served.url} --user admin" in str(over.exception)


async def test_a_node_that_gives_no_newer_token_leaves_the_one_that_counts(served: Served) -> None:
    await logged_in(served)
    kept = read_kept()
    assert kept is not None
    there = kept._replace(url=f"http://127.0.0.1:{free_port()}", renew_from_s=0)
    write_kept(there)
    assert await asyncio.to_thread(usable, (), None) == there


async def test_without_an_address_one_logs_in_where_one_did_last(served: Served) -> None:
    none = await typed(login_command, "--user", "admin")
    assert "say where: --url" in str(none.exception)
    await logged_in(served)
    again = await typed(login_command, text=f"{PASSWORD}\n")
    assert again.return_value == 0, again.output
    assert f"signed in at {served.url} as admin" in again.stdout


@pytest.mark.parametrize("url", ["http://pam.corp:7101", "http://10.0.0.9:7101"])
async def test_no_password_crosses_the_network_in_the_clear(url: str) -> None:
    refused = await typed(login_command, "--url", url, "--user", "admin", text=f"{PASSWORD}\n")
    assert "in the clear; give https://" in str(refused.exception)
    assert "Password" not in refused.output, "it is not even asked for"
    refused = await typed(ssh_command, "--url", url, "--user", "admin", "web1", text=f"{PASSWORD}\n")
    assert "in the clear; give https://" in str(refused.exception)
    assert "Password" not in refused.output


def test_what_others_can_read_or_nobody_wrote_is_not_believed(workstation: Path) -> None:
    file = write_kept(Kept("http://127.0.0.1:1", "admin", Secret("a.b.c"), LATER_S, LATER_S))
    kept = file.read_text()
    for mode, text in ((0o644, kept), (0o600, "{}")):
        file.write_text(text)
        file.chmod(mode)
        refused = CliRunner().invoke(target_command, ["ls"], standalone_mode=False)
        assert "'rppam logout' removes it; then log in again" in str(refused.exception)
    assert CliRunner().invoke(logout_command, standalone_mode=False).return_value == 2
    assert not list(workstation.rglob("login.json"))
    nobody = CliRunner().invoke(logout_command, ["--json"], standalone_mode=False)
    assert (nobody.return_value, json.loads(nobody.stdout)) == (0, {"ended": False})


def test_a_logout_that_no_node_hears_of_removes_it_and_says_what_is_left() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    write_kept(Kept(url, "jane", Secret("a.b.c"), LATER_S, LATER_S))
    done = CliRunner().invoke(logout_command, standalone_mode=False)
    assert done.return_value == 2
    assert "rppam user sessions end --user jane" in done.stderr
    assert not kept_file().exists()


def test_a_token_that_is_given_and_a_config_that_is_named_come_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_kept(Kept("https://pam:7101", "jane", Secret("kept"), LATER_S, LATER_S, Path("/ca.pem")))
    mine = target_of(None, None, None)
    assert (mine.url, mine.token(), mine.trust.ca, mine.is_own) == (
        "https://pam:7101", Secret("kept"), Path("/ca.pem"), False,
    )  # fmt: skip
    assert target_of("https://PAM:7101/", None, None).token() == Secret("kept")
    file = tmp_path / "token"
    file.write_text("filed")
    assert target_of(None, file, None).token() == Secret("filed")
    monkeypatch.setenv("RPPAM_TOKEN", "given")
    assert target_of(None, None, None).token() == Secret("given")
    monkeypatch.delenv("RPPAM_TOKEN")
    monkeypatch.setenv("RPPAM_CONFIG", str(tmp_path / "none.config"))
    with contextlib.suppress(Exception):
        assert target_of(None, None, None).token() != Secret("kept")
