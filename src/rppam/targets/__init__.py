"""Targets: the machines and services that people get access to, and the privileged accounts on them."""

from rppam.kernel.slice import Slice

SLICE = Slice(
    name="targets",
    package=__name__,
    public=("errors", "model", "store", "tables"),
    tables="tables",
    migrations="migrations",
    actions="events:ACTIONS",
    wire="wiring:wire",
    routes=("api:targets",),
)
