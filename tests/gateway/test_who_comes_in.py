"""Who comes in from where: guesses count for the cluster, networks of a user hold for IPv4 and IPv6, and whose name
cannot be one is told so."""

import asyncio
import contextlib
import re
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rppam.access.lockouts.model import LockoutPolicy
from rppam.access.lockouts.policy import LOCKOUT
from rppam.gateway.errors import NameUnfit
from rppam.gateway.names import checked, readings
from rppam.http.bounds import ApiLimits
from tests.gateway.places import HOST, Ended, Place, Sshd, node_folder
from tests.gateway.test_refusals import one_line
from tests.support.served import PASSWORD, Served

WRONG = ("wrong",)


@pytest.fixture
async def nodes(tmp_path: Path, target: Sshd) -> AsyncIterator[list[Place]]:
    """The gateways of two nodes on one database."""
    async with contextlib.AsyncExitStack() as stack:
        found = []
        for name in ("node1", "node2"):
            served = Served(node_folder(tmp_path / name), ApiLimits(), node=name)
            await served.start()
            stack.push_async_callback(served.stop)
            place = Place(served, tmp_path / name, target)
            await place.start()
            stack.push_async_callback(place.stop)
            found.append(place)
        yield found


def locked(ended: Ended) -> bool:
    return ended.code == 255 and ended.out == b"" and "RPPAM-6029" in ended.err


@pytest.mark.integration
@pytest.mark.slow
async def test_guesses_at_unknown_names_block_the_address_on_every_node_with_the_right_password_too(
    nodes: list[Place],
) -> None:
    a, b = nodes
    assert [(await place.ssh("echo in")).out for place in nodes] == [b"in\n"] * 2

    async def guessed(number: int) -> None:
        """Three guesses, at another name each time: no name is locked by them."""
        place, prompts = nodes[number % 2], "NumberOfPasswordPrompts"
        options = [word.replace(f"{prompts}=1", f"{prompts}=3") for word in place.options(f"nobody{number}+web1")]
        only = ("-o", "PreferredAuthentications=password")
        ended = await place.run("ssh", *options, *only, HOST, "id", answers=WRONG)
        assert (ended.code, ended.out) == (255, b""), ended

    for number in range(6):
        await guessed(number)
    assert [(await place.ssh("echo in")).out for place in nodes] == [b"in\n"] * 2, "so many are allowed"
    for number in (6, 7):
        await guessed(number)
    for place in nodes:
        assert locked(await place.ssh("echo in")), "the right password, from the address that guessed"
        elsewhere = await place.ssh("echo in", options=("-b", "127.0.0.77"))
        assert (elsewhere.code, elsewhere.out) == (0, b"in\n"), elsewhere
        body = {"username": "admin", "password": PASSWORD}
        assert (await place.served.http.post("/api/v1/auth/login", json=body)).status_code == 429
    (one,) = (await a.served.http.get("/api/v1/lockouts", headers=a.served.bearer())).json()["items"]
    assert (one["kind"], one["name"]) == ("address", HOST), one
    path = f"/api/v1/lockouts/{one['id']}"
    assert (await a.served.http.delete(path, headers=a.served.bearer())).status_code == 204
    await asyncio.sleep(2.1)  # without Redis a node believes for two seconds what it read
    freed = await b.ssh("echo in")
    assert freed.out == b"in\n", f"unlocked on one node, let in at the other: {freed}"


def listening(family: socket.AddressFamily, host: str, *, both: bool = False) -> socket.socket:
    plug = socket.socket(family)
    if family == socket.AF_INET6:
        plug.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if both else 1)
    plug.bind((host, 0))
    plug.listen(16)
    return plug


