"""A user's channel: its command may be any bytes, and of its environment only what is harmless is taken."""

import asyncio
from collections.abc import Callable
from typing import Final

import asyncssh
from asyncssh.packet import SSHPacket

WINDOW: Final = 2 * 1024 * 1024
PACKET: Final = 32 * 1024
ENVIRONMENT: Final = (b"LANG", b"LC_", b"TZ", b"COLORTERM", b"NO_COLOR", b"GIT_PROTOCOL")
"""What of the user's environment is handed on: these, and names that begin with those that end in an underscore."""


class ByteChannel(asyncssh.SSHServerChannel[bytes]):
    """A channel whose command may be any bytes, and whose environment is chosen."""

    wants_agent: bool = False
    """The user's client offers its agent."""
    may_lend: Callable[[], bool] = staticmethod(lambda: False)
    """Whether the policy takes it."""

    def _process_exec_request(self, packet: SSHPacket) -> bool:
        command = packet.get_string()
        packet.check_end()
        return self._start_session(command=command.decode("utf-8", "surrogateescape"))

    def _process_env_request(self, packet: SSHPacket) -> bool:
        key, value = packet.get_string(), packet.get_string()
        packet.check_end()
        if not any(key == one or (one.endswith(b"_") and key.startswith(one)) for one in ENVIRONMENT):
            return False
        self._env[key] = value
        return True

    def _process_auth_agent_req_at_openssh_dot_com_request(self, packet: SSHPacket) -> bool:  # type: ignore[override]
        """See :mod:`rppam.gateway.ssh.agent`; asyncssh's own would listen in a folder of the gateway."""
        packet.check_end()
        # What is replaced here would have asked the user's certificate as well.
        self.wants_agent = self.may_lend() and self._conn.check_certificate_permission("agent-forwarding")
        return self.wants_agent

    def _process_x11_req_request(self, packet: SSHPacket) -> bool:
        return False


def new_channel(connection: asyncssh.SSHServerConnection, may_lend: Callable[[], bool]) -> ByteChannel:
    """A channel for one more session of ``connection``; ``may_lend``: whether the user's agent is taken along."""
    loop = asyncio.get_running_loop()
    channel = ByteChannel(connection, loop, True, False, False, 0, 0, None, "strict", WINDOW, PACKET)
    channel.may_lend = may_lend
    return channel
