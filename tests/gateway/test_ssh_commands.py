"""``rppam ssh`` in a real terminal, and what ``rppam ssh-config`` prints to OpenSSH."""

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rppam.access.accounts.model import AccountRole
from rppam.gateway.ssh_cli import Keys, SignedIn
from rppam.gateway.ssh_config_cli import blocks
from rppam.gateway.terminal_client import PART_BYTES, WINDOW_BYTES, Books, parts
from rppam.http.bounds import ApiLimits
from rppam.http.trust import Trust
from rppam.kernel.secret import Secret
from tests.gateway.places import Place
from tests.gateway.test_kept import until
from tests.gateway.test_register import SESSIONS, live
from tests.gateway.test_terminals import bearer, places, served  # noqa: F401 - fixtures
from tests.support.served import PASSWORD, Served
from tests.support.terminals import InTerminal


class Terminal(InTerminal):
    """``rppam`` in a terminal of its own."""

    def __init__(self, place: Place, token: str, *words: str) -> None:
        env = {**os.environ, "RPPAM_URL": place.served.url, "RPPAM_TOKEN": token, "TERM": "xterm"}
        super().__init__([sys.executable, "-m", "rppam", *words], env)

    async def until(self, word: bytes) -> None:
        with contextlib.suppress(AssertionError):
            await until(lambda: word in self.out or self.process.poll() is not None, 20)
        assert word in self.out, self.out


@pytest.fixture
async def made() -> AsyncIterator[list[Terminal]]:
    found: list[Terminal] = []
    yield found
    for one in found:
        one.close()


async def at_shell(place: Place, made: list[Terminal], first: str = "") -> tuple[Terminal, str]:
    """Somebody at a shell on the target, who has typed ``first`` there, and their token."""
    token = (await bearer(place.served))["Authorization"].removeprefix("Bearer ")
    user = Terminal(place, token, "ssh", "web1")
    made.append(user)
    user.type(f"{first}echo on-$((40+2))\r")
    await user.until(b"on-42\r\n")
    return user, token


@pytest.mark.integration
async def test_it_goes_on_by_itself_and_ends_as_the_shell_did(places: list[Place], made: list[Terminal]) -> None:  # noqa: F811
    user, _ = await at_shell(places[0], made, "mark=7; ")
    for place in places:
        for access in list(place.gateway.gate._live.values()):
            access.connection.abort()
    user.type("echo still-$mark; exit 5\r")
    await user.until(b"still-7\r\n")
    assert await user.status() == 5
    assert user.out.count(b"on-42\r\n") == 1


@pytest.mark.integration
async def test_who_leaves_it_goes_on_with_it_later(places: list[Place], made: list[Terminal]) -> None:  # noqa: F811
    a = places[0]
    user, token = await at_shell(a, made, "mark=8; ")
    user.type("\r~d")
    await user.until(b"go on with: rppam ssh --attach ")
    assert await user.status() == 0
    ident = user.out.split(b"--attach ")[1].split()[0].decode()
    again = Terminal(a, token, "ssh", "--attach", ident)
    made.append(again)
    await again.until(b"on-42\r\n")
    again.type("echo still-$mark; exit\r")
    await again.until(b"still-8\r\n")
    assert await again.status() == 0
    late = Terminal(a, token, "ssh", "--attach", ident)
    made.append(late)
    assert await late.status() == 254
    assert b"kept" not in late.out
    nowhere = Terminal(a, token, "ssh", "nothing")
    made.append(nowhere)
    assert await nowhere.status() == 254
    assert b"there is no such target" in nowhere.out


@pytest.mark.integration
async def test_whom_an_administrator_ends_is_told_so_and_not_how_to_go_on(
    places: list[Place],  # noqa: F811
    made: list[Terminal],
) -> None:
    a = places[0]
    user, _ = await at_shell(a, made)
    (one,) = await live(a)
    order = f"{SESSIONS}/{one['id']}/kill"
    admin = a.served.bearer(AccountRole.ADMIN)
    assert (await a.served.http.post(order, json={"reason": "lunch"}, headers=admin)).status_code == 200
    await user.until(b"ended by admin: lunch")
    assert await user.status() == 254
    assert b"--attach" not in user.out


@pytest.mark.integration
async def test_one_logs_in_with_the_own_password(places: list[Place], made: list[Terminal]) -> None:  # noqa: F811
    user = Terminal(places[0], "", "ssh", "--user", "admin", "web1")
    made.append(user)
    await user.until(b"Password: ")
    user.type(f"{PASSWORD}\r")
    await until(lambda: places[0].target.held != [], 20)
    user.type("exit 6\r")
    assert await user.status() == 6
    assert PASSWORD.encode() not in user.out


