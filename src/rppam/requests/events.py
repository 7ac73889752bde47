"""What the ledger records of requests for access, grants and the policies behind them."""

from typing import Final

from rppam.ledger.events import Action, Retention

_A, _M = Retention.ACCESS, Retention.ADMINISTRATION

ACTIONS: Final = (
    Action("request.create", "request", "Access was asked for", _A, "object, rights, minutes, policy, emergency"),
    Action(
        "request.approve",
        "request",
        "An approver approved a request, or somebody was refused to",
        _A,
        "second factor, enough or not",
    ),
    Action("request.deny", "request", "An approver denied a request, or somebody was refused to", _A, "second factor"),
    Action("request.cancel", "request", "A request was taken back", _A),
    Action("request.expire", "request", "A request was not decided or not used in time", _A),
    Action("request.review", "request", "An emergency was reviewed", _A),
    Action("grant.create", "grant", "Access was granted", _A, "request, user, object, rights, minutes"),
    Action("grant.begin", "grant", "The time of a grant began to run", _A, "until"),
    Action("grant.extend", "grant", "A grant was made longer", _A, "request, minutes, until"),
    Action("grant.revoke", "grant", "A grant was taken away", _A),
    Action("grant.end", "grant", "A grant ended", _A, "why"),
    Action("approval-policy.create", "approval-policy", "An approval policy was made", _M, "all of it"),
    Action("approval-policy.change", "approval-policy", "An approval policy was changed", _M, "all of it"),
    Action("approval-policy.delete", "approval-policy", "An approval policy was deleted", _M),
    Action("user-group.create", "user-group", "A group of users was made", _M, "members"),
    Action("user-group.change", "user-group", "A group of users was changed", _M, "members"),
    Action("user-group.delete", "user-group", "A group of users was deleted", _M),
    Action("contact.change", "user", "Manager or mail address of an account changed", _M, "manager"),
)
