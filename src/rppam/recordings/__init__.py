"""Recordings of sessions with targets: sealed and chained as they happen, and read back as files."""

from rppam.kernel.slice import Command, Slice

SLICE = Slice(
    name="recordings",
    package=__name__,
    public=("errors", "model", "service", "store"),
    tables="tables",
    migrations="migrations",
    actions="events:ACTIONS",
    settings=("policy:STORE", "policy:RETENTION"),
    wire="wiring:wire",
    leader_tasks="wiring:leader_tasks",
    node_tasks="wiring:node_tasks",
    routes=("keeping_api:keeping", "api:recordings"),
    commands={"recording": Command("cli", "List, play, search, keep, export and verify recordings of sessions.")},
)
