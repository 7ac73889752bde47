"""The way to the REST API of every node over https, with the authorities that this host's commands believe.

``rppam status`` and ``rppam cluster`` ask the nodes at the addresses that their heartbeats show. A certificate for
another name, or of an authority that is not in ``api.tlsCaPath`` here, first shows when a command is needed. So each is
asked once, this host's own node at its own address included. It does not promise that the others reach this node; run
the doctor there as well.
"""

import asyncio
from collections.abc import Mapping
from typing import Final

from rppam.catalogue.table import finding
from rppam.cluster.consensus.heartbeat import Role
from rppam.config.settings import Settings
from rppam.doctor.check_node import PING
from rppam.doctor.member_rules import Shown
from rppam.doctor.report import Report
from rppam.http.client import NoAnswerError, get_json
from rppam.http.trust import Trust

ASK_S: Final = 3.0


async def check_https(settings: Settings, shown: Mapping[str, Shown] | None, report: Report) -> None:
    """Ask every node whose heartbeat is fresh and names an https address. ``None``: no heartbeats are known."""
    places = {
        name: one.heartbeat.api_url
        for name, one in sorted((shown or {}).items())
        if one.is_fresh
        and one.heartbeat.role is not Role.WITNESS
        and not one.heartbeat.leaving
        and one.heartbeat.api_url.startswith("https://")
    }
    if not places:
        return
    trust = Trust(settings.api.tls_ca_path)  # of its own node, too, authority and name count: others see it so
    reasons = await asyncio.gather(*(_ask(name, url, trust) for name, url in places.items()))
    believed = settings.api.tls_ca_path or "the system's authorities (api.tlsCaPath is not set)"
    for (name, url), reason in zip(places.items(), reasons, strict=True):
        if reason:
            whose = "this node" if name == settings.node.node_name else name
            report.add(finding("RD-955", f"{whose} at {url}, with {believed}: {reason}"))


async def _ask(name: str, url: str, trust: Trust) -> str:
    """Why ``name`` cannot be asked at ``url``; empty when it answers."""
    try:
        answer = await get_json(url.rstrip("/") + PING, timeout_s=ASK_S, trust=trust)
    except NoAnswerError as error:
        return str(error)
    said = answer.body.get("node") if isinstance(answer.body, dict) and answer.status == 200 else None
    if said == name:
        return ""
    return f"the node {said!r} answers there" if isinstance(said, str) else f"status {answer.status}, not of a node"
