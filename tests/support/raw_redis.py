"""A plain connection to a server, none of our client: one command, one reply."""

import socket
from types import TracebackType
from typing import Any, NamedTuple, Self

import hiredis

from rppam.cluster.consensus.timing import HEARTBEAT_TTL_MS
from rppam.cluster.store.redis_store import EXCHANGE, RECORD_TTL_MS
from tests.support.redis_servers import Server, Word, packed


class Raw:
    """One RESP2 connection that has logged in."""

    def __init__(self, server: Server) -> None:
        self._socket = socket.create_connection((server.host, server.port), timeout=10)
        self._reader = hiredis.Reader()
        self("AUTH", server.password)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def __call__(self, *words: Word) -> Any:
        """The reply; an error reply is raised."""
        self._socket.sendall(packed(*words))
        return self.read()

    def read(self, timeout_s: float = 10.0) -> Any:
        """The next reply or message. TimeoutError when there is none."""
        self._socket.settimeout(timeout_s)
        while (reply := self._reader.gets()) is False:
            data = self._socket.recv(65536)
            if not data:
                raise ConnectionError("the server hung up")
            self._reader.feed(data)
        if isinstance(reply, hiredis.ReplyError):
            raise reply
        return reply


class Reply(NamedTuple):
    """What the exchange script answers."""

    granted: int
    was_absent: int
    stands: bytes
    moved_aside: bytes
    own_before: bytes
    members: dict[bytes, bytes]
    store_wall_ms: int


def exchange(
    raw: Raw,
    expected: Word = "",
    proposed: Word = "",
    mark: str = f"rppam1 vacant - {'0' * 16} 0 0 {'f' * 16}",
    *,
    prefix: str = "rppam:",
    node: str = "node1",
    heartbeat: Word = "",
    leaving: bool = False,
    first: str = "",
) -> Reply:
    """One exchange, with the arguments that the adapter gives."""
    keys = [f"{prefix}leader", f"{prefix}heartbeat:{node}", f"{prefix}members", f"{prefix}leavers"]
    arguments: list[Word] = [expected, proposed, mark, heartbeat, HEARTBEAT_TTL_MS, node if heartbeat else ""]
    arguments += ["1" if leaving else "", f"{prefix}heartbeat:", f"{prefix}releases", RECORD_TTL_MS, first]
    answer = raw("EVAL", EXCHANGE.text, len(keys), *keys, *arguments)
    granted, was_absent, stands, moved_aside, own_before, members, wall_ms = answer
    by_name = dict(zip(members[::2], members[1::2], strict=True))
    return Reply(granted, was_absent, stands, moved_aside, own_before, by_name, wall_ms)
