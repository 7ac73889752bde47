"""What the ledger records of passkeys."""

from typing import Final

from rppam.ledger.events import Action, Retention

_M: Final = Retention.ADMINISTRATION

ACTIONS: Final = (
    Action("passkey.add", "user", "A passkey was added to an account", _M, "its name and site"),
    Action("passkey.remove", "user", "A passkey was taken from an account", _M, "its name"),
    Action("passkey.reset", "user", "All passkeys of an account were taken away by somebody else", _M, "their names"),
)
