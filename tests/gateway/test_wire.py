"""What a connection sends: no empty packets but where a cipher is chained, and the packets of one turn together."""

import asyncio
import contextlib
from typing import Any

import asyncssh
import pytest
from asyncssh.connection import SSHConnection
from asyncssh.crypto.cipher import GCMCipher

from rppam.gateway.ssh.wire import AT_ONCE_BYTES, Gcm, Together, quicken


class Written(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.said: list[bytes | str] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.said.append(bytes(data))

    def close(self) -> None:
        self.said.append("closed")

    def abort(self) -> None:
        self.said.append("aborted")

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return name


async def test_what_is_written_in_one_turn_goes_together_and_in_order() -> None:
    under = Written()
    transport = Together(under)
    for data in (b"a", b"b", b"c"):
        transport.write(data)
    assert under.said == []
    await asyncio.sleep(0)
    transport.write(b"d")
    await asyncio.sleep(0)
    assert under.said == [b"abc", b"d"]
    assert transport.get_extra_info("socket") == "socket"


async def test_much_waits_for_no_turn() -> None:
    under = Written()
    transport = Together(under)
    transport.write(bytes(AT_ONCE_BYTES - 1))
    assert under.said == []
    transport.write(b"1")
    assert [len(data) for data in under.said] == [AT_ONCE_BYTES]
    await asyncio.sleep(0)
    assert len(under.said) == 1


@pytest.mark.parametrize("end", ["close", "abort"])
async def test_what_waits_is_written_before_the_end(end: str) -> None:
    under = Written()
    transport = Together(under)
    transport.write(b"the reason")
    getattr(transport, end)()
    await asyncio.sleep(0)
    assert under.said == [b"the reason", {"close": "closed", "abort": "aborted"}[end]]


class Client(asyncssh.SSHClient):
    def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
        quicken(conn)


class Server(asyncssh.SSHServer):
    """Lets everybody in."""

    def begin_auth(self, username: str) -> bool:
        return False


async def echo(process: asyncssh.SSHServerProcess[str]) -> None:
    with contextlib.suppress(asyncssh.BreakReceived):
        async for line in process.stdin:
            process.stdout.write(line)
    process.exit(0)


@pytest.mark.parametrize(
    ("cipher", "is_left_out"),
    [
        ("aes128-gcm@openssh.com", True),
        ("chacha20-poly1305@openssh.com", True),
        ("aes256-ctr", True),
        ("aes256-cbc", False),
    ],
)
async def test_empty_packets_are_left_out_but_where_a_cipher_is_chained(
    cipher: str, is_left_out: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty: list[object] = []
    whole = SSHConnection._process_ignore

    def seen(self: SSHConnection, *packet: object) -> object:
        empty.append(self)
        return whole(self, *packet)  # type: ignore[arg-type]

    monkeypatch.setitem(SSHConnection._packet_handlers, 2, seen)
    listener = await asyncssh.listen(
        "127.0.0.1", 0, server_factory=Server, process_factory=echo, encryption_algs=[cipher],
        server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")],
    )  # fmt: skip
    async with (
        listener,
        asyncssh.connect(
            "127.0.0.1", listener.get_port(), username="x", known_hosts=None, config=None, agent_path=None,
            client_factory=Client, encryption_algs=[cipher],
        ) as connection,
    ):  # fmt: skip
        process = await connection.create_process()
        for number in range(50):
            process.stdin.write(f"line {number}\n")
            assert await process.stdout.readline() == f"line {number}\n"
        process.stdin.write_eof()
        assert (await process.wait()).exit_status == 0
        # The server is asyncssh as it is: what it sends, the client sees.
        from_us = [one for one in empty if one is not connection]
        assert (len(from_us) == 0) is is_left_out, len(from_us)
        assert len(empty) - len(from_us) >= 50


@pytest.mark.parametrize("cipher", ["aes128-gcm@openssh.com", "aes256-gcm@openssh.com"])
async def test_the_cipher_of_a_key_stays_until_there_is_another_key(cipher: str) -> None:
    """The server is asyncssh as it is: each packet of both sides is what it would make itself."""
    listener = await asyncssh.listen(
        "127.0.0.1", 0, server_factory=Server, process_factory=echo, encryption_algs=[cipher], rekey_bytes=20_000,
        server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")],
    )  # fmt: skip
    async with (
        listener,
        asyncssh.connect(
            "127.0.0.1", listener.get_port(), username="x", known_hosts=None, config=None, agent_path=None,
            client_factory=Client, encryption_algs=[cipher],
        ) as connection,
    ):  # fmt: skip
        process = await connection.create_process()
        ciphers = list[Gcm]()
        for number in range(100):
            line = f"{number} {'x' * 2_000}\n"
            process.stdin.write(line)
            assert await process.stdout.readline() == line
            used = connection._send_encryption, connection._recv_encryption
            mine: list[Any] = [one._cipher for one in used]  # type: ignore[union-attr]
            ciphers += [one for one in mine if isinstance(one, Gcm) and one not in ciphers]
        process.stdin.write_eof()
        assert (await process.wait()).exit_status == 0
    assert len(ciphers) >= 8, "keys were exchanged several times, and each has its own"


def test_what_somebody_has_changed_is_told_and_the_next_packet_still_counts() -> None:
    theirs, ours = (GCMCipher("aes128-gcm", bytes(16), bytes(12)) for _ in range(2))
    mine = Gcm(ours)
    header = bytes(4)
    for data in (b"first", b"second" * 1_000):
        packet, mac = theirs.encrypt_and_sign(header, data)
        assert mine.verify_and_decrypt(header, packet[4:], mac) == data
    theirs.encrypt_and_sign(header, b"lost")
    assert mine.verify_and_decrypt(header, b"other", bytes(16)) is None
    packet, mac = theirs.encrypt_and_sign(header, b"last")
    assert mine.verify_and_decrypt(header, packet[4:], mac) == b"last"
