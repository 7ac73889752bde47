"""The classic stories, told by the production core: what happened, line by line, without the routine in between.

They are the same each time: a fair-weather world with one scripted trouble. ``docs/stories`` holds them as text.
"""

import re
from collections.abc import Callable
from textwrap import fill
from typing import Final, NamedTuple

from rppam_sim import administration, troubles
from rppam_sim.administration import hand_over
from rppam_sim.host import Host
from rppam_sim.member_faults import isolate
from rppam_sim.setting import Scenario
from rppam_sim.transcript import Transcript
from rppam_sim.world import World

S: Final = 1_000_000
ROUTINE: Final = re.compile(r" reads; | may renew: |: still for | yes, still, | compares clocks | what its clock shows")
NOT_ROUTINE: Final = "(none stood there before)"
EPOCH: Final = re.compile(r"\b17954\d{8}\b")
FADED: Final = re.compile(r"(\d\d\.\d{3})\d{3}")
HEAD: Final = """\
{title}
{line}

{told}

{cluster}

"""
LEFT_OUT: Final = (
    "; lease 4.0 s, heartbeat 0.5 s. Renewals and readings that go well are left out. E1, E2 ... are epochs, in the "
    "order in which they first appear. Time is true time since the processes started."
)


class Story(NamedTuple):
    """One story."""

    title: str
    told: str
    setting: Scenario
    seconds: int
    script: Callable[[World], None]
    """Makes the trouble happen, at times of its own."""


def tell(story: Story) -> str:
    """The story as text."""
    world = World(1, story.setting._replace(profile="default", faults=()), tracing=True)
    world.transcript = Transcript(None)
    for number, host in enumerate(world.hosts):
        world.push(10_000 * (number + 1), world.start, host, 1)
    story.script(world)
    world.advance(story.seconds * S)
    lines = [line for line in world.transcript.lines if not ROUTINE.search(line) or NOT_ROUTINE in line]
    text = FADED.sub(r"\1", "\n".join(lines))
    for number, epoch in enumerate(dict.fromkeys(EPOCH.findall(text)), 1):
        text = text.replace(epoch, f"E{number}")
    cluster = story.setting.described.replace(f", profile {story.setting.profile}", "")
    told, cluster = fill(story.told, 120), fill(cluster + LEFT_OUT, 120)
    head = HEAD.format(title=story.title, line="=" * len(story.title), told=told, cluster=cluster)
    return head + text + "\n"


def _at(world: World, second: float, act: Callable[[World, Host], None]) -> None:
    """Do something to whoever leads then."""

    def now() -> None:
        host = administration.leader(world)
        assert host is not None, f"nobody leads after {second} s"
        act(world, host)

    world.push(int(second * S), now)


def _host_dies(world: World) -> None:
    def die(world: World, host: Host) -> None:
        world.crash(host, 0)
        host.is_gone = True

    _at(world, 10, die)


def _redis_dies(world: World) -> None:
    world.push(10 * S, troubles.restart_store, world, 14 * S, 10**15, "dies, to come back empty")


def _apart(world: World) -> None:
    """First only from each other; then the leader from everything."""

    def part(world: World, host: Host) -> None:
        for other in world.hosts:
            if other is not host and not other.is_witness:
                world.say(f"fault: {host.name} and {other.name} do not reach each other for 6000 ms")
                world.links.cut_both(host, other, 6 * S, holds=False)

    _at(world, 10, part)
    _at(world, 18, lambda world, host: isolate(world, host, 10 * S, holds=False))


def _lost_write(world: World) -> None:
    world.push(10 * S, troubles.fail_over, world, 3 * S, 3 * S, 1 * S, 0.0)


def _paused(world: World) -> None:
    _at(world, 10, lambda world, host: world.pause(host, 60 * S))


def _switchover(world: World) -> None:
    def ask(world: World, host: Host) -> None:
        to = next(other for other in world.hosts if other is not host)
        hand_over(world, host, to.name)

    _at(world, 10, ask)


def _added(world: World) -> None:
    def join(world: World, host: Host) -> None:  # noqa: ARG001  # the administration finds the leader itself
        joins = world.add_host()
        world.say(f"{joins.name} is installed")
        world.start(joins, joins.life)
        administration.want(world, joins, joins=True, times=1, stated_off=False)

    _at(world, 10, join)


_LAST, _MOST = "last-man-standing", "majority"
STORIES: Final[dict[str, Story]] = {
    "host-dies": Story(
        "The leader's host dies",
        "Nobody hears of it. Each voter's promise runs for a lease; then another node asks, and leads.",
        Scenario(policy=_MOST),
        17,
        _host_dies,
    ),
    "redis-dies": Story(
        "Redis dies, and comes back empty",
        "All members are up, so their promises alone carry the leader. When Redis is back, the record is "
        "written again once it was silent for a lease. Nobody else ever leads.",
        Scenario(nodes=2, policy=_LAST),
        34,
        _redis_dies,
    ),
    "two-apart-without-witness": Story(
        "Two nodes apart, without a witness",
        "While both reach Redis, nothing changes. When the leader reaches nothing at all, it stops by itself, "
        "and the other leads once its promise and the record's silence have lasted a lease.",
        Scenario(nodes=2, policy=_LAST),
        32,
        _apart,
    ),
    "two-apart-with-witness": Story(
        "Two nodes apart, with a witness",
        "While the witness hears the leader, nothing changes. When the leader reaches nothing, the other and "
        "the witness are a majority; Redis is not needed for it.",
        Scenario(nodes=2, policy=_MOST, witnesses=1),
        32,
        _apart,
    ),
    "sentinel-loses-the-lock-write": Story(
        "A Sentinel failover loses the last writes of the record",
        "The replica that is promoted shows an older record. Within its promise the leader writes its own "
        "over it; the others wait for a lease and 2 s more on the new server.",
        Scenario(nodes=3, policy=_LAST, store="sentinel"),
        22,
        _lost_write,
    ),
    "leader-paused": Story(
        "The leader stands still for a minute",
        "Its permission ends by the clock, not by anything it would have to do. Another leads. When it goes "
        "on, its first look at the clock tells it that it does not lead, and a write that it had begun is "
        "refused.",
        Scenario(policy=_MOST),
        78,
        _paused,
    ),
    "switchover": Story(
        "A switchover",
        "The leader stops, releases everywhere and invites one member, which then stands like anybody, without "
        "back-off.",
        Scenario(policy=_LAST),
        14,
        _switchover,
    ),
    "member-added": Story(
        "A member is added",
        "First a pending list of members, which needs the old and the new votes; it is in force when nobody "
        "with the old list can win any more. The new member itself promises nothing for its first lease.",
        Scenario(policy=_MOST),
        18,
        _added,
    ),
}
