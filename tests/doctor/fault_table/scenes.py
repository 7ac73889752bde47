"""Every fault of Redis that is recognised, brought about on a real server or at a real port.

Each scene is a context manager that gives the ``redis`` section of a node's config while the fault lasts.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12

from tests.doctor.ailing import answering, black_hole, eventually, late, sentinel
from tests.doctor.test_command import BAD_LINE, stand_in
from tests.support.authority import DAY, NOW, Authority
from tests.support.ports import free_port
from tests.support.redis_servers import PASSWORD, SERVERS, Server

KIND: Final = next(kind for kind in SERVERS if kind.name == "redis-8")
OPTIONS: Final = "abortConnect=false,connectTimeout=1000,syncTimeout=1000"
HOST: Final = "127.0.0.1"
NOWHERE: Final = "255.255.255.255"
Section = dict[str, Any]
Play = Callable[[Path], AbstractContextManager[Section]]


class Scene(NamedTuple):
    """One fault."""

    title: str
    play: Play
    also: tuple[str, ...] = ()
    """Codes that are this fault although they are no errors about reaching Redis."""


def at(port: int, more: str = "", host: str = HOST, password: str = PASSWORD, **redis: Any) -> Section:
    return {"connectionString": f"{host}:{port},{OPTIONS}{more}", "password": password, **redis}


def saying(reply: str, more: str = "", *, hang: bool = True) -> Play:
    """A port that answers everything with ``reply``."""

    @contextmanager
    def play(_folder: Path) -> Iterator[Section]:
        with answering(*([reply.encode()] if reply else []), hang=hang) as port:
            yield at(port, more)

    return play


def served(*options: str, ask: tuple[tuple[str, ...], ...] = (), more: str = "", **redis: Any) -> Play:
    """A real server, told ``ask`` before the node comes."""

    @contextmanager
    def play(_folder: Path) -> Iterator[Section]:
        with Server(KIND, *options) as server:
            for words in ask:
                server.ask(*words)
            yield at(server.port, more, **redis)

    return play


def over_tls(name: str = HOST, *options: str, trusts: bool = True, more: str = ",ssl=true", **issue: Any) -> Play:
    """A real server that speaks TLS."""

    @contextmanager
    def play(folder: Path) -> Iterator[Section]:
        authority = Authority(folder)
        certificate, key = authority.issue(name, **issue)
        port = free_port()
        words = ["--tls-port", str(port), "--tls-cert-file", certificate, "--tls-key-file", key]
        words += ["--tls-ca-cert-file", str(authority.path), "--tls-auth-clients", "no", *options]
        with Server(KIND, *words):
            yield at(port, more, **({"tlsCaPath": str(authority.path)} if trusts and "ssl" in more else {}))

    return play


@contextmanager
def with_an_old_certificate(folder: Path) -> Iterator[Section]:
    """Our own client certificate is out of its dates."""
    with over_tls()(folder) as section:
        old = Authority(folder).pfx(password="old word", since=NOW - 9 * DAY, until=NOW - DAY)
        yield section | {"tlsCertPath": str(old), "tlsCertPassword": "old word"}


def with_pfx(make: Callable[[Path], Path], password: str | None = "the word") -> Play:
    """A client certificate that cannot be used. The node says so before it looks for a server."""

    @contextmanager
    def play(folder: Path) -> Iterator[Section]:
        words = {} if password is None else {"tlsCertPassword": password}
        yield at(free_port(), ",ssl=true", tlsCertPath=str(make(folder)), **words)

    return play


def _locked(folder: Path) -> Path:
    return Authority(folder).pfx(password="another word")


def _without_key(folder: Path) -> Path:
    certificate = Authority(folder).certify("node").certificate
    path = folder / "client.pfx"
    lock = serialization.BestAvailableEncryption(b"the word")
    path.write_bytes(pkcs12.serialize_key_and_certificates(b"x", None, certificate, None, lock))
    return path


def _text(folder: Path) -> Path:
    issued = Authority(folder).certify("node")
    path = folder / "client.pfx"
    path.write_bytes(issued.pem() + issued.key_pem())
    return path


@contextmanager
def refused(_folder: Path) -> Iterator[Section]:
    yield at(free_port())


@contextmanager
def vanishing(_folder: Path) -> Iterator[Section]:
    with black_hole() as port:
        yield at(port)


@contextmanager
def unroutable(_folder: Path) -> Iterator[Section]:
    """The kernel answers a connection to the broadcast address as one that no route leads to."""
    yield at(6379, host=NOWHERE)


@contextmanager
def slow(_folder: Path) -> Iterator[Section]:
    """Each answer of the server comes 0.7 s late."""
    with Server(KIND) as server, late(server.port, by_s=0.7) as port:
        yield at(port)


@contextmanager
def unresolved(_folder: Path) -> Iterator[Section]:
    yield at(6379, host="no-such-host.invalid")


@contextmanager
def frozen(_folder: Path) -> Iterator[Section]:
    with Server(KIND) as server:
        server.stop()
        yield at(server.port)
        server.cont()


@contextmanager
def replica(_folder: Path) -> Iterator[Section]:
    with Server(KIND) as primary, Server(KIND, "--replicaof", HOST, str(primary.port), "--masterauth", PASSWORD) as one:
        yield at(one.port)


@contextmanager
def full_disk(_folder: Path) -> Iterator[Section]:
    """A folder in the place of the dump makes every BGSAVE fail, as a full disk does."""
    with Server(KIND, "--save", "3600 1", "--dbfilename", "dump.rdb") as server:
        place = Path(server.ask("CONFIG", "GET", "dir")[1].decode())
        (place / "dump.rdb").mkdir()
        (place / "dump.rdb" / "full").write_text("x")
        server.ask("SET", "x", "1")
        server.ask("BGSAVE")
        eventually(lambda: b"rdb_last_bgsave_status:err" in server.ask("INFO", "persistence"))
        yield at(server.port)


@contextmanager
def ended_container(folder: Path) -> Iterator[Section]:
    """The docker command of this host knows a container that ended at once, since its command was wrong."""
    before = os.environ["PATH"]
    os.environ["PATH"] = stand_in(folder, "exited|1|", BAD_LINE)
    try:
        yield at(free_port())
    finally:
        os.environ["PATH"] = before


def at_sentinel(more: str, *, kills: bool = False) -> Play:
    @contextmanager
    def play(folder: Path) -> Iterator[Section]:
        with Server(KIND) as server, sentinel(folder, KIND, server.port) as port:
            if kills:
                server.kill()
            yield at(port, more)

    return play


@contextmanager
def no_sentinel(_folder: Path) -> Iterator[Section]:
    yield at(free_port(), ",serviceName=rppam-master")


_FULL: Final = (("CONFIG", "SET", "maxmemory", "64mb"), ("SETRANGE", "of-somebody-else", str(50 << 20), "x"))
"""Above four fifths by whatever allocator, and what a node writes still fits."""
_NODE_USER: Final = ("ACL", "SETUSER", "node", "on", f">{PASSWORD}", "~rppam:*", "&rppam:*", "+@all")

SCENES: Final = (
    Scene("Redis does not run", refused),
    Scene("The Docker container of Redis exits at once", ended_container, also=("RD-801",)),
    Scene("Packets vanish (firewall, host off)", vanishing),
    Scene("No route leads there", unroutable),
    Scene("The host name is unknown", unresolved),
    Scene("Redis is frozen", frozen),
    Scene("Redis answers too late", slow),
    Scene("The connection is closed at once", saying("", hang=False)),
    Scene("A web server answers", saying("HTTP/1.1 400 Bad Request\r\n\r\n")),
    Scene("Another protocol answers", saying("SSH-2.0-OpenSSH_9.9\r\n")),
    Scene("Half an answer", saying("%7\r\n$6\r\nserver\r\n$5\r\nre")),
    Scene("Older than Redis 6", saying("-ERR unknown command 'HELLO'\r\n")),
    Scene("Certificate out of its dates", over_tls(until=NOW - DAY / 24)),
    Scene("Certificate of an unknown authority", over_tls(trusts=False)),
    Scene("Certificate for another name", over_tls("redis.example.com")),
    Scene("Plain text against TLS", over_tls(more="")),
    Scene("TLS against plain text", served(more=",ssl=true")),
    Scene("A client certificate is demanded", over_tls(HOST, "--tls-auth-clients", "yes")),
    Scene("Our client certificate is out of its dates", with_an_old_certificate),
    Scene("The password does not open our client certificate", with_pfx(_locked)),
    Scene("Our client certificate needs a password", with_pfx(_locked, password=None)),
    Scene("Our client certificate comes without its key", with_pfx(_without_key)),
    Scene("Our client certificate is no PKCS#12 file", with_pfx(_text)),
    Scene("No password given", served(password="")),
    Scene("Wrong password", served(password="p@ss,w=rd$%&{}'\"#-is-not-it-ÄÖ")),
    Scene("A needed command is denied", served(ask=((*_NODE_USER, "-eval", "-evalsha"),), more=",user=node")),
    Scene("Redis loads its data", saying("-LOADING Redis is loading the dataset in memory\r\n")),
    Scene("A replica instead of the primary", replica),
    Scene("The disk of Redis is full", full_disk),
    Scene("High memory usage on Redis", served(ask=_FULL), also=("RD-308",)),
    Scene("The memory of Redis is full", served(ask=(("CONFIG", "SET", "maxmemory", "1"),))),
    Scene("The primary of that replica is down",
          saying("-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.\r\n")),
    Scene("Too few replicas", served("--min-replicas-to-write", "1")),
    Scene("Protected mode", saying("-DENIED Redis is running in protected mode because protected mode is enabled\r\n")),
    Scene("Too many connections", saying("-ERR max number of clients reached\r\n")),
    Scene("No database of that number", served(more=",defaultDatabase=16")),
    Scene("A script blocks Redis", saying("-BUSY Redis is busy running a script.\r\n")),
    Scene("EVAL is renamed", served("--rename-command", "EVAL", "", "--rename-command", "EVALSHA", "")),
    Scene("A sentinel without serviceName", at_sentinel("")),
    Scene("The sentinels do not know the serviceName", at_sentinel(",serviceName=rppam-master")),
    Scene("The sentinels name a dead primary", at_sentinel(",serviceName=mymaster", kills=True)),
    Scene("No sentinel answers", no_sentinel),
)  # fmt: skip
