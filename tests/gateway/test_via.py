"""Targets behind others, which the gateway goes through by itself: with real sshds, and what the vault has of each."""

import asyncio
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rppam.gateway.ports import Route
from rppam.gateway.ssh import forwards
from tests.gateway.places import HOST, Ended, Place, Sshd, sshd
from tests.gateway.test_deadline import heard
from tests.gateway.test_forwards import echo
from tests.gateway.test_kept import terminal
from tests.gateway.test_register import live, recorded
from tests.gateway.test_vault_routes import Catalogue, place as real_place
from tests.support.served import PASSWORD
from tests.vault.people import let, person

place = real_place
pytestmark = [pytest.mark.integration]
SETTING = "/api/v1/settings/access/ssh"
VIA = ["dmz=jump1"]


@pytest.fixture
def jump(tmp_path: Path) -> Iterator[Sshd]:
    """What lies on the way; a shell there says so."""
    with sshd(tmp_path / "jump", "ForceCommand echo on-the-jump-host") as one:
        yield one


class Way:
    """``web1`` is behind ``jump1``; ursula may use the account of the first one alone."""

    def __init__(self, place: Place, jump: Sshd) -> None:
        self.place, self.jump, self.catalogue = place, jump, Catalogue(place.served)
        self.ids: dict[str, str] = {}

    async def target(self, name: str, one: Sshd, folder: str, *tags: str, policy: str = "pin") -> None:
        new = {"name": name, "kind": "ssh", "address": HOST, "port": one.port, "tags": tags, "hostKeyPolicy": policy}
        self.ids[name] = (await self.catalogue.ask("POST", "/api/v1/resources", new))["id"]
        account = await self.catalogue.ask("POST", "/api/v1/accounts", {"resourceId": self.ids[name], "name": one.user})
        entry = {"folder": folder, "name": name, "type": "ssh-key", "accountId": account["id"], "exclusive": False}
        await self.catalogue.ask("POST", "/api/v1/vault/entries", {**entry, "fields": {"privateKey": one.private_key}})

    async def pin(self, name: str, key: str) -> None:
        await self.catalogue.ask("POST", f"/api/v1/resources/{self.ids[name]}/host-keys", {"key": key})

    async def put(self, **values: Any) -> None:
        await self.catalogue.ask("PUT", SETTING, values)

    async def ssh(self, *words: str, **more: Any) -> Ended:
        return await self.place.ssh(*words, user="ursula+web1", **more)


@pytest.fixture
async def way(place: Place, jump: Sshd) -> Way:
    one = Way(place, jump)
    await one.target("web1", place.target, "unix", "dmz")
    await one.target("jump1", jump, "jumps")
    await one.pin("web1", place.target.host_key)
    await one.pin("jump1", jump.host_key)
    await person(place.served, "ursula")
    await let(place.served, "unix", "ursula", "use")
    await one.put(via=VIA)
    return one


async def test_the_gateway_goes_through_by_itself(way: Way, tmp_path: Path) -> None:
    place = way.place
    fine = await way.ssh("echo in; exit 3")
    assert (fine.code, fine.out, fine.err) == (3, b"in\n", ""), fine
    assert "RPPAM-8601" in (await place.ssh("id", user="ursula+jump1")).err, "the jump host itself is not hers"
    (start,) = await recorded(place, "access.start")
    assert start["details"]["via"] == ["jump1"]
    uses = await recorded(place, "secret.use")
    assert [one["reason"].partition(" session ")[0] for one in uses] == ["the way of SSH", "SSH"]
    assert {one["actor"]["id"] for one in uses} == {"id-ursula"}
    (tmp_path / "here").write_bytes(bytes(range(256)) * 4000)
    there = place.target.folder / "through-the-jump"
    copied = await place.run("scp", *place.options("ursula+web1"), str(tmp_path / "here"), f"{HOST}:{there}")
    assert copied.code == 0, copied
    assert there.read_bytes() == (tmp_path / "here").read_bytes()
    async with place.client("ursula+web1", PASSWORD) as client:
        screen = await terminal(client)
        await heard(screen, "web1 is reached through jump1")
        screen.type("echo at-$((40+2)); exit\n")
        await screen.until("at-42")
        await screen.process.wait()


async def test_it_is_really_the_way(way: Way, tmp_path: Path) -> None:
    """A jump host that forwards nothing is the end of it; nobody is connected to past it."""
    with sshd(tmp_path / "closed", "AllowTcpForwarding no") as closed:
        await way.target("jump2", closed, "jumps", policy="tofu")
        await way.put(via=["dmz=jump2"])
        refused = await way.ssh("echo in")
        assert (refused.code, refused.out) == (255, b""), refused
        assert f"web1 ({HOST} port {way.place.target.port}) cannot be reached through jump2" in refused.err
        assert "RPPAM-8611" in refused.err
        pins = await way.catalogue.ask("GET", f"/api/v1/resources/{way.ids['jump2']}/host-keys")
        assert [one["key"] for one in pins["items"]], "its first key is pinned, as its policy says"
    gone = await way.ssh("echo in")
    assert (gone.code, "on the way to web1: jump2" in gone.err) == (255, True), gone