@pytest.mark.integration
async def test_networks_of_a_user_hold_for_both_versions_of_ip(
    served: Served, tmp_path: Path, target: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    current, many = type(served.live).current, LockoutPolicy(user_failures=1000, address_failures=1000)
    monkeypatch.setattr(type(served.live), "current", lambda live, one: many if one is LOCKOUT else current(live, one))
    plugs = listening(socket.AF_INET6, "::1"), listening(socket.AF_INET6, "::", both=True)
    place = Place(served, tmp_path, target)
    await place.start(more=plugs)
    only6, both = (plug.getsockname()[1] for plug in plugs)
    http, headers = served.http, served.bearer()

    async def came(address: str, port: int, *words: str) -> bool:
        argv = ["ssh", *words, *[word.replace(f"Port={place.port}", f"Port={port}") for word in place.options()]]
        ended = await place.run(*argv, address, "echo in")
        assert (ended.out == b"in\n") is (ended.code == 0), ended
        assert ended.code == 0 or "Permission denied" in ended.err, ended
        return ended.code == 0

    ways = (
        (HOST, place.port, ()), (HOST, place.port, ("-b", "127.0.0.9")), ("::1", only6, ()), ("::1", both, ()),
        (HOST, both, ()),  # it comes as ::ffff:127.0.0.1
    )  # fmt: skip
    try:
        assert await came(HOST, place.port)
        for networks, wanted in (
            (["127.0.0.1/32"], [True, False, False, False, True]),
            (["127.0.0.8/29"], [False, True, False, False, False]),
            (["::1/128"], [False, False, True, True, False]),
            (["fd00::/8", "10.0.0.0/8"], [False] * 5),
            (["::/0"], [False, False, True, True, False]),
            (["127.0.0.0/8", "::1/128"], [True] * 5),
        ):
            changed = await http.patch("/api/v1/users/id-admin", json={"allowedFrom": networks}, headers=headers)
            assert changed.status_code == 200, changed.text
            assert [await came(address, port, *words) for address, port, words in ways] == wanted, networks
        sessions = (await http.get("/api/v1/access/sessions", headers=headers)).json()["items"]
        assert {one["client"] for one in sessions} == {HOST, "127.0.0.9", "::1"}
    finally:
        await place.stop()
        for plug in plugs:
            plug.close()


UNFIT = [
    ("admin+we*b1", "'we*b1' cannot be the name of a target"),
    ("admin+[::1::2]", "'[::1::2]' cannot be the name of a target"),
    ("admin+web1:99999", "a port cannot be named: '99999' would be a target"),
    ("admin+root+web1:22", "a port cannot be named: '22' would be a target"),
    ("ad min+web1", "'ad min' cannot be the name of a user"),
    ("-admin", "'-admin' cannot be the name of a user"),
    ("\u0430dmin+web1", "'\u0430dmin' cannot be the name of a user"),
    ("admin+ro\u200eot+web1", "character 9 of it, U+200E, cannot be shown"),
    ("admin+ root+web1", "' root' cannot be the name of an account"),
    ("admin++web1", "user, account or target is empty in it"),
    ("admin+", "user, account or target is empty in it"),
    ("x" * 401, "it has 401 characters, and at most 400 are taken"),
]


@pytest.mark.parametrize(("name", "why"), UNFIT)
def test_what_cannot_be_read_says_what_is_wrong_with_it(name: str, why: str) -> None:
    with pytest.raises(NameUnfit) as told:
        checked(name)
    assert str(told.value) == why


@pytest.mark.parametrize(
    "name",
    ["admin", "admin+web1", "admin+root+web1", "al+x@corp.example+web1", "admin#web1", "admin:web1", "admin:root:web1",
     "alice@root@web1", "admin+[2001:db8::7]", "admin+root+[2001:db8::7]", "admin+web 1", "admin+22"],
)  # fmt: skip
def test_what_can_be_somebody_is_read_as_before(name: str) -> None:
    assert checked(name) == readings(name)


@pytest.mark.integration
async def test_bad_characters_of_user_account_target_and_port_have_a_message_of_their_own(place: Place) -> None:
    typed = UNFIT[:5] + UNFIT[8:9]
    ends = await asyncio.gather(*(place.ssh("id", user=f'"{name}"', patience_s=60) for name, _ in typed))
    for ended, (name, why) in zip(ends, typed, strict=True):
        assert (ended.code, ended.out) == (255, b""), (name, ended)
        assert re.search(re.escape(f"RP-PAM: {why}.") + r".*\(RPPAM-8638\)", ended.err), (name, ended)
    assert len({why for _, why in typed}) == len(typed)
    unknown = await place.ssh("id", user="admin+web2")
    assert unknown.code == 254
    one_line(unknown.err, "RPPAM-8601")
    account = await place.ssh("id", user="admin+nobody+web1")
    assert (account.code, account.err) == (254, unknown.err), "what exists is not told"
