"""The node on this host, where one runs: what it says about Redis, its peers and the cluster.

It is asked over its own REST API with a token that is made from the keys of this host and lives for minutes. A node
that has never run is a note, not a fault: the doctor is for that case, too. One that has run before is missed.
"""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Final

from msgspec import UNSET

from rppam.access.tokens.host import host_of, local_url
from rppam.catalogue.table import area_of, finding
from rppam.cli.trust import trust_of
from rppam.cli.view import parse_view
from rppam.cluster.consensus.heartbeat import MemberStatus, Role
from rppam.cluster.driver.datadir import LOCK_NAME, is_in_use
from rppam.cluster.health.model import FINE, ClusterHealth, MemberView, is_grave
from rppam.cluster.store.hint_files import LIVES_FILE
from rppam.config.errors import ConfigError
from rppam.config.settings import Settings
from rppam.doctor.check_host import port_problem
from rppam.doctor.report import Report
from rppam.http.client import Answer, NoAnswerError, get_json
from rppam.http.serving_errors import SigningKeyError
from rppam.http.trust import Trust
from rppam.kernel.errors import RppamError
from rppam.kernel.finding import Finding, Severity
from rppam.process.linux import holders_of, is_stopped, processes_of_node

ANSWER_S: Final = 2.0
_OF_THE_NODE: Final = frozenset((6, 7, 9))
"""Areas of what a running node knows better than its files show: what its account may write, what its database
answers, what other nodes say. Redis the doctor asks itself."""
STOPPED: Final = "RD-710"
CERTIFICATE: Final = "RD-612"
_WORDS: Final[dict[object, str]] = {True: "true", False: "false", UNSET: "not known"}
PING: Final = "/system/health/ping"
HEALTH: Final = "/system/health/cluster"


def check_processes(settings: Settings, report: Report) -> None:
    """Name the processes of this host's node, or witness, that are stopped by a signal. Linux only."""
    if sys.platform == "win32":
        return
    below: dict[int, str] = {}
    for holder in holders_of(settings.node.data_dir / LOCK_NAME):
        below |= processes_of_node(holder)  # which begins with the one that the others end with
    stopped = {pid: name for pid, name in below.items() if is_stopped(pid)}
    if stopped:
        named = ", ".join(f"{name} (process {pid})" for pid, name in stopped.items())
        fix = f"kill -CONT {' '.join(map(str, stopped))}"
        report.add(finding(STOPPED, f"{named}, of the node with {settings.node.data_dir}", fix=fix))


async def check_node(settings: Settings, config: Path, report: Report) -> bool:
    """Ask the node of this host. Return whether it runs."""
    url = local_url(settings)
    try:
        trust = trust_of(settings, url)
    except ConfigError:  # reported with the files of this host
        trust = Trust()
    try:
        greeting = await get_json(url + PING, timeout_s=ANSWER_S, trust=trust)
    except NoAnswerError as error:
        report.add(*_why_no_answer(settings, report, f"{url}{PING}", str(error)))
        return False
    name = _name(greeting)
    if name is None:
        report.add(finding("RD-608", f"{url}{PING} is answered with status {greeting.status}, not by a node"))
        return False
    if name != settings.node.node_name:
        report.add(finding("RD-608", f"{url} is the node '{name}', and this config is for '{settings.node.node_name}'"))
        return False
    view = await _view(config, url, report)
    if view is not None:
        judge(view, report, redis_enabled=settings.redis.enabled)
    return True


def _why_no_answer(settings: Settings, report: Report, url: str, error: str) -> list[Finding]:
    """What it means that nothing answers as the node of this host."""
    problem = port_problem(settings.api.host, settings.api.port, "api.host")
    data = settings.node.data_dir
    if is_in_use(data):
        return (
            []
            if report.has(STOPPED) or report.has(CERTIFICATE)  # which says why it is not believed
            else [finding("RD-707", f"a node runs on this host with {data}, and {url}: {error}")]
        )
    if problem:
        return [finding("RD-608", f"{problem}, and {url} gives no answer of a node: {error}")]
    return [finding("RD-709" if (data / LIVES_FILE).exists() else "RD-701", f"{url}: {error}")]


def _name(answer: Answer) -> str | None:
    body = answer.body
    name = body.get("node") if isinstance(body, dict) and answer.status == 200 else None
    return name if isinstance(name, str) else None


async def _view(config: Path, url: str, report: Report) -> ClusterHealth | None:
    try:
        host = host_of(config)
        token = host.token()
        report.hide(token)
        answer = await get_json(url + HEALTH, token=token, timeout_s=ANSWER_S, trust=host.trust)
    except SigningKeyError:  # reported with the keys of this host
        return None
    except (RppamError, NoAnswerError) as error:
        report.add(finding("RD-704", f"{url}{HEALTH}: {error}"))
        return None
    view = parse_view(answer.body) if answer.status == 200 else None
    if view is None:
        report.add(finding("RD-704", f"{url}{HEALTH} is answered with status {answer.status}"))
    return view


def _is_heard(one: MemberView) -> bool:
    """Whether what it said last still holds; that it is not heard is told apart, with what to do."""
    return one.status not in {MemberStatus.UNREACHABLE, MemberStatus.UNKNOWN}


def _of_redis(one: MemberView) -> str:
    return f"redisConnected {_WORDS[one.redis_connected]}" if _is_heard(one) else "not heard now"


def judge(view: ClusterHealth, report: Report, *, redis_enabled: bool) -> None:
    """Report what a running node says of itself and the others."""
    if redis_enabled and not view.redis_connected:
        report.add(finding("RD-702", f"redisConnected: false; {view.redis_reason or 'no reason is given'}"))
    if not view.healthy:
        away = [f"{one.node} is {one.status}" for one in view.members if one.status not in FINE]
        nobody = f"no node leads: {view.no_leader_reason}" if view.no_leader_reason else ""
        quorum = "" if view.quorum_reason in nobody else view.quorum_reason
        redis = f"no connection to Redis: {view.redis_reason or 'no reason is given'}"
        grave = [one.what for one in view.findings if is_grave(one)]
        apart = redis if redis_enabled and not view.redis_connected else ""
        reasons = dict.fromkeys(filter(None, [nobody, apart, quorum, view.database_reason, *grave, *away]))
        report.add(finding("RD-703", "; ".join(["clusterHealthy: false", *reasons])))
    said = [one.evidence for one in report.findings]
    new = [warning for warning in view.warnings if not any(warning in evidence for evidence in said)]
    report.add(*(finding("RD-708", warning) for warning in new))
    known = {one.code for one in report.findings}
    for one in view.findings:
        if one.severity is not Severity.NOTE and area_of(one.code) in _OF_THE_NODE and one.code not in known:
            report.add(replace(one, evidence=f"the running node says: {one.evidence}", acknowledged=None))
    if redis_enabled:
        others = [one for one in view.members if one.node != view.node and one.role != Role.WITNESS]
        each = [
            f"{view.node} (this node): redisConnected {_WORDS[view.redis_connected]}",
            *(f"{one.node} ({one.status}): {_of_redis(one)}" for one in others),
        ]
        report.add(finding("RD-706", "; ".join(each)))
    heard = [one for one in view.members if one.node != view.node and _is_heard(one)]
    cut = [one.node for one in heard if one.database_connected is False]
    if cut:
        report.add(finding("RD-629", f"{', '.join(cut)} (as each says itself)"))
    lost = [one for one in heard if one.redis_connected is False]
    report.add(*(finding("RD-705", f"{one.node} ({one.status}): redisConnected false") for one in lost))
