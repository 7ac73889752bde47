"""Accounts: people, their passwords and roles."""

from rppam.kernel.slice import Command, Slice

SLICE = Slice(
    name="accounts",
    package=__name__,
    routes=("api:users",),
    commands={"user": Command("cli", "Manage accounts from this host.")},
)
