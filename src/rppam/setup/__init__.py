"""From nothing to a node, a witness and a Redis: what ``rppam init`` and ``rppam redis`` write."""

from rppam.kernel.slice import Command, Slice

SLICE = Slice(
    name="setup",
    package=__name__,
    public=("errors", "redis_acl"),
    actions="events:ACTIONS",
    commands={
        "init": Command("cli", "Write a first node's config and keys, or join the next node."),
        "redis": Command("redis_cli", "Set up a Redis for this product, make passwords, look at its memory."),
        "tls": Command("tls_cli", "Certificates of an authority of its own: make, issue, renew."),
        "lb": Command("balancer_cli", "Configurations of load balancers in front of the nodes."),
    },
)
