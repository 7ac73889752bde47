"""Sessions: somebody signed in, from when until when, and what ends it."""

from rppam.kernel.slice import Slice

SLICE = Slice(
    name="sessions",
    package=__name__,
    tables="tables",
    public=("api", "check", "cli", "errors", "model", "service", "store"),
    wire="wiring:wire",
    leader_tasks="wiring:leader_tasks",
    routes=("api:sessions",),
    settings=("policy:SESSIONS",),
)
