"""Faults: what can go wrong, and the storms in which it does.

Each kind of fault is one function. A storm draws for every run which kinds come how often, so that some runs are calm,
some stormy, and in some everything is held back and let go at once. Besides, faults like moments that matter: right
after the record was taken over, re-created or released.
"""

from collections.abc import Callable, Mapping
from random import Random
from typing import TYPE_CHECKING, Final, NamedTuple

from rppam.cluster.consensus.effects import Exchange, Purpose
from rppam_sim import stranger, troubles
from rppam_sim.host import Host

if TYPE_CHECKING:
    from rppam_sim.world import World

GARBAGE: Final = (
    "",
    "hello",
    "rppam1 held",
    "rppam1 held node1 x 1 1 y",
    "{}",
    "rppam2 held node1 0 0 0 0",
    "\x00\xff",
)


class Fault(NamedTuple):
    """One kind of fault."""

    sentence: str
    per_lease: float
    """How often it comes, on average, per lease time, in a run of middling weather."""
    strike: Callable[["World", Random], None] | None
    """Makes it happen once; ``None`` for what is in the nature of a run (a clock's rate) or of its messages."""


def any_host(world: "World", chance: Random) -> Host:
    """A host; as often as not the leader."""
    leading = [host for host in world.hosts if host.leads]
    if leading and chance.random() < 0.5:
        return leading[0]
    return world.hosts[int(chance.random() * len(world.hosts))]


def span_us(world: "World", chance: Random, most_leases: float = 2.0) -> int:
    """A duration: often around a heartbeat, often around the lease."""
    timing = world.timing
    kind = chance.random()
    if kind < 0.3:
        return int(chance.random() * timing.heartbeat_us * 2)
    if kind < 0.6:
        return int((0.8 + 0.4 * chance.random()) * timing.lease_us)
    return int(chance.random() * most_leases * timing.lease_us)


def _break(world: "World", chance: Random) -> None:
    host = any_host(world, chance)
    world.say(f"fault: the connection of {host.name} breaks")
    informed_us = int(chance.random() ** 3 * world.timing.request_timeout_us)
    world.network.break_connection(host, informed_us, late=chance.random() < 0.5)


def _cut(world: "World", chance: Random) -> None:
    host = any_host(world, chance)
    ways = chance.random()
    troubles.cut(
        world, host, span_us(world, chance), holds=chance.random() < 0.4, requests=ways < 0.75, replies=ways > 0.35
    )


def _outage(world: "World", chance: Random) -> None:
    span, holds = span_us(world, chance), chance.random() < 0.5
    for host in world.hosts:
        troubles.cut(world, host, span + int(chance.random() * 1000), holds=holds, requests=True, replies=True)


def _pause(world: "World", chance: Random) -> None:
    world.pause(any_host(world, chance), span_us(world, chance))


def _freeze_host(world: "World", chance: Random) -> None:
    host, span = any_host(world, chance), span_us(world, chance)
    troubles.cut(world, host, span, holds=True, requests=False, replies=True)
    world.pause(host, span + int(chance.random() * 5000))


def _crash(world: "World", chance: Random) -> None:
    world.crash(any_host(world, chance), int(chance.random() ** 3 * 3 * world.timing.lease_us))


def _stop(world: "World", chance: Random) -> None:
    host = any_host(world, chance)
    if chance.random() < 0.4:
        troubles.ask_to_stand_aside(world, host, int(chance.random() ** 3 * 2 * world.timing.heartbeat_us))
    else:
        troubles.ask_to_stop(world, host, span_us(world, chance, 1.0))


def _step_wall(world: "World", chance: Random) -> None:
    host = any_host(world, chance)
    kind = chance.random()
    if kind < 0.25:
        host.wall.offset_ms = NO_BATTERY_MS
    elif kind < 0.5:
        host.wall.offset_ms = 0
    else:
        host.wall.offset_ms = int((chance.random() - 0.5) * 8 * world.timing.lease_ms)
    world.say(f"fault: the wall clock of {host.name} is set; it is now off by {host.wall.offset_ms} ms")


def _restart_store(world: "World", chance: Random) -> None:
    span_us = int(chance.random() ** 4 * world.timing.lease_us)
    troubles.restart_store(world, span_us, int(chance.random() * max(1_000_000, world.timing.heartbeat_us)), "restarts")


def _wipe_store(world: "World", chance: Random) -> None:
    troubles.restart_store(world, int(chance.random() ** 4 * world.timing.lease_us), 10**15, "restarts empty")


def _fail_over(world: "World", chance: Random) -> None:
    lost_us = int(chance.random() ** 2 * (3_000_000 + 2 * world.timing.heartbeat_us))
    troubles.restart_store(
        world, int(chance.random() ** 4 * world.timing.lease_us / 2), lost_us, "fails over to a replica"
    )


def _remove(why: str) -> Callable[["World", Random], None]:
    def strike(world: "World", chance: Random) -> None:  # noqa: ARG001  # all strikes look the same
        troubles.overwrite(world, None, why)

    return strike


def _garbage(world: "World", chance: Random) -> None:
    troubles.overwrite(
        world, GARBAGE[int(chance.random() * len(GARBAGE))], "something that is not a record is written over it"
    )


