"""Whether members agree that one of them gets the master key of an open vault.

One that is open hands it over only where as many members agree as ``vault.peerUnsealMembers`` says, itself among them;
where there are fewer beside the one that asks, all of them. Each of the others asks the asking node itself, over its
own connection, whether that key pair is the one that it asks with: so whoever speaks to one member in a node's name has
not deceived the other. A member need not be open for that, and one that is away agrees to nothing.

What it does not promise: protection against a node whose host was taken. A sealed one asks in its own name, and says so
to whoever asks it; where the vault is open it has the key already.
"""

import asyncio
import base64
import json
import logging
from collections.abc import Mapping
from typing import Any, Final, Protocol

from rppam.config.settings import Settings
from rppam.kernel.errors import RppamError

AGREE: Final = "vault_agree"
CONFIRM: Final = "vault_confirm"
CONFIRM_S: Final = 1.0
AGREE_S: Final = 2.0
"""Less than the node that asks waits for its answer."""
log: Final = logging.getLogger("rppam.vault")


class Peers(Protocol):
    """The way to the other members."""

    @property
    def peers(self) -> Mapping[str, object]:
        """By name."""
        ...

    @property
    def witnesses(self) -> tuple[str, ...]:
        """Those that never lead."""
        ...

    async def order(self, to: str, body: str, url: str | None) -> str:
        """Give an order; its answer."""
        ...


class Questions:
    """What this node asks others at the moment: the public keys that it has made for that."""

    def __init__(self) -> None:
        self.open: Final[set[str]] = set()

    async def confirm(self, through: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """What the asking node answers to ``through``, who is to agree."""
        is_ours = str(arguments["key"]) in self.open
        if not is_ours:
            log.error("%s asks whether this node wants the vault's master key with a key pair that it has not made: "
                      "find out who speaks in its name", through)  # fmt: skip
        return {"said": "", "asks": is_ours}


def takes_part(settings: Settings) -> bool:
    """Whether this node gives and gets the key so."""
    return settings.vault.key_source == "shares" and settings.vault.peer_unseal


async def agreed(settings: Settings, link: Peers, through: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """What a member answers to ``through``, which is open, about the node that asks it for the key. Raises ValueError,
    KeyError for what is no question."""
    node, key = str(arguments["node"]), str(arguments["key"])
    if not takes_part(settings):
        why = "it takes no part (vault.keySource, vault.peerUnseal)"
    elif node == through or node not in link.peers or node in link.witnesses:
        why = f"{node} is no other node of its members"
    else:
        try:
            async with asyncio.timeout(CONFIRM_S):
                told = await _asked(link, node, CONFIRM, {"key": key})
            why = "" if told.get("asks") is True else f"{node} says that it has not asked so"
        except (RppamError, ValueError, TimeoutError) as error:
            why = f"{node} did not tell it whether it asks: {str(error) or 'no answer in time'}"
    return {"said": why, "agrees": not why}


async def agreeing(settings: Settings, link: Peers | None, node: str, key: bytes) -> tuple[list[str], str]:
    """Which members beside this one agree that ``node`` gets the key, as many as are needed; or why not enough do."""
    others = sorted({*link.peers} - {*link.witnesses, node}) if link is not None else []
    needed = min(settings.vault.peer_unseal_members - 1, len(others))
    if link is None or not needed:
        return [], ""
    asked = {"node": node, "key": base64.b64encode(key).decode()}
    found, refused = [], []
    for told in asyncio.as_completed([_opinion(link, one, asked) for one in others]):
        name, why = await told
        if why:
            refused.append(f"{name}: {why}")
        else:
            found.append(name)
    if len(found) < needed:
        told_so = "; ".join(sorted(refused))
        return [], f"{needed + 1} members have to agree (vault.peerUnsealMembers), found {len(found) + 1}: {told_so}"
    return sorted(found)[:needed], ""


async def _opinion(link: Peers, name: str, asked: Mapping[str, str]) -> tuple[str, str]:
    """The name of a member, and why it does not agree; empty: it does."""
    try:
        async with asyncio.timeout(AGREE_S):
            told = await _asked(link, name, AGREE, asked)
    except (RppamError, ValueError, TimeoutError) as error:
        return name, str(error) or f"no answer within {AGREE_S:g} s"
    if told.get("agrees") is True:
        return name, ""
    return name, str(told.get("said") or told.get("text") or "it does not know the question")


async def _asked(link: Peers, name: str, order: str, arguments: Mapping[str, str]) -> Mapping[str, Any]:
    body = {"order": order, "arguments": arguments, "request": ""}
    found = json.loads(await link.order(name, json.dumps(body), None))
    if not isinstance(found, Mapping):
        raise ValueError("expected an object")  # noqa: TRY004 - what the other node said is wrong, not a type of ours
    return found
