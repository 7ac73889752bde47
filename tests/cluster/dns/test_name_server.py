"""The name in DNS against a real name server: what is written, what is refused, and which of two leaders wins."""

import asyncio
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from ipaddress import ip_address
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import dns.flags
import dns.message
import pytest

from rppam.cluster.dns import follower
from rppam.cluster.dns.errors import (
    ClocksDiffer,
    DnsError,
    KeyNotTaken,
    NameServerFailed,
    NameTaken,
    NoNameServer,
    NoOwnAddress,
    UpdateRefused,
    WrongZone,
)
from rppam.cluster.dns.follower import NameKeeper, NameTask, NameWatch
from rppam.cluster.dns.model import Address, DnsName, Mark
from rppam.cluster.dns.server import NameServer, TsigKey
from tests.support.named import KEY, NAME, SECRETS, STRANGER, ZONE, Named, missing

pytestmark = [pytest.mark.integration, pytest.mark.skipif(bool(missing()), reason=f"needs {missing()}")]

FIRST, SECOND, SIX = map(ip_address, ("10.0.1.11", "10.0.1.12", "fd00::12"))
NOW_MS = 1_772_366_400_000
GOOD = TsigKey(KEY, "hmac-sha256", SECRETS[KEY])


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Named]:
    with Named(tmp_path / "named") as named:
        yield named


def name_at(named: Named, **changes: object) -> DnsName:
    return DnsName(NAME, ZONE, 5, "127.0.0.1", named.port)._replace(**changes)  # type: ignore[arg-type]


def keeper(
    named: Named,
    node: str = "node1",
    *addresses: Address,
    key: TsigKey = GOOD,
    may_act: Callable[[], bool] = lambda: True,
    **changes: object,
) -> NameKeeper:
    def own(epoch: int) -> Mark:
        return Mark("cluster-001", epoch, node, f"boot-{node}")

    return NameKeeper(name_at(named, **changes), lambda: key, own, addresses or (FIRST,), may_act, lambda: NOW_MS)


async def test_the_leader_replaces_the_addresses_and_nothing_else(server: Named) -> None:
    assert await keeper(server).put(7) == (FIRST,)
    assert server.ask() == ["10.0.1.11"]
    assert server.ask(f"_rppam.{NAME}", "TXT") == [
        f"rppam1 cluster=cluster-001 epoch=7 node=node1 boot=boot-node1 since={NOW_MS}"
    ]
    assert await keeper(server).put(7) == (), "it is there: nothing is written"
    assert await keeper(server, "node2", SECOND, SIX).put(8) == (SECOND, SIX)
    assert (server.ask(), server.ask(kind="AAAA")) == (["10.0.1.12"], ["fd00::12"])
    assert await keeper(server, "node1", FIRST).put(9) == (FIRST,)
    assert (server.ask(), server.ask(kind="AAAA")) == (["10.0.1.11"], []), "addresses of both kinds are replaced"
    assert server.ask("ns.example.com") == ["127.0.0.1"]
    assert await keeper(server, ttl_s=9).put(9) == (FIRST,), "another time to live is written, too"


async def test_an_address_that_stood_there_before_the_cluster_is_replaced(tmp_path: Path) -> None:
    with Named(tmp_path, more="pam IN A 10.9.9.9\npam IN A 10.9.9.8") as server:
        await keeper(server).put(7)
        assert server.ask() == ["10.0.1.11"]


async def test_a_lower_epoch_never_writes_over_a_higher_one(server: Named) -> None:
    await keeper(server, "node2", SECOND).put(8)
    with pytest.raises(NameTaken, match="node2 wrote it at epoch 8, which is above 7, at which node1 leads"):
        await keeper(server, "node1").put(7)
    with pytest.raises(NameTaken, match="another process"):
        await keeper(server, "node1").put(8)
    assert server.ask() == ["10.0.1.12"]


async def test_a_leader_that_froze_between_reading_and_writing_changes_nothing_when_it_wakes(server: Named) -> None:
    """The older one has judged the mark, and its update comes after that of the newer one."""
    old, new = Mark("cluster-001", 7, "node1", "a"), Mark("cluster-001", 8, "node2", "b")
    for first in (None, Mark("cluster-001", 6, "node3", "c")):  # over an absent mark, and over one
        if first is not None:
            async with NameServer(name_at(server), GOOD) as link:
                seen = await link.seen()
                assert await link.put(first, [FIRST], seen.marks)
        async with NameServer(name_at(server), GOOD) as slow:
            before = await slow.seen()
            async with NameServer(name_at(server), GOOD) as quick:
                assert await quick.put(new, [SECOND], (await quick.seen()).marks)
            assert not await slow.put(old, [FIRST], before.marks)
        assert server.ask() == ["10.0.1.12"]
        assert server.ask(f"_rppam.{NAME}", "TXT") == [new.text]


