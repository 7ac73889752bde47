"""What does a request cost that is checked, beside one of the same framework that is not? And a log-in?

One endpoint that answers nothing, served twice by the same framework over the same HTTP server: bare, and behind all
that stands before our routes (envelope, bounds, token, session and account from the near copies, body). With one worker
and with two. The workers' processor time per request is the figure to compare, since client and server share the cores.

Then log-ins with a right password, beside bare Argon2id of the same parameters on as many threads, by the reference
implementation and by the one that a node has, which is the limit; and beside log-ins of which nothing is written
into the ledger.
"""

import argparse
import asyncio
import gc
import json
import os
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

sys.path.insert(0, str(Path(__file__).parents[1]))

import argon2
import psutil
import uvloop

import rppam.app.slices  # noqa: F401 - declares the migrations
from benchmarks.machine import facts, load, machine, write_section
from benchmarks.wire import Wire
from rppam.access.accounts.passwords import DEFAULT_PARAMETERS, Passwords
from rppam.access.accounts.service import Accounts
from rppam.access.accounts.store import SqlAccounts
from rppam.db.database import Database
from rppam.http.server import ApiServer, listen
from rppam.kernel.secret import Secret
from rppam.kernel.system_clock import SystemClock
from rppam.ledger.record import record
from tests.support.lab import Lab
from tests.support.redis_servers import Server, available

T = TypeVar("T")

PATH: Final = "/api/v1/empty"
LINES: Final = 16
SLICE_S: Final = 0.5
LOGINS_AT_ONCE: Final = 8
THREADS: Final = 2
"""That hash passwords in one process."""
TARGET: Final = 1.5
"""A checked request costs at most so many times the bare one."""
LOGIN_TARGET: Final = 0.8
"""Log-ins a second are at least so many times the bare hashes a second of the reference implementation."""
RECORDED_TARGET: Final = 1.1
"""A log-in costs at most so many times what one costs that is not recorded."""


class Measured(NamedTuple):
    """Requests of one round."""

    per_s: float
    cpu_us: float
    """Processor time of the workers for each."""


# --- the worker: a process of its own -------------------------------------------------------------------------------


async def _empty() -> None:
    """The endpoint."""


async def serve_bare(plugs: list[socket.socket]) -> None:
    """The framework alone."""
    from fastapi import FastAPI

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.add_api_route(PATH, _empty, status_code=204)
    api = ApiServer(app, "127.0.0.1", 0)
    _settle()
    await api.start(plugs)
    await api.wait()


def _settle() -> None:
    """What is there now stays for ever: so the template says that the workers of a node are copied from."""
    gc.collect()
    gc.freeze()


def _unrecorded(
    connection: Any,
    action: str,
    target: Any = None,
    *,
    outcome: Any = None,
    reason: str = "",
    epoch: Any = None,
    details: Any = None,
    actor: Any = None,
) -> str:
    return ""


def forget_the_ledger() -> None:
    """Have this process record nothing, whoever has imported the function by now."""
    record.__code__ = _unrecorded.__code__


async def serve_whole(plugs: list[socket.socket], config: Path) -> None:
    """A node's API, on the real database and the real cache."""
    from rppam.app.boot_context import inherit
    from rppam.app.shared import shared_of
    from rppam.app.wiring import api_server, deciding_of, people_of
    from rppam.config.load import load_settings
    from rppam.kernel.system_entropy import SystemEntropy

    settings = load_settings(config)
    known, clock, entropy = inherit(settings), SystemClock(), SystemEntropy()
    people = people_of(settings, clock)
    shared = shared_of(settings, people.database, clock, entropy)
    # Made, and never started: it only says how the node stands.
    deciding = deciding_of(known, people.database, clock, entropy, None)
    api = api_server(known, people, shared, deciding.view, clock, entropy, deciding.administration, deciding.relay)
    api.app.add_api_route(PATH, _empty, status_code=204)
    # First, as it is in the bare one: how many other routes there are is not the question.
    api.app.router.routes.insert(0, api.app.router.routes.pop())
    _settle()
    await shared.start()
    await people.database.start()
    await api.start(plugs)
    await api.wait()


# --- the measurement --------------------------------------------------------------------------------------------------


