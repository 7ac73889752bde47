"""Passkeys: signing in, and giving a second factor, by a key that an authenticator keeps (WebAuthn)."""

from rppam.kernel.slice import Slice

SLICE = Slice(
    name="passkeys",
    package=__name__,
    public=("cli", "factor", "schemas", "store"),
    tables="tables",
    migrations="migrations",
    actions="events:ACTIONS",
    wire="wiring:wire",
    routes=("api:passkeys",),
)
