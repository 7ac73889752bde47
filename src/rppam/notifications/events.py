"""What the ledger records of channels of notifications."""

from typing import Final

from rppam.ledger.events import Action, Retention

_M: Final = Retention.ADMINISTRATION

ACTIONS: Final = (
    Action("channel.create", "notification-channel", "A channel of notifications was made", _M, "kind, address"),
    Action("channel.change", "notification-channel", "A channel of notifications was changed", _M, "kind, address"),
    Action("channel.delete", "notification-channel", "A channel of notifications was deleted", _M),
    Action("channel.test", "notification-channel", "A test was sent to a channel of notifications", _M),
)
