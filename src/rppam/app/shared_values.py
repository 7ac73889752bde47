"""What must be the same on all nodes of a cluster, by the names that people know from the config.

Each node says digests of it in its heartbeats. Nothing here is a secret. What differs rightly is left out: names,
ports, paths, priorities. Keys are compared by other means: who has another cluster key is refused, and signing keys are
listed by ``rppam token keys list --nodes``.
"""

from collections.abc import Mapping

from rppam.config.settings import Settings
from rppam.licence.model import Licence


def values_of(settings: Settings) -> Mapping[str, str]:
    """Of nodes and witnesses."""
    cluster, timing = settings.cluster, settings.cluster.timing
    return {
        "cluster.quorumPolicy": f"{cluster.quorum_policy}",
        "cluster.timingProfile": (
            f"lease {timing.lease_ms} ms, heartbeat {timing.heartbeat_ms} ms, clock rate {timing.rate_error_ppm} ppm, "
            f"step down {timing.drop_ms} ms, request {timing.request_timeout_ms} ms"
        ),
        "redis.keyPrefix": settings.redis.key_prefix,
    }


def values_of_node(settings: Settings, licence: Licence | None) -> Mapping[str, str]:
    """Of nodes alone; nothing where there are no others."""
    if not settings.cluster.enabled:
        return {}
    auth = settings.auth
    return {
        **values_of(settings),
        "cluster.virtualIp": settings.cluster.virtual_ip or "",
        "dns.name": settings.dns.name or "",
        "auth.issuer": auth.issuer,
        "auth.audience": auth.audience,
        "auth.tokenMinutes": f"{auth.token_minutes}",
        "license.path": "no licence that can be used" if licence is None else f"the licence {licence.id}",
    }
