"""Who may do what, and the middleware that asks."""

from typing import TYPE_CHECKING

from rppam.kernel.slice import Slice, exports

if TYPE_CHECKING:
    from rppam.access.rbac.auth_middleware import (
        CHALLENGE_PATH as CHALLENGE_PATH,
        ENROL_PATH as ENROL_PATH,
        JWKS_PATH as JWKS_PATH,
        LOGIN_PATH as LOGIN_PATH,
    )
    from rppam.access.rbac.policy import (
        READS as READS,
        Caller as Caller,
        allows as allows,
        needs as needs,
        refusal as refusal,
    )

SLICE = Slice(
    name="rbac",
    package=__name__,
)

__getattr__ = exports(
    __name__,
    auth_middleware="CHALLENGE_PATH ENROL_PATH JWKS_PATH LOGIN_PATH",
    policy="Caller READS allows needs refusal",
)
