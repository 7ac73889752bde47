"""Carries out what the core on a simulated host wants done, and brings back what came of it."""

from typing import TYPE_CHECKING

from rppam.cluster.consensus.effects import (
    Ask,
    ClaimEpoch,
    ConfirmEpoch,
    Effect,
    EpochClaimed,
    EpochLearned,
    Event,
    Exchange,
    FenceRefused,
    Free,
    Invite,
    LearnEpoch,
    Promoted,
    Purpose,
    Quiesced,
    SaveKept,
    SendVote,
    SteppedDown,
    Told,
)
from rppam.cluster.consensus.messages import VoteRequestKind
from rppam.kernel.fence import Fenced
from rppam_sim.host import Asker, Host
from rppam_sim.places import GuardedWrite
from rppam_sim.plants import CORRECT
from rppam_sim.verdict import Broken, Violation

if TYPE_CHECKING:
    from rppam_sim.world import World

READS_MOST = 60
"""More readings than that within a heartbeat are a loop that spins; without one there were 11 at most."""


class EffectRunner:
    """The hands of all hosts of one world."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.random = world.random

    def perform(self, host: Host, effect: Effect) -> None:
        """One effect, now."""
        world = self.world
        if isinstance(effect, Exchange):
            world.exchanges += 1
            if effect.swap is None:
                self._read(host)
            elif effect.swap.purpose is Purpose.ACQUIRE:
                host.took_over_epoch = effect.swap.expected.epoch
                host.shown_before = host.shown()
            elif effect.swap.purpose is Purpose.RELEASE:
                world.judge.given_back(host, effect.swap.expected.epoch, world.now)
            world.network.send(host, effect)
        elif isinstance(effect, Ask):
            world.links.ask(host, effect)
        elif isinstance(effect, SendVote):
            assert isinstance(effect.handle, Asker), "every vote request came with who asked"
            world.judge.told(host, (effect.handle.host.name, effect.handle.life), effect.vote)
            world.links.vote(host, effect)
            if effect.vote.is_granted and effect.vote.kind is VoteRequestKind.VOTE:
                world.member_storm.turn(host)
        elif isinstance(effect, SaveKept):
            world.disks.save(host, effect)
        elif isinstance(effect, Free):
            world.judge.given_back(host, effect.freeing.candidacy.epoch, world.now)
            world.links.free(host, effect)
        elif isinstance(effect, Invite):
            world.links.invite(host, effect)
        elif isinstance(effect, LearnEpoch):
            self._learn(host, effect.attempt)
        elif isinstance(effect, ClaimEpoch):
            self._claim(host, effect)
        elif isinstance(effect, ConfirmEpoch):
            self.write_database(host, effect.epoch)
        elif isinstance(effect, Promoted):
            world.say(f"{host.name}: {effect.sentence}")
            if host.votes:
                world.member_storm.turn(host)
        elif isinstance(effect, Told):
            world.say(f"{host.name}: {effect.sentence}")
        elif isinstance(effect, SteppedDown):
            world.say(f"{host.name}: {effect.sentence}")
            took_us = int(self.random() * world.judge.drop_us)
            world.push(world.now + took_us, self.stopped_acting, host, host.life, effect.epoch)
            if host.votes:
                world.member_storm.turn(host)

    def _read(self, host: Host) -> None:
        """The record is read: once a heartbeat, and now and then in a hurry."""
        world = self.world
        if world.now - host.reads_since > world.timing.heartbeat_us:
            host.reads_since, host.reads = world.now, 0
        host.reads += 1
        if host.reads > READS_MOST and world.plant is CORRECT:
            sentence = f"{host.name} has read the record {host.reads} times within a heartbeat"
            raise Broken(Violation("spin", world.now, sentence))

    def stopped_acting(self, host: Host, life: int, epoch: int) -> None:
        """Everything that acted under ``epoch`` has stopped."""
        world = self.world
        if host.life != life:
            return
        if host.paused_until:
            world.push(host.paused_until + 1, self.stopped_acting, host, life, epoch)
            return
        host.acts_until = min(host.acts_until, world.now)
        world.say(f"{host.name}: everything that acted has stopped")
        world.hand(host, Quiesced(epoch))

    # ---- the database -----------------------------------------------------------------------------------------------

    def _database_delay_us(self) -> int:
        slow = self.world.now < self.world.database.slow_until
        return int(500 + self.random() * (self.world.timing.request_timeout_us if slow else 3000))

    def _learn(self, host: Host, attempt: int) -> None:
        world = self.world
        host.took_over_epoch, host.shown_before, host.learning = 0, 0, attempt
        delay_us, bound_us = self._database_delay_us(), world.timing.request_timeout_us // 4
        answers = delay_us < bound_us and world.now + delay_us >= world.database.away_until
        world.push(world.now + min(delay_us, bound_us), self.learned, host, host.life, attempt, answers)

    def learned(self, host: Host, life: int, attempt: int, answers: bool) -> None:
        """The database's answer, or none; and the wall clock."""
        world = self.world
        if host.life == life:
            highest = world.database.highest if answers else None
            wall_ms = host.wall.read_ms(world.now)
            world.hand(host, EpochLearned(attempt, highest, wall_ms))

    def _claim(self, host: Host, effect: ClaimEpoch) -> None:
        world = self.world
        if host.election is None:
            return
        delay_us, bound_us = self._database_delay_us(), world.timing.request_timeout_us // 4
        reaches = world.now + delay_us >= world.database.away_until or self.random() < 0.3
        known = reaches and delay_us < bound_us
        if reaches:
            world.push(
                world.now + delay_us // 2,
                self.claimed,
                host,
                host.life,
                effect,
                host.election.status().me.boot_id,
                known,
            )
        if not known:
            unknown = EpochClaimed(effect.attempt, Fenced.UNKNOWN)
            world.push(world.now + bound_us, self.tell, host, host.life, unknown)

    def claimed(self, host: Host, life: int, effect: ClaimEpoch, boot_id: str, known: bool) -> None:
        """The claim of an epoch reaches the database."""
        outcome = self.world.database.claim(effect.epoch, boot_id)
        if known:
            self.world.push(self.world.now + 500, self.tell, host, life, EpochClaimed(effect.attempt, outcome))

    def write_database(self, host: Host, epoch: int) -> None:
        """A write that the database's fence guards, or only the question whether one would be taken."""
        world = self.world
        delay_us = self._database_delay_us()
        if host.election is not None and world.now + delay_us >= world.database.away_until:
            world.push(
                world.now + delay_us, self.database_asked, host, host.life, epoch, host.election.status().me.boot_id
            )

    def database_asked(self, host: Host, life: int, epoch: int, boot_id: str) -> None:
        """It reaches the database. Of a refusal the node hears; what is taken raises the fence as a claim does."""
        database = self.world.database
        if database.claim(epoch, boot_id) is not Fenced.REFUSED:
            return
        self.world.calm.refused()
        refused = FenceRefused(epoch, database.highest)
        self.world.push(self.world.now + 500, self.tell, host, life, refused)

    def tell(self, host: Host, life: int, event: Event) -> None:
        """An event for one life of a process."""
        if host.life == life:
            self.world.hand(host, event)

    # ---- guarded writes ---------------------------------------------------------------------------------------------

    def write_guarded(self, host: Host) -> None:
        """A leader writes to the guarded place; the write may arrive much later."""
        world = self.world
        status = None if host.election is None else host.election.status()
        epoch = None if status is None else status.permission(host.now(world.now))
        if status is None or epoch is None:
            return
        write = GuardedWrite(host.name, epoch, status.me.boot_id, world.now)
        delay_us = int(self.random() * 4000)
        if world.network.rough and self.random() < 0.05:
            delay_us = int(self.random() * 3 * world.timing.lease_us)
        world.push(max(world.now, host.paused_until) + delay_us, self.guarded_write, write)
        if world.writes_guarded and world.storm.rages and self.random() < 0.1:
            self.write_database(host, epoch)

    def guarded_write(self, write: GuardedWrite) -> None:
        """A write reaches the guarded place."""
        if self.world.guarded.accepts(write):
            self.world.judge.accepted_write(write, self.world.now)
        else:
            self.world.say(f"guarded write of {write.node} at epoch {write.epoch} is refused: a newer epoch was there")