@pytest.mark.integration
async def test_its_configuration_is_taken_by_openssh(places: list[Place], tmp_path: Path) -> None:  # noqa: F811
    a = places[0]
    headers = await bearer(a.served)
    answer = await a.served.http.get("/api/v1/access/targets", headers=headers)
    assert answer.json() == {"user": "admin", "items": [{"target": "web1", "account": a.target.user}]}
    file = tmp_path / "config"
    file.write_text(blocks("admin", answer.json()["items"], "127.0.0.1", a.port, "pam-"))
    ended = await a.run(
        "ssh", "-F", str(file), "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
        "-o", "PubkeyAuthentication=no", "pam-web1", "echo through",
    )  # fmt: skip
    assert ended.out == b"through\n"


def test_a_target_with_several_accounts_has_a_block_for_each() -> None:
    items = [{"target": "web1", "account": "root"}, {"target": "web1", "account": "app"}]
    text = blocks("alice", items, "vip", 2222, "")
    assert "Host root.web1\n    HostName vip\n    Port 2222\n    User alice+root+web1\n" in text
    assert blocks("alice", [], "vip", 2222, "").startswith("# there is no target")


def test_only_at_the_beginning_of_a_line_a_tilde_is_for_us() -> None:
    assert Keys().read(b"~.") == (b"", "end")
    assert Keys().read(b"a~.\r~d") == (b"a~.\r", "leave")
    assert Keys().read(b"~~.\r") == (b"~.\r", "")
    assert Keys().read(b"~x") == (b"~x", "")
    keys = Keys()
    assert keys.read(b"ls\r~") == (b"ls\r", "")
    assert keys.read(b".") == (b"", "end")


def test_what_was_not_taken_is_typed_again_and_what_was_shown_is_not_shown_again() -> None:
    books = Books()
    assert books.typed(b"early") == b""
    assert books.hello(0, 0) == bytes(8) + b"early"
    assert books.typed(b"more") == (5).to_bytes(8, "big") + b"more"
    books.taken(3)
    assert books.shown(bytes(8) + b"abc") == b"abc"
    assert books.hello(3, 5) == (5).to_bytes(8, "big") + b"more"
    assert books.shown((1).to_bytes(8, "big") + b"bcd") == b"d"
    assert books.at == 4


def test_no_more_is_typed_ahead_than_the_window() -> None:
    books = Books()
    books.hello(0, 0)
    paste = bytes(range(256)) * 1024
    assert books.typed(paste) == bytes(8) + paste[:WINDOW_BYTES]
    assert books.more() == b"", "nothing was taken"
    books.taken(1000)
    assert books.more() == WINDOW_BYTES.to_bytes(8, "big") + paste[WINDOW_BYTES : WINDOW_BYTES + 1000]
    assert books.hello(0, 5000) == (5000).to_bytes(8, "big") + paste[5000 : 5000 + WINDOW_BYTES], "sent again"
    books.taken(len(paste))
    assert books.more() == b""


def test_what_is_typed_again_goes_in_parts_that_a_node_takes() -> None:
    books, paste = Books(), bytes(range(256)) * 1000
    books.hello(0, 0)
    books.typed(paste)
    sent = parts(books.hello(0, 5000))
    assert max(len(one) for one in sent) <= PART_BYTES + 8 <= ApiLimits().socket_message_bytes
    offsets = [int.from_bytes(one[:8], "big") for one in sent]
    assert offsets == list(range(5000, 5000 + WINDOW_BYTES, PART_BYTES))
    assert b"".join(one[8:] for one in sent) == paste[5000 : 5000 + WINDOW_BYTES]
    assert parts(b"") == []


@pytest.mark.integration
async def test_a_log_in_that_is_used_is_kept_for_the_next_connection(served: Served) -> None:  # noqa: F811
    answer = await served.http.post("/api/v1/auth/login", json={"username": "admin", "password": PASSWORD})
    first = answer.json()["accessToken"]
    signed_in = SignedIn(("http://127.0.0.1:9", served.url), Secret(first), Trust(None))
    running = asyncio.create_task(signed_in.run(0.05))
    await asyncio.sleep(0.3)
    assert signed_in.headers == {"Authorization": f"Bearer {first}"}, "nobody has typed"
    signed_in.is_used = True
    await until(lambda: not signed_in.is_used, 10)
    me = await served.http.get("/api/v1/users/me/ssh-keys", headers=signed_in.headers)
    assert me.status_code == 200
    assert (await served.http.post("/api/v1/auth/logout", headers=signed_in.headers)).status_code == 204
    signed_in.is_used = True
    await asyncio.wait_for(running, 10)


@pytest.mark.integration
def test_without_a_terminal_it_says_what_to_use_instead() -> None:
    words = [sys.executable, "-m", "rppam", "ssh", "--user", "bob", "web1"]
    ended = subprocess.run(
        words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, start_new_session=True
    )
    assert ended.returncode == 2
    assert "no terminal to ask for the password on" in ended.stderr
    assert "rppam login" in ended.stderr
    assert "GetPassWarning" not in ended.stderr
