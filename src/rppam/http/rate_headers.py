"""The two headers that tell a caller how it stands with a limit."""

from functools import lru_cache

from rppam.kernel.limit import Decision, Limit, rate_headers


def rate_header_pairs(decision: Decision) -> list[tuple[bytes, bytes]]:
    """The same two headers as of :func:`rppam.kernel.limit.rate_headers`, for an answer that goes out."""
    policy, name = _policy(decision.limit)
    reset_s = -(-decision.reset_after_ms // 1000)
    return [policy, (b"ratelimit", b'"%b";r=%d;t=%d' % (name, decision.remaining, reset_s))]


@lru_cache(maxsize=64)
def _policy(limit: Limit) -> tuple[tuple[bytes, bytes], bytes]:
    text = rate_headers(limit, 0, 0)["RateLimit-Policy"]
    return (b"ratelimit-policy", text.encode()), limit.name.encode()