def _step_store_wall(world: "World", chance: Random) -> None:
    step_us = int((chance.random() - 0.4) * 2.5 * world.store.ttl_us)
    world.store.wall_offset_us += step_us
    world.say(f"fault: the store's wall clock steps by {step_us // 1000} ms")


def _freeze_store(world: "World", chance: Random) -> None:
    world.store.frozen_until = max(world.store.frozen_until, world.now + span_us(world, chance, 1.2))
    world.say("fault: the store's process is frozen for a while")


def _database_away(world: "World", chance: Random) -> None:
    world.database.away_until = world.now + span_us(world, chance, 6.0)
    world.say("fault: the database is away for a while")


def _database_slow(world: "World", chance: Random) -> None:
    world.database.slow_until = world.now + span_us(world, chance, 4.0)
    world.say("fault: the database is slow for a while")


def raise_fence(world: "World", chance: Random) -> None:
    """Somebody else claims a newer epoch in the database: next to the present one, or far above."""
    by = 1 + int(10 ** (6 * chance.random() ** 2))
    world.say(f"fault: somebody raises the fence in the database by {by}")
    world.database.raise_fence(by)


FAULTS: Final[dict[str, Fault]] = {
    "message-delay": Fault("messages take long, some longer than the lease", 0, None),
    "message-loss": Fault("requests and replies are lost while the connection stays", 0, None),
    "message-repeat": Fault("a request that was carried out is carried out again, later", 0, None),
    "stuck-request": Fault("a request is carried out long after its connection broke", 0, None),
    "error-reply": Fault("the store answers with an error, with or without having done as asked", 0, None),
    "connection-break": Fault("a connection breaks, and the node hears of it late", 0.04, _break),
    "cut": Fault("one node is cut off, one way or both; what was sent is lost or held back", 0.04, _cut),
    "store-outage": Fault("no node reaches the store", 0.008, _outage),
    "pause": Fault("a process is stopped and goes on later, as by SIGSTOP", 0.05, _pause),
    "host-freeze": Fault("a host stands still and goes on later", 0.02, _freeze_host),
    "crash": Fault("a process is killed and started again", 0.02, _crash),
    "stop": Fault("a node is stopped or stands aside as an administrator asks, and comes again", 0.04, _stop),
    "clock-rate": Fault("boot-time clocks run too fast or too slow, up to the limit", 0, None),
    "clock-off": Fault("the boot-time clock of one member runs 5 to 30 % too fast or too slow", 0, None),
    "wall-step": Fault("the wall clock of a host is set, back or forward, or to 1970", 0.02, _step_wall),
    "store-restart": Fault("the store restarts and has lost its last second of writes", 0.02, _restart_store),
    "store-wipe": Fault("the store restarts and has lost everything", 0.006, _wipe_store),
    "store-failover": Fault("a replica takes the store's place and lacks the last writes", 0.01, _fail_over),
    "store-flush": Fault("all keys are flushed", 0.02, _remove("all keys are flushed")),
    "record-deletion": Fault("the record is deleted by hand", 0.02, _remove("the record is deleted")),
    "eviction": Fault("the record is evicted for want of memory", 0.01, _remove("the record is evicted")),
    "garbage": Fault("something that is not a record is written over it", 0.01, _garbage),
    "forged-record": Fault(
        "somebody who may write there makes up records and releases, or puts back old ones", 0.02, stranger.strike
    ),
    "store-wall-step": Fault("the store's wall clock is set; keys expire early or late", 0.01, _step_store_wall),
    "store-freeze": Fault("the store's process stands still", 0.01, _freeze_store),
    "database-outage": Fault("the database does not answer", 0.01, _database_away),
    "database-delay": Fault("the database answers late", 0.02, _database_slow),
    "fence-raised": Fault("somebody else raises the fence in the database", 0.01, raise_fence),
}
GENTLE: Final = ("store-flush", "record-deletion", "eviction", "garbage", "store-restart", "store-failover")
"""Faults of the store that must not cost a well-connected leader its leadership."""
OF_THE_STORE: Final = ("store-restart", "store-failover", "store-wipe", "store-flush", "record-deletion")
"""Faults that hurt most right after a write."""
NO_BATTERY_MS: Final = -(10**13)
"""The offset of a wall clock that shows 1970."""


