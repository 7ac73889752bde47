"""What gives leadership back when a node's control process is dead: ready to be sent by a process that knows neither.

To Redis: it enters with the password of the connection in use, at the address in use, and runs one script that marks
exactly one of the given records as released. It asks in RESP2, which every Redis speaks by default, so that the reply
that means yes is known in advance.

To the other members: an errand (see ``codec.Purpose``) whose frames are all packed beforehand: the greeting, the
promise given back, the invitation, and a ping. The answer that matters is the pong, whose frame is known in advance.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import hiredis

from rppam.cluster.consensus.messages import Candidacy, Freeing, Invitation
from rppam.cluster.consensus.record import Record
from rppam.cluster.link.codec import Greeting, Ping, Pong, Purpose, encode, encode_greeting
from rppam.cluster.link.connection import FrameWriter
from rppam.cluster.link.credentials import Credentials
from rppam.cluster.link.local_peer import MemberOptions
from rppam.cluster.store.redis_store import RECORD_TTL_MS
from rppam.kernel.entropy import Entropy
from rppam.process.crash_release import LastWord, TlsWords
from rppam.redis.connection import CommandMap, Connection, Script
from rppam.redis.errors import StoreCommandDisabled
from rppam.redis.link import Link
from rppam.redis.tls import TlsFiles

RELEASE: Final = Script.load("release")
STORE: Final = "store"
Releasing = Callable[[Record, int], Record]
"""Makes what releases an own record, at a ``seq``."""
MEMBER: Final = "member"
WORDS_MAX: Final = 50
"""How many members hear of it; where there are more, the others' promises end by themselves."""


def release_word(
    link: Link, tls: TlsFiles | None, prefix: str, records: Sequence[Record], released: Releasing
) -> LastWord | None:
    """Make what releases whichever of ``records`` stands; ``None`` while there is no connection to copy.

    ``records``: the record as it stands, and the one that the renewal under way writes. The word reveals their secrets,
    so nobody but the supervisor may have it before it is said.
    """
    connection = link.connection
    if connection is None or len(connection.peer) < 2 or not records:
        return None
    seq = max(record.seq for record in records) + 1
    words: list[bytes | str | int] = [f"{prefix}releases", RECORD_TTL_MS]
    for record in records:
        words += [record.encode(), released(record, seq).encode()]
    try:
        lines = _entering(connection)
        spell = CommandMap(connection.target.command_map).renamed
        lines.append((spell("EVAL"), RELEASE.text, 1, f"{prefix}leader", *words))
    except StoreCommandDisabled:
        return None
    hello = b"+OK\r\n" * (len(lines) - 1)
    send = b"".join(hiredis.pack_command(line) for line in lines)  # type: ignore[arg-type]  # as in connection.py
    host, port = connection.peer[:2]
    return LastWord(STORE, str(host), int(port), send, hello + b":1\r\n", hello + b":0\r\n", tls=_tls(connection, tls))


def _entering(connection: Connection) -> list[tuple[bytes | str | int, ...]]:
    target = connection.target
    spell = CommandMap(target.command_map).renamed
    lines: list[tuple[bytes | str | int, ...]] = []
    if target.password is not None:
        user = (target.user,) if target.user else ()
        lines.append((spell("AUTH"), *user, target.password.reveal()))
    if target.database:
        lines.append((spell("SELECT"), target.database))
    return lines


def _tls(connection: Connection, files: TlsFiles | None) -> TlsWords | None:
    target = connection.target
    if target.ssl is None:
        return None
    name = target.server_hostname or target.host
    if files is None:
        return TlsWords(name, None)
    pem, password = files.client_pem()
    return TlsWords(name, str(files.ca_path) if files.ca_path else None, pem, password)


def freeing_words(
    options: MemberOptions,
    credentials: Credentials,
    places: Mapping[str, tuple[str, int]],
    candidacy: Candidacy,
    invited: str,
    entropy: Entropy,
) -> tuple[LastWord, ...]:
    """Make one message for each member in ``places`` (address and port by name).

    ``invited`` is asked to stand at once. It comes first, so that it hears of it where not all can.
    """
    words = []
    for name in sorted(places, key=lambda name: (name != invited, name))[:WORDS_MAX]:
        host, port = places[name]
        greeting = Greeting(Purpose.ERRAND, options.cluster_id, options.node_name, options.boot_id, entropy.nonce(), "")
        said = [encode_greeting(greeting), encode(Freeing(candidacy))]
        if name == invited:
            said.append(encode(Invitation(candidacy)))
        writer = FrameWriter()
        send = b"".join(writer.pack(data) for data in (*said, encode(Ping(1))))
        tls = TlsWords(name, None, credentials.own_pem, "", credentials.root_pem)
        words.append(LastWord(MEMBER, host, port, send, b"", ending=_pong(), tls=tls))
    return tuple(words)


def _pong() -> bytes:
    """Make the second frame of the other side; the first one is its greeting."""
    writer = FrameWriter()
    writer.pack(b"")
    return writer.pack(encode(Pong(1)))
