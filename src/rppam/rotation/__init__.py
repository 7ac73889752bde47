"""Rotation: secrets of privileged accounts changed on their targets, so that no crash loses the one that counts."""

from rppam.kernel.slice import Slice

SLICE = Slice(
    name="rotation",
    package=__name__,
    tables="tables",
    migrations="migrations",
    actions="events:ACTIONS",
    wire="wiring:wire",
    leader_tasks="wiring:leader_tasks",
    node_tasks="wiring:node_tasks",
    routes=("api:rotations",),
)
