"""What one node has asked the members, and what they said: requests under way, last answers, clocks.

An answer counts for the one request it answers and from when that request was *sent*; a request that is older than the
request timeout is unknown, which is never yes and never no. One request a member is under way at most.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Final, NamedTuple

from rppam.cluster.consensus.clock_rates import EVERY_US, Rates
from rppam.cluster.consensus.effects import Ask, Told
from rppam.cluster.consensus.lease import Identity
from rppam.cluster.consensus.membership import Membership
from rppam.cluster.consensus.messages import Candidacy, Refusal, Vote, VoteRequest, VoteRequestKind
from rppam.cluster.consensus.promises import Weights, is_majority
from rppam.cluster.consensus.record import Record
from rppam.kernel.instant import Instant, after

CLOCK_SOURCE: Final = "/sys/devices/system/clocksource/clocksource0/current_clocksource"
STRANGER: Final = (
    "{name} answers as a member of another cluster, founded on its own; neither counts the other's votes. On the one "
    "that is wrong: stop rppam, remove the file 'promise' in node.dataDir, start it; the leader then takes it in"
)


class Open(NamedTuple):
    """A request that waits for its answer."""

    request: int
    kind: VoteRequestKind
    epoch: int
    at: Instant
    """When it was sent."""


class Answer(NamedTuple):
    """What a member said last."""

    vote: Vote
    asked_at: Instant
    at: Instant
    """When it arrived."""


class Peers:
    """What one candidate or leader knows of the members. Tables are never changed in place but for ``open``."""

    __slots__ = (
        "_granted_me",
        "_looks",
        "_me",
        "_requests",
        "answers",
        "next_look",
        "open",
        "rates",
        "strangers",
        "succession",
        "unanswered",
    )

    def __init__(self, me: Identity, now: Instant) -> None:
        self.open: dict[str, Open] = {}
        self.answers: Mapping[str, Answer] = {}
        self.unanswered: Mapping[str, tuple[Instant, Instant]] = {}
        """Members that have been asked without an answer: when first, and when last."""
        self.rates = Rates(me.timing)
        self.strangers: frozenset[str] = frozenset()
        """Members by name that turned out to belong to another cluster."""
        self.succession: tuple[str, ...] = ()
        """Members in the order in which they are invited to follow this node; one that is not named comes last."""
        self._me = me
        self._requests = self._looks = 0
        self.next_look = now
        self._granted_me: dict[str, int] = {}
        """The highest epoch that each member granted this very life."""

    # ---- requests ---------------------------------------------------------------------------------------------------

    def put(
        self, kind: VoteRequestKind, candidacy: Candidacy, membership: Membership, to: Iterable[str], now: Instant
    ) -> list[Ask]:
        """Ask those that are not being asked already."""
        asks = []
        for member in to:
            if member not in self.open:
                self._requests += 1
                self.open[member] = Open(self._requests, kind, candidacy.epoch, now)
                first, last = self.unanswered.get(member, (now, now))
                first = now if now - last > self._me.timing.lease_us else first
                self.unanswered = {**self.unanswered, member: (first, now)}
                asks.append(Ask(member, VoteRequest(kind, self._requests, candidacy, membership, now)))
        return asks

    def take(self, vote: Vote) -> Open | None:
        """The request that this vote answers, which is then answered; ``None`` when nobody waits for it."""
        self._was_answered(vote.voter)
        waiting = self.open.get(vote.voter)
        if waiting is None or (waiting.request, waiting.kind, waiting.epoch) != (vote.request, vote.kind, vote.epoch):
            return None
        return self.open.pop(vote.voter)

    def lost(self, voter: str, request: int) -> None:
        """This request gets no answer."""
        waiting = self.open.get(voter)
        if waiting is not None and waiting.request == request:
            del self.open[voter]
            self._was_answered(voter)  # it was never asked

    def _was_answered(self, voter: str) -> None:
        if voter in self.unanswered:
            self.unanswered = {name: times for name, times in self.unanswered.items() if name != voter}

    def expire(self, now: Instant) -> None:
        """Forget what waits for too long."""
        if not self.open:
            return
        timeout_us = self._me.timing.request_timeout_us
        for member in [name for name, waiting in self.open.items() if now - waiting.at >= timeout_us]:
            del self.open[member]

    @property
    def expires_at(self) -> Instant | None:
        """When the oldest request is given up."""
        if not self.open:
            return None
        return after(min(waiting.at for waiting in self.open.values()), self._me.timing.request_timeout_us)

    # ---- answers ----------------------------------------------------------------------------------------------------

    def granted(self, vote: Vote) -> None:
        """A member has promised something to this very life."""
        self._granted_me[vote.voter] = max(vote.epoch, self._granted_me.get(vote.voter, 0))

    def is_news(self, vote: Vote) -> bool:
        """Return whether the highest epoch that the voter knows is not this node's own attempt."""
        return vote.highest != self._granted_me.get(vote.voter)

    def heard(self, vote: Vote, asked_at: Instant, now: Instant) -> list[Told]:
        """An answer counts. It tells besides whether the voter is a stranger, and the rate of its clock."""
        name = vote.voter
        self.answers = {**self.answers, name: Answer(vote, asked_at, now)}
        told = []
        if (vote.refusal is Refusal.FOREIGN) != (name in self.strangers):
            self.strangers ^= {name}
            if name in self.strangers:
                told.append(Told(STRANGER.format(name=name), is_warning=True))
        if name == self._me.node or not self.rates.observe(name, vote.boot_id, asked_at, now, vote.now):
            return told
        percent = self.rates.off.get(name)
        if percent is None:
            return [*told, Told(f"the clock of {name} runs at this host's rate again; its promises count")]
        how = f"{abs(percent)} % {'faster' if percent > 0 else 'slower'} than this host's"
        fix = f"Check the clock source of both hosts (cat {CLOCK_SOURCE}) and restart the wrong one"
        return [
            *told,
            Told(f"the clock of {name} runs {how}; its promises are not counted. {fix}", is_warning=True),
        ]

    def compared(self, others: tuple[str, ...], leader: str, now: Instant) -> tuple[str, ...]:
        """Members whose clock is to be compared now: the leader's, and another one's in turn; often in the beginning.

        A follower may want the store's vote at any time, and whether its own clock is off it must know by then.
        """
        if not others or now < self.next_look:
            return ()
        beat_us, is_new = self._me.timing.heartbeat_us, self._looks < 2 * len(others)
        self.next_look = after(now, beat_us if is_new else max(EVERY_US, beat_us))
        asked = {others[self._looks % len(others)], leader}
        self._looks += 1
        return tuple(name for name in others if name in asked)

    def keep(self, members: Collection[str]) -> None:
        """Of everybody else nothing need be remembered."""
        self.answers = {name: answer for name, answer in self.answers.items() if name in members}
        self.unanswered = {name: times for name, times in self.unanswered.items() if name in members}
        self.rates.keep(members)


