"""What the ledger records of licences."""

from typing import Final

from rppam.ledger.events import Action, Retention

_M = Retention.ADMINISTRATION
INSTALL, REFUSE, WARN, EXPIRE, REMOVE = (
    "license.install",
    "license.refuse",
    "license.warn",
    "license.expire",
    "license.remove",
)

ACTIONS: Final = (
    Action(INSTALL, "node", "A node runs with a licence that it did not have before", _M, "its id, terms and end"),
    Action(REFUSE, "node", "A node does not use its licence file, and runs as Standard", _M, "why"),
    Action(WARN, "node", "The licence of a node ends within 30 days; once for each licence", _M, "its id and end"),
    Action(EXPIRE, "node", "The licence of a node has ended", _M, "its id and end"),
    Action(REMOVE, "node", "A node runs without the licence file that it had", _M),
)
