"""Channels of notifications over REST: ``security_admin`` and ``pam_admin`` change them, ``pam_auditor`` reads them."""

import uuid
from typing import Annotated, Final

from fastapi import APIRouter, Path, Response
from pydantic import Field

from rppam.access.accounts.model import AccountRole
from rppam.foundation import Foundation
from rppam.http.answers import BODY, NO_DATABASE
from rppam.http.revisions import Expected, tagged
from rppam.http.routes import declare, for_roles
from rppam.http.schemas import Flag, Shape
from rppam.http.services import Here
from rppam.kernel.secret import Secret
from rppam.ledger.acts import Act, recorded
from rppam.ledger.model import Entity
from rppam.notifications.model import Channel, ChannelKind, Notice, Options, check_channel
from rppam.notifications.senders import send
from rppam.notifications.store import Queue, SqlChannels

CHANNELS: Final = "/api/v1/notifications/channels"
notifications = APIRouter(tags=["notifications"])
_MAY: Final = for_roles(AccountRole.SECURITY_ADMIN)
_UNKNOWN: Final = {404: "No channel has this id", 503: NO_DATABASE}
_TAKEN: Final = {409: "The name is taken, or the channel has changed since `revision`"}
ChannelId = Annotated[str, Path(alias="channelId", pattern="^[0-9a-zA-Z-]{1,36}$")]
Address = Annotated[str, Field(max_length=254, pattern=r"^[!-~]+@[!-~]+$")]


class ChannelOptions(Shape):
    """What else a channel says; what is left out has its default."""

    verify_tls: Flag = True
    ca_path: Annotated[str, Field(max_length=200)] = ""
    sender: Annotated[str, Field(max_length=254, pattern=r"^([!-~]+@[!-~]+)?$")] = ""
    to: Annotated[list[Address], Field(max_length=50)] = Field(default_factory=list)
    to_people: Flag = True
    """Those concerned get mail as well, where `PUT /api/v1/users/{userId}/contact` has set their address."""
    username: Annotated[str, Field(max_length=200)] = ""


class ChannelRequest(Shape):
    """A channel as it shall be. Without `secret` the one that it has stays."""

    name: Annotated[str, Field(pattern="^[A-Za-z0-9._ -]{1,64}$")]
    kind: ChannelKind
    url: Annotated[str, Field(max_length=500)]
    """`https://HOST/PATH` of a webhook; `smtps://HOST:465`, or `smtp://HOST:587` for STARTTLS."""
    secret: Annotated[str, Field(min_length=1, max_length=400)] | None = None
    """Signs a webhook; the password of a mail server."""
    enabled: Flag = True
    options: ChannelOptions = ChannelOptions()
    revision: Annotated[int, Field(ge=1, strict=True)] | None = None
    """For a change: the revision that was looked at; with it, no change of somebody else is overwritten (409)."""


class ChannelShape(Shape):
    """A channel, and what waits for it."""

    id: str
    name: str
    kind: ChannelKind
    url: str
    has_secret: bool
    enabled: bool
    options: ChannelOptions
    revision: int
    waiting: int
    """How many are sent again."""
    given_up: int
    """How many nobody gets: they were not taken for three days. Changing the channel has them sent."""
    problem: str
    """Why the last one was not taken; empty where it was."""


class ChannelList(Shape):
    """All channels."""

    items: list[ChannelShape]


class ChannelTested(Shape):
    """The test was taken."""

    said: str


@notifications.get(CHANNELS, summary="Channels of notifications", response_model=ChannelList)
@declare(_MAY, {503: NO_DATABASE})
async def list_channels(services: Here) -> ChannelList:
    """By name, each with how many notifications wait for it."""
    outbox = await services.get(SqlChannels).outbox()
    found = await services.get(SqlChannels).all()
    return ChannelList(items=[_shape(one, outbox.get(one.id, Queue())) for one in found])


