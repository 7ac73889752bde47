"""The audit: the ledger integrated, signed, watched, shown and verified."""

from rppam.kernel.slice import Command, Slice

SLICE = Slice(
    name="audit",
    package=__name__,
    migrations="migrations",
    actions="events:ACTIONS",
    settings=("policy:RETENTION", "policy:ARCHIVE"),
    wire="wiring:wire",
    leader_tasks="wiring:leader_tasks",
    node_tasks="wiring:node_tasks",
    routes=("api:audit", "retention_api:retention"),
    commands={"audit": Command("cli", "List, follow, verify and export what was recorded.")},
)
