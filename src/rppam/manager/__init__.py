"""Orders to the cluster, and its state for people and programs: REST and commands."""

from typing import TYPE_CHECKING

from rppam.kernel.slice import Command, Slice, exports

if TYPE_CHECKING:
    from rppam.manager.on_host import seen_in_redis as seen_in_redis
    from rppam.manager.schemas import PASSWORD_CHARS_MAX as PASSWORD_CHARS_MAX, Flag as Flag, Shape as Shape
    from rppam.manager.status_screen import status_picture as status_picture

SLICE = Slice(
    name="manager",
    package=__name__,
    tables="tables",
    wire="wiring:wire",
    routes=("health_api:auth", "health_api:cluster", "api:orders", "cluster_events:events", "settings_api:settings"),
    commands={
        "cluster": Command("cli", "Give a cluster orders: switchover, maintenance, pause, forget."),
        "status": Command("status_command", "Show the cluster on one screen, from any node."),
    },
)

__getattr__ = exports(
    __name__,
    on_host="seen_in_redis",
    schemas="Flag PASSWORD_CHARS_MAX Shape",
    status_screen="status_picture",
)
