"""SIEM targets: where events of the ledger are delivered to, and how far that has come."""

from rppam.kernel.slice import Slice

SLICE = Slice(
    name="siem",
    package=__name__,
    public=("tables",),
    tables="tables",
    migrations="migrations",
    actions="events:ACTIONS",
    wire="wiring:wire",
    leader_tasks="wiring:leader_tasks",
    node_tasks="wiring:node_tasks",
    routes=("api:siem",),
)
