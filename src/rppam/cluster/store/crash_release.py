"""The release of the leadership record as a last word: ready to be sent by a process that knows nothing of Redis.

It enters with the password of the connection in use, at the address in use, and runs one script that marks exactly one
of the given records as released. It asks in RESP2, which every Redis speaks by default, so that the reply that means
yes is known in advance.
"""

from collections.abc import Callable, Sequence
from typing import Final

import hiredis

from rppam.cluster.consensus.record import Record
from rppam.cluster.store.redis_store import RECORD_TTL_MS
from rppam.process.crash_release import LastWord, TlsWords
from rppam.redis.command_map import CommandMap
from rppam.redis.connection import Connection
from rppam.redis.errors import StoreCommandDisabled
from rppam.redis.link import Link
from rppam.redis.scripts import Script
from rppam.redis.tls import TlsFiles

RELEASE: Final = Script.load("release")
STORE: Final = "store"
Releasing = Callable[[Record, int], Record]
"""Makes what releases an own record, at a ``seq``."""


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
