"""The electorate: who votes, what the votes are worth, and how it changes without ever being two.

Each member has one vote. The store has ``store_votes``, by the policy. A change has two steps: while it is *pending*
(it then knows the old body too), a majority of the old **and** of the new votes is needed for everything. Versions
order all electorates of one cluster: ``(epoch of the leader that made it, step)``. Whoever is asked by somebody with an
older version refuses; whoever is asked by somebody with a newer one takes it over first.

It is text, kept in every member's file and shown in the store. This module promises nothing about who may make a new
one: that is ``cluster/consensus/membership_change.py``.
"""

import re
from enum import StrEnum
from typing import Final, NamedTuple

from rppam.cluster.consensus.record import EPOCH_MAX

STORE: Final = "(store)"
"""Name of the store as a voter; no node can have it."""
MEMBERS_MAX: Final = 128
TEXT_MAX: Final = 20_000
"""Characters of the longest electorate that is read."""
_FORMAT: Final = "rppam-electorate1"
_NAME: Final = re.compile(r"[a-z0-9-]{1,63}")
_LINEAGE: Final = re.compile(r"[0-9a-f]{16}")
_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,14}")


class QuorumPolicy(StrEnum):
    """How much the store's vote weighs."""

    LAST_MAN_STANDING = "last-man-standing"
    """One vote less than there are members: whoever reaches the store leads, even alone; without it all must agree."""
    MAJORITY = "majority"
    """One vote when the members are even in number, else none: most members decide."""


class VoterSet(NamedTuple):
    """Those who vote together."""

    members: tuple[str, ...]
    """Names in order, witnesses among them."""
    witnesses: tuple[str, ...]
    """Members that vote and never stand."""
    policy: QuorumPolicy

    @classmethod
    def of(
        cls, members: "set[str] | tuple[str, ...]", policy: QuorumPolicy, witnesses: tuple[str, ...] = ()
    ) -> "VoterSet":
        """A body with its names in order."""
        return cls(tuple(sorted(members)), tuple(sorted(witnesses)), policy)

    @property
    def store_votes(self) -> int:
        """What the store's vote is worth."""
        count = len(self.members)
        if self.policy is QuorumPolicy.LAST_MAN_STANDING:
            return count - 1
        return 1 if count % 2 == 0 else 0

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
        """So many members that have a newer electorate on disk keep everybody with an older one from a majority."""
        return len(self.members) - (self.needed - self.store_votes) + 1

    def may_stand(self, node: str) -> bool:
        """Whether ``node`` can lead here."""
        return node in self.members and node not in self.witnesses


class Version(NamedTuple):
    """Orders electorates."""

    epoch: int
    """Of the leader that made it; 0 for the founding."""
    step: int

    def __str__(self) -> str:
        return f"{self.epoch}.{self.step}"


class Membership(NamedTuple):
    """Who votes now."""

    lineage: str
    """Drawn once, when the cluster is founded: electorates of different lineages have nothing to do with each other."""
    version: Version
    body: VoterSet
    old: VoterSet | None = None
    """While a change is pending: the body before it."""

    @property
    def bodies(self) -> tuple[VoterSet, ...]:
        """Each needs a majority."""
        return (self.body,) if self.old is None else (self.old, self.body)

    @property
    def members(self) -> tuple[str, ...]:
        """Everybody whose vote counts in one of the bodies."""
        return self.body.members if self.old is None else tuple(sorted({*self.old.members, *self.body.members}))

    @property
    def store_has_vote(self) -> bool:
        """Whether the store's vote counts in one of the bodies."""
        return any(body.store_votes for body in self.bodies)

    def may_stand(self, node: str) -> bool:
        """Whether ``node`` can lead: in every body."""
        return all(body.may_stand(node) for body in self.bodies)

    def encode(self) -> str:
        """One line of text; read by :func:`parse_electorate`."""
        parts = [_FORMAT, self.lineage, str(self.version.epoch), str(self.version.step), _encode_body(self.body)]
        if self.old is not None:
            parts.append(_encode_body(self.old))
        return " ".join(parts)


def founding(lineage: str, body: VoterSet) -> Membership:
    """The first electorate of a cluster."""
    return Membership(lineage, Version(0, 1), body)


def _encode_body(body: VoterSet) -> str:
    names = ",".join(name + ("*" if name in body.witnesses else "") for name in body.members)
    return f"{body.policy}:{names}"


def parse_electorate(text: str) -> Membership | None:
    """The electorate in ``text``, or ``None`` when it is not one."""
    parts = text.split(" ")
    if len(text) > TEXT_MAX or len(parts) not in {5, 6} or parts[0] != _FORMAT:
        return None
    _, lineage, epoch, step, *bodies = parts
    if not (_LINEAGE.fullmatch(lineage) and _NUMBER.fullmatch(epoch) and _NUMBER.fullmatch(step)):
        return None
    read = [_parse_body(body) for body in bodies]
    body, old = read[0], read[1] if len(read) > 1 else None
    if body is None or (len(read) > 1 and old is None) or int(epoch) > EPOCH_MAX:
        return None
    return Membership(lineage, Version(int(epoch), int(step)), body, old)


def _parse_body(text: str) -> VoterSet | None:
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
