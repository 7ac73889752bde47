"""S5: no promise is ever shortened, and no two electorates can each gather a majority without a common voter.

A promise binds its voter, over all lives of its process, for a lease on its own clock, or until exactly that promise
was given back. One that died with its process before it was told to anybody binds nobody. A membership is usable while
voters that have no newer one on disk could carry it.
"""

from functools import lru_cache
from itertools import chain, combinations

from rppam.cluster.consensus.effects import Freed
from rppam.cluster.consensus.membership import Membership, Version
from rppam.cluster.consensus.messages import Candidacy, Vote, VoteRequestKind
from rppam.cluster.consensus.promises import STORE, is_majority
from rppam.cluster.consensus.status import Status
from rppam.cluster.consensus.timing import Timing
from rppam.kernel.instant import Instant, after
from rppam_sim.host import Host, HostEvent
from rppam_sim.verdict import Broken, Violation

NEVER = Version(0, 0)


class VoteChecker:
    """What all voters of one world have promised."""

    def __init__(self, hosts: list[Host], timing: Timing) -> None:
        self._hosts = hosts
        self._lease_us = timing.lease_us
        self._checked: set[tuple[object, ...]] = set()

    def told(self, host: Host, to: tuple[str, int], vote: Vote) -> None:
        """A promise is told to its candidate, which is known by its name and life."""
        if vote.is_granted and vote.kind is not VoteRequestKind.PROBE:
            self.supported(host, (*to, vote.epoch))
            if host.oath is not None and (host.oath[0].candidate, host.oath[0].epoch) == (to[0], vote.epoch):
                host.oath_told = host.oath

    def supported(self, host: Host, candidacy: tuple[str, int, int]) -> None:
        """A host has supported a candidacy: name, life, epoch."""
        if candidacy != host.supported and candidacy[2] >= host.supported[2]:
            host.supported_before, host.supported = host.supported[2], candidacy

    def seen(self, host: Host, event: HostEvent | None, now_us: int) -> None:
        """A member handled something."""
        if host.election is None:
            return
        status = host.election.status()
        vote = status.vote
        candidacy, until = vote.promise, vote.promised_until
        if host.noted != (host.life, candidacy, until):
            before, host.noted = host.noted, (host.life, candidacy, until)
            if until is not None:
                if host.oath is not None and isinstance(event, Freed) and event.freeing.candidacy == host.oath[0]:
                    host.oath = host.oath_told = None  # given back, and promised anew in the same step
                self._promised(host, candidacy, now_us)
                host.oath = candidacy, host.true_at(voter_end(host, self._lease_us, now_us), now_us)
            elif before is not None and before[0] == host.life and host.oath is not None:
                self._freed(host, event, now_us)
                host.oath = host.oath_told = None
        if _counts_its_own(host, status):
            host.oath_told = host.oath
        if vote.membership is not host.membership:
            host.membership = vote.membership
            self._electorates(now_us)

    def died(self, host: Host) -> None:
        """The process of a host ends: it remains bound by what it has told."""
        host.oath = host.oath_told

    def _promised(self, host: Host, candidacy: Candidacy, now_us: int) -> None:
        if host.oath is None or host.oath[1] <= now_us:
            return
        to = host.oath[0]
        if (to.candidate, to.boot_id) != (candidacy.candidate, candidacy.boot_id):
            left_ms = (host.oath[1] - now_us) // 1000
            raise Broken(
                Violation(
                    "S5",
                    now_us,
                    f"{host.name} promises {candidacy.candidate} epoch {candidacy.epoch}, but for {left_ms} ms more "
                    f"is bound to {to.candidate} (life {to.boot_id[-4:]}) at epoch {to.epoch}",
                )
            )

    def _freed(self, host: Host, event: HostEvent | None, now_us: int) -> None:
        assert host.oath is not None, "asked only about a promise"
        candidacy, until = host.oath
        own = candidacy.candidate == host.name
        if own or until <= now_us or (isinstance(event, Freed) and event.freeing.candidacy == candidacy):
            return
        raise Broken(
            Violation(
                "S5",
                now_us,
                f"{host.name} forgets its promise to {candidacy.candidate} at epoch {candidacy.epoch}, not given back",
            )
        )

    # ---- electorates ------------------------------------------------------------------------------------------------

    def _electorates(self, now_us: int) -> None:
        """Somebody took over another membership: any two that can be used must share a voter."""
        there = [host for host in self._hosts if not host.is_gone]
        on_disk = {
            host.name: NEVER if host.disk.kept.membership is None else host.disk.kept.membership.version
            for host in there
        }
        known = {host.disk.kept.membership for host in there} | {host.membership for host in there}
        used = sorted((one for one in known if one is not None), key=lambda one: one.version)
        state = (tuple(used), tuple(sorted(on_disk.items())))
        if state in self._checked:
            return
        self._checked.add(state)
        for older, newer in combinations(used, 2):
            apart = disjoint(older, _able(older, on_disk), newer, _able(newer, on_disk))
            if apart is not None:
                raise Broken(
                    Violation(
                        "S5",
                        now_us,
                        f"{', '.join(apart)} can elect a leader under version {older.version} of the members, and the "
                        f"others another under version {newer.version}",
                    )
                )


def _counts_its_own(host: Host, status: Status) -> bool:
    """Whether a candidate or leader counts what it has promised itself; it does so once the disk has taken it."""
    return host.oath is not None and host.name in status.promises and host.oath[0] == status.candidacy


def voter_end(host: Host, lease_us: int, now_us: int) -> Instant:
    """When a promise given now ends, on the voter's own clock."""
    return after(host.now(now_us), lease_us)


def _able(membership: Membership, on_disk: dict[str, Version]) -> frozenset[str]:
    """Who could still vote under this membership."""
    able = {name for name in membership.members if name in on_disk and on_disk[name] <= membership.version}
    return frozenset({*able, STORE})


@lru_cache(maxsize=4096)
def disjoint(
    one: Membership, ones: frozenset[str], other: Membership, others: frozenset[str]
) -> tuple[str, ...] | None:
    """A majority of ``one`` that leaves a majority of ``other`` to the rest; ``None`` if there is none."""
    weights = tuple(body.weights for body in one.voter_sets)
    other_weights = tuple(body.weights for body in other.voter_sets)
    if not is_majority(ones, *weights) or not is_majority(others, *other_weights):
        return None
    names = sorted(ones)
    for group in chain.from_iterable(combinations(names, size) for size in range(1, len(names) + 1)):
        if is_majority(group, *weights) and is_majority(others.difference(group), *other_weights):
            return group
    return None
