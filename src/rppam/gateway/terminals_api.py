"""Terminals over REST and WebSockets: open one, then speak with it at any node. See docs/reference/terminals.md."""

import asyncio
import json
from pathlib import Path as Folder
from typing import Annotated, Final

from fastapi import APIRouter, Path, Query
from pydantic import Field

from rppam.access.rbac.policy import Caller
from rppam.foundation import Foundation
from rppam.gateway.errors import NoGateway
from rppam.gateway.relay import ALIVE_S, Pipe, Wish, call
from rppam.gateway.terminals_service import TerminalOpening
from rppam.http.answers import BODY, NO_DATABASE
from rppam.http.routes import SIGNED_IN, Kind, declare
from rppam.http.schemas import Shape
from rppam.http.services import Here
from rppam.http.sockets import Socket, SocketAnswer
from rppam.http.streams import StreamEndedError
from rppam.kernel.actor import current_actor

TARGETS: Final = "/api/v1/access/targets"
TERMINALS: Final = "/api/v1/access/terminals"
terminals = APIRouter(tags=["access"])
_ID: Final = "^[0-9a-zA-Z-]{1,36}$"
SILENT_S: Final = 3 * ALIVE_S
_LAST_WORD_S: Final = 0.2


class TerminalRequest(Shape):
    """Which account of which target a terminal is for."""

    target: Annotated[str, Field(min_length=1, max_length=256)]
    account: Annotated[str, Field(max_length=128)] = ""
    """Empty: the only one that the caller may use."""


class TerminalShape(Shape):
    """A terminal that waits for its WebSocket."""

    id: str
    """Of the session, too: it stands in `/api/v1/access/sessions`."""
    target: str
    account: str


class TargetShape(Shape):
    """An account of a target that the caller may connect to."""

    target: str
    account: str


class TargetList(Shape):
    """All of them."""

    user: str
    """What the caller logs in as: `ssh USER+TARGET@NODE`."""
    items: list[TargetShape]


@terminals.get(TARGETS, summary="Where one may connect to", response_model=TargetList)
@declare(SIGNED_IN, {503: NO_DATABASE})
async def list_targets(caller: Caller, services: Here) -> TargetList:
    """The accounts whose secret the caller may use, by target."""
    found = await services.get(TerminalOpening).targets(caller)
    items = [TargetShape(target=one.target, account=one.account) for one in found]
    return TargetList(user=caller.subject, items=items)


@terminals.post(TERMINALS, status_code=201, summary="Open a terminal", response_model=TerminalShape)
@declare(
    SIGNED_IN,
    {
        **BODY,
        403: "No shell is allowed, or the token belongs to no account",
        404: "No such target, or no access to it",
        503: "No gateway, or no database",
    },
)
async def open_terminal(body: TerminalRequest, caller: Caller, services: Here) -> TerminalShape:
    """The session begins when `WS /api/v1/access/terminals/{id}` comes, at this node or another, within a minute."""
    new = await services.get(TerminalOpening).open(caller, body.target, body.account)
    return TerminalShape(id=new.id, target=new.target, account=new.account)


@terminals.get(TERMINALS + "/{accessId}", summary="A terminal", response_model=None)
@declare(
    SIGNED_IN,
    {
        400: "A parameter is not valid, or it is no handshake",
        404: "No terminal of the caller's, or it is over",
        503: NO_DATABASE,
    },
    kind=Kind.SOCKET,
)
async def terminal(
    access_id: Annotated[str, Path(alias="accessId", pattern=_ID)],
    caller: Caller,
    services: Here,
    off: Annotated[int | None, Query(ge=0, lt=2**62)] = None,
    columns: Annotated[int, Query(ge=1, le=1000)] = 80,
    rows: Annotated[int, Query(ge=1, le=1000)] = 24,
    term: Annotated[str, Query(pattern="^[a-zA-Z0-9._+-]{1,64}$")] = "xterm-256color",
) -> SocketAnswer:
    """A WebSocket. Output and typing are binary messages that begin with their offset, the rest is JSON; with `off` it
    goes on from there, at any node. The one before is closed.
    """
    kept = await services.get(TerminalOpening).find(caller, access_id)
    wish = Wish(
        kept.id,
        caller.subject,
        kept.user_id,
        sorted(caller.roles),
        caller.session_id,
        caller.mfa,
        current_actor().address,
        columns,
        rows,
        term,
        off,
    )
    folder = Folder(services.get(Foundation).config.node.data_dir)

    async def talk(socket: Socket) -> None:
        try:
            pipe = await call(folder, wish)
        except NoGateway as error:
            text = f"{error}. {error.row.remedy}"
            await socket.send(json.dumps({"type": "end", "code": error.row.code, "text": text, "again": True}))
            return
        try:
            await _carry(pipe, socket)
        finally:
            pipe.close()

    return SocketAnswer(talk)


async def _carry(pipe: Pipe, socket: Socket) -> None:
    """Both ways, until either side ends."""

    async def up() -> None:
        while True:
            await pipe.send(await socket.receive())

    async def down() -> None:
        last = b""
        while (message := await _heard(pipe)) is not None:
            last = message.encode()[:24] if isinstance(message, str) else b""
            await socket.send(message)
        if not last.startswith((b'{"type": "end"', b'{"type": "exit"')):
            raise StreamEndedError("again", "the gateway went away; open the terminal again, at any node")
        await asyncio.sleep(_LAST_WORD_S)

    tasks = [asyncio.create_task(up()), asyncio.create_task(down())]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


async def _heard(pipe: Pipe) -> str | bytes | None:
    """What the gateway says; ``None`` also where it says nothing at all any more."""
    try:
        async with asyncio.timeout(SILENT_S):
            return await pipe.receive()
    except TimeoutError:
        return None
