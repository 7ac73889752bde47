"""Between members: directed links that delay, lose, hold back, repeat, break, and may be cut one way.

A vote goes back to the very life that asked. A request that surely gets no answer (nobody listens there, or the link
broke) is told to its asker; one that is merely lost is not.
"""

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any

from rppam.cluster.consensus.effects import Ask, Asked, Free, Freed, Invite, Invited, NotVoted, Phase, SendVote, Voted
from rppam.cluster.consensus.membership import VOUCHED, Membership
from rppam.cluster.consensus.messages import Freeing
from rppam_sim.host import Asker, Host
from rppam_sim.transcript import candidacy_words, vote_request_words, vote_words

if TYPE_CHECKING:
    from rppam_sim.world import World


WORD = "of a node"


def vouched(sender: Host, to: Host, membership: Membership) -> Membership:
    """A list of members as ``to`` gets it: a node vouches for what it sends, a witness passes on what it has."""
    vouch = membership.vouch if sender.is_witness else WORD
    own = None if to.election is None else to.election.status().known_membership
    if not vouch or (own is not None and own.version >= membership.version):
        return membership  # which is no news
    return membership._replace(vouch=vouch if to.is_witness else VOUCHED)


class Links:
    """All links between the members of one world."""

    def __init__(self, world: "World", chance: Random) -> None:
        self.world = world
        self.chance = chance
        self.random = chance.random
        self.messages = 0
        self._compared: set[tuple[str, str, int]] = set()
        """Vote requests by asker, voter and number that want nothing but the voter's clock; for the transcript."""
        self._broken_at: dict[frozenset[str], int] = {}
        self._free: dict[tuple[str, str], int] = {}
        self.cuts: dict[tuple[str, str], tuple[int, bool]] = {}
        """By sender and receiver: until when nothing passes, and whether it is held back until then."""
        self.clear()

    def clear(self) -> None:
        """Fair weather: a millisecond each way, nothing lost, nothing cut."""
        self.loss = self.tail = self.repeat = 0.0
        self.rough = False
        self.cuts.clear()
        self._free.clear()

    # ---- what members send ------------------------------------------------------------------------------------------

    def ask(self, host: Host, effect: Ask) -> None:
        """A vote request leaves."""
        host.under_way[effect.to] = effect.vote_request.request
        if self.world.tracing:
            if host.election is not None and host.election.status().phase is Phase.STANDBY:
                self._compared.add((host.name, effect.to, effect.vote_request.request))
                self.world.say(f"{host.name} compares clocks with {effect.to}")
            else:
                self.world.say(f"{host.name} asks {effect.to}: {vote_request_words(effect.vote_request)}")
        self._send(host, effect.to, self._asked, effect)

    def free(self, host: Host, effect: Free) -> None:
        """A promise is given back."""
        if self.world.tracing:
            promise = candidacy_words(effect.freeing.candidacy)
            self.world.say(f"{host.name} gives back to {effect.to} its promise for {promise}")
        self._send(host, effect.to, self._freed, effect.freeing)

    def invite(self, host: Host, effect: Invite) -> None:
        """Somebody shall stand."""
        self.world.say(f"{host.name} invites {effect.to} to stand")
        self._send(host, effect.to, self._invited, None)

    def vote(self, host: Host, effect: SendVote) -> None:
        """An answer leaves, to the very life that asked."""
        asker = effect.handle
        assert isinstance(asker, Asker), "every vote request came with who asked"
        if self.world.tracing:
            compared = (asker.host.name, host.name, effect.vote.request) in self._compared
            words = "what its clock shows" if compared else vote_words(effect.vote)
            self.world.say(f"{host.name} answers {asker.host.name}: {words}")
        self._send(host, asker.host.name, self._voted, (asker.life, effect.vote))

    # ---- what arrives -----------------------------------------------------------------------------------------------

    def _asked(self, sender: Host, life: int, to: Host, effect: Ask) -> None:
        if not to.votes:
            self.no_vote(sender, life, effect.to, effect.vote_request.request)
        else:
            request = effect.vote_request
            heard = vouched(sender, to, request.membership)
            if heard is not request.membership:
                request = request._replace(membership=heard)
            self.world.hand(to, Asked(request, Asker(sender, life)))

    def no_vote(self, asker: Host, life: int, voter: str, request: int) -> None:
        """A vote request surely gets no answer, and the asker hears of it."""
        back_us = int(self.random() ** 2 * self.world.timing.request_timeout_us / 4)
        self.world.push(
            self.world.now + 300 + back_us, self.world.performer.tell, asker, life, NotVoted(voter, request)
        )

    def _freed(self, sender: Host, life: int, to: Host, freeing: Freeing) -> None:  # noqa: ARG002
        if to.votes:
            self.world.hand(to, Freed(freeing))

    def _invited(self, sender: Host, life: int, to: Host, nothing: None) -> None:  # noqa: ARG002
        if to.votes:
            self.world.hand(to, Invited())

    def _voted(self, sender: Host, life: int, to: Host, answer: tuple[int, Any]) -> None:  # noqa: ARG002
        asker_life, vote = answer
        if to.life == asker_life:
            if to.under_way.get(sender.name) == vote.request:
                del to.under_way[sender.name]
            if vote.membership is not None:
                vote = vote._replace(membership=vouched(sender, to, vote.membership))
            self.world.hand(to, Voted(vote))

    # ---- the wire ---------------------------------------------------------------------------------------------------

    def _send(self, host: Host, name: str, arrive: Callable[..., None], message: Any) -> None:
        self.messages += 1
        to = self.world.named.get(name)
        if to is None:
            return
        now = self.world.now
        at = now + 300 + int(self.random() * 1500)
        if self.rough or self.cuts:
            delayed = self._rough(host.name, name, at)
            if delayed is None:
                return
            at = delayed
            if self.repeat and self.random() < self.repeat:
                again = at + int(self.random() ** 2 * 2 * self.world.timing.lease_us)
                self.world.push(again, self.arrive, host, host.life, to, arrive, message, now)
        way = host.name, name
        if at <= self._free.get(way, 0) and (
            not self.rough or self.random() < 0.9
        ):  # in order, but over a new connection
            at = self._free[way] + 1
        self._free[way] = at
        self.world.push(at, self.arrive, host, host.life, to, arrive, message, now)

    def arrive(self, host: Host, life: int, to: Host, arrive: Callable[..., None], message: Any, sent_us: int) -> None:
        """A message comes to its end, unless its link broke on the way."""
        if self._broken_at and self._broken_at.get(frozenset((host.name, to.name)), -1) >= sent_us:
            return
        arrive(host, life, to, message)

    def _rough(self, sender: str, receiver: str, at: int) -> int | None:
        """When a message arrives in bad weather; ``None`` when it never does."""
        cut = self.cuts.get((sender, receiver))
        if cut is not None:
            until, holds = cut
            if until > self.world.now:
                return until + int(self.random() * 2000) if holds else None
            del self.cuts[sender, receiver]
        luck = self.random()
        if luck < self.loss:
            return None
        return at + self.world.network.tail_us() if luck < self.loss + self.tail else at

    def is_cut(self, sender: str, receiver: str) -> bool:
        """Whether nothing passes this way now."""
        return self.cuts.get((sender, receiver), (0, False))[0] > self.world.now

    def cut(self, sender: Host, receiver: Host, span_us: int, *, holds: bool) -> None:
        """Nothing passes this way for a while."""
        way = sender.name, receiver.name
        until, held = self.cuts.get(way, (0, holds))
        self.cuts[way] = max(until, self.world.now + span_us), holds and held

    def cut_both(self, one: Host, other: Host, span_us: int, *, holds: bool) -> None:
        """Nothing passes either way for a while."""
        self.cut(one, other, span_us, holds=holds)
        self.cut(other, one, span_us, holds=holds)

    def break_link(self, one: Host, other: Host) -> None:
        """The connection between two members breaks: what is under way is lost, and both hear of it."""
        self._broken_at[frozenset((one.name, other.name))] = self.world.now
        for asker, voter in ((one, other), (other, one)):
            request = asker.under_way.pop(voter.name, None)
            if request is not None and not self.is_cut(voter.name, asker.name):
                self.no_vote(asker, asker.life, voter.name, request)

    def break_all(self, host: Host) -> None:
        """The process of ``host`` ended: all its connections break."""
        for other in self.world.hosts:
            if other is not host:
                self.break_link(host, other)
