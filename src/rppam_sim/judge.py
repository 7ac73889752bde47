"""The judge: sees true time and every node at once, and says when a property is broken.

S1 is exact. A node has permission from the instant it was given until its own clock reaches its deadline or it steps
down, whether its process runs or not; and until ``drop`` later its address may still be there and its workers act. A
second permission can only begin at an event of the node that gets it, so it is enough to look at all others then. That
the address is on one node at most (S4) is part of it; the rest of S4 is that it is gone before a lease is given back.
"""

from collections.abc import Sequence

from rppam.cluster.consensus.effects import ClaimEpoch, ConfirmEpoch, Effect, Exchange, Purpose
from rppam.cluster.consensus.messages import Vote
from rppam.cluster.consensus.promises import STORE
from rppam.cluster.consensus.timing import Timing
from rppam_sim.clocks import MILLION
from rppam_sim.host import Host, HostEvent
from rppam_sim.places import GuardedWrite
from rppam_sim.verdict import Broken, Violation
from rppam_sim.vote_checker import VoteChecker


class Checker:
    """Holds the whole cluster to its laws."""

    def __init__(self, hosts: list[Host], timing: Timing) -> None:
        self._hosts = hosts
        self.drop_us = timing.drop_ms * 1000 * MILLION // (MILLION + timing.rate_error_ppm)
        """The time to stop acting, as true time: its bound holds on the fastest clock."""
        self._promise_us = timing.promise_us
        self._rate_ppm = timing.rate_error_ppm
        self.highest = 0
        """The highest epoch of any promotion so far."""
        self.promotions = 0
        self.accepted = (0, "")
        """Epoch and boot id of the newest guarded write that was accepted."""
        self.vote_checker = VoteChecker(hosts, timing)
        self._written: dict[str, tuple[int, int]] = {}
        """By host: life and epoch of the last record that it had written in its own name."""

    def stepped(self, host: Host, had: int | None, now_us: int) -> None:
        """A node in the leader's phase, or just out of it, handled something; ``had`` is its permission before."""
        if host.election is None:
            return
        status = host.election.status()
        has, deadline = status.permission(host.now(now_us)), status.deadline
        if has is None:
            return
        if deadline is not None:
            host.acts_until = max(host.acts_until, host.true_at(deadline, now_us) + self.drop_us)
        if had == has:
            return
        self._alone(host, has, now_us)
        self._higher(host, has, now_us)
        host.led = (host.life, has)

    def decided(self, host: Host, effects: Sequence[Effect], had: int | None, now_us: int) -> None:
        """S3: a claim shuts out every lower epoch, so it takes a majority at that moment, and promises for it alone.

        ``had`` is the permission at that moment, as far as the list of members went that the node knew: a leader that
        hears of a newer list by the same event has confirmed an epoch that a majority gave it, as every later epoch is
        higher. To claim one it needs the majority afterwards, too.
        """
        election = host.election
        if election is None:
            return
        for effect in effects:
            if isinstance(effect, Exchange) and effect.swap is not None and effect.swap.purpose is not Purpose.RELEASE:
                self._written[host.name] = host.life, effect.swap.proposed.epoch
            elif isinstance(effect, ClaimEpoch | ConfirmEpoch):
                now, status = host.now(now_us), election.status()
                led = isinstance(effect, ConfirmEpoch) and had == effect.epoch
                if not led and (status.deadline is None or now >= status.deadline):
                    sentence = f"{host.name} claims epoch {effect.epoch} in the database without a majority"
                    raise Broken(Violation("S3", now_us, sentence))
                if status.holds(STORE, now) and self._written.get(host.name) != (host.life, effect.epoch):
                    sentence = f"{host.name} claims epoch {effect.epoch} by a vote that the store gave another epoch"
                    raise Broken(Violation("S3", now_us, sentence))

    def _alone(self, host: Host, epoch: int, now_us: int) -> None:
        for other in self._hosts:
            if other is host or self._could_not_know(host, other, now_us):
                continue
            if other.has_permission(now_us):
                permitted = other.election.status().epoch if other.election is not None else 0
                raise Broken(
                    Violation(
                        "S1",
                        now_us,
                        f"{host.name} may lead at epoch {epoch} while {other.name} may still lead at epoch {permitted}",
                    )
                )
            if other.acts_until > now_us:
                left_ms = (other.acts_until - now_us) // 1000
                raise Broken(
                    Violation(
                        "S1",
                        now_us,
                        f"{host.name} may lead at epoch {epoch} while {other.name} may not have stopped acting for "
                        f"another {left_ms} ms",
                    )
                )

    def _could_not_know(self, host: Host, other: Host, now_us: int) -> bool:
        """Whether clocks of two leaders differ by more than the rule allows, and neither acts against what it knows.

        The one to come knows that the other's runs slower than its own, and leads by the store's vote. The one before
        counts the store although its own clock is off, or a member whose clock is.
        """
        slow, fast = sorted((host.boot.rate_ppm, other.boot.rate_ppm))
        if fast <= self._rate_ppm and slow >= -self._rate_ppm:
            return False
        comes = None if host.election is None else host.election.status()
        was = None if other.election is None else other.election.status()
        knows_slow = comes is not None and comes.others.clocks.off.get(other.name, 0) < 0
        if comes is not None and knows_slow and comes.holds(STORE, host.now(now_us)):
            return False
        membership = None if was is None else was.membership
        if was is None or membership is None or not other.has_permission(now_us):
            return True
        clocks = was.others.clocks
        if membership.store_has_vote and STORE in was.promises and clocks.is_own_off:
            return False
        return not any(name in clocks.off for name in was.promises)

    def _higher(self, host: Host, epoch: int, now_us: int) -> None:
        """S2, unless nobody was there to remember: not the database, not the clock, not the record, not a voter."""
        self.promotions += 1
        claim = host.name, host.life, epoch
        voted = self._remembered(host, claim)
        self.vote_checker.supported(host, claim)
        if epoch > self.highest:
            self.highest = epoch
            return
        database, wall_ms = host.learned
        shown = host.shown()
        if shown == epoch and host.took_over_epoch:
            # Since it wrote this epoch into the record, it may be its own that it is shown.
            shown = host.shown_before
        remembered = max(database or 0, wall_ms, host.took_over_epoch, shown, voted)
        if remembered >= self.highest or host.led == (host.life, epoch):
            raise Broken(
                Violation(
                    "S2",
                    now_us,
                    f"{host.name} may lead at epoch {epoch}, but epoch {self.highest} was led before, as was known",
                )
            )

    def _remembered(self, host: Host, claim: tuple[str, int, int]) -> int:
        """The highest epoch that those who now support ``host`` had promised before, to others or itself."""
        if host.election is None or not host.votes:
            return 0
        promises = host.election.status().promises
        voters = [other for other in self._hosts if other.name in promises]
        return max(
            (other.supported_before if other.supported == claim else other.supported[2] for other in voters), default=0
        )

    def given_back(self, host: Host, epoch: int, now_us: int) -> None:
        """S4: a node gives back what it leads by; by then nothing of it acts, and the address is gone."""
        if host.led == (host.life, epoch) and host.acts_until > now_us:
            left_ms = (host.acts_until - now_us) // 1000
            raise Broken(
                Violation(
                    "S4",
                    now_us,
                    f"{host.name} gives its lease back while it may not have stopped acting, and dropped the address, "
                    f"for another {left_ms} ms",
                )
            )

    def told(self, host: Host, to: tuple[str, int], vote: Vote) -> None:
        """A member answers a vote_request."""
        self.vote_checker.told(host, to, vote)

    def voted(self, host: Host, event: HostEvent | None, now_us: int) -> None:
        """A member handled something."""
        self.vote_checker.seen(host, event, now_us)

    def accepted_write(self, write: GuardedWrite, now_us: int) -> None:
        """S3: a guarded write was made."""
        epoch, boot_id = self.accepted
        if write.epoch < epoch or (write.epoch == epoch and write.boot_id != boot_id):
            raise Broken(
                Violation(
                    "S3",
                    now_us,
                    f"a write of {write.node} (life {write.boot_id}) at epoch {write.epoch} was accepted after one of "
                    f"life {boot_id} at epoch {epoch}",
                )
            )
        self.accepted = (write.epoch, write.boot_id)
