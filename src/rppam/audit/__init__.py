"""The audit: the ledger integrated, signed, watched, shown and verified."""

from rppam.kernel.slice import Command, Slice

SLICE = Slice(
    name="audit",
    package=__name__,
    migrations="migrations",
    wire="wiring:wire",
    leader_tasks="wiring:leader_tasks",
    node_tasks="wiring:node_tasks",
    routes=("api:audit",),
    commands={"audit": Command("cli", "List, follow, verify and export what was recorded.")},
)