@contextmanager
def serving(kind: str, workers: int, config: Path) -> Iterator[tuple[int, list[psutil.Process]]]:
    """So many workers on one port, and their processes."""
    plugs = listen("127.0.0.1", 0)
    port = plugs[0].getsockname()[1]
    words = [sys.executable, __file__, "--serve", kind, "--config", str(config), "--plug", str(plugs[0].fileno())]
    running = [subprocess.Popen(words, pass_fds=[plugs[0].fileno()]) for _ in range(workers)]
    try:
        yield port, [psutil.Process(one.pid) for one in running]
    finally:
        for one in running:
            one.kill()
            one.wait()
        for plug in plugs:
            plug.close()


async def ready(port: int, token: str) -> None:
    """Until the workers answer, and have what they need near them."""
    async with asyncio.timeout(60):
        wires = [Wire("127.0.0.1", port, 2.0) for _ in range(LINES)]
        for wire in wires:
            while True:
                with suppress(OSError):
                    if await wire.get(PATH, token) == 204:
                        break
                await asyncio.sleep(0.1)
            for _ in range(20):
                await wire.get(PATH, token)
            wire.close()


class Asked:
    """One server that is asked again and again, over connections that are kept."""

    def __init__(self, port: int, workers: list[psutil.Process], token: str) -> None:
        self._port, self._workers, self._token = port, workers, token
        self._wires: list[Wire] = []
        self.slices: list[Measured] = []

    async def ready(self) -> None:
        """Until it answers on all of them, and has what it needs near it."""
        await ready(self._port, self._token)
        self._wires = [Wire("127.0.0.1", self._port) for _ in range(LINES)]

    async def ask(self, seconds: float) -> None:
        """As many requests as it takes."""
        until = time.monotonic() + seconds
        before, begun = _cpu(self._workers), time.monotonic()

        async def one(wire: Wire) -> int:
            count = 0
            while time.monotonic() < until:
                status = await wire.get(PATH, self._token)
                assert status == 204, status
                count += 1
            return count

        total = sum(await asyncio.gather(*map(one, self._wires)))
        spent = _cpu(self._workers) - before
        self.slices.append(Measured(total / (time.monotonic() - begun), spent * 1e6 / total))

    def close(self) -> None:
        """Hang up."""
        for wire in self._wires:
            wire.close()


async def in_turn(bare: Asked, checked: Asked, seconds: float) -> None:
    """Both for ``seconds`` in short slices, one after the other: a machine that is now faster, now slower, is so for
    both."""
    for one in (bare, checked):
        await one.ready()
    for _ in range(max(1, round(seconds / SLICE_S))):
        await bare.ask(SLICE_S)
        await checked.ask(SLICE_S)
    for one in (bare, checked):
        one.close()


async def log_in(port: int, workers: list[psutil.Process], password: str, seconds: float) -> Measured:
    """As many log-ins as it takes."""
    body = json.dumps({"username": "admin", "password": password}).encode()
    until = time.monotonic() + seconds
    before, begun = _cpu(workers), time.monotonic()

    async def one() -> int:
        wire, count = Wire("127.0.0.1", port, 30.0), 0
        while time.monotonic() < until:
            status = await wire.ask("POST", "/api/v1/auth/login", body=body)
            assert status == 200, status
            count += 1
        wire.close()
        return count

    total = sum(await asyncio.gather(*(one() for _ in range(LOGINS_AT_ONCE))))
    return Measured(total / (time.monotonic() - begun), (_cpu(workers) - before) * 1e6 / total)


async def hash_bare(password: str, seconds: float) -> float:
    """Checks of a password a second as a node does them, with nothing around them."""
    passwords = Passwords(DEFAULT_PARAMETERS, threads=THREADS)
    try:
        stored = await passwords.hash(Secret(password))

        async def check() -> None:
            assert (await passwords.verify(Secret(password), stored)).matches

        return await _a_second(check, seconds)
    finally:
        passwords.close()


async def hash_by_reference(password: str, seconds: float) -> float:
    """The same by the reference implementation."""
    memory_kib, passes = DEFAULT_PARAMETERS
    hasher = argon2.PasswordHasher(passes, memory_kib, 1, 32, 16)
    stored = hasher.hash(password)
    with ThreadPoolExecutor(THREADS) as threads:

        async def check() -> None:
            assert await asyncio.get_running_loop().run_in_executor(threads, hasher.verify, stored, password)

        return await _a_second(check, seconds)


