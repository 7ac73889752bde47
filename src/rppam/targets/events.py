"""What the ledger records of targets."""

from typing import Final

from rppam.ledger.events import Action, Retention

_M: Final = Retention.ADMINISTRATION

ACTIONS: Final = (
    Action("resource.create", "resource", "A resource was added", _M, "kind, address, port, tags"),
    Action("resource.change", "resource", "A resource was changed", _M, "what is different"),
    Action("resource.delete", "resource", "A resource was deleted", _M),
    Action("resource.pin", "resource", "A host key or certificate was pinned", _M, "type, fingerprint, by whom"),
    Action("resource.unpin", "resource", "A host key or certificate is pinned no more", _M, "type, fingerprint"),
    Action("account.create", "account", "A privileged account was added", _M, "its resource, tags"),
    Action("account.change", "account", "A privileged account was changed", _M, "what is different"),
    Action("account.delete", "account", "A privileged account was deleted", _M),
)
