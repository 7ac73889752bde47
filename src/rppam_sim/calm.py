"""The calm part at the end of each hour: all faults end, and liveness is demanded.

L1: a leader within the lease, one heartbeat, one request timeout, the client's longest back-off and the candidates'.
Where the record alone decides, also what a candidate waits beyond the lease behind a failover: members' votes can do
without the store, its own vote cannot. One lease more where a member has lost its file: it waits from when somebody
tells it that it is a member. And behind a failover, where a member is off for good and its vote is missing, what the
store's vote may take then, and a lease more, as the mark in place of the record may have expired meanwhile. And what
the leader writes under the database's fence is taken: a fence above it is noticed, and somebody leads above that, in
so much more time as this takes.
L5: it stays. And where a well-connected leader could re-assert itself after the store forgot its record, it does.
Struck once the store can have its vote back, too: behind a failover without it, the members bear nothing more.
"""

from heapq import heapify
from typing import TYPE_CHECKING

from rppam.cluster.consensus.record import vacant
from rppam_sim import gentle, troubles
from rppam_sim.clocks import MILLION
from rppam_sim.faults import FAULTS, GENTLE, raise_fence
from rppam_sim.host import Host
from rppam_sim.member_faults import KINDS
from rppam_sim.verdict import Broken, Violation

if TYPE_CHECKING:
    from rppam_sim.world import World

SLACK_US = 3_000_000
"""The client's longest back-off of 2 s, and a candidate's of at most 1 s."""
FENCE = "fence-raised"
QUICK_LOSS_US = 1_000_000
QUICK_RESTART_US = 300_000