async def test_an_update_that_is_sent_again_later_changes_nothing(server: Named) -> None:
    old, new = Mark("cluster-001", 7, "node1", "a"), Mark("cluster-001", 8, "node2", "b")
    async with NameServer(name_at(server), GOOD) as link:
        assert await link.put(old, [FIRST], ())
        assert await link.put(new, [SECOND], (old.text,))
        assert not await link.put(old, [FIRST], ())
        assert not await link.put(old, [FIRST], (old.text,))
    assert server.ask() == ["10.0.1.12"]


async def test_a_node_whose_permission_has_ended_writes_nothing(server: Named) -> None:
    assert await keeper(server, may_act=lambda: False).put(7) == ()
    assert server.ask() == []


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ('_rppam.pam IN TXT "rppam1 cluster=staging epoch=3 node=s1 boot=b"', "it belongs to the cluster staging"),
        ('_rppam.pam IN TXT "v=spf1 -all"', "a text that no leader wrote: 'v=spf1 -all'"),
        ("pam IN CNAME ns", r"it is an alias \(CNAME\)"),
    ],
)
async def test_a_name_that_is_another_s_is_left_alone(tmp_path: Path, more: str, why: str) -> None:
    with Named(tmp_path, more=more) as server:
        before = server.ask(kind="CNAME"), server.ask(f"_rppam.{NAME}", "TXT")
        with pytest.raises(NameTaken, match=why):
            await keeper(server).put(7)
        assert (server.ask(kind="CNAME"), server.ask(f"_rppam.{NAME}", "TXT")) == before


REFUSALS: list[tuple[dict[str, object], type[DnsError], str]] = [
    ({"key": TsigKey(KEY, "hmac-sha256", bytes(32))}, KeyNotTaken, "it answers BADSIG for the key rppam-key"),
    ({"key": TsigKey("nobody", "hmac-sha256", bytes(32))}, KeyNotTaken, "it answers BADKEY for the key nobody"),
    ({"key": TsigKey(KEY, "hmac-sha512", SECRETS[KEY])}, KeyNotTaken, "it answers BADKEY for the key rppam-key"),
    ({"key": TsigKey(STRANGER, "hmac-sha256", SECRETS[STRANGER])}, UpdateRefused, "it answers REFUSED for pam"),
    ({"zone": "com"}, WrongZone, "it answers NOTAUTH for pam.example.com in the zone com"),
    ({"name": "pam.broken.example", "zone": "broken.example"}, NameServerFailed, "it answers SERVFAIL"),
    ({"name": "pam.elsewhere.org", "zone": "elsewhere.org"}, UpdateRefused, "it answers REFUSED"),
]


@pytest.mark.parametrize(("changes", "kind", "said"), REFUSALS)
async def test_what_the_name_server_says_becomes_a_finding_with_a_fix(
    server: Named, changes: dict[str, object], kind: type[DnsError], said: str
) -> None:
    one = keeper(server, **changes)  # type: ignore[arg-type]
    for asks in (one.put(7), one.try_out()):
        with pytest.raises(kind, match=re.escape(said)) as caught:
            await asks
        assert kind.row.remedy in str(caught.value)
        assert kind.row.finding.startswith("RD-6")
        assert SECRETS[KEY].hex() not in str(caught.value)
    assert server.ask() == []


@pytest.mark.parametrize("by_s", [-4_000, 4_000])
async def test_clocks_that_differ_are_told_as_such(server: Named, monkeypatch: pytest.MonkeyPatch, by_s: int) -> None:
    monkeypatch.setattr(dns.message, "time", SimpleNamespace(time=lambda: time.time() + by_s))
    with pytest.raises(ClocksDiffer, match="BADTIME"):
        await keeper(server).put(7)


async def test_trying_out_changes_nothing(server: Named) -> None:
    await keeper(server).put(7)
    serial = server.ask(ZONE, "SOA")
    await keeper(server, "node2", SECOND).try_out()
    assert (server.ask(), server.ask(ZONE, "SOA")) == (["10.0.1.11"], serial)


@contextmanager
def stranger(answers: Callable[[socket.socket], None]) -> Iterator[int]:
    """The port of something that is no name server of ours: ``answers`` gets each connection."""

    def serve() -> None:
        with suppress(OSError):
            while True:
                link, _ = place.accept()
                with link, suppress(OSError):
                    link.settimeout(1.0)  # the loop that would close the other end may wait for this thread
                    answers(link)

    with socket.create_server(("127.0.0.1", 0)) as place:
        thread = threading.Thread(target=serve)
        thread.start()
        yield place.getsockname()[1]
        place.shutdown(socket.SHUT_RDWR)
        thread.join()


