"""Throughput through the SSH gateway beside a bare asyncssh proxy and beside sshd alone, in one run.

``python -m benchmarks.gateway [--megabytes N]`` needs OpenSSH's client and server. Each way carries the same bytes from
a real sshd to a real ssh, round by round. What it does not show: many sessions at once, or a network.
"""

import argparse
import asyncio
import contextlib
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import asyncssh

from rppam.gateway.policy import ACCESS, AccessPolicy
from rppam.gateway.ssh.algorithms import common
from rppam.gateway.taping import Taping
from rppam.http.bounds import ApiLimits
from rppam.recordings.service import Recordings
from tests.gateway.places import HOST, Place, Sshd, sshd
from tests.support.ports import free_port
from tests.support.served import PASSWORD, Served

ROUNDS = 3


class Bare(asyncssh.SSHServer):
    """A proxy that does nothing but carry."""

    target: Sshd

    def begin_auth(self, username: str) -> bool:
        return True

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        return password == PASSWORD

    def session_requested(self) -> Any:
        return BareFront(self.target)


class BareFront(asyncssh.SSHServerSession[bytes]):
    def __init__(self, target: Sshd) -> None:
        self.target, self.command = target, ""
        self.back: Any = None
        self.early = list[bytes]()
        self.at_end = False

    def connection_made(self, chan: Any) -> None:
        self.chan = chan

    def exec_requested(self, command: str) -> bool:
        self.command = command
        return True

    def session_started(self) -> None:
        self.task = asyncio.get_running_loop().create_task(self.go())

    async def go(self) -> None:
        key = asyncssh.import_private_key(self.target.private_key)
        async with asyncssh.connect(
            HOST, self.target.port, username=self.target.user, client_keys=[key], known_hosts=None, config=None,
            agent_path=None, encryption_algs=["aes128-gcm@openssh.com"], **common(),
        ) as connection:  # fmt: skip
            back = BareBack(self)
            await connection.create_session(lambda: back, self.command, encoding=None)
            await back.done.wait()
        self.chan.exit(0)

    def pause_writing(self) -> None:
        self.back.pause_reading()

    def resume_writing(self) -> None:
        self.back.resume_reading()

    def data_received(self, data: bytes, datatype: Any) -> None:
        if self.back is None:
            self.early.append(data)
            self.chan.pause_reading()
        else:
            self.back.write(data)

    def eof_received(self) -> bool:
        self.at_end = True
        if self.back is not None:
            self.back.write_eof()
        return True

    def begun(self, back: Any) -> None:
        self.back = back
        for data in self.early:
            back.write(data)
        if self.at_end:
            back.write_eof()
        self.chan.resume_reading()


class BareBack(asyncssh.SSHClientSession[bytes]):
    def __init__(self, front: BareFront) -> None:
        self.front, self.done = front, asyncio.Event()

    def connection_made(self, chan: Any) -> None:
        self.chan = chan

    def session_started(self) -> None:
        self.front.begun(self.chan)

    def data_received(self, data: bytes, datatype: Any) -> None:
        self.front.chan.write(data)

    def pause_writing(self) -> None:
        self.front.chan.pause_reading()

    def resume_writing(self) -> None:
        self.front.chan.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self.done.set()


async def measured(place: Place, port: int, user: str, megabytes: int, *more: str) -> float:
    """MB/s of one download."""
    words = [str(port) if word == str(place.port) else word for word in place.options(user)]
    words = [f"Port={port}" if word == f"Port={place.port}" else word for word in words]
    argv = ["ssh", *more, *words, "-o", "Ciphers=aes128-gcm@openssh.com", HOST]
    began = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        *argv, f"head -c {megabytes * 1_000_000} /dev/zero", env=place.environment(PASSWORD),
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    found = 0
    while data := await process.stdout.read(1 << 20):
        found += len(data)
    assert await process.wait() == 0
    assert found == megabytes * 1_000_000, found
    return found / 1_000_000 / (time.perf_counter() - began)


async def run(megabytes: int) -> None:
    """Print a table."""
    folder = Path(tempfile.mkdtemp(prefix="rppam-bench-"))
    served = Served(folder / "keys", ApiLimits())
    await served.start()
    with contextlib.ExitStack() as stack:
        target = stack.enter_context(sshd(folder / "sshd"))
        current = type(served.live).current
        places = {}
        for mode in ("off", "bounded", "strict"):
            policy = AccessPolicy(recording=mode)

            class Live:
                def current(self, setting: Any, policy: AccessPolicy = policy) -> Any:
                    return policy if setting is ACCESS else current(served.live, setting)

            taping = Taping(served.services.get(Recordings), Live())  # type: ignore[arg-type]
            places[mode] = Place(served, folder, target, taping)
            await places[mode].start()
        Bare.target = target
        bare_port = free_port()
        bare = await asyncssh.listen(
            HOST, bare_port, server_factory=Bare, server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")],
            encoding=None, line_editor=False, encryption_algs=["aes128-gcm@openssh.com"], **common(),
        )  # fmt: skip
        first = places["off"]
        key = ["-o", "PubkeyAuthentication=yes", "-i", str(target.folder / "user")]
        found: dict[str, list[float]] = {}
        for _ in range(ROUNDS):
            direct = measured(first, target.port, target.user, megabytes, *key)
            found.setdefault("sshd alone", []).append(await direct)
            through = measured(first, bare_port, "x", megabytes)
            found.setdefault("bare asyncssh proxy", []).append(await through)
            for mode, place in places.items():
                one = await measured(place, place.port, "admin+web1", megabytes)
                found.setdefault(f"gateway, recording {mode}", []).append(one)
        base = statistics.median(found["bare asyncssh proxy"])
        for name, values in found.items():
            middle = statistics.median(values)
            print(f"{name:<28} {middle:7.1f} MB/s   {middle / base:5.2f} of the bare proxy")
        bare.close()
        for place in places.values():
            await place.stop()
    await served.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=200)
    asyncio.run(run(parser.parse_args().megabytes))
