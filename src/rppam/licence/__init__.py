"""Licences: signed files, and what they allow."""

from rppam.kernel.slice import Command, Slice

SLICE = Slice(
    name="licence",
    package=__name__,
    public=("model", "service"),
    actions="events:ACTIONS",
    node_tasks="wiring:node_tasks",
    routes=("api:licence",),
    commands={"license": Command("cli", "Issue, show and verify licence files.")},
)
