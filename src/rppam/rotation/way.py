"""The way to a target whose secret is changed, over SSH through what stands before it; and the log-in to each of them.

A host key that is not the pinned one is refused as everywhere. What it decides nothing about: which way it is, and what
a refusal on it says of the target's secret.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self

from rppam.gateway.errors import GatewayError
from rppam.gateway.model import PinnedKey
from rppam.gateway.ports import Credential, Route
from rppam.gateway.ssh.algorithms import quiet
from rppam.gateway.ssh.target import ALL_S, Reached, Through, reach
from rppam.gateway.ways import in_words
from rppam.rotation.requests import Hop, Request


class NoWayError(Exception):
    """Something before the target was not reached, or refused; ``str()`` says what."""


class Way:
    """What stands between here and a target, connected while the block lasts."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._connected: list[Reached] = []

    async def __aenter__(self) -> Self:
        quiet()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for one in reversed(self._connected):
            one.connection.close()

    @property
    def keys(self) -> tuple[Sequence[str], ...]:
        """The host key that each of them showed first, to be pinned; empty where one is pinned."""
        return tuple(map(shown, self._connected))

    async def end(self) -> Through | None:
        """The last of them; ``None``: the target is reached by itself. Raises :class:`NoWayError`."""
        request = self._request
        through: Through | None = None
        try:
            for hop in request.hops:
                found = await reached(hop, request.sources, through)
                self._connected.append(found)
                through = Through(found.connection, hop.target)
        except GatewayError as error:
            raise NoWayError(f"on the way to {request.target}: {error}") from None
        return through


@asynccontextmanager
async def in_time(request: Request) -> AsyncIterator[None]:
    """Bound what it takes to get to a target by others. Raises :class:`NoWayError`."""
    try:
        async with asyncio.timeout(ALL_S if request.hops else None):
            yield
    except TimeoutError:
        names = in_words([hop.target for hop in request.hops])
        raise NoWayError(f"{request.place} was not reached within {ALL_S:g} s through {names}") from None


async def reached(to: Request | Hop, sources: Sequence[str], through: Through | None) -> Reached:
    """A connection that is logged in. Raises a :class:`~rppam.gateway.errors.GatewayError`."""
    login = to.login
    route = Route("", to.target, to.host, to.port, "", login.username, login.username, trust=to.trust, legacy=to.legacy)
    credential = Credential(login.password, login.private_key, login.passphrase)
    return await reach(route, credential, [PinnedKey(*pin) for pin in to.pins], sources, through)


def shown(found: Reached) -> tuple[str, ...]:
    """The host key that it showed first, in the fields of a pin; empty where one is pinned."""
    key = found.new_key
    return () if key is None else (key.algorithm, key.public, key.fingerprint)
