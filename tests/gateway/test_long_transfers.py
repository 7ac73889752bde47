"""Files of gigabytes through the gateway: whole, in one connection, and not much slower than a bare proxy."""

import asyncio
import hashlib
import statistics
import time
from collections.abc import AsyncIterator
from typing import Any

import asyncssh
import pytest

from benchmarks.gateway import Bare
from rppam.gateway.ssh.algorithms import common
from tests.gateway.places import HOST, Place
from tests.gateway.test_register import live, recorded
from tests.support.served import PASSWORD

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(900)]
GIB = 1024**3
MEASURED = 256 * 1024**2
ROUNDS = 3
LEAST = 0.8
BLOCK = bytes(range(256)) * 4096


@pytest.fixture
async def bare(place: Place) -> AsyncIterator[int]:
    """The port of an asyncssh proxy that does nothing but carry."""
    Bare.target = place.target
    server = await asyncssh.listen(
        HOST, 0, server_factory=Bare, server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")],
        encoding=None, line_editor=False, encryption_algs=["aes128-gcm@openssh.com"], **common(),
    )  # fmt: skip
    yield server.get_port()
    server.close()
    await server.wait_closed()


async def carried(place: Place, port: int, size: int, *, up: bool, digest: bool = False) -> tuple[float, str]:
    """Carry ``size`` bytes one way: how many seconds it took, and their SHA-256 where they arrive."""
    words = [f"Port={port}" if word == f"Port={place.port}" else word for word in place.options()]
    there = ("sha256sum" if digest else "wc -c") if up else f"head -c {size} /dev/zero"
    began = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        "ssh", *words, "-o", "Ciphers=aes128-gcm@openssh.com", HOST, there, env=place.environment(PASSWORD),
        stdin=asyncio.subprocess.PIPE if up else asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    if up:
        said = await _sent(process, size)
        assert digest or int(said) == size, said
        found = said.split()[0].decode() if digest else ""
    else:
        hashed, count = hashlib.sha256(), 0
        while data := await process.stdout.read(1 << 20):
            count += len(data)
            if digest:
                hashed.update(data)
        assert count == size, (count, await process.stderr.read())
        found = hashed.hexdigest() if digest else ""
    assert await process.wait() == 0
    return time.perf_counter() - began, found


async def _sent(process: Any, size: int) -> bytes:
    left = size
    while left:
        part = BLOCK[: min(left, len(BLOCK))]
        process.stdin.write(part)
        await process.stdin.drain()
        left -= len(part)
    process.stdin.close()
    said: bytes = await process.stdout.read()
    return said


@pytest.mark.parametrize("up", [False, True], ids=["down", "up"])
async def test_two_gibibytes_come_whole_over_one_connection(place: Place, up: bool) -> None:
    took, found = await carried(place, place.port, 2 * GIB, up=up, digest=True)
    wanted = hashlib.sha256()
    for _ in range(2 * GIB // len(BLOCK)):
        wanted.update(BLOCK if up else bytes(len(BLOCK)))
    assert found == wanted.hexdigest()
    print(f"2 GiB {'up' if up else 'down'}: {took:.1f} s, {2 * GIB / took / 1e6:.1f} MB/s")
    await live(place, 0)
    (end,) = await recorded(place, "access.end")
    assert end["details"]["bytesUp" if up else "bytesDown"] >= 2 * GIB
    assert len(await recorded(place, "access.start")) == 1


@pytest.mark.parametrize("up", [False, True], ids=["down", "up"])
async def test_it_carries_as_fast_as_a_bare_proxy_or_nearly(place: Place, bare: int, up: bool) -> None:
    assert (await place.ssh("true")).code == 0
    ratios = []
    for _ in range(ROUNDS):  # each beside its own, so that a machine that is busy now is so for both
        ours, _ = await carried(place, place.port, MEASURED, up=up)
        theirs, _ = await carried(place, bare, MEASURED, up=up)
        ratios.append(theirs / ours)
    print(f"{'up' if up else 'down'}: of the bare proxy {', '.join(f'{one:.2f}' for one in ratios)}")
    assert statistics.median(ratios) >= LEAST, ratios
