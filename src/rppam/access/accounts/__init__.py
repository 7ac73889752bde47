"""Accounts: people, their passwords and roles."""

from rppam.kernel.slice import Command, Slice

SLICE = Slice(
    name="accounts",
    package=__name__,
    public=("api", "errors", "model", "on_host", "passwords", "service", "store", "tables"),
    tables="tables",
    migrations="migrations",
    wire="wiring:wire",
    settings=("policy:PASSWORDS",),
    routes=("api:users",),
    commands={"user": Command("cli", "Manage accounts from this host.")},
)