class Storm:
    """Lets faults happen between :meth:`begin` and :meth:`end`, as one run's weather has it."""

    table: Mapping[str, Fault] = FAULTS

    def __init__(self, world: "World", kinds: frozenset[str], chance: Random) -> None:
        self.world = world
        self.chance = chance
        self.kinds = kinds
        self.struck = 0
        self._releases: dict[str, Exchange] = {}
        self._number = 0
        self._on = False
        violence = (0.3, 1.0, 2.5, 5.0)[int(chance.random() * 4)]
        self._rates = {
            kind: self.table[kind].per_lease * violence * (0.0, 0.4, 1.0, 3.0)[int(chance.random() * 4)]
            for kind in self.table
            if kind in kinds
        }
        self._at_moments = chance.random() * 0.7 if chance.random() < 0.75 else 0.0
        self._encores = chance.random() * 0.6 if chance.random() < 0.8 else 0.0
        self._striking = [kind for kind in self._rates if self.table[kind].strike is not None]
        self.pause_between = 0.002 * chance.random() * violence if "pause" in kinds else 0.0
        """How likely a process is stopped between deciding and doing."""

    def begin(self) -> None:
        """Bad weather from now on."""
        self._on = True
        self._number += 1
        self._weather()
        for kind, rate in self._rates.items():
            if rate and self.table[kind].strike is not None:
                self._next(kind, rate)

    def _weather(self) -> None:
        network, chance = self.world.network, self.chance

        def odds(kind: str, most: float) -> float:
            return most * chance.random() ** 3 if kind in self.kinds and chance.random() < 0.6 else 0.0

        network.loss = odds("message-loss", 0.15)
        network.tail = odds("message-delay", 0.3)
        network.repeat = odds("message-repeat", 0.05)
        network.stick = odds("stuck-request", 0.02)
        network.error = odds("error-reply", 0.05)
        network.rough = bool(network.loss or network.tail or network.repeat or network.stick or network.error)

    def end(self) -> None:
        """Fair weather."""
        self._on = False
        self._number += 1
        self._clear()

    def _clear(self) -> None:
        self.world.network.clear()

    @property
    def number(self) -> int:
        """Which stretch of weather this is."""
        return self._number

    @property
    def rages(self) -> bool:
        """Whether faults happen now."""
        return self._on

    def _next(self, kind: str, rate: float) -> None:
        wait_us = int(self.chance.expovariate(rate) * self.world.timing.lease_us)
        self.world.push(self.world.now + wait_us, self._come, self._number, kind, rate)

    def _come(self, number: int, kind: str, rate: float) -> None:
        if number != self._number:
            return
        self._next(kind, rate)
        if self.chance.random() < 0.15:
            period_us = self.world.timing.heartbeat_us
            period_us = period_us if self.chance.random() < 0.5 else int(self.chance.random() * 3 * period_us)
            for again in range(1, 3 + int(self.chance.random() * 9)):
                self.world.push(self.world.now + again * period_us, self._strike, number, kind)
        self._strike(number, kind)

    def _strike(self, number: int, kind: str) -> None:
        strike = self.table[kind].strike
        if number == self._number and strike is not None:
            self.struck += 1
            strike(self.world, self.chance)

    def moment(self, host: Host, effect: Exchange) -> None:
        """The record was just taken over, re-created or released by ``host``: a good moment for a fault."""
        if not self._on or not self._striking:
            return
        world, chance = self.world, self.chance
        scale_us = (1_000, 20_000, world.timing.heartbeat_us)[int(chance.random() * 3)]
        if "message-repeat" in self.kinds and chance.random() < self._encores:
            self._encore(host, effect, world.now + int(chance.random() * scale_us))
        if chance.random() >= self._at_moments:
            return
        if "pause" in self.kinds and chance.random() < 0.2:
            span = world.timing.promise_us - int(chance.random() * 1.2 * world.timing.heartbeat_us)
            world.pause(host, span if chance.random() < 0.5 else span_us(world, chance))
        likely = [kind for kind in OF_THE_STORE if kind in self.kinds]
        for _ in range(1 + int(chance.random() * 2)):
            kinds = likely if likely and chance.random() < 0.5 else self._striking
            kind = kinds[int(chance.random() * len(kinds))]
            world.push(world.now + int(chance.random() * scale_us), self._strike, self._number, kind)

    def _encore(self, host: Host, effect: Exchange, at: int) -> None:
        """The same request once more, perhaps on a record that is gone by then; or the node's last release."""
        world = self.world
        if effect.swap is not None and effect.swap.purpose is Purpose.RELEASE:
            self._releases[host.name] = effect
        elif host.name in self._releases and self.chance.random() < 0.5:
            world.push(at, world.network.carry_out_again, host.name, 0, self._releases[host.name])
            return
        if "record-deletion" in self.kinds and self.chance.random() < 0.5:
            world.push(at, self._strike, self._number, "record-deletion")
        world.push(at + 1, world.network.carry_out_again, host.name, 0, effect)

    def left_mark(self, host: Host, effect: Exchange) -> None:
        """A standby found no record and left its mark. It hears nothing for a lease, and then the mark is back."""
        needed = {"message-repeat", "record-deletion", "cut"}
        if not self._on or host.leads or not needed <= self.kinds or self.chance.random() >= self._encores / 2:
            return
        world, timing = self.world, self.world.timing
        back_at = world.now + timing.lease_us - int(self.chance.random() * timing.heartbeat_us)
        world.push(world.now + 5_000, self._deafen, self._number, host, back_at)
        world.push(back_at - 1, self._strike, self._number, "record-deletion")
        world.push(back_at, world.network.carry_out_again, host.name, 0, effect)

    def _deafen(self, number: int, host: Host, until: int) -> None:
        if number == self._number:
            span = until - self.world.timing.heartbeat_us - self.world.now
            troubles.cut(self.world, host, span, holds=False, requests=True, replies=True)
