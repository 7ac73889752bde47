"""The membership: who votes, what the votes are worth, and how that changes without ever being two.

Each member has one vote. The store has ``store_votes``, by the policy. A voter's **promise** says "until then, I
support nobody else": a node may lead while it holds unexpired promises worth more than half of all votes. Any two
majorities share a voter, and a voter never promises twice at a time: that is the whole of the safety argument.

**A change** is led by the leader in two steps. First a *pending* list that needs the old and the new votes for
everything; it is in force when so many of the old members have it on disk that nobody with an older one can gather a
majority any more. Then the new one alone. A leader that finds a change pending finishes it: it never goes back. But
first it makes it anew, under its own epoch: another leader may have begun another change meanwhile, from the same list
and with a later version, and a node that has the earlier one on disk would follow that (the same hole as in Raft,
section 5.4.2: what an earlier leader left is not committed by counting). It begins only when the promises it holds
would carry it under both lists, so a change does not cost the leadership, and when every newcomer's own is among them:
a node that cannot vote, as it has another cluster key, another release or a clock that runs wrong, would only make a
majority dearer.

Versions order all lists of one cluster: ``(epoch of the leader that made it, step)``. A list is text, kept in every
member's file and sent along with every request for a vote. A member that is stated to be switched off is not waited
for: who states that of a running one breaks the rule by hand.
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from rppam.cluster.consensus.promises import STORE, Promises
from rppam.cluster.consensus.record import EPOCH_MAX
from rppam.kernel.instant import Instant

if TYPE_CHECKING:
    from rppam.cluster.consensus.rules import MembershipRules

MEMBERS_MAX: Final = 128
STEP_MAX: Final = 10**9
"""Far above every number of changes that one leader makes."""
TEXT_MAX: Final = 20_000
"""Characters of the longest list that is read."""
NOT_BEGUN: Final = (
    "the members did not become {names}: the votes for that could not be won in time, and the order is dropped. See "
    "'rppam status' for whose are missing, and give it again"
)
_FORMAT: Final = "rppam-electorate1"
_NAME: Final = re.compile(r"[a-z0-9-]{1,63}")
_LINEAGE: Final = re.compile(r"[0-9a-f]{16}")
_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,14}")


class QuorumPolicy(StrEnum):
    """How much the store's vote weighs, where members vote."""

    LAST_MAN_STANDING = "last-man-standing"
    """One vote less than there are members: whoever reaches the store leads, even alone; without it all must agree."""
    MAJORITY = "majority"
    """One vote when the members are even in number, else none: most members decide."""


class RecordPolicy(StrEnum):
    """The third policy, which nobody chooses among members: a cluster without a key has none that could vote."""

    RECORD = "record"
    """The record alone decides: the store has the only vote that has to be won."""


class VoterSet(NamedTuple):
    """Those who vote together."""

    members: tuple[str, ...]
    """Names in order, witnesses among them."""
    witnesses: tuple[str, ...]
    """Members that vote and never stand."""
    policy: QuorumPolicy | RecordPolicy

    @classmethod
    def of(
        cls,
        members: "set[str] | tuple[str, ...]",
        policy: QuorumPolicy | RecordPolicy,
        witnesses: tuple[str, ...] = (),
    ) -> "VoterSet":
        """A set with its names in order."""
        return cls(tuple(sorted(members)), tuple(sorted(witnesses)), policy)

    @property
    def store_votes(self) -> int:
        """What the store's vote is worth."""
        count = len(self.members)
        if self.policy is RecordPolicy.RECORD:
            return 1
        if self.policy is QuorumPolicy.LAST_MAN_STANDING:
            return max(0, count - 1)
        return 1 if count and count % 2 == 0 else 0

    @property
    def weights(self) -> dict[str, int]:
        """Votes by voter, the store among them when it has any."""
        votes = dict.fromkeys(self.members, 1)
        if self.store_votes:
            votes[STORE] = self.store_votes
        return votes

    @property
    def needed(self) -> int:
        """The least number of votes that is more than half."""
        return (len(self.members) + self.store_votes) // 2 + 1

    @property
    def blocking(self) -> int:
        """So many members that have a newer list on disk keep everybody with an older one from a majority."""
        return len(self.members) - (self.needed - self.store_votes) + 1

    def may_stand(self, node: str) -> bool:
        """Return whether ``node`` can lead here."""
        return node in self.members and node not in self.witnesses


class Version(NamedTuple):
    """Orders lists of members."""

    epoch: int
    """Of the leader that made it; 0 for the founding."""
    step: int

    def __str__(self) -> str:
        return f"{self.epoch}.{self.step}"


NO_VERSION: Final = Version(0, 0)
VOUCHED: Final = "a node vouches for it"


