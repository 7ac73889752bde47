"""What the REST API is made of: the composition root fills this in."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from rppam.access.accounts import UserAdministration
from rppam.access.lockouts import Lockouts
from rppam.access.mfa import SecondFactors
from rppam.access.sessions import Sessions, SignIn
from rppam.access.tokens import Tokens
from rppam.cluster.admin.forwarding_port import Relay
from rppam.cluster.admin.ports import Administration
from rppam.cluster.health.ports import NodeStatus
from rppam.cluster.history.ports import History
from rppam.http.bounds import ApiLimits
from rppam.http.forwarded import X_FORWARDED_FOR
from rppam.kernel.clock import Clock
from rppam.kernel.entropy import Entropy
from rppam.licence import Allowed, Denied
from rppam.limits.limiter import Limiter
from rppam.manager.metrics import MetricsAccess
from rppam.manager.note_port import FencedNote
from rppam.settings.ports import HotSettings
from rppam.settings.service import SettingChanges


class ApiParts(NamedTuple):
    """Everything :func:`rppam.app.api.build_app` needs."""

    node: str
    """This node's name."""
    status: NodeStatus
    tokens: Tokens
    sign_in: SignIn
    sessions: Sessions
    second_factors: SecondFactors
    users: UserAdministration
    lockouts: Lockouts
    limiter: Limiter
    """Limits requests."""
    hot: HotSettings
    """The settings in force in this process."""
    note: FencedNote
    settings: SettingChanges
    may_join: Callable[[int], Allowed | Denied]
    """Whether the licence lets one more node join beside so many."""
    administration: Administration
    """Takes an administrator's orders."""
    relay: Relay
    """Hands those on that are for another node."""
    history: History
    """What this node noted of the cluster's past."""
    clock: Clock
    entropy: Entropy
    """For request ids."""
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
