"""Whom to ask where this host's own node does not answer: the other members, as its files and Redis know them.

They are only asked whether they answer, without a token: an address that somebody noted proves nobody. What it does not
promise: that all are found; a node that has never met another knows none.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rppam.access.tokens.host import local_url
from rppam.cluster.store.hint_files import ADDRESSES_FILE, AddressBook
from rppam.config.advertised import scheme
from rppam.config.endpoint import Endpoint, parse_endpoint
from rppam.config.errors import ConfigError
from rppam.config.load import load_settings
from rppam.config.places import config_path
from rppam.kernel.errors import RppamError

if TYPE_CHECKING:
    from rppam.config.settings import Settings

REDIS_S: Final = 3.0


async def advice_elsewhere(url: str, config: Path | None, answers: Callable[[str], Awaitable[bool]]) -> str:
    """A sentence that says which other member can be asked; empty where ``url`` is not the config's node, or none is.

    ``answers``: whether something at a URL does.
    """
    try:
        settings = load_settings(config_path(config))
    except (ConfigError, OSError):
        return ""
    if not settings.cluster.enabled or local_url(settings) != url:
        return ""
    others = await _others(settings)
    alive = await asyncio.gather(*map(answers, others.values()))
    answering = [one for one, is_up in zip(others.items(), alive, strict=True) if is_up]
    if answering:
        listed = " and ".join(f"{name} at {place}" for name, place in answering)
        named = "" if config is None else f" --config {config}"
        answer = "answers" if len(answering) == 1 else "answer"
        return f"{listed} {answer}: rppam status --url {answering[0][1]}{named}"
    if others:
        listed = ", ".join(f"{name} at {place}" for name, place in others.items())
        return f"None of the others answers either: {listed}"
    return ""


async def _others(settings: "Settings") -> dict[str, str]:
    """URLs by name: as they say in Redis, else where this node last found them, with the port of its own API."""
    from rppam.manager.on_host import seen_in_redis

    me, found = settings.node.node_name, {}
    for name, address in AddressBook(settings.node.data_dir / ADDRESSES_FILE).load().items():
        found[name] = f"{scheme(settings.api)}://{Endpoint(parse_endpoint(address)[0], settings.api.port)}"
    with suppress(RppamError, OSError, TimeoutError):
        async with asyncio.timeout(REDIS_S):
            shown = await seen_in_redis(settings) or {}
            found |= {name: one.heartbeat.api_url.rstrip("/") for name, one in shown.items() if one.heartbeat.api_url}
    return {name: place for name, place in sorted(found.items()) if name != me}
