"""Who hears of what becomes of a request, and of a check-out that somebody has ended: a row in the outbox of
notifications, in the same transaction.

A message says what is asked for and where to look; it decides nothing. Whoever approves signs in.
"""

from collections.abc import Collection, Iterable
from typing import Any, Final

from sqlalchemy import Connection, select

from rppam.http.times import iso_utc
from rppam.kernel.instant import WallMs
from rppam.notifications.outbox import notify
from rppam.requests.machine import Decide, Effect, Event, Outcome, Prolong, Request, State
from rppam.requests.rows_store import Stored, names_of
from rppam.requests.standing_store import reviewers
from rppam.requests.tables import user_contacts
from rppam.vault.model import Checkout, Entry

_TITLES: Final = {
    "request.created": "{requester} asks for {object}",
    "request.emergency": "EMERGENCY: {requester} has taken {object}",
    "request.granted": "{requester} was granted {object}",
    "request.denied": "The request of {requester} for {object} was denied",
    "request.expired": "The request of {requester} for {object} has expired",
    "request.cancelled": "The request of {requester} for {object} was cancelled",
    "request.reviewed": "The emergency of {requester} with {object} was reviewed",
    "grant.ending": "The access of {requester} to {object} ends soon",
    "grant.extended": "The access of {requester} to {object} lasts longer",
    "grant.ended": "The access of {requester} to {object} has ended",
    "grant.revoked": "The access of {requester} to {object} was taken away",
}
_ENDS: Final = {
    State.DENIED: "request.denied",
    State.EXPIRED: "request.expired",
    State.CANCELLED: "request.cancelled",
    State.ENDED: "grant.ended",
    State.REVOKED: "grant.revoked",
}


def tell_new(connection: Connection, made: Stored) -> None:
    """Tell approvers; of an emergency who has taken it, and everybody who may review it."""
    if made.request.emergency:
        people = dict.fromkeys([made.request.requester, *reviewers(connection)])
        _tell(connection, made, "request.emergency", people, "")
    elif made.request.terms.needed:
        _tell(connection, made, "request.created", [one.user for one in made.request.approvers], "")


def tell(connection: Connection, found: Stored, outcome: Outcome, event: Event | None, why: str) -> None:
    """Tell the requester what has become of it."""
    kind = _kind(outcome, event)
    if kind:
        _tell(connection, found, kind, [found.request.requester], why, outcome.request)


class HolderTold:
    """Tells who had a secret that somebody has taken it back. Implements :class:`~rppam.vault.ports.Tells`."""

    def forced(self, connection: Connection, entry: Entry, checkout: Checkout, by: str, reason: str) -> None:
        """Put it into the outbox, with the holder's mail address where there is one."""
        place = f"{entry.folder}/{entry.name}".strip("/")
        notify(
            connection,
            "checkout.forced",
            {
                "title": f"{by} has ended the check-out of {place} by {checkout.holder.name}",
                "entry": entry.id,
                "object": place,
                "holder": checkout.holder.name,
                "by": by,
                "why": reason,
                "link": "/console/#/vault",
                "mail_to": _mail_of(connection, [checkout.holder.user_id] if checkout.holder.user_id else []),
            },
        )


def _mail_of(connection: Connection, people: Collection[str]) -> list[str]:
    mail = select(user_contacts.c.email).where(user_contacts.c.user_id.in_(people), user_contacts.c.email != "")
    return sorted(connection.execute(mail).scalars())


def _kind(outcome: Outcome, event: Event | None) -> str:
    effects = outcome.effects
    if Effect.REVIEWED in effects:
        return "request.reviewed"
    if Effect.WARN in effects:
        return "grant.ending"
    if Effect.PROLONG in effects:
        return ""  # what it makes longer tells that
    if isinstance(event, Prolong):
        return "grant.extended"
    if Effect.GRANT in effects:
        return "request.granted" if isinstance(event, Decide) else ""
    return _ENDS.get(outcome.request.state, "") if Effect.OVER in effects else ""


def _tell(
    connection: Connection, found: Stored, kind: str, people: Iterable[str], why: str, after: Request | None = None
) -> None:
    """``after``: what the request is now, where that is not what was found."""
    row, request = found.row, found.request
    concerned = list(people)
    names = names_of(connection, [request.requester, *concerned])
    facts: dict[str, Any] = {"requester": names.get(request.requester, ""), "object": row.object_name}
    body = {
        "title": _TITLES[kind].format(**facts),
        "request": request.id,
        **facts,
        "rights": row.rights.split(","),
        "minutes": request.terms.minutes,
        "access": _access(after or request),
        "reason": row.reason,
        "approvers": [names[one] for one in concerned if kind == "request.created"],
        "why": why,
        "link": f"/console/#/requests/{request.id}",
        "mail_to": _mail_of(connection, concerned),
    }
    notify(connection, kind, body)


def _access(request: Request) -> str:
    """When it can be used, in words; empty where it gives no access now."""
    if request.state not in {State.APPROVED, State.ACTIVE} or request.extends:
        return ""
    if request.begins_at is not None and request.until is not None:
        return f"from {iso_utc(WallMs(request.begins_at))} to {iso_utc(WallMs(request.until))}"
    if request.use_by is None:
        return ""
    deadline = iso_utc(WallMs(request.use_by))
    return f"for {request.terms.minutes} minutes from its first use, which has to be before {deadline}"
