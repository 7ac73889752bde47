"""How long a node waits for Redis: what the connection string says, but never more than its work can afford.

Leadership must learn in time that Redis is silent, or its lease ends first; a request must not wait for a cache. So
``connectTimeout`` and ``syncTimeout`` have caps, and this is the one place that knows them.
"""

from typing import Final, NamedTuple

from rppam.cluster.consensus.timing import Timing
from rppam.config.options import ConnectionOptions

LEAST_CONNECT_MS: Final = 1_000
"""Leadership waits at least this long for a connection, however short the lease is."""
REQUEST_CONNECT_MS: Final = 2_000
REQUEST_COMMAND_MS: Final = 500
"""A request waits no longer for the cache; then SQL is asked."""


class Patience(NamedTuple):
    """The longest waits, in milliseconds."""

    connect_ms: int
    """For a connection: TCP, TLS and greeting."""
    command_ms: int
    """For the reply to a command."""

    def at_most(self, cap: "Patience") -> "Patience":
        """The smaller of the two, each."""
        return Patience(min(self.connect_ms, cap.connect_ms), min(self.command_ms, cap.command_ms))


FOR_REQUESTS: Final = Patience(REQUEST_CONNECT_MS, REQUEST_COMMAND_MS)


def for_leadership(timing: Timing) -> Patience:
    """What the lease can afford."""
    return Patience(max(LEAST_CONNECT_MS, timing.lease_ms // 2), timing.request_timeout_ms)


def notes(connection: ConnectionOptions, timing: Timing) -> list[str]:
    """What ``rppam config check`` says about times in the string that are longer than any wait of a node."""
    lease = for_leadership(timing)
    told = (
        ("connectTimeout", connection.timeouts.connect_ms, lease.connect_ms, FOR_REQUESTS.connect_ms),
        ("syncTimeout", connection.timeouts.sync_ms, lease.command_ms, FOR_REQUESTS.command_ms),
    )
    return [
        f"redis.connectionString: {name}={given} is longer than a node waits: at most {leading} ms for leadership "
        f"(by the times of cluster) and {requests} ms for the cache of requests; the smaller value counts"
        for name, given, leading, requests in told
        if name in connection.given and given > min(leading, requests)
    ]
