"""Random sequences of faults: a seed is a plan, and a plan is text that anybody can read before it is run.

Everything about a run follows from its seed and the options it is named with: times, server, databases, and each fault
with its target, its beginning and its length. What a cluster does under a plan does not follow: processes race. A
target may be ``leader``: whoever leads when the fault begins. Where a fault cannot be (the host is dead already, there
is no disk to freeze), it is skipped, and the timeline says so.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

GENERATOR: Final = 2
"""Raise it whenever a seed would mean another plan: results of different generators are not one series."""
SEQUENCE_MS: Final = 30_000
NET: Final = "net"
LIFE: Final = "life"
PROXY: Final = "proxy"
CLOCK: Final = "clock"


class Kind(NamedTuple):
    """One verb of the lab, as the generator knows it."""

    verb: str
    weight: int
    resource: str
    """Two faults that need the same thing of the same host are never on at once."""
    shortest_ms: int
    longest_ms: int
    stores: tuple[str, ...] = ("single", "aof", "sentinel")


NODE_KINDS: Final = (
    Kind("isolate", 10, NET, 300, 9_000),
    Kind("pull-cable", 5, NET, 300, 9_000),
    Kind("cut-to-store", 6, NET, 300, 8_000),
    Kind("cut-from-store", 6, NET, 300, 8_000),
    Kind("cut-to-node", 4, NET, 300, 8_000),
    Kind("cut-between", 4, NET, 300, 8_000),
    Kind("pause", 10, LIFE, 50, 8_000),
    Kind("kill", 8, LIFE, 100, 5_000),
    Kind("power-off", 6, LIFE, 100, 6_000),
    Kind("kill-control", 6, LIFE, 0, 0),
    Kind("pause-control", 6, LIFE, 50, 6_000),
    Kind("kill-supervisor", 3, LIFE, 100, 5_000),
    Kind("freeze-disk", 5, LIFE, 300, 6_000),
    Kind("step-clock", 4, CLOCK, 500, 10_000),
    Kind("proxy-delay", 6, PROXY, 500, 8_000, ("single", "aof")),
    Kind("proxy-hold", 6, PROXY, 300, 6_000, ("single", "aof")),
    Kind("proxy-hold-replies", 6, PROXY, 300, 6_000, ("single", "aof")),
    Kind("proxy-drop", 5, PROXY, 0, 0, ("single", "aof")),
)
STORE_KINDS: Final = (
    Kind("store-kill", 8, LIFE, 100, 7_000),
    Kind("store-pause", 8, LIFE, 100, 6_000),
    Kind("store-isolate", 5, NET, 300, 7_000),
    Kind("store-flush", 5, "data", 0, 0),
    Kind("store-delete-record", 5, "data", 0, 0),
    Kind("store-step-clock", 4, CLOCK, 500, 10_000),
    Kind("sentinel-failover", 8, "data", 0, 0, ("sentinel",)),
)
STEPS_S: Final = (-86_400, -3_600, -30, 5, 45, 1_200, 86_400, 30 * 86_400)


class Fault(NamedTuple):
    """One fault of a plan."""

    at_ms: int
    for_ms: int
    kind: Kind
    target: str
    """``leader``, a node, ``all`` (proxies), or the place of a host among the store's."""
    value: int = 0
    """What the verb takes beside: seconds of a step, ms of a delay, the place of the other node."""

    def sentence(self) -> str:
        """As a person would plan it."""
        length = f" for {self.for_ms / 1000:.1f} s" if self.for_ms else ""
        value = f" ({self.value})" if self.value else ""
        return f"{self.at_ms / 1000:6.1f} s  {self.kind.verb} {self.target}{value}{length}"


@dataclass(frozen=True)
class Plan:
    """What one seed means."""

    seed: int
    store: str
    policy: str | None
    nodes: int
    times: str
    server: str
    shared_database: bool
    witness: bool
    faults: tuple[Fault, ...] = field(repr=False)

    @property
    def title(self) -> str:
        """Name of its timeline."""
        words = [f"sequence {self.seed} {self.store}", self.policy or "", "witness" if self.witness else ""]
        return " ".join(word for word in words if word)

    def text(self) -> str:
        """The plan, a line a fault."""
        about = f"{self.title}: {self.nodes} nodes, {self.times} times, {self.server}, "
        about += "one database" if self.shared_database else "a database each"
        return "\n".join([about, *(fault.sentence() for fault in self.faults)])


def plan(seed: int, store: str, policy: str | None = None, nodes: int = 3, *, witness: bool = False) -> Plan:
    """The plan of a seed. Equal arguments, equal plan."""
    chance = random.Random(f"{GENERATOR}/{seed}/{store}/{policy}/{nodes}/{witness}")
    kinds = [kind for kind in NODE_KINDS if store in kind.stores]
    store_kinds = [kind for kind in STORE_KINDS if store in kind.stores]
    # A storm hides what a single fault shows, so calm plans are as frequent as wild ones.
    count = chance.choice((2, 3, 5, 8, 12))
    only = chance.sample(kinds, 3) if chance.random() < 0.3 else kinds
    faults: list[Fault] = []
    while len(faults) < count:
        if chance.random() < 0.3:
            kind = _draw(chance, store_kinds)
            target = str(chance.randrange(3 if store == "sentinel" else 1))
        else:
            kind = _draw(chance, only)
            names = [f"node{number}" for number in range(1, nodes + 1)] + (["witness"] if witness else [])
            target = chance.choice(("leader", "leader", *names))
            if kind.resource == PROXY and chance.random() < 0.25:
                target = "all"
        at_ms = chance.randrange(500, SEQUENCE_MS - 2_000)
        longest_ms = min(kind.longest_ms, SEQUENCE_MS - at_ms)
        for_ms = chance.randrange(kind.shortest_ms, longest_ms + 1) if kind.longest_ms else 0
        faults.append(Fault(at_ms, for_ms, kind, target, _value(chance, kind, nodes)))
    return Plan(
        seed,
        store,
        policy,
        nodes,
        times=chance.choice(("calm", "calm", "default", "lan")),
        server=chance.choice(("redis-8", "valkey-8")),
        shared_database=chance.random() < 0.5,
        witness=witness,
        faults=tuple(sorted(faults)),
    )


def _draw(chance: random.Random, kinds: "list[Kind]") -> Kind:
    return chance.choices(kinds, [kind.weight for kind in kinds])[0]


def _value(chance: random.Random, kind: Kind, nodes: int) -> int:
    values: dict[str, Callable[[], int]] = {
        "step-clock": lambda: chance.choice(STEPS_S),
        "store-step-clock": lambda: chance.choice(STEPS_S),
        "proxy-delay": lambda: chance.choice((30, 120, 300, 700, 1_500)),
        "cut-to-node": lambda: chance.randrange(1, nodes),
        "cut-between": lambda: chance.randrange(1, nodes),
    }
    return values.get(kind.verb, lambda: 0)()
