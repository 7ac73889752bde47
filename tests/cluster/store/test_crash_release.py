"""The release that a dead control process left behind, said by the supervisor's own code to real servers."""

from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from rppam.cluster.consensus.record import Record, RecordState, parse_record, vacant
from rppam.cluster.driver.crash_release import release_word
from rppam.kernel.secret import Secret
from rppam.kernel.system_clock import SystemClock
from rppam.kernel.system_entropy import SystemEntropy
from rppam.process.crash_release import LastWord
from rppam.process.supervisor.release_sender import Outcome, deliver
from rppam.redis.endpoint_provider import DirectEndpoints
from rppam.redis.link import Link
from rppam.redis.options import LinkOptions
from rppam.redis.tls import TlsFiles
from tests.support.authority import Authority
from tests.support.ports import free_port
from tests.support.redis_servers import PASSWORD, SERVERS, Server, ServerKind, need

pytestmark = [pytest.mark.integration, pytest.mark.server]

PREFIX = "rppam:"
KEY = f"{PREFIX}leader"
OLD = Record(RecordState.HELD, "node1", "a" * 16, 7, 4, "f" * 16)
NEW = OLD._replace(seq=5)
OTHERS = OLD._replace(holder="node2", boot_id="b" * 16, epoch=8)

SECRET = "5e" * 16


def releasing(record: Record, seq: int) -> Record:
    return record._replace(state=RecordState.RELEASED, seq=seq, nonce=SECRET)


Say = Callable[..., Coroutine[Any, Any, LastWord]]


@pytest.fixture
async def word(server: Server) -> AsyncIterator[Say]:
    """``await word(OLD, NEW)``: the word of a node that is connected to the server."""
    links: list[Link] = []

    async def make(*records: Record, **options: Any) -> LastWord:
        settings: dict[str, Any] = {
            "endpoints": ((server.host, server.port),),
            "password": Secret(PASSWORD),
        } | options
        link = Link(LinkOptions(**settings), clock=SystemClock(), entropy=SystemEntropy())
        await link.start()
        links.append(link)
        made = release_word(link, None, PREFIX, records, releasing)
        assert made is not None
        return made

    yield make
    for link in links:
        await link.stop()


def said(word: LastWord) -> Outcome:
    (outcome,) = deliver([word])
    return outcome


def stands(server: Server) -> Record | None:
    found = server.ask("GET", KEY)
    return None if found is None else parse_record(found.decode())


@pytest.mark.parametrize("held", [OLD, NEW], ids=["before the renewal", "after it"])
async def test_whichever_of_its_records_stands_is_released(server: Server, word: Say, held: Record) -> None:
    server.ask("SET", KEY, held.encode())
    outcome = said(await word(OLD, NEW))
    assert (outcome.heard, outcome.said) == (True, "released")
    released = stands(server)
    assert released is not None
    assert released.state is RecordState.RELEASED
    assert released.is_of("node1", "a" * 16, 7)
    assert released.seq == 6, "above every seq that this life wrote"
    assert released.nonce == SECRET
    assert 0 < server.ask("PTTL", KEY) <= 7 * 24 * 3_600_000


@pytest.mark.parametrize(
    "other", [OTHERS, NEW._replace(seq=6), vacant(7, "e" * 16), OLD._replace(state=RecordState.RELEASED)], ids=str
)
async def test_any_other_record_is_left_alone(server: Server, word: Say, other: Record) -> None:
    server.ask("SET", KEY, other.encode())
    outcome = said(await word(OLD, NEW))
    assert (outcome.heard, outcome.said) == (False, "there was nothing of this node to release")
    assert stands(server) == other


async def test_no_record_is_ever_made(server: Server, word: Say) -> None:
    assert not said(await word(OLD)).heard
    assert server.ask("EXISTS", KEY) == 0
    server.ask("LPUSH", KEY, "garbage")
    assert not said(await word(OLD)).heard
    assert server.ask("TYPE", KEY) == b"list"


async def test_the_others_hear_of_it(server: Server, word: Say) -> None:
    server.ask("SET", KEY, OLD.encode())
    heard: list[bytes] = []
    link = Link(
        LinkOptions(endpoints=((server.host, server.port),), password=Secret(PASSWORD)),
        clock=SystemClock(),
        entropy=SystemEntropy(),
    )
    await link.subscribe(f"{PREFIX}releases", heard.append)
    await link.start()
    said(await word(OLD))
    await link.command("PING")  # what was published before comes before the answer
    await link.stop()
    assert [parse_record(message.decode()) for message in heard] == [stands(server)]


async def test_it_enters_by_user_and_database(server: Server, word: Say) -> None:
    server.ask("ACL", "SETUSER", "rppam", "on", ">s e\r\ncret", "resetchannels", f"~{PREFIX}*", f"&{PREFIX}*", "+@all")
    made = await word(OLD, user="rppam", password=Secret("s e\r\ncret"), database=3)
    assert not said(made).heard
    server.ask("EVAL", "redis.call('SELECT', 3) return redis.call('SET', KEYS[1], ARGV[1])", 1, KEY, OLD.encode())
    assert said(made).heard
    assert server.ask("EXISTS", KEY) == 0, "in its own database"


async def test_a_password_that_was_changed_meanwhile_is_told_without_it(server: Server, word: Say) -> None:
    made = await word(OLD)
    outcome = said(made._replace(send=made.send.replace(PASSWORD.encode(), b"x" * len(PASSWORD.encode()))))
    assert not outcome.heard
    assert "WRONGPASS" in outcome.said
    assert PASSWORD not in outcome.said


@pytest.mark.parametrize("kind", [kind for kind in SERVERS if kind.has_tls], ids=str)
async def test_by_tls_with_a_client_certificate(kind: ServerKind, tmp_path: Path) -> None:
    need(kind)
    authority, clock = Authority(tmp_path), SystemClock()
    certificate, key = authority.issue("127.0.0.1")
    port = free_port()
    options = (
        *("--tls-port", str(port), "--tls-cert-file", certificate, "--tls-key-file", key),
        *("--tls-ca-cert-file", str(authority.path), "--tls-auth-clients", "yes"),
    )
    files = TlsFiles(ca_path=authority.path, cert_path=authority.pfx(), cert_password=Secret("p\u00e4ss"), clock=clock)
    with Server(kind, *options) as server:
        server.ask("SET", KEY, OLD.encode())
        link_options = LinkOptions(
            endpoints=((server.host, port),), password=Secret(PASSWORD), ssl=files.load(), abort_connect=True
        )
        link = Link(link_options, clock=clock, entropy=SystemEntropy(), source=DirectEndpoints(link_options, files))
        await link.start()
        made = release_word(link, files, PREFIX, [OLD], releasing)
        await link.stop()
        assert made is not None
        assert made.tls is not None
        stranger = made._replace(tls=made.tls._replace(client_pem=b""))
        assert not said(stranger).heard, "the server asks for a certificate"
        assert not said(made._replace(tls=made.tls._replace(server_name="elsewhere"))).heard
        assert stands(server) == OLD
        assert said(made).heard
        found = stands(server)
        assert found is not None
        assert found.state is RecordState.RELEASED