class RecordChallenge:
    """A record that one leader has put to the members, and what they said. It decides nothing about permission."""

    __slots__ = ("_confirmed", "_denied", "_since", "record", "until")

    def __init__(self) -> None:
        self.record: Record | None = None
        """The last record that was put to the members."""
        self.until: Instant | None = None
        """By when they have to have confirmed the leader; ``None`` while nothing is challenged."""
        self._since = Instant(0)
        self._confirmed: set[str] = set()
        self._denied: set[str] = set()

    def put(self, record: Record, now: Instant, until: Instant) -> bool:
        """The store shows ``record``; return whether that is news. A challenge that runs is none the more for it."""
        is_news = record != self.record
        self.record = record
        if is_news and self.until is None:
            self._since, self.until = now, until
            self._confirmed, self._denied = set(), set()
        return is_news

    def heard(self, vote: Vote, asked_at: Instant, *, counts: bool) -> None:
        """A member answered the leader. Other refusals than for another's sake say nothing of who leads."""
        if asked_at < self._since:
            return
        if vote.is_granted and counts:
            self._confirmed.add(vote.voter)
        elif vote.refusal is Refusal.PROMISED:
            self._denied.add(vote.voter)

    def is_refuted(self, *sets: Weights) -> bool:
        """Return whether most members have confirmed the leader since."""
        return self.until is not None and is_majority(self._confirmed, *sets)

    def is_true(self, now: Instant, *sets: Weights) -> bool:
        """Return whether so many members deny the leader, or none of them answered in time, that it was replaced."""
        if self.until is None:
            return False
        left = {name for votes in sets for name in votes} - (self._denied - self._confirmed)
        return now >= self.until or not is_majority(left, *sets)
