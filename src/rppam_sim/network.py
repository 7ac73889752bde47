"""Between nodes and store: connections that delay, lose, hold back, repeat and break.

A connection keeps order, as TCP does. What TCP does not do, but proxies and stuck sockets can: a request is carried out
long after its connection broke, or twice. A reply is never delivered over another connection than its request's.
"""

from random import Random
from typing import TYPE_CHECKING

from rppam.cluster.consensus.effects import (
    Connected,
    Disconnected,
    Event,
    Exchange,
    Found,
    Granted,
    Purpose,
    ReleaseHeard,
    Unknown,
)
from rppam_sim.host import Connection, Host
from rppam_sim.setting import SENTINEL

if TYPE_CHECKING:
    from rppam_sim.world import World

REPOINTED_WITHIN_US = 2_000_000
"""Behind a failover: within this time a replica that follows the primary before is told of the new one."""
BACK_OFF_FIRST_US = 50_000
BACK_OFF_MOST_US = 2_000_000


class Network:
    """All connections of one world, and the weather over them."""

    def __init__(self, world: "World", chance: Random) -> None:
        self.world = world
        self.chance = chance
        self.random = chance.random
        replicated = world.setting.store == SENTINEL
        self.identity_wait_us = REPOINTED_WITHIN_US if replicated and world.plant.waits_for_identity else 0
        self.clear()

    def clear(self) -> None:
        """Fair weather: a millisecond each way, nothing lost."""
        self.rough = False
        self.loss = 0.0
        self.tail = 0.0
        self.stick = 0.0
        self.repeat = 0.0
        self.error = 0.0

    def tail_us(self) -> int:
        """A long delay: mostly well below the lease, sometimes twice as long."""
        lease_us = self.world.timing.lease_us
        scale = (0.02, 0.1, 0.4, 1.0)[int(self.random() * 4)]
        return int(min(2.5, self.chance.expovariate(1.0)) * scale * lease_us)

    # ---- one exchange -----------------------------------------------------------------------------------------------

    def send(self, host: Host, effect: Exchange) -> None:
        """A node sends a request over the connection it has."""
        connection = host.connection
        if connection is None or connection.broken:
            return
        at = self.world.now + 300 + int(self.random() * 1500)
        if self.rough or host.cut_until:
            delayed = self._rough(host, at, requests=True)
            if delayed is None:
                return
            at = delayed
            if self.stick and self.random() < self.stick:
                self._stick(host, connection, effect)
                return
        if at <= connection.requests_free:
            at = connection.requests_free + 1
        connection.requests_free = at
        self.world.push(at, self.serve, host, host.life, connection, effect)

    def _rough(self, host: Host, at: int, *, requests: bool) -> int | None:
        """When a message arrives in bad weather; ``None`` when it never does."""
        if host.cut_until > self.world.now and (host.cut_requests if requests else host.cut_replies):
            return host.cut_until + int(self.random() * 2000) if host.cut_holds else None
        luck = self.random()
        if luck < self.loss:
            return None
        return at + self.tail_us() if luck < self.loss + self.tail else at

    def _stick(self, host: Host, connection: Connection, effect: Exchange) -> None:
        """The request stays in the socket of a connection that breaks, and is carried out much later."""
        world = self.world
        world.say(f"a request of {host.name} is stuck in connection {connection.number}, which breaks")
        at = world.now + int(self.random() * 2.2 * world.timing.lease_us)
        world.push(at, self.carry_out_again, host.name, connection.incarnation, effect)
        self.break_connection(host, int(self.random() ** 3 * world.timing.lease_us), late=False)

    def serve(self, host: Host, life: int, connection: Connection, effect: Exchange) -> None:
        """The store carries out a request that arrived."""
        world = self.world
        store = world.server(connection.incarnation)
        if store is None:
            return
        if connection.broken and not connection.late_after_break:
            return
        if store.frozen_until > world.now:
            world.push(store.frozen_until, self.serve, host, life, connection, effect)
            return
        answer: Event
        if self.error and self.random() < self.error:
            if self.random() < 0.5:
                store.request(effect, world.now)
            answer = Unknown(effect.request, "the store answered with an error")
        else:
            answer = store.request(effect, world.now)
        swap = effect.swap
        if world.tracing:
            world.say(world.transcript.exchange(host.name, effect, answer, store.text))
        if self.repeat and self.random() < self.repeat:
            incarnation = store.incarnation if self.random() < 0.7 else 0
            world.push(world.now + self.tail_us(), self.carry_out_again, host.name, incarnation, effect)
        if isinstance(answer, Found) and answer.was_absent:
            world.storm.left_mark(host, effect)
        if swap is not None and swap.purpose is not Purpose.RENEW and store.text == swap.proposed.encode():
            self._written(host, effect, swap.purpose)
        at = world.now + 300 + int(self.random() * 1500)
        if store.is_replicated and isinstance(answer, Granted):
            after_us = store.confirmed_after_us(world.now, self.random())
            if after_us is None:
                answer = Unknown(effect.request, "no replica confirmed the write in time")
                after_us = world.timing.request_timeout_us // 2
            at += after_us
        if self.rough or host.cut_until:
            delayed = self._rough(host, at, requests=False)
            if delayed is None:
                return
            at = delayed
        if at <= connection.replies_free:
            at = connection.replies_free + 1
        connection.replies_free = at
        world.push(at, self.deliver, host, life, connection, answer)

    def _written(self, host: Host, effect: Exchange, purpose: Purpose) -> None:
        world = self.world
        if purpose is Purpose.RELEASE:
            for other in world.hosts:
                if other is not host and other.connection is not None and self.random() < 0.75:
                    self.say_released(other)
        world.storm.moment(host, effect)

    def say_released(self, host: Host) -> None:
        """The word that the record was released, on its way to a node."""
        at = self.world.now + 300 + int(self.random() * 1500)
        self.world.push(at, self.deliver, host, host.life, host.connection, ReleaseHeard())

    def carry_out_again(self, name: str, incarnation: int, effect: Exchange) -> None:
        """A request is carried out late, or a second time; nobody hears of it."""
        world = self.world
        store = world.server(incarnation or world.store.incarnation)
        if store is None:
            return
        answer = store.request(effect, max(world.now, store.frozen_until))
        world.say("late or twice: " + world.transcript.exchange(name, effect, answer, store.text))

    def deliver(self, host: Host, life: int, connection: Connection, event: Event) -> None:
        """Something arrives at a node over a connection it still has."""
        if host.life == life and host.connection is connection and not connection.broken:
            self.world.hand(host, event)

    # ---- connections ------------------------------------------------------------------------------------------------

    def break_connection(self, host: Host, informed_us: int, *, late: bool) -> None:
        """The connection is no more; the node hears of it ``informed_us`` later."""
        connection = host.connection
        if connection is None or connection.broken:
            return
        connection.broken = True
        connection.late_after_break = late
        self.world.push(self.world.now + informed_us, self.inform, host, host.life, connection)

    def inform(self, host: Host, life: int, connection: Connection) -> None:
        """The node hears that its connection broke."""
        if host.life == life and host.connection is connection:
            host.connection = None
            self.world.say(f"{host.name} sees that connection {connection.number} broke")
            self.world.hand(host, Disconnected(connection.number))
            self.connect_later(host)

    def connect_later(self, host: Host) -> None:
        """Try to connect after a back-off, as the client does."""
        if host.connecting:
            return
        host.connecting = True
        back_off = min(BACK_OFF_MOST_US, BACK_OFF_FIRST_US << min(host.reconnects, 6))
        at = self.world.now + back_off // 2 + int(self.random() * back_off / 2)
        self.world.push(at, self._connect, host, host.life)

    def _connect(self, host: Host, life: int) -> None:
        if host.life != life or host.connection is not None:
            return
        world = self.world
        if host.paused_until > world.now:
            world.push(host.paused_until + 1, self._connect, host, life)
            return
        host.connecting = False
        store = world.deposed if host.sees_deposed and world.deposed is not None else world.store
        if store.down or store.frozen_until > world.now or host.cut_until > world.now:
            host.reconnects += 1
            self.connect_later(host)
            return
        host.reconnects = 0
        host.connections += 1
        host.connection = Connection(host.connections, store.incarnation)
        world.say(f"{host.name} has connection {host.connections} to {store.identity}")
        world.hand(host, Connected(host.connections, store.identity, self.identity_wait_us))
