"""Terminals over WebSockets: at any gateway, each byte shown once and typed once, recorded, ended from elsewhere."""

import asyncio
import contextlib
import hashlib
import json
import re
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from rppam.gateway.holder import protocol
from rppam.gateway.policy import ACCESS, AccessPolicy
from rppam.gateway.ports import Credential
from rppam.gateway.relay import listening
from rppam.gateway.ssh.holding import NOW_RECORDED
from rppam.gateway.taping import Taping
from rppam.gateway.terminal_client import Ended, TerminalClient
from rppam.gateway.terminals_service import TerminalOpening
from rppam.http.bounds import ApiLimits
from rppam.recordings.service import Recordings
from tests.gateway.places import Place, SomeRoutes, Sshd
from tests.gateway.test_kept import until, until_recorded
from tests.gateway.test_reattach import wants
from tests.gateway.test_recorded import bytes_of, exported, listed, verified
from tests.gateway.test_register import recorded
from tests.gateway.test_second_person import as_approver, watched
from tests.support.served import PASSWORD, Served

pytestmark = [pytest.mark.integration]
URL = "/api/v1/access/terminals"


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    (tmp_path / "node1").mkdir()
    one = Served(tmp_path / "node1", ApiLimits(), more={"access": {"enabled": True}})
    await one.start()
    yield one
    await one.stop()


@pytest.fixture
async def places(
    served: Served, tmp_path: Path, target: Sshd, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[list[Place]]:
    """Two gateways of one node."""
    current = type(served.live).current
    monkeypatch.setattr(
        type(served.live), "current", lambda live, one: AccessPolicy() if one is ACCESS else current(live, one)
    )
    async with contextlib.AsyncExitStack() as stack:
        found = []
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
            one = Place(served, tmp_path / name, target, Taping(served.services.get(Recordings), served.live))
            await one.start(relay=name)
            stack.push_async_callback(one.stop)
            found.append(one)
        served.services.get(TerminalOpening)._routes = found[0].routes
        yield found


class Shown:
    """A user at a terminal."""

    def __init__(self, place: Place, ident: str, headers: dict[str, str]) -> None:
        served = place.served
        self.out, self.told = b"", [""]
        url = served.url.replace("http", "ws", 1)
        self.client = TerminalClient([url], ident, headers, self.show, self.told.append, size=(90, 20))
        self.task = asyncio.create_task(self.client.run())

    def show(self, data: bytes) -> None:
        self.out += data

    def type(self, text: str) -> None:
        self.client.type(text.encode())

    async def until(self, pattern: str, patience_s: float = 15) -> None:
        await until(lambda: re.search(pattern.encode(), self.out) is not None or self.task.done(), patience_s)
        assert re.search(pattern.encode(), self.out), (self.out[-2000:], self.task)

    async def ended(self) -> Ended:
        return await asyncio.wait_for(self.task, 15)


async def bearer(served: Served, user: str = "admin") -> dict[str, str]:
    body = {"username": user, "password": PASSWORD}
    answer = await served.http.post("/api/v1/auth/login", json=body)
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json()['accessToken']}"}


async def shown(place: Place, ident: str = "") -> Shown:
    return Shown(place, ident or await opened(place), await bearer(place.served))


async def opened(place: Place) -> str:
    answer = await place.served.http.post(URL, json={"target": "web1"}, headers=await bearer(place.served))
    assert answer.status_code == 201, answer.text
    ident: str = answer.json()["id"]
    return ident


async def test_a_shell_with_its_size_its_status_and_its_recording(places: list[Place]) -> None:
    a = places[0]
    user = await shown(a)
    user.type("stty size; echo on-$((40+2)); exit 7\n")
    assert await user.ended() == Ended(7, None, "")
    assert b"20 90\r\n" in user.out
    (one,) = await listed(a)
    assert (one["state"], one["exit"]) == ("done", "7")
    assert bytes_of(await exported(a, one["id"], "ttyrec")) == user.out
    await until_recorded(a, "access.end")
    (reach,) = await recorded(a, "access.reach")
    assert reach["details"] == {"node": "node1", "hostKey": reach["details"]["hostKey"]}
    assert reach["details"]["hostKey"].startswith("SHA256:")
    await until(lambda: a.target.held == [])


