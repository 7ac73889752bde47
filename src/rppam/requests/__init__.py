"""Requests for access: asked for, approved by others, granted for a time, and taken away again."""

from rppam.kernel.slice import Command, Slice

SLICE = Slice(
    name="requests",
    package=__name__,
    tables="tables",
    migrations="migrations",
    actions="events:ACTIONS",
    wire="wiring:wire",
    leader_tasks="wiring:leader_tasks",
    routes=("api:requests", "grants_api:grants", "policies_api:policies", "people_api:people"),
    commands={"request": Command("cli", "Ask for access, and decide about what others ask for.")},
)
