"""A user's channel: its command may be any bytes, and of its environment only what is harmless is taken."""

import asyncio
from typing import Final

import asyncssh
from asyncssh.packet import SSHPacket

WINDOW: Final = 2 * 1024 * 1024
PACKET: Final = 32 * 1024
ENVIRONMENT: Final = (b"LANG", b"LC_", b"TZ", b"COLORTERM", b"NO_COLOR", b"GIT_PROTOCOL")
"""What of the user's environment is handed on: these, and names that begin with those that end in an underscore."""


class ByteChannel(asyncssh.SSHServerChannel[bytes]):
    """A channel whose command may be any bytes, and whose environment is chosen."""

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

    def _process_x11_req_request(self, packet: SSHPacket) -> bool:
        return False


def new_channel(connection: asyncssh.SSHServerConnection) -> ByteChannel:
    """A channel for one more session of ``connection``."""
    loop = asyncio.get_running_loop()
    return ByteChannel(connection, loop, True, False, False, 0, 0, None, "strict", WINDOW, PACKET)
