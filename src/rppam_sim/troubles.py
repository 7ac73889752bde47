"""What is done to a world, by faults and by administrators. When, and how often: :mod:`rppam_sim.faults`."""

from typing import TYPE_CHECKING

from rppam.cluster.consensus.effects import StandAgain, StandDown
from rppam_sim.host import Host

if TYPE_CHECKING:
    from rppam_sim.world import World


def cut(world: "World", host: Host, span_us: int, *, holds: bool, requests: bool, replies: bool) -> None:
    """Cut a host off from the store."""
    way = "both ways" if requests and replies else "one way"
    world.say(f"fault: {host.name} is cut off from the store ({way}) for {span_us // 1000} ms")
    host.cut_until = max(host.cut_until, world.now + span_us)
    host.cut_holds, host.cut_requests, host.cut_replies = holds, requests, replies


def restart_store(world: "World", span_us: int, lost_us: int, how: str) -> None:
    """The store's process ends and another one takes its place, without the last writes."""
    if world.store.down:
        return
    lost = "anything" if lost_us > world.now else f"the writes of the last {lost_us / 1e6:.1f} s"
    world.say(f"fault: the store {how}, without {lost}")
    world.store.die(world.now, lost_us)
    for host in world.hosts:
        connection = host.connection
        if connection is None or connection.incarnation == world.store.incarnation:
            informed_us = int(world.random() ** 4 * world.timing.request_timeout_us)
            world.network.break_connection(host, informed_us, late=False)
    world.push(world.now + 1000 + span_us, store_starts, world)


def store_starts(world: "World") -> None:
    """A new process serves."""
    if world.store.down:
        world.store.start(world.now, world.next_incarnation())
        world.say(f"the store serves again as {world.store.identity}")


def fail_over(
    world: "World", lost_us: int, split_us: int, repointed_us: int, stays: float, sure: Host | None = None
) -> None:
    """A replica takes the primary's place; the one before serves on for ``split_us``, to those who still see it.

    A replica that was not told confirms its writes for ``repointed_us`` more. Each host still sees the one before with
    a likelihood of ``stays``, and ``sure`` in any case.
    """
    before = world.store
    if before.down or world.deposed is not None:
        return
    world.say(
        f"fault: a replica is promoted, without the writes of the last {lost_us / 1e6:.1f} s; the one before "
        f"serves on for {split_us // 1000} ms, and a replica confirms its writes for {repointed_us // 1000} ms more"
    )
    world.store = before.promoted(world.now, lost_us, world.next_incarnation())
    before.confirmed_until = world.now + min(split_us, repointed_us)
    world.deposed = before
    for host in world.hosts:
        host.sees_deposed = host is sure or (split_us > 0 and world.random() < stays)
        if not host.sees_deposed:
            informed_us = int(world.random() ** 4 * world.timing.request_timeout_us)
            world.network.break_connection(host, informed_us, late=split_us > 0 and world.random() < 0.5)
    world.push(world.now + split_us, end_split, world)


def end_split(world: "World") -> None:
    """The primary before becomes a replica, and hangs up on everybody."""
    if world.deposed is None:
        return
    world.say(f"{world.deposed.identity} is a replica from now on")
    incarnation = world.deposed.incarnation
    world.deposed = None
    for host in world.hosts:
        host.sees_deposed = False
        if host.connection is not None and host.connection.incarnation == incarnation:
            world.network.break_connection(host, int(world.random() * 20_000), late=False)


def overwrite(world: "World", text: str | None, why: str) -> None:
    """Somebody changes the record behind everybody's back."""
    world.say(f"fault: {why}")
    if not world.store.down:
        world.store.write(text, world.now)


def ask_to_stop(world: "World", host: Host, back_us: int) -> None:
    """Stop the node as an administrator does, and start it again after a while."""
    if host.election is None or host.paused_until or not host.election.status().electable:
        return
    world.say(f"{host.name} is asked to stop")
    world.step(host, StandDown("asked to stop"))
    last_us = int((0.5 + world.random()) * 2 * world.timing.request_timeout_us)
    world.push(world.now + last_us, _stop, world, host, host.life, back_us)


def _stop(world: "World", host: Host, life: int, back_us: int) -> None:
    if host.life == life:
        world.crash(host, back_us)


def ask_to_stand_aside(world: "World", host: Host, back_us: int) -> None:
    """The node stops leading when asked, and may stand again after a while."""
    if host.election is None or host.paused_until or not host.election.status().electable:
        return
    world.say(f"{host.name} is asked to stand aside")
    world.step(host, StandDown("asked to stand aside"))
    world.push(world.now + back_us, world.performer.tell, host, host.life, StandAgain())
