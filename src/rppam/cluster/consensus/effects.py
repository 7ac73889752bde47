"""What goes into the election and what comes out of it: plain frozen values."""

from enum import StrEnum
from typing import Any, NamedTuple

from rppam.cluster.consensus.membership import Membership, VoterSet
from rppam.cluster.consensus.messages import Freeing, Invitation, PersistedVote, Readiness, Vote, VoteRequest
from rppam.cluster.consensus.record import Record
from rppam.kernel.fence import Fenced
from rppam.kernel.instant import WallMs


class Phase(StrEnum):
    """Where a node stands in the election."""

    STANDBY = "standby"
    PREVOTE = "prevote"
    """Asking the members, without obligation, whether they would vote for it."""
    LEARNING = "learning"
    """Candidate: asking the database which epochs were used."""
    VOTING = "voting"
    """Candidate: asking the members for their votes, and the store for its."""
    CLAIMING = "claiming"
    """Candidate with a majority: writing the epoch down before it acts."""
    LEADER = "leader"
    STOPPING = "stopping"
    """Stepped down; whatever acted is being stopped."""


class Purpose(StrEnum):
    """Why the record is to be written."""

    ACQUIRE = "acquire"
    RENEW = "renew"
    RECREATE = "re-create"
    RELEASE = "release"


class StepDownReason(StrEnum):
    """Why a leader stopped."""

    PROMISE_ENDED = "promise ended"
    REPLACED = "replaced"
    ASKED = "asked"
    FENCED = "fenced"


# ---- events ---------------------------------------------------------------------------------------------------------


class Tick(NamedTuple):
    """Time passed."""


class Connected(NamedTuple):
    """A connection to the store is up; ``number`` is never used twice."""

    number: int
    identity: str
    """Which server process with which history of data answers; empty when that is not known."""
    extra_wait_us: int = 0
    """Behind a failover: for how long after a new identity the server of before may still confirm writes."""


class Disconnected(NamedTuple):
    """The connection is gone; replies to what was sent over it will not come."""

    number: int


class Granted(NamedTuple):
    """The write was made: the record now says what was proposed."""

    request: int


class Found(NamedTuple):
    """Nothing was written but, where no record was, the vacant mark; the record says ``record``."""

    request: int
    record: Record
    was_absent: bool


class Unknown(NamedTuple):
    """No reply, or an error: the write may or may not have been made, now or later."""

    request: int
    cause: str


class EpochLearned(NamedTuple):
    """The database's highest epoch, or ``None`` when it did not answer; and the wall clock."""

    attempt: int
    highest: int | None
    wall_ms: WallMs


class EpochClaimed(NamedTuple):
    """What the database said to this node's claim of an epoch."""

    attempt: int
    outcome: Fenced


class FenceRefused(NamedTuple):
    """The database has refused a guarded write, or this node's epoch itself, as a newer one was there before."""

    epoch: int
    """What was refused."""
    highest: int
    """What stands there."""
    holder: str = ""
    """Who claimed that, for people."""


class Quiesced(NamedTuple):
    """Everything that acted under ``epoch`` has stopped, the address as well; or a whole lease has passed since."""

    epoch: int


class Voted(NamedTuple):
    """A member answered a vote_request."""

    vote: Vote


class NotVoted(NamedTuple):
    """A vote request surely gets no answer: there is no connection to that member, or it broke."""

    voter: str
    request: int


class Invited(NamedTuple):
    """A leader that has released asks this node to stand."""


class HandOver(NamedTuple):
    """A leader shall release, and invite a successor."""

    to: str
    """Empty: whoever comes first in the order of succession."""
    why: str


class AskAgain(NamedTuple):
    """Have the store's word anew, and if this node leads these members', too; now, and not with the next heartbeat."""

    members: tuple[str, ...] = ()


class PauseFailover(NamedTuple):
    """The administrator pauses automatic failover, or resumes it: while it is paused nobody stands unasked."""

    is_on: bool


class ImposeMembership(NamedTuple):
    """An administrator who states that a majority is lost for good makes ``body`` the membership, here and at once.

    It is the one way that skips the two steps of a change: safe only if those left out never come back as they were.
    """

    body: VoterSet


class ChangeMembership(NamedTuple):
    """The leader shall make ``body`` the membership."""

    body: VoterSet
    stated_off: tuple[str, ...] = ()
    """Members that an operator states to be switched off, for good: they are not waited for."""


