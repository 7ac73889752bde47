"""What members say to each other over the member link, and what each of them keeps on disk.

A member's **promise** is "for the next L I support nobody else but (candidate, boot id, epoch)". What gives and takes
promises is ``cluster/consensus/vote.py``; how the words travel is ``cluster/link``. None of them carries a secret.
"""

from enum import StrEnum
from typing import NamedTuple

from rppam.cluster.consensus.membership import Membership, Version
from rppam.kernel.instant import Instant


class Candidacy(NamedTuple):
    """Whom a promise is for: one candidate, in one life, at one epoch."""

    candidate: str
    boot_id: str
    epoch: int


NO_CANDIDACY = Candidacy("", "", 0)
"""What the file of a member that never promised anything names."""


class PersistedVote(NamedTuple):
    """What a member keeps on disk, written before it answers."""

    candidacy: Candidacy
    """The last promise given."""
    membership: Membership | None
    """``None``: it belongs to no cluster yet."""
    highest: int = 0
    """The highest epoch ever promised; the last promise may be for a lower one, to somebody who led already."""


class VoteRequestKind(StrEnum):
    """What a vote request asks for."""

    PROBE = "probe"
    """Would you? Binds nobody; the epoch in it counts for nothing."""
    VOTE = "vote"
    """A candidate asks for a promise."""
    RENEW = "renew"
    """A leader asks for the same promise again."""


class VoteRequest(NamedTuple):
    """A request for a promise."""

    kind: VoteRequestKind
    request: int
    """The asker's number for it; never used twice in one life."""
    candidacy: Candidacy
    membership: Membership
    """As the asker knows it."""
    now: Instant
    """The asker's boot-time clock when it was sent, for the judgement of its rate only."""


class Refusal(StrEnum):
    """Why a vote request was not granted."""

    NONE = ""
    BOOT_WAIT = "it started less than a lease ago and may have promised something"
    PROMISED = "it has promised somebody else"
    OLD_EPOCH = "it has granted this epoch or a higher one before"
    OLD_ELECTORATE = "the asker's list of members is out of date"
    RELEASED = "this epoch was released"
    FOREIGN = "the asker belongs to another cluster"
    NOT_A_CANDIDATE = "the asker is not a member that may lead"
    STRANGE = "its promise file is another host's or a copy; on that host, once the other is off: rppam cluster adopt"


class Readiness(StrEnum):
    """What the voter's own node would do if it were invited to lead."""

    READY = "ready"
    """Stand at once."""
    WAITS = "waits"
    """Nothing yet: it has started, or become a member, just now."""
    ASIDE = "aside"
    """Nothing: it is in maintenance, or stops."""
    UNABLE = "unable"
    """Nothing that holds: its disk keeps no promise, or its promise file is not its own."""


class Vote(NamedTuple):
    """The answer to a vote request.

    A refusal promises nothing and takes nothing back. The candidate learns from it which epoch to stand above next time
    and, where its list of members is old, the new one. It does not count refusals: it gives the attempt up once nobody
    is left to hear from, or the step's time is over.
    """

    kind: VoteRequestKind
    voter: str
    boot_id: str
    """The voter's life."""
    request: int
    epoch: int
    """Of the vote request."""
    is_granted: bool
    refusal: Refusal
    highest: int
    """The highest epoch in the voter's file."""
    version: Version
    """Of the membership on the voter's disk."""
    membership: Membership | None
    """The voter's, when it is newer than the asker's."""
    promised_to: str
    """Whom it has promised, for people; empty when nobody."""
    now: Instant
    """The voter's boot-time clock, for the judgement of its rate only."""
    readiness: Readiness


class Freeing(NamedTuple):
    """The holder of a promise gives it back, for this candidacy and what the same life asked for before."""

    candidacy: Candidacy


class Invitation(NamedTuple):
    """A leader that has released asks somebody to stand, like anybody else but without back-off."""

    candidacy: Candidacy
    """What was released."""


MemberMessage = VoteRequest | Vote | Freeing | Invitation
