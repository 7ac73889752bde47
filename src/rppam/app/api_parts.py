"""What the REST API is made of, beside its routes."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from rppam.http.bounds import ApiLimits
from rppam.http.forwarded import X_FORWARDED_FOR
from rppam.kernel.services import Services
from rppam.limits.limiter import Limiter
from rppam.manager.metrics import MetricsAccess


class ApiParts(NamedTuple):
    """Everything :func:`rppam.app.api.build_app` needs."""

    services: Services
    """Of all slices, with :class:`~rppam.foundation.Foundation` and ``NodeStatus`` among them."""
    limiter: Limiter
    """Limits requests."""
    has_footing: Callable[[], bool] = lambda: True
    """Whether Redis or the database can be asked whose session holds, or could a moment ago."""
    limits: ApiLimits = ApiLimits()
    trusted_proxies: Sequence[str] = ()
    """Networks whose word about the caller's address is taken (``api.trustedProxies``)."""
    forwarded_header: str = X_FORWARDED_FOR
    metrics_access: MetricsAccess = MetricsAccess()
    """Who may read metrics (``api.metricsAccess``)."""
    access_log: bool = False
    """One line for each request on the logger ``rppam.api.access``."""