class Membership(NamedTuple):
    """Who votes now."""

    lineage: str
    """Drawn once, when the cluster is founded: lists of different lineages have nothing to do with each other."""
    version: Version
    body: VoterSet
    old: VoterSet | None = None
    """While a change is pending: the voters before it."""
    vouch: str = ""
    """:data:`VOUCHED`: a node's word for it came along; else that word, which a witness passes on and cannot read."""

    @property
    def voter_sets(self) -> tuple[VoterSet, ...]:
        """Each needs a majority."""
        return (self.body,) if self.old is None else (self.old, self.body)

    @property
    def members(self) -> tuple[str, ...]:
        """Everybody whose vote counts in one of the sets."""
        return self.body.members if self.old is None else tuple(sorted({*self.old.members, *self.body.members}))

    @property
    def store_has_vote(self) -> bool:
        """Whether the store's vote counts in one of the sets."""
        return any(voters.store_votes for voters in self.voter_sets)

    def may_stand(self, node: str) -> bool:
        """Return whether ``node`` can lead: in every set."""
        return self.body.may_stand(node) and (self.old is None or self.old.may_stand(node))

    def may_lead(self, node: str) -> bool:
        """Return whether ``node`` may be leading, by this list or the one before; anybody may where none is known."""
        return not self.members or any(voters.may_stand(node) for voters in self.voter_sets)

    def encode(self) -> str:
        """One line of text, without its vouch; read by :func:`parse_membership`."""
        parts = [_FORMAT, self.lineage, str(self.version.epoch), str(self.version.step), _encode_voters(self.body)]
        if self.old is not None:
            parts.append(_encode_voters(self.old))
        return " ".join(parts)


RECORD_ALONE: Final = Membership("", NO_VERSION, VoterSet((), (), RecordPolicy.RECORD))
"""Where no member votes."""
NO_CLUSTER: Final = Membership("", NO_VERSION, VoterSet((), (), QuorumPolicy.MAJORITY))
"""What a node goes by that belongs to no cluster yet: nobody votes, so it never has a majority."""


def founding(lineage: str, voters: VoterSet) -> Membership:
    """The first list of a cluster."""
    return Membership(lineage, Version(0, 1), voters)


def _encode_voters(voters: VoterSet) -> str:
    names = ",".join(name + ("*" if name in voters.witnesses else "") for name in voters.members)
    return f"{voters.policy}:{names}"


def parse_membership(text: str) -> Membership | None:
    """The list of members in ``text``, or ``None`` when it is not one."""
    parts = text.split(" ")
    if len(text) > TEXT_MAX or len(parts) not in {5, 6} or parts[0] != _FORMAT:
        return None
    _, lineage, epoch, step, *texts = parts
    if not (_LINEAGE.fullmatch(lineage) and _NUMBER.fullmatch(epoch) and _NUMBER.fullmatch(step)):
        return None
    read = [_parse_voters(one) for one in texts]
    voters, old = read[0], read[1] if len(read) > 1 else None
    if voters is None or (len(read) > 1 and old is None) or int(epoch) > EPOCH_MAX:
        return None
    return Membership(lineage, Version(int(epoch), int(step)), voters, old)


def _parse_voters(text: str) -> VoterSet | None:
    policy, _, names = text.partition(":")
    if policy not in {entry.value for entry in QuorumPolicy}:
        return None
    listed = names.split(",")
    members = tuple(name.removesuffix("*") for name in listed)
    if not all(_NAME.fullmatch(name) for name in members) or list(members) != sorted(set(members)):
        return None
    if len(members) > MEMBERS_MAX:
        return None
    witnesses = tuple(name.removesuffix("*") for name in listed if name.endswith("*"))
    return None if len(witnesses) == len(members) else VoterSet(members, witnesses, QuorumPolicy(policy))


class Wanted(NamedTuple):
    """What an administrator, or a newcomer, wants the members to be."""

    voters: VoterSet | None = None
    """``None``: nothing else than what is."""
    stated_off: frozenset[str] = frozenset()
    """Members that an operator states to be switched off: they are not waited for."""
    until: Instant = Instant(0)
    """Dropped if it cannot begin before."""

    def asked_too(self, membership: Membership) -> tuple[str, ...]:
        """Everybody whose promise is sought: the members, and those who shall be."""
        if self.voters is None:
            return membership.members
        return tuple(sorted({*membership.members, *self.voters.members}))

    def is_idle(self, membership: Membership, least: Instant) -> bool:
        """Return whether nothing is to be done, all is done, or nobody came in time."""
        wants_none = self.voters is None or self.voters == membership.body or least > self.until
        return membership.old is None and wants_none

    def is_an_order(self, present: VoterSet) -> bool:
        """A newcomer asks again by itself; an administrator does not."""
        wanted = self.voters
        return wanted is not None and wanted != present and not set(wanted.members) > set(present.members)


def next_step(
    rules: "MembershipRules",
    wanted: Wanted,
    membership: Membership,
    promises: Promises,
    on_disk: Mapping[str, Version],
    epoch: int,
    least: Instant,
) -> Membership | None:
    """The next step if it can be taken now; the leadership must be carried beyond ``least`` after it.

    And for no shorter than before it: a node that wins by the new votes alone waits only for what those promised.
    """
    version = Version(epoch, membership.version.step + 1 if membership.version.epoch == epoch else 1)
    if membership.old is not None:
        is_own = membership.version.epoch == epoch
        step = Membership(membership.lineage, version, membership.body, None if is_own else membership.old)
        off = wanted.stated_off
        have = sum(
            name in off or on_disk.get(name, NO_VERSION) >= membership.version for name in membership.old.members
        )
        is_ready = not is_own or rules.is_in_force(have, membership.old)
    elif wanted.voters is None:
        return None
    else:
        step = Membership(membership.lineage, version, wanted.voters, membership.body)
        newcomers = set(wanted.voters.members) - set(membership.members)
        is_ready = all(promises.holds(name, least) for name in newcomers)
    if not is_ready:
        return None
    deadline = promises.deadline_under(*(voters.weights for voters in step.voter_sets))
    if deadline is None or deadline <= least:
        return None
    return step if rules.lasts(deadline, promises.longest) else None
