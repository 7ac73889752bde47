"""A change of the electorate, led by the leader in two steps so that two disjoint majorities never exist.

First a *pending* electorate that needs the old and the new votes for everything; it is in force when so many of the old
members have it on disk that nobody who has an older one can gather a majority any more. Then the new one alone. A
leader that finds a change pending finishes it: it never goes back. But first it makes it anew, under its own epoch:
another leader may have begun another change meanwhile, from the same list and with a later version, and whoever has the
earlier one on disk would follow that (the same hole as in Raft, section 5.4.2: what an earlier leader left is not
committed by counting). It begins only when the promises it holds would carry it under both bodies, so a change does not
cost the leadership, and when every newcomer's own is among them: whoever cannot vote, as he has another cluster key,
another release or a clock that runs wrong, would only make a majority dearer.

It does not decide whether a member *should* come or go. A member that is stated to be switched off is not waited for:
whoever states that of a running one breaks the rule by hand.
"""

from typing import Final

from rppam.cluster.consensus.ledger import Ledger
from rppam.cluster.consensus.membership import Membership, Version, VoterSet
from rppam.kernel.instant import Instant

NOT_BEGUN: Final = (
    "the members did not become {names}: the votes for that could not be won in time, and the order is dropped. See "
    "'rppam status' for whose are missing, and give it again"
)


class MembershipChange:
    """What a leader knows of a change."""

    __slots__ = ("_has", "_until", "stated_off", "wanted")

    def __init__(self) -> None:
        self.wanted: VoterSet | None = None
        """What the electorate shall become."""
        self.stated_off: frozenset[str] = frozenset()
        self._until = Instant(0)
        self._has: dict[str, Version] = {}

    def want(self, body: VoterSet, stated_off: tuple[str, ...], until: Instant) -> None:
        """Have ``body`` as the electorate; dropped if it cannot begin before ``until``, or for a later wish."""
        self.wanted = body
        self._until = until
        self.stated_off = frozenset(stated_off)

    def heard(self, voter: str, version: Version) -> None:
        """A voter says which electorate it has on disk."""
        self._has[voter] = version

    def has(self, member: str, version: Version) -> bool:
        """Whether a member need not be waited for any more: it has that electorate on disk, or is off."""
        return member in self.stated_off or self._has.get(member, Version(0, 0)) >= version

    def forget(self) -> None:
        """This node does not lead any more."""
        self.wanted = None
        self.stated_off = frozenset()
        self._has.clear()

    def asked_too(self, electorate: Membership) -> tuple[str, ...]:
        """Everybody whose promise is sought: the members, and those who shall be."""
        if self.wanted is None:
            return electorate.members
        return tuple(sorted({*electorate.members, *self.wanted.members}))

    def next(self, electorate: Membership, ledger: Ledger, epoch: int, least: Instant) -> Membership | None:
        """The next step if it can be taken now; the leadership must be carried beyond ``least`` after it.

        And for no shorter than before it: who wins by the new votes alone waits only for what those promised.
        """
        version = Version(epoch, electorate.version.step + 1 if electorate.version.epoch == epoch else 1)
        if electorate.old is not None:
            is_own = self.is_own(electorate, epoch)
            step = Membership(electorate.lineage, version, electorate.body, None if is_own else electorate.old)
            ready = not is_own or self.is_in_force(electorate)
        elif self.wanted is None or self.wanted == electorate.body or least > self._until:
            self.wanted = None  # nothing to do, done, or nobody came
            return None
        else:
            step = Membership(electorate.lineage, version, self.wanted, electorate.body)
            newcomers = set(self.wanted.members) - set(electorate.members)
            ready = all(ledger.holds(name, least) for name in newcomers)
        if not ready:
            return None
        deadline = ledger.deadline_under(*(body.weights for body in step.bodies))
        if deadline is None or deadline <= least:
            return None
        # Not shorter than before: whatever acts until then, as an address that was set for so long, is told nothing.
        return step if ledger.longest is None or deadline >= ledger.longest else None

    def is_own(self, electorate: Membership, epoch: int) -> bool:
        """Whether the leader of this epoch made it."""
        return electorate.version.epoch == epoch

    def is_in_force(self, electorate: Membership) -> bool:
        """Whether enough of the old members have the pending electorate on disk."""
        old = electorate.old
        if old is None:
            return True
        have = sum(1 for member in old.members if self.has(member, electorate.version))
        return have >= old.blocking


def is_an_order(wanted: VoterSet, present: VoterSet) -> bool:
    """A newcomer asks again by itself; an administrator does not."""
    return wanted != present and not set(wanted.members) > set(present.members)
