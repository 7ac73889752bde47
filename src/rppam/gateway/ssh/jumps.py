"""Targets behind others: the connections through what lies on the way (:mod:`rppam.gateway.ways`).

Each is logged in to with what the vault has, in the node's own name, and by its pinned host key; the user gets no
channel there.
"""

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from rppam.access.sessions.model import Identity
from rppam.gateway.errors import CredentialRefused, HostKeyChanged, TargetError, TargetSilent
from rppam.gateway.ports import Credential, Route
from rppam.gateway.ssh.target import ALL_S, Reached, Through, reach
from rppam.gateway.ways import in_words, way_to
from rppam.kernel.actor import Actor, acting
from rppam.kernel.errors import RppamError
from rppam.ledger.model import Entity

if TYPE_CHECKING:
    from rppam.gateway.ssh.gate import Gate


async def reached(gate: "Gate", route: Route, identity: Identity | None, actor: Actor, ident: str) -> Reached:
    """The target, through whatever lies on the way. See :meth:`~rppam.gateway.ssh.gate.Gate.reach`."""
    with acting(actor):
        hops = await way_to(route, gate.policy.via, gate.routes)
    if not hops:
        return await _reached_by_any(gate, route, identity, actor, ident)
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
            return (await _reached_by_any(gate, route, identity, actor, ident, through))._replace(via=names)
    except BaseException as error:
        if through is not None:
            through.connection.close()
        if isinstance(error, TimeoutError):
            said = f"{route.target} was not reached within {ALL_S:g} s through {in_words(names)}"
            raise TargetSilent(said) from None
        raise


async def _reached_by_any(
    gate: "Gate", route: Route, identity: Identity | None, actor: Actor, ident: str, through: Through | None = None
) -> Reached:
    """The target, by what the vault has now, and where that is refused by what it had before.

    A target that was restored, or whose secret was changed in the vault alone, is reached all the same.
    """
    try:
        async with asyncio.timeout(ALL_S):
            opened = await _opened(gate, route, identity, actor, ident)
            try:
                return await _reached(gate, route, opened, actor, ident, through)
            except CredentialRefused as refused:
                with acting(actor), suppress(RppamError):
                    before = await gate.routes.open_before(identity, route, ident)
                    if before is not None:
                        found = await _reached(gate, route, before, actor, ident, through)
                        return found._replace(took_before=True)
                raise refused from None
    except TimeoutError:
        raise TargetSilent(f"{route.target} did not finish the log-in within {ALL_S:g} s") from None


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