async def _a_second(check: Callable[[], Awaitable[None]], seconds: float) -> float:
    until, begun, count = time.monotonic() + seconds, time.monotonic(), 0

    async def one() -> None:
        nonlocal count
        while time.monotonic() < until:
            await check()
            count += 1

    await asyncio.gather(*(one() for _ in range(LOGINS_AT_ONCE)))
    return count / (time.monotonic() - begun)


def _cpu(workers: list[psutil.Process]) -> float:
    return sum(sum(worker.cpu_times()[:2]) for worker in workers)


async def administrator(lab: Lab) -> str:
    """The first administrator's password."""
    database, passwords = Database(lab.database, 10_000), Passwords()
    try:
        await database.start()
        made = await Accounts(SqlAccounts(database), passwords, SystemClock()).ensure_first_admin()
        assert made is not None
        return made.password.reveal()
    finally:
        passwords.close()
        await database.stop()


async def token_of(port: int, password: str) -> str:
    """A token of a log-in."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    body = json.dumps({"username": "admin", "password": password}).encode()
    head = (
        f"POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    )
    writer.write(head.encode() + b"\r\nConnection: close\r\n\r\n" + body)
    answer = await reader.read()
    writer.close()
    token: str = json.loads(answer.partition(b"\r\n\r\n")[2])["accessToken"]
    return token


async def measure(rounds: int, seconds: float) -> dict[str, Any]:
    """All rounds, one kind after the other in each."""
    with (
        Server(available()[-1]) as server,
        tempfile.TemporaryDirectory(prefix="rppam-bench-") as folder,
        Lab(Path(folder) / "lab", server.port, nodes=1, votes=True) as lab,
    ):
        node = lab.nodes[0]
        node.write_config()
        password = await administrator(lab)
        found: dict[str, list[Measured]] = {}
        ratios: dict[int, list[float]] = {}
        hashes: list[float] = []
        references: list[float] = []
        for _ in range(rounds):
            for workers in (1, 2):
                # The limits of requests are asked like everywhere, and begin anew: they are not what is measured.
                server.ask("FLUSHALL")
                with serving("bare", workers, node.file) as plain, serving("whole", workers, node.file) as whole:
                    await _answers(whole[0])
                    bare, checked = Asked(*plain, ""), Asked(*whole, await token_of(whole[0], password))
                    await in_turn(bare, checked, seconds)
                    if workers == 1:
                        found.setdefault("logins", []).append(await log_in(*whole, password, seconds))
                found.setdefault(f"bare {workers}", []).extend(bare.slices)
                found.setdefault(f"whole {workers}", []).extend(checked.slices)
                pairs = zip(bare.slices, checked.slices, strict=True)
                ratios.setdefault(workers, []).extend(other.cpu_us / one.cpu_us for one, other in pairs)
            for name, one in (await beside_unrecorded(lab, password, seconds)).items():
                found.setdefault(name, []).append(one)
            hashes.append(await hash_bare(password, seconds))
            references.append(await hash_by_reference(password, seconds))
        middle = {
            name: Measured(*(statistics.median(column) for column in zip(*all_, strict=True)))._asdict()
            for name, all_ in found.items()
        }
        hashed, reference = statistics.median(hashes), statistics.median(references)
        return {
            "rounds": rounds,
            "medians": middle,
            "ratio1": statistics.median(ratios[1]),
            "ratio2": statistics.median(ratios[2]),
            "hashesPerS": hashed,
            "referencePerS": reference,
            "loginShare": middle["logins"]["per_s"] / reference,
            "loginLimit": middle["logins"]["per_s"] / hashed,
            "recorded": statistics.median(
                one.cpu_us / other.cpu_us for one, other in zip(found["recorded"], found["unrecorded"], strict=True)
            ),
        }


async def beside_unrecorded(lab: Lab, password: str, seconds: float) -> dict[str, Measured]:
    """Log-ins that are recorded, and others that are not, at the same time: a hash costs now more, now less."""
    file = lab.nodes[0].file
    with serving("whole", 1, file) as whole, serving("unrecorded", 1, file) as bare:
        for port, _ in (whole, bare):
            await _answers(port)
        before = _opened(lab)
        await log_in(*bare, password, min(seconds, 0.5))
        assert _opened(lab) == before > 0, "some log-ins were to be recorded, and these not"
        await log_in(*whole, password, min(seconds, 0.5))
        both = await asyncio.gather(log_in(*whole, password, seconds), log_in(*bare, password, seconds))
        return dict(zip(("recorded", "unrecorded"), both, strict=True))


def _opened(lab: Lab) -> int:
    """How many log-ins the ledger has."""
    with closing(sqlite3.connect(lab.database.removeprefix("sqlite:///"), timeout=30)) as lite:
        (count,) = lite.execute("SELECT count(*) FROM audit_events WHERE action = 'session.open'").fetchone()
    return int(count)


async def _answers(port: int) -> None:
    async with asyncio.timeout(60):
        wire = Wire("127.0.0.1", port, 2.0)
        while True:
            with suppress(OSError):
                if await wire.get("/system/health/ping") == 200:
                    wire.close()
                    return
            await asyncio.sleep(0.1)


def page(found: dict[str, str], result: dict[str, Any]) -> str:
    """The section of docs/reference/measurements.md."""
    medians = result["medians"]
    lines = [
        "## A checked request, and a log-in",
        "",
        f"`python benchmarks/requests.py --write`: {result['rounds']} rounds, {LINES} connections, one endpoint that "
        "answers nothing;",
        f"medians of slices of {SLICE_S:g} s, bare and checked in turn, and the ratio is that of all pairs of slices.",
        "*Bare* is the same framework on the same HTTP server; *checked* stands",
        "behind envelope, bounds, rates, token, session and account.",
        "",
        facts(found),
        "",
        "| Workers | bare | checked | processor time, bare | checked | ratio | at most |",
        "|---|---|---|---|---|---|---|",
    ]
    for workers in (1, 2):
        bare, whole = medians[f"bare {workers}"], medians[f"whole {workers}"]
        lines.append(
            f"| {workers} | {bare['per_s']:.0f}/s | {whole['per_s']:.0f}/s | {bare['cpu_us']:.0f} µs "
            f"| {whole['cpu_us']:.0f} µs | {result[f'ratio{workers}']:.2f} | {TARGET} |"
        )
    lines += [
        "",
        f"Log-ins on one worker, {LOGINS_AT_ONCE} at once: {medians['logins']['per_s']:.1f}/s. Bare Argon2id with the "
        f"same parameters on {THREADS} threads:",
        f"{result['referencePerS']:.1f}/s by the reference implementation (argon2-cffi; ratio "
        f"{result['loginShare']:.2f}, at least {LOGIN_TARGET}), {result['hashesPerS']:.1f}/s by",
        f"the one that a node has (libsodium; ratio {result['loginLimit']:.2f}).",
        "",
        f"A log-in takes {medians['recorded']['cpu_us'] / 1e3:.2f} ms of processor time, and at the same time "
        f"{medians['unrecorded']['cpu_us'] / 1e3:.2f} ms when nothing of it is written into the ledger",
        f"(ratio {result['recorded']:.2f}; at most {RECORDED_TARGET}).",
    ]
    return "\n".join(lines)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Have it done by the loop that the workers of a node have."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def main() -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement in a round")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--write", action="store_true", help="also write the section of docs/reference/measurements.md")
    parser.add_argument("--serve", choices=("bare", "whole", "unrecorded"), help=argparse.SUPPRESS)
    parser.add_argument("--config", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--plug", type=int, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.serve:
        plugs = [socket.socket(fileno=os.dup(chosen.plug))]
        plugs[0].setblocking(False)
        if chosen.serve == "unrecorded":
            forget_the_ledger()
        run(serve_bare(plugs) if chosen.serve == "bare" else serve_whole(plugs, chosen.config))
        return 0
    found = machine()
    result = run(measure(chosen.rounds, chosen.seconds))
    found["load after"] = load()
    if chosen.write:
        write_section("requests", page(found, result))
    print(json.dumps({"machine": found, "result": result}, indent=1) if chosen.json else page(found, result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
