"""The setting ``failoverTest/allowedMethods``: what a failover test may do to this cluster.

By default what fails no request, and so nothing that a production cluster would notice.
"""

from typing import Final, NamedTuple

from rppam.config.kinds import Flag
from rppam.failover_test.errors import MethodNotAllowed
from rppam.failover_test.model import MEANING, Method
from rppam.settings.model import setting


class AllowedMethods(NamedTuple):
    """Each method, and whether it is allowed."""

    switchover: bool = True
    stop: bool = False
    kill: bool = False
    isolate: bool = False
    redis_failover: bool = False

    def has(self, method: Method) -> bool:
        """Whether the method is allowed."""
        return bool(getattr(self, method.replace("-", "_")))


def check_allowed(allowed: AllowedMethods, method: Method) -> None:
    """Raise :class:`MethodNotAllowed`, unless it is."""
    if not allowed.has(method):
        raise MethodNotAllowed(f"'{method}' is not allowed here ({MEANING[method]})")


ALLOWED: Final = setting(
    "failoverTest/allowedMethods",
    "How a failover test may take the leader away",
    AllowedMethods(),
    {name: Flag() for name in ("switchover", "stop", "kill", "isolate", "redisFailover")},
)