@notifications.post(CHANNELS, summary="Add a channel", status_code=201, response_model=ChannelShape)
@declare(_MAY, {**BODY, **_TAKEN, 503: NO_DATABASE})
async def add_channel(body: ChannelRequest, services: Here, response: Response) -> ChannelShape:
    """For what happens from now on."""
    channel = _channel(str(uuid.uuid4()), body)
    check_channel(channel, has_secret=body.secret is not None)
    return _answer(await services.get(SqlChannels).create(channel), Queue(), response)


@notifications.get(f"{CHANNELS}/{{channelId}}", summary="One channel", response_model=ChannelShape)
@declare(_MAY, _UNKNOWN)
async def show_channel(channel_id: ChannelId, services: Here, response: Response) -> ChannelShape:
    """Its settings, and how many notifications wait for it. Its secret is never shown. The ETag is the revision of the
    settings."""
    channel = await services.get(SqlChannels).get(channel_id)
    return _answer(channel, (await services.get(SqlChannels).outbox()).get(channel_id, Queue()), response)


@notifications.put(f"{CHANNELS}/{{channelId}}", summary="Change a channel", response_model=ChannelShape)
@declare(_MAY, {**BODY, **_UNKNOWN, **_TAKEN})
async def change_channel(
    channel_id: ChannelId, body: ChannelRequest, expected: Expected, services: Here, response: Response
) -> ChannelShape:
    """What waits goes where it says now."""
    channels = services.get(SqlChannels)
    before = await channels.get(channel_id)
    channel = _channel(channel_id, body)
    check_channel(channel, has_secret=body.secret is not None or before.secret is not None)
    return _answer(await channels.change(channel, body.revision, expected), Queue(), response)


@notifications.delete(f"{CHANNELS}/{{channelId}}", summary="Remove a channel", status_code=204)
@declare(_MAY, _UNKNOWN)
async def remove_channel(channel_id: ChannelId, expected: Expected, services: Here) -> None:
    """With what waits for it."""
    await services.get(SqlChannels).remove(channel_id, expected)


@notifications.post(f"{CHANNELS}/{{channelId}}/test", summary="Send a test", response_model=ChannelTested)
@declare(_MAY, {**_UNKNOWN, 502: "The receiver did not take it; `detail` says what it said"})
@recorded(lambda given: Act("channel.test", Entity("notification-channel", given["channel_id"])))
async def send_test(channel_id: ChannelId, services: Here) -> ChannelTested:
    """From the node that was asked."""
    base = services.get(Foundation)
    channel = await services.get(SqlChannels).opened(channel_id)
    body = {"title": "A test of RP-PAM's notifications"}
    await send(channel, Notice(str(uuid.uuid4()), channel.id, "test", body, base.clock.wall_ms(), 0), base.clock)
    return ChannelTested(said=f"{channel.name} has taken a test")


def _channel(ident: str, body: ChannelRequest) -> Channel:
    given = body.options
    options = Options(
        given.verify_tls, given.ca_path, given.sender, tuple(given.to), given.to_people, given.username
    )  # fmt: skip
    secret = None if body.secret is None else Secret(body.secret)
    return Channel(ident, body.name, body.kind, body.url, options, secret, body.enabled, 1)


def _answer(channel: Channel, queue: Queue, response: Response) -> ChannelShape:
    tagged(response, channel.revision)
    return _shape(channel, queue)


def _shape(channel: Channel, queue: Queue) -> ChannelShape:
    options = channel.options
    return ChannelShape(
        id=channel.id,
        name=channel.name,
        kind=channel.kind,
        url=channel.url,
        has_secret=channel.secret is not None,
        enabled=channel.enabled,
        options=ChannelOptions(**(options._asdict() | {"to": list(options.to)})),
        revision=channel.revision,
        waiting=queue.waiting,
        given_up=queue.given_up,
        problem=queue.problem,
    )
