"""Which members do not use the new Redis password yet: asked before the old one is taken away.

A member is judged by the mark of the password that Redis accepted from it, not by times of files: a file that was only
touched, or holds the old password again, proves nothing, and the clocks of two hosts cannot be compared. The asked node
asks the others over the member link (``GET /api/v1/admin/nodes``), so the token goes nowhere else, and what stands in
Redis is not believed of a node; a witness, which has no REST API and takes no questions, shows its mark in its
heartbeat. A member that gives no answer counts as not ready.

A witness that enters Redis as a user of its own has a password of its own, and is not judged by the nodes' one. Redis'
list of clients shows it: somebody is in there as that user, from the witness's address, or, where there is one witness
only, from any.

What it does not promise: that it knows of a node that is down where members have no votes, and so no list. Nor that it
can tell the only witness from another host that happens to be in Redis as the witnesses' user meanwhile.
"""

import asyncio
import socket
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from rppam.access.tokens.target import Target
from rppam.cli.view import parse_view
from rppam.cluster.consensus.heartbeat import Role
from rppam.cluster.errors import ClusterKeyUnusable
from rppam.cluster.health.model import VoterKind
from rppam.cluster.link.key_files import read_cluster_keys
from rppam.config.settings import Settings
from rppam.doctor.member_rules import Shown
from rppam.http.client import Answer, NoAnswerError, get_json
from rppam.kernel.logging import one_line
from rppam.kernel.secret import Secret
from rppam.manager.on_host import seen_in_redis
from rppam.redis.password_file import mark_of
from rppam.setup.redis_acl import WITNESS_USER
from rppam.setup.redis_rotation import Admin, RotationError, hosts_of_witness_user

ANSWER_S: Final = 10.0
HEALTH: Final = "/system/health/cluster"
REPORTS: Final = "/api/v1/admin/nodes"
_MAY_BE_APART: Final = (
    f"Redis does not show that it enters as '{WITNESS_USER}', which has a password of its own; if it does, leave its "
    "file alone and add --force"
)


class _Asking(NamedTuple):
    """What is known before members are judged."""

    marks: frozenset[str]
    """Of the new password, with each cluster key that this host believes: one that is changed goes member by member."""
    shown: Mapping[str, Shown]
    """All heartbeats in Redis."""
    reports: Mapping[str, Mapping[str, Any]]
    """What each node says of itself."""
    witnesses: frozenset[str]
    apart: frozenset[str]
    """Witnesses that enter Redis as a user of their own."""


async def laggards(
    settings: Settings, target: Target, new: Secret, admin: Admin, *, of_witnesses: bool = False
) -> list[str]:
    """Which members do not show that Redis let them in by ``new``, each with why. Raises RotationError.

    ``of_witnesses``: the password of the witnesses' own user is changed, which no node has.
    """
    base = target.url.rstrip("/")
    first = await _asked(target, HEALTH)
    view = parse_view(first.body) if first.status == 200 else None
    if view is None or not view.members:
        raise RotationError(f"{base}: answered with HTTP status {first.status}, which is no view of a cluster")
    second = await _asked(target, REPORTS)
    told = second.body.get("nodes") if isinstance(second.body, dict) and second.status == 200 else None
    if not isinstance(told, list):
        raise RotationError(
            f"{base}{REPORTS}: answered with HTTP status {second.status}, not with what each node says of itself; it "
            "takes an administrator's token and a node of this release"
        )
    try:
        marks = _marks(settings, new)
    except ClusterKeyUnusable as error:
        return [f"without the cluster key nobody can tell which password a node uses: {error}. Or look for 'Redis "
                "accepted the new password' in the log of every node, then add --force"]  # fmt: skip
    reports = {str(one.get("nodeName")): one for one in told if isinstance(one, dict)}
    # Where members vote, the votes say who is a witness; in a heartbeat its writer may claim anything.
    witnesses = {line.voter for line in view.votes if line.kind == VoterKind.WITNESS}
    if not view.votes:
        witnesses = {one.node for one in view.members if one.role == Role.WITNESS}
    shown = await seen_in_redis(settings) or {}
    apart: frozenset[str] = frozenset()
    if witnesses and not of_witnesses:
        apart = await _apart(witnesses, shown, await hosts_of_witness_user(settings, admin))
    asking = _Asking(marks, shown, reports, frozenset(witnesses), apart)
    names = [one.node for one in view.members if one.node in witnesses or not of_witnesses]
    found = {name: _why_late(asking, name) for name in names}
    for line in view.votes:
        name = line.voter
        is_asked = line.kind != VoterKind.STORE and (name in witnesses or not of_witnesses)
        if is_asked and name not in found:
            found[name] = f"it is down; start it, or let it be forgotten (rppam cluster forget {name} --off)"
    return [f"{name}: {why}" for name, why in found.items() if why]


async def _apart(witnesses: set[str], shown: Mapping[str, Shown], hosts: frozenset[str]) -> frozenset[str]:
    """Which witnesses enter Redis as a user of their own; ``hosts``: from where somebody is in there as that user."""
    if not hosts or len(witnesses) == 1:
        return frozenset(witnesses if hosts else ())
    found = set()
    for name in witnesses & shown.keys():
        host = shown[name].heartbeat.member_address.rpartition(":")[0].strip("[]")
        try:
            places = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except OSError:
            continue
        if hosts & {str(place[4][0]) for place in places}:
            found.add(name)
    return frozenset(found)


async def _asked(target: Target, path: str) -> Answer:
    base = target.url.rstrip("/")
    try:
        return await get_json(base + path, token=target.token(), timeout_s=ANSWER_S, trust=target.trust)
    except NoAnswerError as error:
        raise RotationError(f"{base}: {error}. Start the node, or name another one with --url") from error


def _marks(settings: Settings, new: Secret) -> frozenset[str]:
    keys = read_cluster_keys(settings.auth.cluster_key_path)
    return frozenset(mark_of(new, key) for key in (keys.own, *keys.also))


def _why_late(asking: _Asking, name: str) -> str:
    """Why it is not ready; empty when it is."""
    if name in asking.witnesses:
        seen = asking.shown.get(name)
        if seen is None or not seen.is_fresh:
            return "the witness shows no heartbeat in Redis; start it, and let it reach Redis"
        if name in asking.apart:
            return ""
        why = _judged(seen.heartbeat.password_mark, asking.marks)
        return f"{why}. {_MAY_BE_APART}" if why else ""
    report = asking.reports.get(name, {})
    if report.get("answered") is not True:
        reason = one_line(str(report.get("reason") or "it was not asked"))
        return f"{reason}. Or look for 'Redis accepted the new password' in its log, then add --force"
    return _judged(report.get("redisPasswordMark"), asking.marks)


def _judged(mark: object, marks: frozenset[str]) -> str:
    if not isinstance(mark, str) or not mark:
        return (
            'does not tell which password it uses; write redis.password as {"file": PATH} in its config, see that it '
            "has the cluster key, and restart it"
        )
    if mark not in marks:
        return "Redis let it in by another password than the new one; copy the new file over that of its redis.password"
    return ""
