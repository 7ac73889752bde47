"""Orders to the cluster, and its state for people and programs: REST and commands."""

from rppam.kernel.slice import Command, Slice

SLICE = Slice(
    name="manager",
    package=__name__,
    tables="tables",
    public=("cluster_events", "forwarding", "on_host", "schemas", "status_screen"),
    actions="events:ACTIONS",
    wire="wiring:wire",
    leader_tasks="wiring:leader_tasks",
    routes=("health_api:cluster", "api:orders", "cluster_events:events", "settings_api:settings"),
    commands={
        "cluster": Command("cli", "Give a cluster orders: switchover, maintenance, pause, forget."),
        "settings": Command("settings_command", "Show and change settings of the whole cluster, while it runs."),
        "status": Command("status_command", "Show the cluster on one screen, from any node."),
    },
)
