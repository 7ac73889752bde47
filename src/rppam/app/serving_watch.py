"""The watch over the processes of this node that serve people: its API workers, and its SSH gateways.

The supervisor starts one again that has ended; this tells of one that stays away, since everything else is well then:
the node votes, and may lead, while nobody reaches anything through it. A node without any worker says so to the others
in its heartbeats, as it answers nobody itself, and leaves leadership to one that serves. It goes by what living
processes put on the node's page.
"""

from collections.abc import Callable, Mapping
from typing import Final

from rppam.cluster.driver.node_tasks import NodeTask
from rppam.cluster.errors import NothingServes
from rppam.cluster.health.model import GaugeView
from rppam.db.condition import Condition

EVERY_S: Final = 2.0
LOOKS: Final = 6
"""One is away once that many looks in a row miss it: a start takes some seconds."""
LOOKS_AT_START: Final = 30
"""Before the first one is seen: on a host that starts many things at once it takes longer."""
_OF_GATEWAYS: Final = "SSH gateways of this node that run."
_OF_WORKERS: Final = "Processes of this node that answer requests and run."


class _ServingWatch(NodeTask):
    """Counts the processes of one kind."""

    kind: str
    gauge: str
    meaning: str

    def __init__(self, name: str, processes: Callable[[], Mapping[str, Condition]], wanted: int) -> None:
        """``processes``: the living workers and gateways by name; ``wanted``: how many there are to be."""
        super().__init__(name, EVERY_S, self.look)
        self._processes, self._wanted = processes, wanted
        self._missed = 0
        self._were_seen = False

    async def look(self) -> str:
        """Look once: a warning once some have been away for long enough, or nothing."""
        living = sum(name.startswith(self.kind) for name in self._processes())
        self.gauges = (GaugeView(self.gauge, self.meaning, living),)
        self._were_seen = self._were_seen or living > 0
        self._missed = self._missed + 1 if living < self._wanted else 0
        is_away = self._missed >= (LOOKS if self._were_seen else LOOKS_AT_START)
        return self.told(living, self._wanted) if is_away else self.well()

    def told(self, living: int, wanted: int) -> str:
        """What to say of those that are away."""
        raise NotImplementedError

    def well(self) -> str:
        """None is away, or not for long."""
        return ""


class GatewayWatch(_ServingWatch):
    """That over the SSH gateways."""

    kind, gauge, meaning = "gateway ", "rppam_gateways", _OF_GATEWAYS

    def __init__(self, processes: Callable[[], Mapping[str, Condition]], wanted: int) -> None:
        super().__init__("the watch over the gateways", processes, wanted)

    def told(self, living: int, wanted: int) -> str:
        """See :func:`gone`."""
        return gone(living, wanted)


class WorkerWatch(_ServingWatch):
    """That over the API workers."""

    kind, gauge, meaning = "worker ", "rppam_workers", _OF_WORKERS

    def __init__(
        self, processes: Callable[[], Mapping[str, Condition]], wanted: int, others_serve: Callable[[], bool]
    ) -> None:
        """``others_serve``: whether another node could lead and answers requests."""
        super().__init__("the watch over the workers", processes, wanted)
        self._others_serve = others_serve
        self.none_serves = False

    def told(self, living: int, wanted: int) -> str:
        """See :func:`idle`. Raises :class:`NothingServes` where none runs."""
        self.none_serves = not living
        if living:
            self.unfit = ""
            return idle(living, wanted)
        # Where nobody serves a leader is still good for the sessions that go on.
        self.unfit = "none of its API workers runs, and another node serves" if self._others_serve() else ""
        raise NothingServes("none of this node's API workers runs")

    def well(self) -> str:
        """None is away, or not for long."""
        self.none_serves, self.unfit = False, ""
        return ""


def gone(living: int, wanted: int) -> str:
    """The warning of gateways."""
    who = "no SSH gateway of this node runs" if not living else f"{living} of {wanted} SSH gateways of this node run"
    return f"{who}: its log says why they end ('gateway'); SSH through other nodes goes on"


def idle(living: int, wanted: int) -> str:
    """The warning of workers."""
    who = f"{living} of {wanted} API workers of this node {'runs' if living == 1 else 'run'}"
    return f"{who}: its log says why the others end ('API worker'), and requests wait longer"
