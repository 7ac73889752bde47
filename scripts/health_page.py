"""``docs/reference/health.md``: what each surface says of each bad state, by the code that speaks there.

Pure text, used by ``make docs`` and by the test that a page is current. No cell is empty: what says nothing is said to.
"""

import io
import re
from functools import cached_property
from itertools import groupby
from typing import Final

from msgspec.structs import replace
from rich.console import Console

from rppam.cluster.consensus.heartbeat import Role
from rppam.cluster.health.model import ClusterHealth, ClusterSnapshot
from rppam.demo.events import ClusterWatch
from rppam.doctor.check_node import judge
from rppam.doctor.report import Report
from rppam.kernel.instant import WallMs
from rppam.manager.health_api import cluster_health
from rppam.manager.metrics import metrics_of, metrics_text
from rppam.manager.status_screen import status_picture, why_not_healthy
from scripts.health_states import FINDING, WELL, State, states

NOW: Final = WallMs(1_795_000_000_000)
CELL_MAX: Final = 220
NOTHING: Final = "nothing"


class Told:
    """What the surfaces say of one snapshot."""

    def __init__(self, snapshot: ClusterSnapshot) -> None:
        self.snapshot = replace(snapshot)  # its health is judged anew
        self.view = cluster_health(self.snapshot, None, "")

    @cached_property
    def status(self) -> list[str]:
        out = io.StringIO()
        Console(file=out, width=400, color_system=None).print(status_picture(self.view, "https://pam-1:7101"))
        return [" ".join(line.split()) for line in out.getvalue().splitlines() if line.strip()]

    @cached_property
    def metrics(self) -> list[str]:
        epoch = self.snapshot.epoch if self.snapshot.leader == self.snapshot.node else None
        lines = metrics_text(metrics_of(self.snapshot, epoch, NOW)).decode().splitlines()
        return [line for line in lines if not line.startswith("#")]

    @cached_property
    def doctor(self) -> list[str]:
        report = Report()
        judge(self.view, report, redis_enabled=True)
        return [one.code for one in report.findings]

    @cached_property
    def demo(self) -> list[str]:
        watch = ClusterWatch(one.node for one in WELL.members)
        before = cluster_health(WELL, None, "")
        watch.observe(0, {"pam-1": before, "pam-2": _as_standby(before)})
        events = watch.observe(5_000, {"pam-1": self.view, "pam-2": _as_standby(self.view)})
        return [event.text for event in events]


def _as_standby(view: ClusterHealth) -> ClusterHealth:
    """The same as another node sees it."""
    return replace(view, node="pam-2", role=Role.STANDBY)


def health_page(generated: str) -> str:
    """The page."""
    lines = [
        "# What is said when something is wrong",
        "",
        generated,
        "",
        "For every state that a node can know: what health (`GET /system/health/cluster`), `rppam status` with its",
        "exit code, the metrics, the log, `rppam doctor` on that node and the demo say when it is bad. The cells are",
        "what the code itself says of an example. *healthy* is `clusterHealthy`: false is exit code 1 of `rppam",
        "status`. The demo shows the screen of `rppam status`, and the sentences named here. The doctor finds most of",
        "these on the host itself, too: files, keys, certificates, the licence, Redis; here is what it hears of a",
        "running node.",
    ]
    well = Told(WELL)
    assert well.view.healthy, why_not_healthy(well.view)
    for area, group in groupby(states(), lambda one: one.area):
        lines += ["", f"## {area}", ""]
        lines += ["| state | healthy | health | `rppam status` | metrics | log | doctor | demo |"]
        lines += ["|---|---|---|---|---|---|---|---|"]
        lines += ["| " + " | ".join(row) + " |" for row in (cells_of(state, well) for state in group)]
    return "\n".join(lines) + "\n"


def cells_of(state: State, well: Told) -> list[str]:
    """The cells of one line; none is empty."""
    told = Told(state.change(WELL))
    news = [line for line in told.status if line not in well.status]
    exit_code = 0 if told.view.healthy else 1
    numbers = [f"`{line}`" for line in told.metrics if line not in well.metrics]
    return [
        state.name,
        "true" if told.view.healthy else "**false**",
        _cut(_health(told, well)),
        _cut(f"exit {exit_code}: " + ("; ".join(news[:2]) or "the same")),
        ", ".join(numbers[:4]) or NOTHING,
        _cut(_log(state)),
        ", ".join(code for code in told.doctor if code not in well.doctor) or NOTHING,
        _cut("; ".join(told.demo) or "the same screen"),
    ]


def _health(told: Told, well: Told) -> str:
    findings = [
        f"finding {one.code} ({one.severity.value}{'' if one.counts else ', acknowledged'})"
        for one in told.snapshot.findings
    ]
    warnings = [f"warning: {one}" for one in told.snapshot.warnings]
    names = [
        field
        for field in type(told.view).__struct_fields__
        if field not in {"findings", "warnings", "healthy", "members"}
        and getattr(told.view, field) != getattr(well.view, field)
    ]
    members = [
        f"nodes[{one.node}].{key}"
        for one, before in zip(told.view.members, well.view.members, strict=True)
        for name, key in zip(type(one).__struct_fields__, type(one).__struct_encode_fields__, strict=True)
        if getattr(one, name) != getattr(before, name)
    ]
    keys = dict(zip(type(told.view).__struct_fields__, type(told.view).__struct_encode_fields__, strict=True))
    return "; ".join([*findings, *(f"`{keys[name]}`" for name in names), *(f"`{one}`" for one in members), *warnings])


def _log(state: State) -> str:
    if state.log is FINDING:
        return f"{state.change(WELL).findings[0].code}: what it is, what was seen, the fix"
    return state.log if state.log.startswith(NOTHING) else f"“{state.log}”"


def _cut(text: str) -> str:
    text = re.sub(r"\s+", " ", text).replace("|", "\\|")
    return text if len(text) <= CELL_MAX else text[: CELL_MAX - 4].rstrip() + " ..."
