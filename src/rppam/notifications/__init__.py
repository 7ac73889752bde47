"""Notifications: what people have to hear of, from an outbox, by webhook and mail."""

from rppam.kernel.slice import Slice

SLICE = Slice(
    name="notifications",
    package=__name__,
    public=("outbox",),
    tables="tables",
    migrations="migrations",
    actions="events:ACTIONS",
    wire="wiring:wire",
    leader_tasks="wiring:leader_tasks",
    node_tasks="wiring:node_tasks",
    routes=("api:notifications",),
)
