"""Which members do not use the new Redis password yet: asked before the old one is taken away.

A member is judged by the mark of the password that Redis accepted from it (``redisPasswordMark`` in a node's health; a
witness shows it in its heartbeat), not by times of files: a file that was only touched, or holds the old password
again, proves nothing, and the clocks of two hosts cannot be compared. Whoever cannot be asked counts as not ready, and
so does one whose address is not proven: see :mod:`rppam.cli._proven`.

What it does not promise: that it knows of a node that is down where members have no votes, and so no list.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from rppam.adapters.members.key_files import read_cluster_keys
from rppam.adapters.redis.password_file import mark_of
from rppam.adapters.system.rest_client import NoAnswerError, get_json
from rppam.cli._cluster.found import seen_in_redis
from rppam.cli._proven import why_no_token
from rppam.cli._setup.rotation import RotationError
from rppam.cli._target import Target
from rppam.cli._view import View, parse_view
from rppam.config.settings import Settings
from rppam.domain.errors.cluster import ClusterKeyUnusable
from rppam.domain.health import VoterKind
from rppam.domain.member import Role
from rppam.domain.secret import Secret
from rppam.services.member_rules import Shown

ANSWER_S: Final = 10.0
HEALTH: Final = "/system/health/cluster"


class _Asking(NamedTuple):
    """What is needed to ask one member."""

    target: Target
    marks: frozenset[str]
    """Of the new password, with each cluster key that this host believes: one that is changed goes member by member."""
    shown: Mapping[str, Shown]
    """All heartbeats in Redis."""
    view: View
    """What the asked node sees."""


async def laggards(settings: Settings, target: Target, new: Secret) -> list[str]:
    """Which members do not show that Redis let them in by ``new``, each with why. Raises RotationError."""
    base = target.url.rstrip("/")
    try:
        first = await get_json(base + HEALTH, token=target.token(), timeout_s=ANSWER_S, trust=target.trust)
    except NoAnswerError as error:
        raise RotationError(f"{base}: {error}. Start the node, or name another one with --url") from error
    body: dict[str, Any] = first.body if isinstance(first.body, dict) and first.status == 200 else {}
    nodes, view = body.get("nodes"), parse_view(body)
    if view is None or not isinstance(nodes, list) or not nodes:
        raise RotationError(f"{base}: answered with HTTP status {first.status}, which is no view of a cluster")
    try:
        marks = _marks(settings, new)
    except ClusterKeyUnusable as error:
        return [f"without the cluster key nobody can tell which password a node uses: {error}. Or look for 'Redis "
                "accepted the new password' in the log of every node, then add --force"]  # fmt: skip
    asking = _Asking(target, marks, await seen_in_redis(settings) or {}, view)
    found = {str(node.get("nodeName")): await _why_late(asking, node) for node in nodes}
    for line in body.get("votes") or []:
        name = str(line.get("voter"))
        if line.get("kind") != VoterKind.STORE and name not in found:
            found[name] = f"it is down; start it, or let it be forgotten (rppam cluster forget {name} --off)"
    return [f"{name}: {why}" for name, why in found.items() if why]


def _marks(settings: Settings, new: Secret) -> frozenset[str]:
    keys = read_cluster_keys(settings.auth.cluster_key_path)
    return frozenset(mark_of(new, key) for key in (keys.own, *keys.also))


async def _why_late(asking: _Asking, node: dict[str, Any]) -> str:
    """Why it is not ready; empty when it is."""
    name, url = str(node.get("nodeName")), str(node.get("url") or "").rstrip("/")
    if node.get("role") == Role.WITNESS:
        seen = asking.shown.get(name)
        if seen is None or not seen.is_fresh:
            return "the witness shows no heartbeat in Redis; start it, and let it reach Redis"
        return _judged(seen.heartbeat.password_mark, asking.marks)
    if not url:
        return "it is not known where its REST API answers; let it reach Redis"
    if name == asking.view.node:
        url = asking.target.url.rstrip("/")
    elif why := why_no_token(asking.view, asking.target.url, url):
        return f"{why}. Look for 'Redis accepted the new password' in its log, then add --force"
    try:
        answer = await get_json(
            url + HEALTH, token=asking.target.token(), timeout_s=ANSWER_S, trust=asking.target.trust
        )
    except NoAnswerError as error:
        return f"{url}: {error}"
    return _judged(answer.body.get("redisPasswordMark") if isinstance(answer.body, dict) else None, asking.marks)


def _judged(mark: object, marks: frozenset[str]) -> str:
    if not isinstance(mark, str) or not mark:
        return (
            'does not tell which password it uses; write redis.password as {"file": PATH} in its config, see that it '
            "has the cluster key, and restart it"
        )
    if mark not in marks:
        return "Redis let it in by another password than the new one; copy the new file over that of its redis.password"
    return ""
