"""What the demo shows at one moment: one row a node, as values. The pictures are drawn in ``screen.py``."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rppam.cluster.health.model import ClusterHealth
from rppam.demo.events import ClusterWatch
from rppam.kernel.secret import Secret


class RunningNode(NamedTuple):
    """A node of the demo."""

    name: str
    url: str
    """Empty: a witness, which has no API."""
    pid: int
    """Its supervisor, which stands for the node."""


class Processes(NamedTuple):
    """The processes below a node's supervisor, while it has them all."""

    control: int
    workers: tuple[int, ...]


class Ready(NamedTuple):
    """Everything one needs to play with the cluster."""

    nodes: tuple[RunningNode, ...]
    processes: Mapping[str, Processes]
    """By node name."""
    leader: str
    epoch: int
    admin_user: str
    admin_password: Secret
    admin_token: Secret
    header_file: str
    """A file holding the ``Authorization`` header, so that the token stands on no command line."""
    redis_host: str
    redis_port: int
    redis_password: Secret
    redis_pid: int
    directory: str
    started_in_ms: int


class Row(NamedTuple):
    """One node."""

    node: str
    role: str
    """``leader``, ``standby``, ``witness``, or empty when it is not known now."""
    status: str
    epoch: int
    heartbeat_age_ms: int | None
    url: str
    pid: int
    process: str
    """``running``, ``stopped``, or ``ended`` and how."""


class Board(NamedTuple):
    """The whole picture."""

    rows: tuple[Row, ...]
    leader: str | None
    epoch: int
    redis: str
    """The state of the Redis process and whether the nodes reach it."""
    redis_fine: bool


def board_of(
    nodes: Sequence[RunningNode],
    watch: ClusterWatch,
    views: Mapping[str, ClusterHealth],
    *,
    processes: Mapping[str, str],
    redis_process: str,
) -> Board:
    """The picture of what was heard last."""
    rows = []
    for node in nodes:
        process = processes.get(node.name, "running")
        seen = [peer for name, view in views.items() if name != node.name and (peer := view.member(node.name))]
        own = views[node.name].member(node.name) if node.name in views else None
        said = seen or ([own] if own else [])  # a node's word on itself says nothing of its heartbeats
        ages = [peer.heartbeat_age_ms for peer in said if peer.heartbeat_age_ms is not None]
        if watch.leader == node.name:
            role = "leader"
        elif own is not None and own.role != "leader":
            role = own.role
        elif not node.url:
            role = "witness"
        else:
            role = ""  # it does not answer, or still believes what is over
        rows.append(
            Row(
                node=node.name,
                role=role,
                status=watch.status.get(node.name, "unknown"),
                epoch=views[node.name].epoch if node.name in views else 0,
                heartbeat_age_ms=min(ages) if ages else None,
                url=node.url,
                pid=node.pid,
                process=process,
            )
        )
    fine = redis_process == "running" and watch.redis_connected
    reached = "reached by the nodes" if watch.redis_connected else "not reached by the nodes"
    return Board(tuple(rows), watch.leader, watch.epoch, f"{redis_process}, {reached}", fine)
