"""Every bound of the REST API in one place: sizes, counts and times. Nothing a caller does is without one."""

from typing import NamedTuple


class ApiLimits(NamedTuple):
    """Defaults suit a node behind a load balancer with some hundred callers."""

    header_bytes: int = 16 * 1024
    """Request line and headers. Beyond: 431."""
    body_bytes: int = 2 * 1024 * 1024
    """A body sent with a valid token: room for a secret of 1 MiB. Beyond: 413."""
    public_body_bytes: int = 16 * 1024
    """A body sent by somebody unknown: a log-in needs less, and parsing more of it would cost the node's loop."""
    nesting: int = 16
    """How deep JSON may be nested."""
    in_flight: int = 128
    """Requests worked on at once, probes and requests whose body is awaited not counted. Beyond: 503."""
    awaited: int = 256
    """Requests whose body is awaited for longer than :attr:`body_grace_ms`. Beyond: 503."""
    awaited_of_address: int = 32
    """The same from one address, IPv6 by the /64. Beyond: 503."""
    body_grace_ms: int = 200
    """So long a body may follow its headers however many are awaited: clients send it in a packet of its own."""
    connections: int = 1024
    """Open connections. Beyond: an idle one of the address that has most is closed, the oldest first."""
    header_timeout_ms: int = 10_000
    """From the first byte (or the connection) to the end of the headers, so that trickling holds no connection."""
    body_timeout_ms: int = 10_000
    """From the headers to the end of the body. Beyond: 408."""
    answer_timeout_ms: int = 15_000
    """From the body to the answer. Beyond: 503."""
    keep_alive_ms: int = 15_000
    """An idle connection is closed after this long."""

    streams: int = 256
    """Streams at once, in one process. Beyond: 503."""
    streams_of_user: int = 16
    """The same of one user. Beyond: 429."""
    stream_total_ms: int = 3_600_000
    """The longest that one stream lasts; the caller opens another."""
    stream_heartbeat_ms: int = 15_000
    """After so long without an event a comment is sent, so that nobody on the way takes the connection for dead."""
    stream_stall_ms: int = 10_000
    """Who takes nothing of what is sent for this long is cut off."""
    stream_recheck_ms: int = 2_000
    """How often a stream asks whether its caller still may."""
    stream_unknown_ms: int = 10_000
    """For how long a stream goes on while nobody can tell whether its caller's session holds."""
    socket_idle_ms: int = 300_000
    """A WebSocket on which the caller says nothing is closed after this long; pings count for nothing."""
    socket_message_bytes: int = 64 * 1024
    """One message of a caller. Beyond: closed with 1009."""
