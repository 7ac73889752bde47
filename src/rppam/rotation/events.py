"""What the ledger records of rotation. No detail holds a secret."""

from typing import Final

from rppam.ledger.events import Action, Retention

_M = Retention.ADMINISTRATION

ACTIONS: Final = (
    Action("rotation.rules", "secret", "It was said when and how a secret is changed on its target", _M, "all of them"),
    Action("rotation.order", "secret", "A change of a secret on its target was ordered", _M, "why"),
    Action("rotation.begin", "secret", "A target is about to be given another secret", _M, "target, version, attempt"),
    Action("rotation.done", "secret", "A target takes the new secret", _M, "target, version, attempts"),
    Action("rotation.end", "secret", "A rotation was given up", _M, "why"),
    Action(
        "rotation.fail", "secret", "A target was not given another secret", _M, "target, phase, attempt, what it said"
    ),
)
