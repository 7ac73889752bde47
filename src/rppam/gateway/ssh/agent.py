"""The user's own agent, forwarded to the target where the policy allows it.

Nothing of it lies in a file of the gateway: each connection that the target opens is a channel of its own to the user's
client, so several at once do not wait for one another. It goes with the connection, whichever of the two ends first. A
shell that outlives its connection would be left with a dead one, so a session with the agent is not kept.
"""

import asyncio
from typing import TYPE_CHECKING, Any, Final

import asyncssh
from asyncssh.packet import SSHPacket

from rppam.gateway.errors import SecondPersonNeeded
from rppam.gateway.model import Kind
from rppam.gateway.ssh.bridge import Half, pair
from rppam.gateway.ssh.byte_channel import PACKET, WINDOW, ByteChannel
from rppam.gateway.ssh.forwards import check_again
from rppam.gateway.ssh.second_person import needs_second
from rppam.kernel.errors import RppamError

if TYPE_CHECKING:
    from rppam.gateway.ssh.live import LiveAccess
    from rppam.gateway.ssh.server import GatewayServer

AT_ONCE_MAX: Final = 32
"""Connections of one session to the agent that stand at one time."""


def is_wanted(channel: object) -> bool:
    """Whether the user's client offers its agent on this channel, and the policy takes it."""
    return isinstance(channel, ByteChannel) and channel.wants_agent


async def lend(server: "GatewayServer", access: "LiveAccess", channel: asyncssh.SSHServerChannel[bytes]) -> None:
    """Have the session that is opened next on the target's connection ask for the agent, where ``channel`` offers it.

    Where the policy or a second person stands in the way that is recorded, and the session goes on without.
    """
    connection: Any = access.connection
    wanted = is_wanted(channel)
    if wanted:
        try:
            server.check(Kind.AGENT)
            if needs_second(server.gate, server.route):
                raise SecondPersonNeeded("what the agent signs at this target cannot be watched")
        except RppamError as error:
            await server.refused(error, Kind.AGENT)
            wanted = False
    # asyncssh asks the target where this is set, and connects what the target opens to the path that stands here
    connection._agent_forward_path = "the user's" if wanted else None
    if wanted:
        _take_over(server, access, channel.get_connection())


def _take_over(server: "GatewayServer", access: "LiveAccess", user: Any) -> None:
    connection: Any = access.connection
    standing: set[Half] = set()

    def opened(packet: SSHPacket) -> Any:
        packet.check_end()
        check_again(server, Kind.AGENT)
        if len(standing) >= AT_ONCE_MAX:
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_RESOURCE_SHORTAGE, "too many connections to the agent")
        front, back = pair(access.forwarded_up, access.received, standing.discard)
        standing.add(front)
        return connection.create_unix_channel(), _through(user, access, front, back, standing)

    connection._process_auth_agent_at_openssh_dot_com_open = opened


async def _through(user: Any, access: "LiveAccess", front: Half, back: Half, standing: set[Half]) -> Half:
    began = asyncio.get_running_loop().time()
    try:
        channel = user.create_agent_channel(WINDOW, PACKET)
        await channel.open(lambda: front)
    except BaseException:
        standing.discard(front)
        raise
    took = int((asyncio.get_running_loop().time() - began) * 1000)
    facts = {"kind": Kind.AGENT.value, "exit": "opened", "milliseconds": took}
    access.spawn(access.note("access.channel", facts))
    return back
