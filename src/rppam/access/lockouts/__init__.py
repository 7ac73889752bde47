"""Lockouts: too many wrong passwords or codes."""

from typing import TYPE_CHECKING

from rppam.kernel.slice import Slice, exports

if TYPE_CHECKING:
    from rppam.access.lockouts.guard import Guard as Guard
    from rppam.access.lockouts.guard_port import LoginGuard as LoginGuard
    from rppam.access.lockouts.model import address_suspect as address_suspect, user_suspect as user_suspect
    from rppam.access.lockouts.ports import LockoutStore as LockoutStore
    from rppam.access.lockouts.store import SqlLockouts as SqlLockouts

SLICE = Slice(
    name="lockouts",
    package=__name__,
    tables="tables",
    wire="wiring:wire",
    routes=("api:lockouts",),
    settings=("policy:LOCKOUT",),
)

__getattr__ = exports(
    __name__,
    guard="Guard",
    guard_port="LoginGuard",
    model="address_suspect user_suspect",
    ports="LockoutStore",
    store="SqlLockouts",
)
