"""Recordings of sessions with targets: sealed and chained as they happen, and read back as files."""

from rppam.kernel.slice import Command, Slice

SLICE = Slice(
    name="recordings",
    package=__name__,
    public=("errors", "model", "service", "store"),
    tables="tables",
    migrations="migrations",
    actions="events:ACTIONS",
    settings=("policy:STORE",),
    wire="wiring:wire",
    routes=("api:recordings",),
    commands={"recording": Command("cli", "List, play, export and verify recordings of sessions.")},
)
