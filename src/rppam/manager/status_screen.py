"""``rppam status`` drawn: one cluster on one screen, from one node's view."""

from collections.abc import Sequence, Set
from typing import Final

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from rppam.cli.screen import STYLES, age
from rppam.cluster.consensus.heartbeat import MemberStatus
from rppam.cluster.health.model import ALONE, FINE, OF_THE_NAME, ClusterHealth, MemberView, NameView, is_grave
from rppam.kernel.finding import Finding

SAFETY: Final = {
    "single": "the record in one Redis decides",
    "replicated": "every grant is also on a replica",
    "voted": "a majority of members decides",
}


GRAVE: Final = {
    "RD-603": "the signing keys on this node's disk cannot be used",
    "RD-618": "this node does not vote, as its promise file is not its own",
    "RD-619": "this node does not vote, as its disk takes no promise",
    "RD-630": "the ledger is not what was recorded",
    "RD-631": "the ledger is not the one that was seen",
    "RD-632": "the virtual address is not where it should be",
    **dict.fromkeys(OF_THE_NAME, "the name in DNS does not follow the leader, or would not"),
    "RD-641": "the leader's program failed, or would",
    "RD-707": "a node answers no requests",
    "RD-902": "this node is no member, and has no vote",
    "RD-908": "a node is no member, and has no vote",
    "RD-956": "a node has not got the vault's master key",
}
"""Findings with which no cluster is healthy, in a few words."""
STYLE_OF: Final = {"error": "red", "warning": "yellow"}
"""Severities of findings that are shown; notes are for the doctor."""
_ANY_WIDTH: Final = 1_000


def status_picture(view: ClusterHealth, url: str) -> Group:
    """Head, nodes, warnings and note."""
    parts: list[RenderableType] = [_title(view), Text(), _head(view, url), Text(), _Nodes(view)]
    if view.votes:
        parts += [Text(), _vote_table(view)]
    if view.warnings:
        parts += [Text(), *_warnings(view.warnings)]
    if grave := sorted((one for one in view.findings if one.severity in STYLE_OF), key=lambda one: not one.counts):
        parts += [Text(), *(_finding(one, view) for one in grave)]
    if silent := [one.node for one in view.members if one.status is MemberStatus.UNREACHABLE]:
        where = f"on {silent[0]}" if len(silent) == 1 else f"on each of {', '.join(silent)}"
        parts += [Text(), Text.assemble(("Next  ", "dim"), f"rppam doctor {where} says what keeps it from answering")]
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
    redis = [] if view.redis_connected or _is_alone(view) else ["Redis is not connected"]
    quorum = [] if view.quorum_met or redis else ["quorum is not met"]
    lost = [one.node for one in view.members if one.database_connected is False and one.node != view.node]
    database = ["the database cannot be worked with"] if view.database_connected is False else []
    elsewhere = [f"{', '.join(lost)} cannot work with the database"] if lost and not database else []
    grave = [GRAVE[one.code] for one in view.findings if is_grave(one)]
    return ", ".join([*redis, *quorum, *database, *grave, *elsewhere, *ill])


def _head(view: ClusterHealth, url: str) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    epoch = f", epoch {view.epoch}" if view.epoch else ""
    none = "none" + epoch + (f": {view.no_leader_reason}" if view.no_leader_reason else "")
    table.add_row("Leader", Text(view.leader + epoch if view.leader else none, "" if view.leader else "red"))
    if view.virtual_ip:
        table.add_row("Address", _address(view))
    if view.dns_name is not None:
        table.add_row("Name", _name(view.dns_name))
    if view.paused:
        table.add_row("Failover", Text(f"paused by {view.paused_by}; rppam cluster resume", style="yellow"))
    quorum = ("met" if view.quorum_met else "not met") + (f" ({view.quorum_policy})" if view.quorum_policy else "")
    is_told = bool(view.leader) or view.quorum_reason not in view.no_leader_reason
    short = f": {view.quorum_reason}" if view.quorum_reason and is_told else ""
    table.add_row("Quorum", _good_or(view.quorum_met, quorum + short))
    lost = "not connected" + (f": {view.redis_reason}" if view.redis_reason else "")
    said = view.redis_reason if _is_alone(view) else lost
    table.add_row(
        "Redis", _good_or(view.redis_connected or _is_alone(view), "connected" if view.redis_connected else said)
    )
    if view.database_connected is not None:
        table.add_row("Database", _database(view))
    if view.pending_change:
        table.add_row("Members", Text(view.pending_change, style="yellow"))
    if (settings := _settings(view)) is not None:
        table.add_row("Settings", settings)
    if view.safety_level:
        about = "this node alone decides" if _is_alone(view) else SAFETY.get(view.safety_level)
        table.add_row("Safety", Text(view.safety_level + (f" ({about})" if about else "")))
    table.add_row("Seen by", Text(f"{view.node or 'a node'} at {url}"))
    return table


def _is_alone(view: ClusterHealth) -> bool:
    """Whether it has no Redis, and is to have none."""
    return not view.redis_connected and view.redis_reason == ALONE


def _database(view: ClusterHealth) -> Text:
    if view.database_connected:
        took = "" if view.database_latency_ms is None else f", answers in {view.database_latency_ms} ms"
        return Text(f"connected{took}")
    return Text(f"not connected: {view.database_reason}" if view.database_reason else "not connected", style="red")


