"""What the ledger records of SIEM targets."""

from typing import Final

from rppam.ledger.events import Action, Retention

_M: Final = Retention.ADMINISTRATION

ACTIONS: Final = (
    Action("siem.create", "siem-target", "A SIEM target was made", _M, "kind, address, format"),
    Action("siem.change", "siem-target", "A SIEM target was changed", _M, "kind, address, format"),
    Action("siem.delete", "siem-target", "A SIEM target was deleted", _M),
    Action(
        "siem.shorten",
        "siem-target",
        "An event was too large for a SIEM target, which got it without its details",
        _M,
        "index, id, bytes",
    ),
    Action("siem.test", "siem-target", "A test event was sent to a SIEM target", _M),
)
