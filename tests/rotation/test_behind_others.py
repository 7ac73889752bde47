"""Secrets changed on a target that is behind another one: with real sshds and PostgreSQL, and what the vault has."""

import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rppam.kernel.secret import Secret
from rppam.rotation import on_postgresql, on_ssh
from rppam.rotation.asking import Hands
from rppam.rotation.requests import Hop, Login, Pin, Request
from rppam.rotation.runner import Runner
from rppam.vault.service import Vault
from tests.gateway.places import HOST, Sshd, sshd
from tests.rotation.test_on_targets import FIRST, Account, has_only, role_of, secret_of, signs_in, soon, state
from tests.support.ports import free_port
from tests.support.postgres import Server
from tests.support.served import Served
from tests.vault.people import ENTRIES, Person, actions, host

pytestmark = [pytest.mark.integration, pytest.mark.server]
SETTING = "/api/v1/settings/access/ssh"


@pytest.fixture
def account() -> Iterator[Account]:
    if os.getuid() != 0 or shutil.which("useradd") is None:
        pytest.skip("an account can only be made by root")
    one = Account()
    yield one
    one.remove()


@pytest.fixture(scope="module")
def inner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with sshd(tmp_path_factory.mktemp("inner") / "target", "PasswordAuthentication yes") as one:
        yield one


class Way:
    """An entry of the vault for an account at ``web1``, which is behind ``jump1``."""

    def __init__(self, served: Served, inner: Sshd, account: Account) -> None:
        self.served, self.inner, self.account, self.admin = served, inner, account, host(served)
        self.entry: dict[str, Any] = {}

    async def target(
        self, name: str, one: Sshd | Server, user: str, *tags: str, fields: dict[str, str], **more: Any
    ) -> Any:
        new = {"name": name, "kind": "ssh", "address": HOST, "port": one.port, "tags": tags, "hostKeyPolicy": "tofu"}
        resource = await self.admin.made("/api/v1/resources", **{**new, **more})
        of = await self.admin.made("/api/v1/accounts", resourceId=resource["id"], name=user)
        type_ = "ssh-key" if "privateKey" in fields else "password" if isinstance(one, Sshd) else "database"
        return resource, await self.admin.entry(f"{user} of {name}", accountId=of["id"], fields=fields, type=type_)

    async def begin(self, one: Sshd | Server | None = None, user: str = "", **more: Any) -> None:
        target, name, fields = one or self.inner, user or self.account.name, {"password": FIRST}
        _, self.entry = await self.target("web1", target, name, "dmz", fields=fields, **more)
        assert (await self.admin.put(SETTING, via=["dmz=jump1"])).status_code == 200

    async def is_shut(self, folder: Path) -> None:
        """Fail unless the target is not asked without its way, nor where that lets nobody through."""
        none = await self.rotate()
        assert "there is no target jump1 to go through" in none["problem"], none
        with sshd(folder / "closed", "AllowTcpForwarding no") as closed:
            await self.target("jump1", closed, closed.user, fields={"privateKey": closed.private_key})
            shut = await self.rotate()
            assert "cannot be reached through jump1" in shut["problem"], shut

    async def rotate(self) -> dict[str, Any]:
        """Order it where nothing is open, carry it out, and tell what it came to."""
        await self.admin.post(f"{ENTRIES}/{self.entry['id']}/rotate", reason="because")
        await soon(self.served)
        await Runner(self.served.database, self.served.services.get(Vault).keyring, "node1", Hands).work()
        return await state(self.admin, self.entry)


@pytest.fixture
async def way(open_vault: Served, inner: Sshd, account: Account) -> Way:
    return Way(open_vault, inner, account)


async def keys_of(admin: Person, resource: dict[str, Any]) -> list[str]:
    found = (await admin.get(f"/api/v1/resources/{resource['id']}/host-keys")).json()["items"]
    return [one["key"] for one in found]


