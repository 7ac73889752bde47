"""Lockouts: too many wrong passwords or codes."""

from rppam.kernel.slice import Slice

SLICE = Slice(
    name="lockouts",
    package=__name__,
    routes=("api:lockouts",),
    settings=("policy:LOCKOUT",),
)
