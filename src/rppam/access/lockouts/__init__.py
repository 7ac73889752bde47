"""Lockouts: too many wrong passwords or codes."""

from rppam.kernel.slice import Slice

SLICE = Slice(
    name="lockouts",
    package=__name__,
    tables="tables",
    public=("guard", "model", "store"),
    wire="wiring:wire",
    routes=("api:lockouts",),
    settings=("policy:LOCKOUT",),
)