def _address(view: ClusterHealth) -> Text:
    """Where it is seen, by what each node says of its own host."""
    holders = [one.node for one in view.members if one.has_virtual_ip]
    if view.virtual_ip_here and view.node not in holders:
        holders = [view.node, *holders]
    if len(holders) > 1:
        return Text(f"{view.virtual_ip}, on several hosts: {', '.join(holders)}", style="red")
    if view.virtual_ip_here:
        return Text(f"{view.virtual_ip}, here")
    if holders:
        return Text(f"{view.virtual_ip}, with {holders[0]}", style="" if holders[0] == view.leader else "red")
    if view.leader is not None and view.leader == view.node:
        return Text(f"{view.virtual_ip}, not here: see the warnings", style="red")
    leader = next((one for one in view.members if one.node == view.leader), None)
    if leader is not None and not leader.says_config:
        return Text(f"{view.virtual_ip}, not known where: {leader.node} does not say", style="yellow")
    return Text(f"{view.virtual_ip}, nowhere", style="red")


def _name(name: NameView) -> Text:
    """Where the name in DNS points, since when, and what is wrong with it."""
    told = f"{name.name} -> {', '.join(name.addresses) or 'nothing'}"
    if name.node is not None:
        since = f" since {name.since}" if name.since else ""
        told += f" ({name.node}, epoch {name.epoch}{since})"
    return Text(f"{told}: {name.problem}" if name.problem else told, style="red" if name.problem else "")


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


class _Nodes:
    """The table of nodes, with less between its columns where the terminal is narrow: addresses are to be pasted."""

    def __init__(self, view: ClusterHealth) -> None:
        self._view = view

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        wide = node_table(self._view)
        fits = Measurement.get(console, options.update(width=_ANY_WIDTH), wide).maximum <= options.max_width
        yield wide if fits else node_table(self._view, gap=1)


def node_table(view: ClusterHealth, gap: int = 2) -> Table:
    """One row a node."""
    titles = ("  NODE", "ROLE", "STATUS", "VOTE", "HEARTBEAT", "REDIS", "DATABASE")
    table = _table(*titles, last="ADDRESS", right={"HEARTBEAT"}, gap=gap)
    for one in view.members:
        table.add_row(*_row(one))
    return table


def _row(one: MemberView) -> tuple[RenderableType, ...]:
    leads = one.role == "leader"
    is_heard = one.status not in {MemberStatus.UNREACHABLE, MemberStatus.UNKNOWN}
    redis = _yes_or_no(one.redis_connected if is_heard else None)  # else it is what it said last
    database = _yes_or_no(one.database_connected)
    return (
        Text(("● " if leads else "  ") + one.node, style="bold" if leads else ""),
        Text(one.role or "-", style="bold cyan" if leads else ""),
        Text(one.status, style=STYLES.get(one.status, "")),
        _yes_or_no(one.has_vote),
        age(one.heartbeat_age_ms),
        redis,
        database,
        Text(one.api_url or "-"),
    )


def _yes_or_no(is_connected: object) -> Text:
    """A dash where it is not known."""
    if not isinstance(is_connected, bool):
        return Text("-")
    return Text("yes") if is_connected else Text("no", style="red")


def _vote_table(view: ClusterHealth) -> Table:
    """One row a voter: what it is worth, whom it supports, and why it does not count."""
    table = _table("  VOTER", "VOTES", "PROMISED TO", "FOR", last="", right={"VOTES", "FOR"})
    for line in view.votes:
        to = line.promised_to or ("?" if line.promised_ms is None else "-")
        left = "-" if line.promised_ms is None or not line.promised_to else f"{line.promised_ms / 1000:.1f} s"
        style = "" if line.is_counted else "red"
        reason = "not connected" if line.reason and line.reason == view.redis_reason else line.reason  # it stands above
        table.add_row(Text(f"  {line.voter}", style=style), str(line.votes), Text(to), left, Text(reason, style))
    return table


def _table(*titles: str, last: str, right: Set[str], gap: int = 2) -> Table:
    """A table without lines, whose last column wraps."""
    table = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0), header_style="dim")
    for title in titles:
        table.add_column(title, no_wrap=True, justify="right" if title in right else "left")
    table.add_column(last, overflow="fold")
    return table


def _finding(one: Finding, view: ClusterHealth) -> Text:
    """What it is, what was seen unless that stands in the head already, and what to do."""
    if one.acknowledged is not None and not one.counts:
        known = f"acknowledged by {one.acknowledged.by} until {one.acknowledged.until}: {one.acknowledged.reason}"
        return Text.assemble((f"{one.code}  ", "dim"), (f"{one.what} ", "dim"), known)
    is_told = one.evidence in {view.redis_reason, view.database_reason, ""}
    seen = "" if is_told else f"Seen: {one.evidence.rstrip('.')}. "
    return Text.assemble((f"{one.code}  ", STYLE_OF[one.severity]), f"{one.what} {seen}{one.advice}")


def _warnings(sentences: Sequence[str]) -> list[Text]:
    return [Text.assemble(("Warning  ", "yellow"), sentence) for sentence in sentences]
