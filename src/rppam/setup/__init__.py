"""From nothing to a node, a witness and a Redis: what ``rppam init`` and ``rppam redis`` write."""

from typing import TYPE_CHECKING

from rppam.kernel.slice import Command, Slice, exports

if TYPE_CHECKING:
    from rppam.setup.errors import DemoError as DemoError

SLICE = Slice(
    name="setup",
    package=__name__,
    commands={
        "init": Command("cli", "Write a first node's config and keys, or join the next node."),
        "redis": Command("redis_cli", "Set up a Redis for this product, make passwords, look at its memory."),
    },
)

__getattr__ = exports(
    __name__,
    errors="DemoError",
)
