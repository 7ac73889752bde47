"""Who answers at the other end, read once per connection.

A restart, a failover or a move behind an address shows as another ``run_id`` or ``replication_id``; whoever counts on
what the server remembers (a leadership record that was watched, a local cache) compares identities. An ACL may deny
INFO: then both ids are ``None`` and nothing may be concluded from two identities being alike.
"""

import re
from dataclasses import dataclass
from typing import Final

OLDEST_SUPPORTED: Final = (6, 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerIdentity:
    """What one server said about itself."""

    server: str
    """``redis`` or ``valkey``."""
    version: str
    """The product's own version, such as ``8.1.1``."""
    redis_version: str
    """The Redis version that it is compatible with; equals ``version`` for Redis."""
    role: str
    """``master`` or ``replica``."""
    mode: str
    """``standalone``, ``sentinel`` or ``cluster``."""
    run_id: str | None
    """Changes with every start of the server process; ``None`` when INFO is denied."""
    replication_id: str | None
    """Changes when the history of the data may have changed (promotion, full resync of an empty primary)."""

    @property
    def is_known(self) -> bool:
        """Whether two equal identities prove that it is the same server process with the same history."""
        return self.run_id is not None and self.replication_id is not None

    @property
    def is_too_old(self) -> bool:
        """Whether it is below Redis 6.2, the oldest that the article allows."""
        return version_tuple(self.redis_version) < OLDEST_SUPPORTED

    def same_history(self, other: "ServerIdentity") -> bool:
        """Whether ``other`` is proven to be this very server process with the same data history."""
        return self.is_known and (self.run_id, self.replication_id) == (other.run_id, other.replication_id)


def version_tuple(version: str) -> tuple[int, ...]:
    """``'7.0.11-rc1'`` as ``(7, 0, 11)``; ``(0,)`` when there is no number at all."""
    return tuple(int(part) for part in re.findall(r"\d+", version.split("-", 1)[0])[:3]) or (0,)


def parse_info(text: bytes) -> dict[str, str]:
    """The fields of an INFO reply. Lines that are no fields are skipped."""
    fields: dict[str, str] = {}
    for line in text.decode("utf-8", "replace").splitlines():
        name, colon, value = line.partition(":")
        if colon and not name.startswith("#"):
            fields[name] = value
    return fields


def identify(hello: dict[bytes, object], info: dict[str, str]) -> ServerIdentity:
    """Put together what HELLO and INFO (possibly empty, when denied) said."""

    def said(name: bytes) -> str:
        value = hello.get(name, b"")
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)

    redis_version = info.get("redis_version") or said(b"version")
    server = info.get("server_name") or said(b"server") or "redis"
    role = info.get("role") or said(b"role") or "master"
    return ServerIdentity(
        server=server,
        version=info.get("valkey_version") or said(b"version") or redis_version,
        redis_version=redis_version,
        role="replica" if role == "slave" else role,
        mode=info.get("redis_mode") or said(b"mode") or "standalone",
        run_id=info.get("run_id") or None,
        replication_id=info.get("master_replid") or None,
    )