class Calm:
    """Heals a world and holds it to its liveness laws."""

    def __init__(self, world: "World") -> None:
        self.world = world
        timing = world.timing
        wait_us = timing.lease_us * MILLION // (MILLION - timing.rate_error_ppm)
        self.failover_us = 2 * world.network.identity_wait_us
        """What the store's vote takes beyond the lease behind a failover."""
        if not world.setting.votes:
            wait_us += self.failover_us
        self.leader_within_us = wait_us + timing.heartbeat_us + timing.request_timeout_us + SLACK_US
        """L1, as true time from the end of all faults."""
        self.strikes_after_us = timing.lease_us // 2 + (self.failover_us if world.setting.votes else 0)
        """From when the leader must be there."""
        self.length_us = self.leader_within_us + self.strikes_after_us
        self.length_us += (9 if world.setting.votes else 5) * timing.lease_us // 2
        self._refused_at: int | None = None
        self._leader: tuple[Host, int] | None = None
        self._promotions = 0
        self._struck = ""
        self._ended_at = 0

    def begin(self, end: int) -> None:
        """All faults end now; what is under way for long is lost."""
        world = self.world
        world.say("all faults end")
        self._ended_at = world.now
        self._refused_at = None
        world.storm.end()
        world.member_storm.end()
        do = world.performer
        kept = (
            *(world.wake, world.start, do.stopped_acting, do.learned, do.tell, do.claimed),
            *(do.guarded_write, do.database_asked),
            *(world.disks.done, world.disks.try_out, world.storm.begin, world.member_storm.begin, self.begin),
        )
        world.heap[:] = [entry for entry in world.heap if entry[2] in kept or entry[0] < world.now + 10_000]
        heapify(world.heap)
        if world.store.down:
            world.store.start(world.now, world.next_incarnation())
        world.store.keep(world.now)
        world.store.lags_until = world.store.unconfirmed_until = 0
        troubles.end_split(world)
        world.store.frozen_until = world.database.away_until = world.database.slow_until = 0
        for host in world.hosts:
            self._heal(host)
        if world.now + self.leader_within_us < end - 1:
            world.push(world.now + self.leader_within_us, self._expect_leader, end)

    def refused(self) -> None:
        """The database has refused a node's epoch."""
        if self._refused_at is None:
            self._refused_at = self.world.now

    def _takes(self, host: Host) -> bool:
        """Whether the database would take what this node writes as the leader."""
        if host.election is None:
            return False
        status = host.election.status()
        return self.world.database.takes(status.epoch, status.me.boot_id)

    def _heal(self, host: Host) -> None:
        world = self.world
        if host.is_gone:
            return
        host.cut_until = 0
        world.disks.heal(host)
        if host.election is not None and not host.election.status().electable and not host.is_witness:
            world.crash(host, 0)
        if host.election is None:
            world.start(host, host.life)
            return
        if host.paused_until:
            world.push(world.now + 1, world.go_on, host, host.life, host.paused_until)
        connection = host.connection
        if connection is not None and connection.broken:
            world.network.inform(host, host.life, connection)
        elif connection is not None:
            connection.requests_free = connection.replies_free = 0
        host.reconnects = 0
        if host.connection is None:
            host.connecting = False
            world.network.connect_later(host)

    def _expect_leader(self, end: int) -> None:
        world = self.world
        leading = [host for host in world.hosts if host.has_permission(world.now)]
        if not leading or leading[0].election is None or not self._takes(leading[0]):
            waited_us = world.now - self._ended_at
            more_us = self._more_us() if waited_us == self.leader_within_us else 0
            if more_us:
                if world.now + more_us < end - 1:
                    world.push(world.now + more_us, self._expect_leader, end)
                return
            ms = waited_us // 1000
            what = (
                f"the database refuses what {leading[0].name} writes as the leader" if leading else "there is no leader"
            )
            raise Broken(Violation("L1", world.now, f"{ms} ms after all faults ended {what}"))
        self._leader = leading[0], leading[0].election.status().epoch
        self._promotions = world.judge.promotions
        self._struck = ""
        world.push(world.now + self.strikes_after_us, self._strike, end)
        world.push(end - 1, self._expect_same)

    def _more_us(self) -> int:
        """What is granted beyond the rule's time."""
        world, lease_us = self.world, self.world.timing.lease_us
        if self._refused_at is not None and self._refused_at >= self._ended_at:
            return self._refused_at - self._ended_at + world.judge.drop_us + lease_us // 2
        lists = [host.election.status().known_membership for host in world.hosts if host.election is not None]
        members = {name for membership in lists if membership is not None for name in membership.members}
        if self.failover_us and any(host.is_gone and host.name in members for host in world.hosts):
            return self.failover_us + lease_us
        if world.off is not None:  # whoever is faster than it waits longer
            return lease_us
        return lease_us if any(gentle.waits_after_start(one, world.now) for one in world.hosts) else 0

    def _strike(self, end: int) -> None:
        """One thing that a store may do, and that must not cost the leader its place."""
        world = self.world
        epoch = self._leader[1] if self._leader is not None else 0
        quick = world.timing.promise_us > 3 * QUICK_LOSS_US
        kinds = [kind for kind in GENTLE if kind in world.storm.kinds and (quick or "store-" not in kind)]
        # Where nobody could remember (S2), an attempt before may have had a higher epoch, and a failover may show it.
        highest = max(world.judge.highest, world.store.highest_remembered())
        if highest > epoch or end - world.now < world.timing.lease_us:
            return
        with_members = world.off is None  # else one vote is missing already
        if self._leader is not None and world.setting.votes and with_members and world.random() < 0.6:
            self._strike_members(self._leader[0], end)
            return
        if world.setting.faults == KINDS and world.random() < 0.2:
            self._struck = FENCE
            raise_fence(world, world.chance)
            world.push(end - 1, self._expect_taken)
            return
        if not kinds:
            return
        self._struck = kinds[int(world.random() * len(kinds))]
        if self._struck in {"store-restart", "store-failover"}:
            lost_us = int(world.random() * QUICK_LOSS_US)
            if self._struck == "store-failover":
                lost_us = int(world.random() * 8 * world.timing.lease_us)  # an older record comes back
            troubles.restart_store(world, int(world.random() * QUICK_RESTART_US), lost_us, "restarts at once")
        elif world.random() < 0.25:
            mark = vacant(epoch + 1, "feedfacefeedface").encode()
            troubles.overwrite(
                world, mark, "the record is gone; a node that had tried a higher epoch leaves its mark and is gone too"
            )
        else:
            strike = FAULTS[self._struck].strike
            assert strike is not None, "a gentle fault can be struck"
            strike(world, world.chance)

    def _strike_members(self, leader: Host, end: int) -> None:
        """One thing that members must bear, if what it takes fits in here."""
        world = self.world
        kinds = gentle.possible(world, leader)
        if not kinds or end - world.now < 4 * world.timing.lease_us or world.setting.faults != KINDS:
            return
        self._struck = kinds[int(world.random() * len(kinds))]
        gentle.strike(world, leader, self._struck)

    def _expect_taken(self) -> None:
        """Somebody leads above the fence that was raised."""
        world = self.world
        if not any(host.has_permission(world.now) and self._takes(host) for host in world.hosts):
            sentence = "long after somebody raised the fence in the database, nobody leads above it"
            raise Broken(Violation("L1", world.now, sentence))

    def _expect_same(self) -> None:
        world = self.world
        if self._leader is None or self._struck == FENCE:
            return
        host, epoch = self._leader
        stays = host.has_permission(world.now) and host.election is not None and host.election.status().epoch == epoch
        if stays and world.judge.promotions == self._promotions:
            return
        if self._struck == gentle.SWITCHOVER and world.judge.promotions == self._promotions + 1:
            return
        law = "L5" if self._struck in {"", gentle.CUT, gentle.LATE, gentle.FORGED} else "keeps-leading"
        law = "L4" if self._struck in {gentle.OUTAGE, gentle.ROLLING, gentle.FAILOVER} else law
        why = f"after '{self._struck}' alone" if self._struck else "although nothing was wrong"
        raise Broken(Violation(law, world.now, f"{host.name} did not keep leading at epoch {epoch}, {why}"))
