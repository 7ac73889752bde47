"""Lockouts: too many wrong passwords or codes."""

from rppam.kernel.slice import Command, Slice

SLICE = Slice(
    name="lockouts",
    package=__name__,
    tables="tables",
    public=("cli", "guard", "store"),
    wire="wiring:wire",
    routes=("api:lockouts",),
    settings=("policy:LOCKOUT",),
    commands={"lockout": Command("cli", "Show who is locked out of signing in, and unlock.")},
)
