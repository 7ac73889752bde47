"""Policies, groups and requests as they are kept and shown. Pure."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final, NamedTuple

from rppam.kernel.instant import WallMs
from rppam.requests.machine import CountsFrom, Request

MINUTES_MAX: Final = 30 * 24 * 60
REASON_CHARS: Final = 1_000
PAGE_SIZE: Final = 50
PAGE_SIZE_MAX: Final = 200


class Mode(StrEnum):
    """How a request is approved. The product's names."""

    AUTO = "auto_approve"
    SINGLE = "single_approver"
    MULTI = "multi_approver"
    MANAGER = "manager_approval"
    TIMED = "time_based_auto"
    """Granted at once within its windows, else approved like ``multi_approver``."""


class Level(StrEnum):
    """Whom a policy is for. The first that there is holds: user, group, default."""

    USER = "user"
    GROUP = "group"
    DEFAULT = "default"


class FactorRule(StrEnum):
    """Whether whoever decides has to show a second factor."""

    NONE = "none"
    ENROLLED = "enrolled"
    """Those who have one: an authenticator, or a passkey."""
    REQUIRED = "required"


class ObjectKind(StrEnum):
    """What access is asked for."""

    ACCOUNT = "account"
    """A privileged account on a target."""
    ENTRY = "entry"
    """An entry of the vault."""


class Right(StrEnum):
    """What may be done by a grant."""

    USE = "use"
    """Without seeing the secret."""
    USE_SHELL = "use-shell"
    """As ``use``, for shells and commands alone."""
    USE_FILES = "use-files"
    """As ``use``, for the transfer of files alone."""
    REVEAL = "reveal"
    CHECKOUT = "checkout"


class Window(NamedTuple):
    """Hours of the week within which ``time_based_auto`` grants at once."""

    days: tuple[int, ...]
    """1 for Monday to 7 for Sunday."""
    begins: str
    """``HH:MM``."""
    ends: str
    """``HH:MM``; at or before ``begins``: on the next day."""


class Rules(NamedTuple):
    """What a policy says."""

    mode: Mode = Mode.SINGLE
    approvals: int = 1
    denials: int = 1
    approver_group: str = ""
    """Id of the group whose members approve; empty: the roles ``pam_approver`` and ``pam_admin``."""
    stand_in_minutes: int = 0
    """After so long ``pam_admin`` may decide as well; 0: never."""
    excluded: tuple[tuple[str, str], ...] = ()
    """Pairs of requester and approver, by id."""
    max_minutes: int = 480
    counts_from: CountsFrom = CountsFrom.USE
    decide_minutes: int = 24 * 60
    use_minutes: int = 24 * 60
    extensions: int = 1
    """How often one grant is made longer."""
    windows: tuple[Window, ...] = ()
    time_zone: str = "UTC"
    factor: FactorRule = FactorRule.ENROLLED
    reason_pattern: str = ""
    """A regular expression that the reason has to contain: the number of a ticket."""
    emergency_minutes: int = 60
    """Length of an emergency; 0: there are none."""
    emergencies_per_day: int = 3


class Policy(NamedTuple):
    """A policy as it is kept."""

    id: str
    name: str
    level: Level
    subject: str
    """Id of the user or group; empty for the default."""
    priority: int
    """Of several groups' policies the highest holds."""
    rules: Rules
    revision: int


BUILT_IN: Final = Policy("", "built-in", Level.DEFAULT, "", 0, Rules(), 0)
"""Holds while there is no other default."""


class Group(NamedTuple):
    """A group of users."""

    id: str
    name: str
    members: tuple[str, ...]
    revision: int


class Contact(NamedTuple):
    """What approvals have to know about an account."""

    user_id: str
    manager_id: str
    email: str
    revision: int


class Wanted(NamedTuple):
    """What somebody asks for."""

    kind: ObjectKind
    object_id: str
    object_name: str
    rights: tuple[Right, ...]
    minutes: int
    reason: str
    starts_at: WallMs | None = None
    emergency: bool = False
    factor: str = ""
    """How the requester has proved a second factor."""


class Record(NamedTuple):
    """A request with what people want to know of it."""

    request: Request
    version: int
    requester_name: str
    policy: str
    wanted: Wanted
    created_at: WallMs
    grant_id: str
    ended_at: WallMs | None
    why: str
    approver_names: Mapping[str, str]
    notes: Mapping[str, str]
    """What approvers have said, by their id."""


class Grant(NamedTuple):
    """Access that somebody has or had."""

    id: str
    request_id: str
    user_id: str
    user_name: str
    kind: ObjectKind
    object_id: str
    object_name: str
    rights: tuple[Right, ...]
    state: str
    created_at: WallMs
    begins_at: WallMs | None
    until: WallMs | None
    use_by: WallMs | None
    ended_at: WallMs | None
    ended_why: str
    version: int


def rules_of(found: Mapping[str, Any]) -> Rules:
    """Rules from stored JSON; a field that this release does not know is passed over."""
    known = {name: value for name, value in found.items() if name in Rules._fields}
    return Rules(**known)._replace(
        mode=Mode(known.get("mode", Mode.SINGLE)),
        counts_from=CountsFrom(known.get("counts_from", CountsFrom.USE)),
        factor=FactorRule(known.get("factor", FactorRule.ENROLLED)),
        excluded=tuple((one[0], one[1]) for one in known.get("excluded", ())),
        windows=tuple(Window(tuple(days), begins, ends) for days, begins, ends in known.get("windows", ())),
    )