async def test_a_session_ends_with_what_it_goes_through_and_leaves_nothing(way: Way) -> None:
    (place, folder) = way.place, way.jump.folder
    running = asyncio.create_task(way.ssh("echo on; sleep 60"))
    await live(place)
    (access,) = place.gateway.gate.live
    access.connection.close()
    ended = await asyncio.wait_for(running, 10)
    assert ended.code == 255
    await live(place, 0)
    for _ in range(100):
        done = await asyncio.create_subprocess_exec(
            "ps", "-C", "sshd-session", "-o", "args=", stdout=asyncio.subprocess.PIPE
        )
        out, _ = await done.communicate()
        if str(folder).encode() not in out:
            break
        await asyncio.sleep(0.1)
    assert not place.gateway.gate.live


async def test_another_key_of_the_jump_host_is_refused(way: Way, tmp_path: Path) -> None:
    await way.target("jump2", way.jump, "jumps")
    await way.put(via=["dmz=jump2"])
    unknown = await way.ssh("echo in")
    assert (unknown.code, "on the way to web1: jump2" in unknown.err) == (255, True), unknown
    assert "RPPAM-8616" in unknown.err
    with sshd(tmp_path / "other") as other:
        await way.pin("jump2", other.host_key)
    changed = await way.ssh("echo in")
    assert (changed.code, "RPPAM-8615" in changed.err) == (255, True), changed
    (mismatch,) = await recorded(way.place, "hostkey.mismatch")
    assert mismatch["object"]["id"] == way.ids["jump2"]
    assert await recorded(way.place, "access.start") == []


async def test_two_on_the_way_and_loops(way: Way, tmp_path: Path) -> None:
    with sshd(tmp_path / "first") as first:
        await way.target("first", first, "jumps", policy="tofu")
        await way.catalogue.ask("PUT", f"/api/v1/resources/{way.ids['jump1']}", {"tags": ["inner"]})
        await way.put(via=["dmz=jump1", f"inner={first.user}+first"])
        fine = await way.ssh("echo in")
        assert (fine.code, fine.out) == (0, b"in\n"), fine
        (start,) = await recorded(way.place, "access.start")
        assert start["details"]["via"] == ["first", "jump1"]
        await way.put(via=["dmz=jump1", "inner=web1"])
        loop = await way.ssh("echo in")
        assert (loop.code, loop.out) == (254, b""), loop
        assert "the way to web1 is a loop: web1 through jump1 through web1" in loop.err
        assert "RPPAM-8632" in loop.err
        await way.put(via=["dmz=jump1", "inner=jump1"])
        assert "jump1 through jump1" in (await way.ssh("echo in")).err
        for via, why in (("dmz=nowhere", "there is no target nowhere"), ("dmz=root2+jump1", "it has no account root2")):
            await way.put(via=[via])
            refused = await way.ssh("echo in")
            assert (refused.code, why in refused.err, "RPPAM-8632" in refused.err) == (254, True, True), refused
    refusals = await recorded(way.place, "access.refuse")
    assert {one["details"]["code"] for one in refusals} == {"RPPAM-8632"}
    assert len(refusals) == 4


async def test_the_policy_of_channels_is_the_same(way: Way) -> None:
    async with echo() as port:
        options = ["-o", "LogLevel=INFO", *way.place.options("ursula+web1"), "-W", f"{HOST}:{port}"]
        refused = await way.place.run("ssh", *options, HOST)
        assert (refused.code, "administratively prohibited" in refused.err) == (255, True), refused
        await way.put(via=VIA, localForward=True)
        fine = await way.ssh(options=("-W", f"{HOST}:{port}"), given=b"x")
        assert fine.out == b"hello x", fine
    for own in (f"{HOST}:{way.place.target.port}", f"127.1:{way.place.target.port}"):
        itself = await way.ssh(options=("-W", own))
        assert (itself.code, itself.out) == (255, b""), (own, itself)


@pytest.mark.parametrize("line", ["jump1", "=jump1", "dmz=", "DMZ=jump1", "dmz=a+b+c", "dmz=a:b"])
async def test_what_is_no_way(place: Place, line: str) -> None:
    answer = await place.served.http.put(SETTING, json={"via": [line]}, headers=place.served.bearer())
    assert answer.status_code == 400, answer.text


@pytest.mark.parametrize(
    ("host", "port", "itself"),
    [
        ("10.0.0.5", 22, True),
        ("web1.dmz", 22, True),
        ("alias.dmz", 2200, True),
        ("10.0.0.6", 22, False),
        ("10.0.0.5", 80, False),
    ],
)
async def test_its_own_ssh_port_is_known_by_its_address_as_well(
    monkeypatch: pytest.MonkeyPatch, host: str, port: int, itself: bool
) -> None:
    """The connection through a jump host tells no address, so it is the one that the target's name has here."""
    known = {"web1.dmz": "10.0.0.5", "alias.dmz": "10.0.0.5"}

    async def addresses(name: str) -> list[Any]:
        return [ip_address(known.get(name, name))]

    monkeypatch.setattr(forwards, "_addresses", addresses)
    route = Route("id", "web1", "web1.dmz", 2200, "a", "root", "root")
    connection = SimpleNamespace(get_extra_info=lambda _: ("", 0))
    access: Any = SimpleNamespace(connection=connection, new=SimpleNamespace(target="web1"))
    assert await forwards._is_itself(host, port, access, route) is itself
