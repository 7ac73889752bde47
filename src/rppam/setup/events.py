"""What the ledger records of a node's surroundings."""

from typing import Final

from rppam.ledger.events import Action, Retention

_C = Retention.CLUSTER

ACTIONS: Final = (
    Action("redis-password.begin", "redis", "A new Redis password was added beside the old one", _C, "of whom"),
    Action("redis-password.finish", "redis", "All Redis passwords but the new one were taken away", _C, "of whom"),
)