async def test_it_goes_through_what_is_on_the_way(way: Way, tmp_path: Path) -> None:
    with sshd(tmp_path / "jump", "LogLevel VERBOSE") as jump:
        resource, _ = await way.target("jump1", jump, jump.user, fields={"privateKey": jump.private_key})
        await way.begin()
        done = await way.rotate()
        assert (done["phase"], done["problem"]) == ("done", ""), done
        new = await secret_of(way.admin, way.entry)
        assert new != FIRST
        assert signs_in(way.inner, way.account.name, new)
        assert await keys_of(way.admin, resource), "its first key is pinned, as its policy says"
    [use] = [one for one in await actions(way.served, "secret.use") if "jump1" in one["object"]["name"]]
    assert use["reason"].startswith("the way to web1 for rotation ")


async def test_it_is_really_the_way_and_without_one_nothing_is_changed(way: Way, tmp_path: Path) -> None:
    await way.begin()
    await way.is_shut(tmp_path)
    gone = await way.rotate()
    assert "on the way to web1: jump1" in gone["problem"], gone
    assert signs_in(way.inner, way.account.name, FIRST)
    assert await secret_of(way.admin, way.entry) == FIRST


@pytest.mark.parametrize(("new", "came"), [(None, "unknown"), ("another-One.4711", "refused")])
async def test_what_a_host_on_the_way_refuses_says_nothing_of_the_secret(
    tmp_path: Path, inner: Sshd, new: str | None, came: str
) -> None:
    """Else a rotation would take the target for one that takes no secret that is kept."""
    with sshd(tmp_path / "jump") as jump:
        pin = tuple(jump.host_key.split())
        hop = Hop(
            "id", "jump1", HOST, jump.port, "pin", (Pin(pin[0], jump.host_key, ""),), Login("nobody", Secret("no"))
        )
        login = Login(inner.user, private_key=Secret(inner.private_key))
        request = Request(
            "ssh", "web1", HOST, inner.port, "tofu", (), login, inner.user, Secret(new) if new else None, hops=(hop,)
        )
        again = Request.of(request.text())
        assert again == request
        assert {one.reveal() for one in again.secrets()} >= {"no", inner.private_key}
        answer = await on_ssh.answer(again)
        assert answer.came == came, answer
        assert "on the way to web1: jump1" in answer.said
        away = request._replace(hops=(hop._replace(port=free_port()),))
        assert (await on_ssh.answer(away)).came == came


async def test_a_database_is_reached_the_same_way_and_never_by_another(
    way: Way, postgresql: Server, tmp_path: Path
) -> None:
    role = role_of(postgresql)
    await way.begin(postgresql, role, kind="postgresql")
    await way.is_shut(tmp_path)
    assert await secret_of(way.admin, way.entry) == FIRST
    with sshd(tmp_path / "jump") as jump:
        resource, _ = await way.target("jump2", jump, jump.user, fields={"privateKey": jump.private_key})
        assert (await way.admin.put(SETTING, via=["dmz=jump2"])).status_code == 200
        done = await way.rotate()
        assert (done["phase"], done["problem"]) == ("done", ""), done
        assert await keys_of(way.admin, resource), "its first key is pinned, as its policy says"
    new = await secret_of(way.admin, way.entry)
    assert new != FIRST
    has_only(postgresql, role, new)


def test_the_forwarded_port_takes_connections_of_this_account_alone(tmp_path: Path) -> None:
    with socket.create_server((HOST, 0)) as server, socket.create_connection(server.getsockname()) as client:
        port = client.getsockname()[1]
        assert on_postgresql.is_own(HOST, port)
        table = tmp_path / "tcp"
        head, row = "  sl  local_address rem_address st tx tr when retr uid", f"0: 0100007F:{port:04X} 0100007F:0001"
        for uid, state_, own in ((os.getuid(), "01", True), (os.getuid() + 1, "01", False), (os.getuid(), "06", False)):
            table.write_text(f"{head}\n{row} {state_} 0:0 0:0 0 {uid} 0 1\n")
            assert on_postgresql.is_own(HOST, port, table) is own
