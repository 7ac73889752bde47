"""What the REST API is made of: the composition root fills this in."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from rppam.api.forwarded import X_FORWARDED_FOR
from rppam.api.limits import ApiLimits
from rppam.api.metrics import MetricsAccess
from rppam.domain.licence import Allowed, Denied
from rppam.ports.administration import Administration
from rppam.ports.clock import Clock
from rppam.ports.entropy import Entropy
from rppam.ports.history import History
from rppam.ports.note import FencedNote
from rppam.ports.relay import Relay
from rppam.ports.settings import HotSettings
from rppam.ports.status import NodeStatus
from rppam.services.limiter import Limiter
from rppam.services.lockouts import Lockouts
from rppam.services.second_factor import SecondFactors
from rppam.services.sessions import Sessions
from rppam.services.setting_changes import SettingChanges
from rppam.services.sign_in import SignIn
from rppam.services.tokens import Tokens
from rppam.services.users import UserAdministration


class ApiParts(NamedTuple):
    """Everything :func:`rppam.api.app.build_app` needs."""

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
