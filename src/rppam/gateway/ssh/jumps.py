"""Targets behind others: the connections through what lies on the way (:mod:`rppam.gateway.ways`).

Each is logged in to with what the vault has, in the node's own name, and by its pinned host key; the user gets no
channel there.
"""

import asyncio
from typing import TYPE_CHECKING

from rppam.access.sessions.model import Identity
from rppam.gateway.errors import HostKeyChanged, TargetError, TargetSilent
from rppam.gateway.ports import Credential, Route
from rppam.gateway.ssh.target import ALL_S, Reached, Through, reach
from rppam.gateway.ways import in_words, way_to
from rppam.kernel.actor import Actor, acting
from rppam.ledger.model import Entity

if TYPE_CHECKING:
    from rppam.gateway.ssh.gate import Gate


async def reached(gate: "Gate", route: Route, identity: Identity | None, actor: Actor, ident: str) -> Reached:
    """The target, through whatever lies on the way. See :meth:`~rppam.gateway.ssh.gate.Gate.reach`."""
    with acting(actor):
        hops = await way_to(route, gate.policy.via, gate.routes)
    if not hops:
        return await _reached(gate, route, await _opened(gate, route, identity, actor, ident), actor, ident)
    through: Through | None = None
    names = tuple(one.target for one in hops)
    try:
        async with asyncio.timeout(ALL_S):
            for hop in hops:
                try:
                    with acting(actor):
                        credential = await gate.routes.open_between(hop, ident)
                    found = await _reached(gate, hop, credential, actor, ident, through, is_last=False)
                    through = Through(found.connection, hop.target)
                except TargetError as error:
                    raise type(error)(f"on the way to {route.target}: {error}") from None
            opened = await _opened(gate, route, identity, actor, ident)
            return (await _reached(gate, route, opened, actor, ident, through))._replace(via=names)
    except BaseException as error:
        if through is not None:
            through.connection.close()
        if isinstance(error, TimeoutError):
            said = f"{route.target} was not reached within {ALL_S:g} s through {in_words(names)}"
            raise TargetSilent(said) from None
        raise


async def _opened(gate: "Gate", route: Route, identity: Identity | None, actor: Actor, ident: str) -> Credential:
    with acting(actor):
        if identity is None:
            return await gate.routes.open_to_end(route, ident)
        return await gate.routes.open(identity, route, ident)


async def _reached(
    gate: "Gate",
    route: Route,
    credential: Credential,
    actor: Actor,
    ident: str,
    through: Through | None = None,
    *,
    is_last: bool = True,
) -> Reached:
    """One target; its key is pinned by then."""
    credential = credential._replace(certify=await gate.certifier(route, actor, ident, is_last=is_last))
    try:
        found = await reach(route, credential, await gate.known_hosts.of(route.target_id), gate.sources, through)
    except HostKeyChanged as error:
        target = Entity("resource", route.target_id, route.target)
        await gate.store.note("hostkey.mismatch", target, actor, {}, str(error))
        raise
    if found.new_key is not None:
        try:
            with acting(actor):
                await gate.known_hosts.pin(route.target_id, found.new_key)
        except BaseException:
            found.connection.close()
            raise
    return found
