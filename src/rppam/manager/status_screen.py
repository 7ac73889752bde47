"""``rppam status`` drawn: one cluster on one screen, from one node's view."""

from collections.abc import Sequence, Set
from typing import Final

from msgspec import UNSET
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from rppam.cli.screen import STYLES, age
from rppam.cluster.health.model import FINE, ClusterHealth, MemberView
from rppam.kernel.finding import Finding

SAFETY: Final = {
    "single": "the record in one Redis decides",
    "replicated": "every grant is also on a replica",
    "voted": "a majority of members decides",
}


STYLE_OF: Final = {"error": "red", "warning": "yellow"}
"""Severities of findings that are shown; notes are for the doctor."""


def status_picture(view: ClusterHealth, url: str) -> Group:
    """Head, nodes, warnings and note."""
    parts: list[RenderableType] = [_title(view), Text(), _head(view, url), Text(), node_table(view)]
    if view.votes:
        parts += [Text(), _vote_table(view)]
    if view.warnings:
        parts += [Text(), *_warnings(view.warnings)]
    if grave := [one for one in view.findings if one.severity in STYLE_OF]:
        parts += [Text(), *(_finding(one) for one in grave)]
    if view.note and view.note.text:
        parts += [Text(), Text.assemble(("Note  ", "dim"), view.note.text)]
    return Group(*parts)


def _title(view: ClusterHealth) -> Text:
    if view.healthy and view.paused:
        verdict = ("failover is paused", "bold yellow")
    elif view.healthy:
        verdict = ("healthy", "bold green")
    elif view.leader is None:
        verdict = ("no leader", "bold red")
    else:
        verdict = ("needs attention", "bold yellow")
    why = "" if view.healthy else why_not_healthy(view)
    return Text.assemble((view.cluster_id or "cluster", "bold"), "  ", verdict, f": {why}" if why else "")


def why_not_healthy(view: ClusterHealth) -> str:
    """What keeps the cluster from being healthy, the gravest first; empty when it does not show."""
    ill = [f"{one.node} is {one.status}" for one in view.members if one.status not in FINE]
    redis = [] if view.redis_connected else ["Redis is not connected"]
    quorum = [] if view.quorum_met or redis else ["quorum is not met"]
    return ", ".join([*redis, *quorum, *ill])


def _head(view: ClusterHealth, url: str) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    epoch = f", epoch {view.epoch}" if view.epoch else ""
    none = "none" + epoch + (f": {view.no_leader_reason}" if view.no_leader_reason else "")
    table.add_row("Leader", Text(view.leader + epoch if view.leader else none, "" if view.leader else "red"))
    if view.virtual_ip:
        table.add_row("Address", _address(view))
    if view.paused:
        table.add_row("Failover", Text(f"paused by {view.paused_by}; rppam cluster resume", style="yellow"))
    quorum = ("met" if view.quorum_met else "not met") + (f" ({view.quorum_policy})" if view.quorum_policy else "")
    table.add_row(
        "Quorum", _good_or(view.quorum_met, quorum + (f": {view.quorum_reason}" if view.quorum_reason else ""))
    )
    lost = "not connected" + (f": {view.redis_reason}" if view.redis_reason else "")
    table.add_row("Redis", _good_or(view.redis_connected, "connected" if view.redis_connected else lost))
    if view.pending_change:
        table.add_row("Members", Text(view.pending_change, style="yellow"))
    if (settings := _settings(view)) is not None:
        table.add_row("Settings", settings)
    if view.safety_level:
        about = SAFETY.get(view.safety_level)
        table.add_row("Safety", Text(view.safety_level + (f" ({about})" if about else "")))
    table.add_row("Seen by", Text(f"{view.node or 'a node'} at {url}"))
    return table


def _address(view: ClusterHealth) -> Text:
    """Only the leader knows where the address is; the others know where it should be."""
    if view.virtual_ip_here:
        return Text(f"{view.virtual_ip}, here")
    if view.leader is not None and view.leader == view.node:
        return Text(f"{view.virtual_ip}, not here: see the warnings", style="red")
    return Text(f"{view.virtual_ip}, with the leader" if view.leader else f"{view.virtual_ip}, nowhere")


def _settings(view: ClusterHealth) -> Text | None:
    """Which nodes do not use the newest settings yet; ``None`` where no node reports its revision."""
    told = {one.node: one.settings_revision for one in view.members if one.settings_revision is not None}
    if not told:
        return None
    most = max(told.values())
    behind = ", ".join(f"{name} ({used})" for name, used in told.items() if used < most)
    changes = f"{most} change{'' if most == 1 else 's'}" if most else "defaults"
    return Text(f"{changes}, not yet obeyed by {behind}", style="yellow") if behind else Text(f"{changes}, everywhere")


def _good_or(good: bool, text: str) -> Text:
    return Text(text, style="" if good else "red")


def node_table(view: ClusterHealth) -> Table:
    """One row a node."""
    table = _table("  NODE", "ROLE", "STATUS", "HEARTBEAT", "REDIS", last="ADDRESS", right={"HEARTBEAT"})
    for one in view.members:
        table.add_row(*_row(one))
    return table


def _row(one: MemberView) -> tuple[RenderableType, ...]:
    leads = one.role == "leader"
    redis = {True: Text("yes"), False: Text("no", style="red"), UNSET: Text("-")}[one.redis_connected]
    return (
        Text(("● " if leads else "  ") + one.node, style="bold" if leads else ""),
        Text(one.role or "-", style="bold cyan" if leads else ""),
        Text(one.status, style=STYLES.get(one.status, "")),
        age(one.heartbeat_age_ms),
        redis,
        Text(one.api_url or "-"),
    )


def _vote_table(view: ClusterHealth) -> Table:
    """One row a voter: what it is worth, whom it supports, and why it does not count."""
    table = _table("  VOTER", "VOTES", "PROMISED TO", "FOR", last="", right={"VOTES", "FOR"})
    for line in view.votes:
        to = line.promised_to or ("?" if line.promised_ms is None else "-")
        left = "-" if line.promised_ms is None or not line.promised_to else f"{line.promised_ms / 1000:.1f} s"
        style = "" if line.is_counted else "red"
        table.add_row(Text(f"  {line.voter}", style=style), str(line.votes), Text(to), left, Text(line.reason, style))
    return table


def _table(*titles: str, last: str, right: Set[str]) -> Table:
    """A table without lines, whose last column wraps."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for title in titles:
        table.add_column(title, no_wrap=True, justify="right" if title in right else "left")
    table.add_column(last, overflow="fold")
    return table


def _finding(one: Finding) -> Text:
    return Text.assemble((f"{one.code}  ", STYLE_OF[one.severity]), f"{one.what} {one.advice}")


def _warnings(sentences: Sequence[str]) -> list[Text]:
    return [Text.assemble(("Warning  ", "yellow"), sentence) for sentence in sentences]
