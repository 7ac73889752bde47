"""The catalogue of what is recorded: each action with its object and its class of retention.

What is not listed is not recorded: :func:`rppam.ledger.record.record` refuses it, so the reference is complete. Names
are ``noun.verb``. What the access to this installation itself is made of stands here; a slice brings its own.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Final, NamedTuple

from rppam.kernel.slice import Declared


class Retention(StrEnum):
    """How long events are kept apart from others."""

    ACCESS = "access"
    """Who signed in, and what was done with it."""
    ADMINISTRATION = "administration"
    """Who changed accounts, rights and settings."""
    CLUSTER = "cluster"
    """What became of leadership and nodes."""


class Action(NamedTuple):
    """One kind of act."""

    name: str
    object: str
    """The kind of what it is done to."""
    meaning: str
    """A sentence without a full stop, for the reference."""
    retention: Retention
    details: str = ""
    """What is recorded beside actor, object and outcome."""
    routine: bool = False
    """The cluster's own bookkeeping, which nobody does: lists leave it out unless they are asked for all."""


class Catalogue(Declared[Action]):
    """Actions by name; a slice declares a sequence of them."""

    def _parts(self, found: Iterable[Action]) -> Iterable[Action]:
        return found

    def routine(self) -> tuple[str, ...]:
        """The names of what lists leave out."""
        return tuple(one.name for one in self.values() if one.routine)


_A, _M, _C = Retention.ACCESS, Retention.ADMINISTRATION, Retention.CLUSTER
ACTIONS: Final = Catalogue(
    (
        Action("login.fail", "user", "A log-in was refused", _A, "the step: password, code or lockout"),
        Action("session.open", "session", "A log-in session began", _A, "kind, second factor, user agent"),
        Action("session.elevate", "session", "A session showed a second factor", _A),
        Action("session.end", "session", "A session ended before its time", _A, "why"),
        Action("session.end-all", "user", "All sessions of an account or of all were ended", _A, "how many, why"),
        Action("user.create", "user", "An account was created", _M, "roles"),
        Action(
            "user.change", "user", "The display name of an account changed, or where it may log in from", _M, "networks"
        ),
        Action("user.disable", "user", "An account was disabled", _M),
        Action("user.enable", "user", "An account was enabled", _M),
        Action("user.delete", "user", "An account was deleted", _M),
        Action("user.password", "user", "A password was set", _M, "whether by its owner"),
        Action("role.grant", "user", "An account got a role", _M, "the role"),
        Action("role.revoke", "user", "An account lost a role", _M, "the role"),
        Action("mfa.begin", "user", "The enrolment of a second factor began", _M),
        Action("mfa.enrol", "user", "A second factor was confirmed", _M),
        Action("mfa.remove", "user", "A second factor was removed", _M),
        Action("mfa.renew", "user", "Backup codes were made anew", _M),
        Action("mfa.spend", "user", "A backup code was used up", _A),
        Action("lockout.begin", "lockout", "Wrong guesses locked a user or an address", _A, "level, until when"),
        Action("lockout.end", "lockout", "A lockout was ended before its time", _M, "until when it would have been"),
        Action("setting.change", "setting", "A setting changed", _M, "revision, the value before and after"),
        Action("note.write", "note", "The operator's note was written", _M, "the text"),
        Action("member.join", "node", "A node became a member", _C),
        Action("member.remove", "node", "A member was removed", _C),
        Action("node.maintain", "node", "Maintenance of a node began", _C),
        Action("node.resume", "node", "Maintenance of a node ended", _C),
        Action("cluster.pause", "cluster", "Elections were paused", _C),
        Action("cluster.resume", "cluster", "Elections were resumed", _C),
        Action("leader.transfer", "node", "Leadership was to go to another node", _C),
        Action("order.take", "node", "An order was taken; its end is recorded with this id", _C, "the action"),
        Action("leader.elect", "node", "A node became the leader", _C, "its epoch"),
        Action("ledger.found", "ledger", "The ledger began, or got a new signing key", _C, "the public key"),
        Action(
            "ledger.cosigner",
            "ledger",
            "A member cosigned for the first time, or with a key that it did not have before",
            _C,
            "the key",
        ),
        Action(
            "checkpoint.context",
            "ledger",
            "The leader told how far the ledger had come",
            _C,
            "the leader, and of each writer with new events the number and hash of its last one",
            routine=True,
        ),
        Action(
            "ledger.adopt",
            "ledger",
            "A restored ledger was taken over by an administrator",
            _C,
            "of which host, how many events it had seen and how many there are",
        ),
        Action(
            "ledger.reset",
            "ledger",
            "A member had forgotten what it had seen of the ledger, and began anew",
            _C,
            "how many events it had cosigned, and where it begins",
        ),
    )
)


def events_page(generated: str) -> str:
    """The reference page of all actions; ``generated`` says that it is."""
    left_out = ", ".join(f"`{name}`" for name in ACTIONS.routine())
    about = (
        "What the ledger records ([the ledger](../ledger.md)). Lists leave the cluster's own bookkeeping out "
        f"({left_out}) unless they are asked for all; what verifies and exports has it."
    )
    lines = ["# Events", "", generated, "", about, ""]
    lines += ["| action | object | what happened | details | class |", "|---|---|---|---|---|"]
    lines += [
        f"| `{one.name}` | {one.object} | {one.meaning} | {one.details} | {one.retention} |" for one in ACTIONS.values()
    ]
    return "\n".join(lines) + "\n"
