"""A right to shells gives none to files, and the other way; whoever is refused reads which right is missing."""

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest

from rppam.gateway.model import Kind
from rppam.gateway.ssh.carries import carries_files
from tests.gateway.places import HOST, Ended, Place
from tests.gateway.test_forwards import echo
from tests.gateway.test_given_back import POLICIES, REQUESTS
from tests.gateway.test_register import live, recorded
from tests.gateway.test_vault_routes import Catalogue, entry_folder, folders, place as real_place
from tests.support.served import Served
from tests.vault.people import host, person

pytestmark = [pytest.mark.integration]
place = real_place
URSULA = "ursula+web1"
NO_SHELL, NO_FILES = "the right that is missing is 'use-shell'", "the right that is missing is 'use-files'"


@pytest.fixture
async def account(place: Place) -> str:
    catalogue, target = Catalogue(place.served), place.target
    new = {"name": "web1", "kind": "ssh", "address": HOST, "port": target.port, "hostKeyPolicy": "tofu"}
    resource = (await catalogue.ask("POST", "/api/v1/resources", new))["id"]
    return await catalogue.account(resource, target.user, {"privateKey": target.private_key})


async def give(place: Place, *rights: str) -> None:
    catalogue = Catalogue(place.served)
    path = f"/api/v1/vault/folders/{entry_folder(await folders(catalogue))}/rights"
    await catalogue.ask("PUT", path, {"items": [{"role": "pam_user", "rights": list(rights)}] if rights else []})


async def sftp(place: Place, words: str) -> Ended:
    own = ["-o", "BatchMode=no", *place.options(URSULA)]
    return await place.run("sftp", *own, "-b", "-", HOST, given=words.encode())


async def scp(place: Place, *words: str) -> Ended:
    return await place.run("scp", *words[:-2], *place.options(URSULA), *words[-2:])


@pytest.mark.usefixtures("account")
async def test_files_alone(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = place.gateway.gate.policy._replace(local_forward=True, remote_forward=True, agent_forward=True)
    monkeypatch.setattr(type(place.gateway.gate), "policy", property(lambda _: policy))
    await give(place, "use-files")
    here, there = tmp_path / "here", place.target.folder / "files-alone"
    here.write_bytes(b"carried")
    assert (await sftp(place, f"put {here} {there}\n")).code == 0
    assert there.read_bytes() == b"carried"
    copied = await scp(place, f"{HOST}:{there}", str(tmp_path / "back"))
    assert (copied.code, (tmp_path / "back").read_bytes()) == (0, b"carried"), copied
    for words in (["id"], []):
        refused = await place.ssh(*words, user=URSULA)
        assert (refused.code, refused.out, NO_SHELL in refused.err) == (254, b"", True), refused
    old = await scp(place, "-O", str(here), f"{HOST}:{there}2")
    assert (old.code != 0, NO_SHELL in old.err, there.with_name("files-alone2").exists()) == (True, True, False), old
    async with echo() as port:
        options = ["-o", "LogLevel=INFO", *place.options(URSULA), "-W", f"{HOST}:{port}"]
        forward = await place.run("ssh", *options, HOST)
    assert (forward.code, forward.out) == (255, b""), forward
    assert "administratively prohibited" in forward.err
    remote = await place.ssh(options=("-N", "-R", f"0:{HOST}:22", "-o", "ExitOnForwardFailure=yes"), user=URSULA)
    assert remote.code == 255, remote
    kinds = {one["details"]["kind"] for one in await recorded(place, "access.refuse")}
    assert {"exec", "shell", "local-forward", "remote-forward"} <= kinds
    assert {one["details"]["kind"] for one in await recorded(place, "access.channel")} == {"sftp"}


@pytest.mark.usefixtures("account")
async def test_shells_alone(place: Place, tmp_path: Path) -> None:
    await give(place, "use-shell")
    assert (await place.ssh("echo in", user=URSULA)).out == b"in\n"
    here, there = tmp_path / "here", place.target.folder / "shells-alone"
    here.write_bytes(b"carried")
    tries = [
        await sftp(place, f"put {here} {there}\n"),
        await scp(place, str(here), f"{HOST}:{there}"),
        await scp(place, "-O", str(here), f"{HOST}:{there}"),
        await scp(place, "-O", f"{HOST}:/etc/hostname", str(tmp_path / "back")),
    ]
    if shutil.which("rsync"):
        shell = " ".join(["ssh", *place.options(URSULA)])
        tries.append(await place.run("rsync", "-e", shell, str(here), f"{HOST}:{there}"))
    for one in tries:
        assert (one.code != 0, NO_FILES in one.err) == (True, True), one
    assert not there.exists()
    assert not (tmp_path / "back").exists()
    await give(place, "use-shell", "use-files")
    assert (await scp(place, "-O", str(here), f"{HOST}:{there}")).code == 0
    assert there.read_bytes() == b"carried"


@pytest.mark.usefixtures("account")
async def test_who_may_do_less_than_before_is_thrown_out(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rppam.gateway.ssh.gate.RIGHTS_EVERY_S", 0.3)
    await give(place, "use")
    running = asyncio.create_task(place.ssh("echo on; sleep 60", user=URSULA))
    await live(place)
    await give(place, "use-files")
    ended = await asyncio.wait_for(running, 10)
    assert "you may do less here than when it began" in ended.err, ended


async def test_a_grant_may_be_for_files_alone(place: Place, account: str) -> None:
    admin, ursula = host(place.served), await person(place.served, "ursula")
    await admin.made(POLICIES, name="p", level="default", approvalMode="auto_approve")
    await ursula.made(REQUESTS, accountId=account, minutes=30, reason="because", rights=["use-files"])
    assert (await sftp(place, "pwd\n")).code == 0
    refused = await place.ssh("id", user=URSULA)
    assert (refused.code, NO_SHELL in refused.err) == (254, True), refused


@pytest.mark.usefixtures("account")
async def test_nobody_gets_a_secret_to_see_by_a_right_to_use_it(place: Place) -> None:
    await give(place, "use-files", "use-shell")
    ursula = await person(place.served, "ursula")
    (entry,) = (await ursula.get("/api/v1/vault/entries")).json()["items"]
    assert (await ursula.reveal(entry)).status_code == 403
    assert (await ursula.check_out(entry)).status_code == 403


@pytest.mark.parametrize(
    ("command", "is_one"),
    [
        ("scp -t /tmp", True),
        ("/usr/bin/scp -v -rt -- /tmp", True),
        ("sudo -n rsync --server -e.LsfxC . /x", True),
        ("exec /usr/lib/openssh/sftp-server", True),
        ("rsync --version", False),
        ("scp a b", False),
        ("LC_ALL=C exec scp -f /etc/hosts", True),
        ("echo scp -t", False),
        ("cat 'unclosed", False),
        ("", False),
    ],
)
def test_what_a_command_is_for(command: str, *, is_one: bool) -> None:
    assert carries_files(command) is is_one


async def test_a_terminal_in_the_browser_takes_the_right_to_shells(place: Place, account: str) -> None:
    del account
    await person(place.served, "ursula")
    await give(place, "use-files")
    route = await place.gateway.gate.routes.find(await identity(place.served), "web1", "")
    assert route.kinds == {Kind.SFTP}


async def identity(served: Served) -> Any:
    from rppam.access.sessions.model import Identity, SessionKind

    found = (await served.users.get("id-ursula")).account
    return Identity(found.name, found.id, frozenset(map(str, found.roles)), "", SessionKind.LOGIN, mfa=False)