async def test_who_does_not_answer_or_speaks_no_dns_is_told(server: Named, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower, "ANSWER_S", 0.3)

    def silent(link: socket.socket) -> None:
        while link.recv(1_000):
            pass  # until the other side gives up

    with stranger(silent) as port, pytest.raises(NoNameServer, match=r"no answer within 0\.3 s"):
        await keeper(server, port=port).put(7)
    for answer, why in (
        (b"", "it hung up"),
        (b"\0\x05hello", "speaks no DNS"),
        (b"HTTP/1.1 400 Bad\r\n", "it hung up"),
    ):

        def odd(link: socket.socket, answer: bytes = answer) -> None:
            link.recv(1_000)
            link.sendall(answer)

        with stranger(odd) as port, pytest.raises(NoNameServer, match=why):
            await keeper(server, port=port).put(7)
    with pytest.raises(NoNameServer, match="Connect"):
        await keeper(server, port=port).put(7)
    with pytest.raises(NoNameServer, match=r"no-such-host\.invalid port"):
        await keeper(server, server="no-such-host.invalid").put(7)


async def test_an_answer_without_a_signature_is_not_believed(server: Named) -> None:
    def forger(link: socket.socket) -> None:
        """It takes everything, and knows no key."""
        query = dns.message.from_wire(link.recv(4_000)[2:], keyring=False)
        answer = dns.message.make_query(query.question[0].name, query.question[0].rdtype, id=query.id)
        answer.flags = dns.flags.QR | dns.flags.AA
        wire = answer.to_wire()
        link.sendall(len(wire).to_bytes(2, "big") + wire)

    with stranger(forger) as port, pytest.raises(KeyNotTaken, match="its answer is not signed"):
        await keeper(server, port=port).put(7)


async def test_where_no_address_is_given_loopback_is_not_taken_for_one(server: Named) -> None:
    one = NameKeeper(
        name_at(server), lambda: GOOD, lambda epoch: Mark("c", epoch, "n", "b"), (), lambda: True, lambda: NOW_MS
    )
    with pytest.raises(NoOwnAddress, match=r"it is reached from 127\.0\.0\.1"):
        await one.put(7)


async def eventually(holds: Callable[[], bool], within_s: float = 10.0) -> None:
    async with asyncio.timeout(within_s):
        while not await asyncio.to_thread(holds):  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.02)


async def test_a_server_that_goes_and_comes_back_gets_the_name_and_what_others_change_is_put_right(
    server: Named, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(follower, "LOOK_EVERY_S", 0.1)
    monkeypatch.setattr(follower, "PATIENCE_S", 0.2)
    caplog.set_level("INFO")
    server.kill()
    task = NameTask(keeper(server))
    watch = NameWatch(keeper(server), task)
    try:
        with pytest.raises(NoNameServer):
            await watch.look()
        task.start(7)
        await eventually(lambda: isinstance(task.trouble, NoNameServer))
        assert not task.is_right
        server.start()
        await eventually(lambda: task.is_right)
        assert (task.trouble, server.ask()) == ("", ["10.0.1.11"])
        assert await watch.look() == "", "a leader's own task says what it finds"
        assert [one.value for one in watch._numbers()] == [1]
        async with NameServer(name_at(server), GOOD) as link:
            assert await link.put(Mark("cluster-001", 7, "node1", "boot-node1"), [SECOND], (await link.seen()).marks)
        await eventually(lambda: server.ask() == ["10.0.1.11"])
        server.kill()
        await eventually(lambda: isinstance(task.trouble, NoNameServer) and not task.is_right)
        server.start()
        await eventually(lambda: task.is_right)
    finally:
        await task.stop()
    assert (task.trouble, task.is_right, server.ask()) == ("", False, ["10.0.1.11"]), "who stops deletes nothing"
    assert "the name pam.example.com points here now: 10.0.1.11 (epoch 7)" in caplog.text
    # What is killed as it is asked hangs up first, and refuses connections only then: another cause, told as well.
    told = [one.getMessage() for one in caplog.records if "this leader" in one.getMessage()]
    assert all(one != following for one, following in pairwise(told)), "each once"
    assert "does not follow this leader" in told[0]
    assert sum("follows this leader again" in one for one in told) == 2, "two outages"


async def test_a_standby_finds_a_wrong_key_and_a_missing_right_before_they_count(server: Named) -> None:
    wrong = keeper(server, key=TsigKey(KEY, "hmac-sha256", bytes(32)))
    watch = NameWatch(wrong, NameTask(wrong))
    for _ in range(2):  # what was found stays until the next try
        with pytest.raises(KeyNotTaken):
            await watch.look()
    good = keeper(server)
    assert await NameWatch(good, NameTask(good)).look() == ""


async def test_two_leaders_by_turns_end_with_the_later_one(server: Named, monkeypatch: pytest.MonkeyPatch) -> None:
    """However their writing interleaves."""
    monkeypatch.setattr(follower, "TRIES", 10)
    for turn in range(10):
        old, new = keeper(server, "node1", FIRST), keeper(server, "node2", SECOND)
        epoch = 100 + 2 * turn
        results = await asyncio.gather(old.put(epoch), new.put(epoch + 1), old.put(epoch), return_exceptions=True)
        assert all(isinstance(one, tuple | NameTaken) for one in results), results
        assert server.ask() == ["10.0.1.12"], turn
        assert f"epoch={epoch + 1} " in server.ask(f"_rppam.{NAME}", "TXT")[0]
