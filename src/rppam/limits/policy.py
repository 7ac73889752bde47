"""The setting ``security/limits``: how many requests the API takes.

The defaults keep one caller from using a cluster up; they are no quota. What is 0 is not limited.
"""

from functools import lru_cache
from typing import Final, NamedTuple

from rppam.config.kinds import Whole
from rppam.kernel.limit import EVENTS_MAX, Limit, Shape
from rppam.settings.model import setting

MINUTE_MS: Final = 60_000


class RequestPolicy(NamedTuple):
    """Requests a minute, all nodes together. A limit may be used up in a burst; then it comes back evenly."""

    per_address: int = 120_000
    """For each address, IPv6 by the /64."""
    per_user: int = 120_000
    """For each account, or name of a host's token."""
    per_endpoint: int = 0
    """For each method and path (its first five parts), all callers together."""
    in_all: int = 0
    """For everything together."""


class RequestLimits(NamedTuple):
    """The limits of a policy; ``None`` where there is none."""

    address: Limit | None
    user: Limit | None
    endpoint: Limit | None
    all: Limit | None


@lru_cache(maxsize=4)
def limits_of(policy: RequestPolicy) -> RequestLimits:
    names = ("api-address", "api-user", "api-endpoint", "api-all")
    return RequestLimits(
        *(
            Limit(name, Shape.SMOOTH, events, MINUTE_MS) if events else None
            for name, events in zip(names, policy, strict=True)
        )
    )


_EVENTS: Final = Whole(f"a whole number from 0 to {EVENTS_MAX}; 0: no limit", 0, EVENTS_MAX)
LIMITS: Final = setting(
    "security/limits",
    "How many requests a minute the API takes from an address, from a user, for an endpoint and in all",
    RequestPolicy(),
    {"perAddress": _EVENTS, "perUser": _EVENTS, "perEndpoint": _EVENTS, "inAll": _EVENTS},
)
