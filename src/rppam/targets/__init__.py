"""Targets: the machines and services that people get access to, and the privileged accounts on them."""

from rppam.kernel.slice import Command, Slice

SLICE = Slice(
    name="targets",
    package=__name__,
    public=("errors", "model", "rest_command", "store", "tables"),
    tables="tables",
    migrations="migrations",
    actions="events:ACTIONS",
    wire="wiring:wire",
    routes=("api:targets",),
    commands={
        "target": Command("cli", "Manage targets: machines and services that people get access to."),
        "account": Command("account_cli", "Manage privileged accounts on targets."),
    },
)