class MembershipAdopted(NamedTuple):
    """The own voter has taken over another membership."""

    membership: Membership


class ReleaseHeard(NamedTuple):
    """Somebody says that the record was released: worth a reading, nothing more."""


class Asked(NamedTuple):
    """Another member asks for this one's vote; the answer comes as :class:`SendVote` with the ``handle``."""

    vote_request: VoteRequest
    handle: Any


class Freed(NamedTuple):
    """Another member gives a promise back."""

    freeing: Freeing


class Saved(NamedTuple):
    """The disk has kept what :class:`SaveKept` named, or why not."""

    ticket: int
    why_not: str


class Tried(NamedTuple):
    """The disk was tried without anything to keep, and would not for this reason; empty: it would."""

    why_not: str


class Ready(NamedTuple):
    """What this node would do if it were invited, its own wait after a start left aside; its votes say so."""

    readiness: Readiness


class Ordered(NamedTuple):
    """The members in the order in which they are invited to follow this node; one that is not named comes last."""

    succession: tuple[str, ...]


class StandDown(NamedTuple):
    """The administrator, or the end of the process, asks this node to stop leading and not to stand again."""

    why: str


class StandAgain(NamedTuple):
    """This node may be a candidate again."""


Event = (
    Connected
    | Disconnected
    | Granted
    | Found
    | Unknown
    | EpochLearned
    | EpochClaimed
    | FenceRefused
    | Quiesced
    | Voted
    | NotVoted
    | Invited
    | HandOver
    | AskAgain
    | PauseFailover
    | ImposeMembership
    | ChangeMembership
    | MembershipAdopted
    | ReleaseHeard
    | StandDown
    | StandAgain
    | Ordered
    | Tick
)
VoteEvent = Asked | Freed | Saved | Tried | Ready
"""What concerns this node's own vote, in whichever phase its election is."""

# ---- effects --------------------------------------------------------------------------------------------------------


class Swap(NamedTuple):
    """Write ``proposed`` if the record is exactly ``expected``."""

    expected: Record
    proposed: Record
    purpose: Purpose


class Exchange(NamedTuple):
    """One round trip to the store: read the record, or swap it; where none is, leave ``mark``."""

    request: int
    swap: Swap | None
    mark: Record


class Ask(NamedTuple):
    """Put a vote request to a member; ``to`` may be this node itself."""

    to: str
    vote_request: VoteRequest


class Free(NamedTuple):
    """Tell a member, or this node's own voter, that a promise is given back."""

    to: str
    freeing: Freeing


class Invite(NamedTuple):
    """Ask a member to stand."""

    to: str
    invitation: Invitation


class AdoptMembership(NamedTuple):
    """The own voter shall take over and keep this membership."""

    membership: Membership
    told_by: str = ""
    """The member that has it; empty for one that this node has made."""


class SaveKept(NamedTuple):
    """Put ``kept`` on disk, in the order of the tickets, then say :class:`Saved`."""

    ticket: int
    kept: PersistedVote


class SendVote(NamedTuple):
    """Answer a request. ``handle`` is what was given with it."""

    handle: Any
    vote: Vote


class LearnEpoch(NamedTuple):
    """Ask the database for the highest epoch, and look at the wall clock."""

    attempt: int


class ClaimEpoch(NamedTuple):
    """Ask the database to shut out lower epochs, before acting under this one; silence stops nobody."""

    attempt: int
    epoch: int


class ConfirmEpoch(NamedTuple):
    """Have the database say that nobody stands above the epoch this node leads at; it learns that one if it has not.

    Only a refusal is answered, with :class:`FenceRefused`. No answer changes nothing.
    """

    epoch: int


class Promoted(NamedTuple):
    """This node leads now."""

    epoch: int
    sentence: str


class SteppedDown(NamedTuple):
    """This node stopped leading: stop acting, drop the address, then say :class:`Quiesced`."""

    epoch: int
    reason: StepDownReason
    sentence: str


class RecordRefuted(NamedTuple):
    """The store has no vote, and its record names another leader than the members do."""

    sentence: str


class Told(NamedTuple):
    """A decision worth a line in the log."""

    sentence: str
    is_warning: bool = False
    """Whether an administrator has to do something."""


Effect = (
    Exchange
    | Ask
    | Free
    | Invite
    | AdoptMembership
    | LearnEpoch
    | ClaimEpoch
    | ConfirmEpoch
    | Promoted
    | SteppedDown
    | RecordRefuted
    | Told
    | SaveKept
    | SendVote
)