async def test_a_terminal_outlives_its_gateways_and_shows_and_types_each_line_once(places: list[Place]) -> None:
    a = places[0]
    user = await shown(a)
    user.type("stty -echo; PS1=; for i in $(seq 1 3000); do echo line-$i; [ $((i%50)) = 0 ] && sleep 0.05; done\n")
    for number in range(1, 5):
        await user.until(f"line-{number * 600}\r\n")
        user.type(f"echo typed-{number}-$((1+1))\n")
        for place in places:  # whichever has it
            for access in list(place.gateway.gate._live.values()):
                access.connection.abort()
    await user.until("typed-4-2")
    user.type("exit 3\n")
    assert await user.ended() == Ended(3, None, "")
    assert user.client.resumed >= 3
    lines = b"".join(b"line-%d\r\n" % number for number in range(1, 3001))
    assert lines in user.out
    for number in range(1, 5):
        assert user.out.count(b"typed-%d-2\r\n" % number) == 1
    (one,) = await listed(a)
    assert bytes_of(await exported(a, one["id"], "ttyrec")) == user.out
    assert (await verified(a, one["id"]))["ok"]
    assert len(await recorded(a, "access.reattach")) == user.client.resumed
    await until(lambda: a.target.held == [])


async def test_a_user_who_sees_nothing_is_told_why_and_when_it_goes_on(
    places: list[Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rppam.gateway.terminal_client.TELL_S", 0.3)
    user = await shown(places[0])
    user.type("echo on-$((40+2))\n")
    await user.until("on-42")
    known = list(user.client._urls)
    with socket.socket() as dead:
        dead.bind(("127.0.0.1", 0))  # nobody listens there
        user.client._urls[:] = [f"ws://127.0.0.1:{dead.getsockname()[1]}"]
        await user.client._socket.close()
        await until(lambda: any(said.startswith("no node answers (") for said in user.told))
        user.type("echo typed-$((40+2))\n")
        await asyncio.sleep(1)
    user.client._urls[:] = known
    await user.until("typed-42")
    assert [said.partition(" (")[0] for said in user.told if said] == ["no node answers", "connected again"]
    user.type("exit 0\n")
    assert (await user.ended()).status == 0


async def test_who_takes_it_up_elsewhere_has_it_and_the_one_before_nothing_more(places: list[Place]) -> None:
    a = places[0]
    ident = await opened(a)
    url = a.served.url.replace("http", "ws", 1) + f"{URL}/{ident}"
    async with connect(url, additional_headers=await bearer(a.served), proxy=None) as first:
        assert '"resumed": false' in await first.recv()
        await first.send(bytes(8) + b"echo on-$((40+2))\n")
        out = b""
        while b"on-42" not in out:
            if isinstance(said := await first.recv(), bytes):
                out += said[8:]
        second = await shown(a, ident)
        await second.until("on-42")
        with contextlib.suppress(ConnectionClosed):
            while True:
                await first.send((18).to_bytes(8, "big") + b"echo stolen\n")
                await asyncio.wait_for(first.recv(), 5)
    second.type("exit 0\n")
    assert (await second.ended()).status == 0
    assert b"stolen" not in second.out


async def test_who_took_it_up_at_the_same_gateway_is_looked_after(places: list[Place]) -> None:
    a = places[0]
    ident = await opened(a)
    first = await shown(a, ident)
    first.type("echo on-$((40+2))\n")
    await first.until("on-42")
    (had,) = [one for place in places for one in place.gateway.gate.live]
    second = await shown(a, ident)
    await second.until("on-42")
    gone = await first.ended()
    assert "this session goes on elsewhere" in gone.text
    assert not gone.is_over
    await until(had.ended.is_set)
    now = [one.generation for place in places for one in place.gateway.gate.live]
    assert now == [had.generation + 1]
    await killed(a, ident)
    assert "ended by admin: lunch" in (await second.ended()).text


async def killed(place: Place, ident: str) -> None:
    await place.served.http.post(
        f"/api/v1/access/sessions/{ident}/kill", json={"reason": "lunch"}, headers=place.served.bearer()
    )


async def test_an_administrator_ends_it_with_a_reason(places: list[Place]) -> None:
    a = places[0]
    ident = await opened(a)
    user = await shown(a, ident)
    user.type("echo on-$((40+2))\n")
    await user.until("on-42")
    await killed(a, ident)
    ended = await user.ended()
    assert ended.status is None
    assert "ended by admin: lunch" in ended.text
    await until(lambda: a.target.held == [])


async def test_where_the_target_keeps_none_the_user_is_told(
    places: list[Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "COMMAND", protocol.COMMAND.replace("python3", "python3-that-is-not-there"))
    user = await shown(places[0])
    user.type("echo on-$((40+2)); exit 4\n")
    assert (await user.ended()).status == 4
    assert "this session ends when its connection does" in user.told[-1]
    assert b"on-42" in user.out


async def test_only_its_own_user_has_it_and_only_from_our_pages(places: list[Place]) -> None:
    a = places[0]
    ident = await opened(a)
    url = a.served.url.replace("http", "ws", 1) + f"{URL}/{ident}"

    async def status(headers: dict[str, str]) -> int:
        try:
            async with connect(url, additional_headers=headers, proxy=None):
                return 101
        except InvalidStatus as error:
            return error.response.status_code

    assert await status({}) == 401
    assert await status(await bearer(a.served, "ursula")) == 404
    assert await status({**await bearer(a.served), "Origin": "https://elsewhere.example"}) == 403
    answer = await a.served.http.post(URL, json={"target": "nothing"}, headers=await bearer(a.served))
    assert (answer.status_code, answer.json()["code"]) == (404, "RPPAM-8601")


async def test_two_windows_at_once_and_much_pasted_into_one(places: list[Place]) -> None:
    a, _ = places
    first, second = await shown(a), await shown(a)
    first.type("stty -echo; PS1=; echo go-$((40+2)); head -c 1000000 | sha256sum; echo end-$((40+2))\n")
    second.type("echo other-$((40+2)); exit\n")
    pasted = "".join(f"{number:>63}\n" for number in range(15_625))
    assert len(pasted) == 1_000_000
    await first.until("go-42")
    for start in range(0, len(pasted), 50_000):
        first.type(pasted[start : start + 50_000])
    await first.until("end-42", 90)
    assert hashlib.sha256(pasted.encode()).hexdigest().encode() in first.out
    assert await second.ended() == Ended(0, None, "")
    assert (b"other-42" in second.out, b"other" in first.out) == (True, False)
    first.type("exit 3\n")
    assert (await first.ended()).status == 3


async def test_who_logs_out_has_no_terminal_any_more(places: list[Place]) -> None:
    a, _ = places
    headers = await bearer(a.served)
    user = Shown(a, await opened(a), headers)
    user.type("echo on-$((40+2))\n")
    await user.until("on-42")
    assert (await a.served.http.post("/api/v1/auth/logout", headers=headers)).status_code < 300
    began = time.monotonic()
    await until(lambda: not any(place.gateway.gate.live for place in places), 5)
    assert time.monotonic() - began < 3
    user.type("echo never-$((40+2))\n")
    with contextlib.suppress(Exception):
        await user.ended()
    assert b"never-42" not in user.out


async def test_without_a_gateway_it_is_for_another_node(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rppam.gateway.relay.NEXT_S", 0.1)
    monkeypatch.setattr("rppam.gateway.relay.ANSWER_S", 0.2)
    opening = served.services.get(TerminalOpening)
    routes = opening._routes = SomeRoutes()
    routes.add("web1", 22, "root", Credential())
    headers = await bearer(served)
    ident = (await served.http.post(URL, json={"target": "web1"}, headers=headers)).json()["id"]
    url = served.url.replace("http", "ws", 1) + f"{URL}/{ident}"
    stopped = listening(tmp_of(served), "stopped")  # takes calls, as its kernel does, and never answers
    async with connect(url, additional_headers=headers, proxy=None) as socket:
        said = json.loads(await socket.recv())
        assert (said["type"], said["code"], said["again"]) == ("end", "RPPAM-8610", True)
    stopped.close()


def tmp_of(served: Served) -> Path:
    return Path(served.base.config.node.data_dir)


async def test_a_terminal_waits_for_the_second_person_that_its_target_wants(places: list[Place]) -> None:
    a, _ = places
    for place in places:
        place.routes.add("two", a.target.port, a.target.user, a.key, tags=("two-person",))
    answer = await a.served.http.post(URL, json={"target": "two"}, headers=await bearer(a.served))
    user = await shown(a, answer.json()["id"])
    user.type("echo on-$((40+2)); exit 7\n")
    await until(lambda: any("begins once somebody else watches it" in text for text in user.told))
    (one,) = await listed(a)
    assert b"on-42" not in user.out
    async with watched(a, one["id"], await as_approver(a)):
        assert await user.ended() == Ended(7, None, "")
    assert b"on-42" in user.out
    assert any("watches this session" in text for text in user.told)


async def test_a_terminal_that_was_not_recorded_is_from_its_next_gateway_on(
    places: list[Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    a = places[0]
    wants(a, monkeypatch, recording="off")
    user = await shown(a)
    user.type("stty -echo; PS1=; mark=$((40+2)); echo was-$mark\n")
    await user.until("was-42\r\n")
    assert await listed(a) == []
    wants(a, monkeypatch)
    for place in places:  # whichever has it
        for access in list(place.gateway.gate._live.values()):
            access.connection.abort()
    await until(lambda: NOW_RECORDED in user.told)
    user.type("echo still-$mark; exit 3\n")
    assert await user.ended() == Ended(3, None, "")
    assert (user.out.count(b"was-42\r\n"), user.out.count(b"still-42\r\n")) == (1, 1)
    (one,) = await listed(a)
    assert bytes_of(await exported(a, one["id"], "ttyrec")).count(b"still-42\r\n") == 1
    assert (await verified(a, one["id"]))["ok"]
