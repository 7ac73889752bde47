"""Who may do what, and the middleware that asks."""

from typing import TYPE_CHECKING

from rppam.kernel.slice import Slice, exports

if TYPE_CHECKING:
    from rppam.access.rbac.objects import (
        Action as Action,
        allows as allows,
        check as check,
        lacking_role as lacking_role,
        rule_for as rule_for,
    )
    from rppam.access.rbac.policy import READS as READS, Caller as Caller

SLICE = Slice(
    name="rbac",
    package=__name__,
)

__getattr__ = exports(
    __name__,
    objects="Action allows check lacking_role rule_for",
    policy="Caller READS",
)
