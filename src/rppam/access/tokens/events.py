"""What the ledger records of the keys that sign tokens."""

from typing import Final

from rppam.ledger.events import Action, Retention

_M = Retention.ADMINISTRATION

ACTIONS: Final = (
    Action("token-key.make", "token-key", "A key that signs access tokens was made on a node's host", _M, "from when"),
    Action("token-key.retire", "token-key", "A key that signs access tokens was removed from a node's host", _M),
)
