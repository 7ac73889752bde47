"""What the SSH gateway carries beside a bare asyncssh proxy and beside sshd alone, and how it bears use and death.

    python -m benchmarks.gateway [--only carry,exec,idle,watch,strict] [--write] ...

`carry`: each way carries the same bytes from a real sshd to a real ssh, round by round, the gateway and the bare proxy
in one process. The others (:mod:`benchmarks.gateway_live`) run on three nodes: commands at a rate, with how late the
nodes' exchanges were; many sessions that are idle, and what the gateway takes for them; how soon a session is watched
and ended from other nodes, with Redis and without; and gateways that are killed under sessions recorded `strict`.

What it does not show: a network, or clients on machines of their own.
"""

import argparse
import asyncio
import contextlib
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import asyncssh

import rppam.app.slices  # noqa: F401 - declares the settings
from benchmarks.gateway_live import HEARTBEAT_MS, ORDERED, Gateways, Spread, commands, idle, strict, watches
from benchmarks.machine import facts, load, machine, write_section
from benchmarks.vault_ways import installed
from rppam.gateway.policy import ACCESS, AccessPolicy
from rppam.gateway.ssh.algorithms import common
from rppam.gateway.taping import Taping
from rppam.http.bounds import ApiLimits
from rppam.recordings.service import Recordings
from tests.gateway.places import HOST, Place, Sshd, sshd
from tests.support.ports import free_port
from tests.support.served import PASSWORD, Served

ROUNDS = 3
PIECE_MB, LOG = 1, "log.txt"
"""What is carried: lines as a log has them, so many megabytes again and again."""
BARE = "bare asyncssh proxy"
LEAST_MB, LEAST_SHARE = 60, 0.8
EXEC_P99_MS = 150
IDLE_MB = 100.0
KILL_MS = {"with Redis": 500, "without Redis": 3_000}
TITLES = {
    "carry": "What a session through the gateway carries",
    "exec": "Commands through the gateways at a rate",
    "idle": "Idle sessions at a gateway",
    "watch": "A session watched and ended from other nodes",
    "strict": "Gateways killed under what is recorded `strict`",
}


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


def write_log(file: Path) -> None:
    """Lines as those of a log, of :data:`PIECE_MB` in all."""
    chance, lines, size = random.Random(1), list[str](), 0
    words = ("kernel", "systemd", "session", "opened", "closed", "for user", "root", "accepted", "publickey", "from")
    while size < PIECE_MB * 1_000_000:
        what = " ".join(chance.choices(words, k=8))
        where = f"10.{chance.randrange(256)}.{chance.randrange(256)}.{chance.randrange(256)}"
        when = f"{chance.randrange(24):02d}:{chance.randrange(60):02d}:{chance.randrange(60):02d}"
        lines.append(f"Mar  1 {when} web{chance.randrange(20)} sshd[{chance.randrange(99_999)}]: {what} {where}\n")
        size += len(lines[-1])
    file.write_text("".join(lines)[: PIECE_MB * 1_000_000])


async def measured(place: Place, port: int, user: str, megabytes: int, *more: str) -> float:
    """MB/s of one download."""
    words = [str(port) if word == str(place.port) else word for word in place.options(user)]
    words = [f"Port={port}" if word == f"Port={place.port}" else word for word in words]
    argv = ["ssh", *more, *words, "-o", "Ciphers=aes128-gcm@openssh.com", HOST]
    began = time.perf_counter()
    command = f"for i in $(seq {megabytes // PIECE_MB}); do cat {place.target.folder}/{LOG}; done"
    process = await asyncio.create_subprocess_exec(
        *argv, command, env=place.environment(PASSWORD),
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    found = 0
    while data := await process.stdout.read(1 << 20):
        found += len(data)
    assert await process.wait() == 0
    assert found == megabytes * 1_000_000, found
    return found / 1_000_000 / (time.perf_counter() - began)


async def carry(megabytes: int, rounds: int = ROUNDS) -> dict[str, list[float]]:
    """MB/s of each way, of all rounds."""
    folder = Path(tempfile.mkdtemp(prefix="rppam-bench-"))
    served = Served(folder / "keys", ApiLimits())
    await served.start()
    found: dict[str, list[float]] = {}
    with contextlib.ExitStack() as stack:
        target = stack.enter_context(sshd(folder / "sshd"))
        write_log(target.folder / LOG)
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
        for _ in range(rounds):
            direct = measured(first, target.port, target.user, megabytes, *key)
            found.setdefault("sshd alone", []).append(await direct)
            through = measured(first, bare_port, "x", megabytes)
            found.setdefault(BARE, []).append(await through)
            for mode, place in places.items():
                one = await measured(place, place.port, "admin+web1", megabytes)
                found.setdefault(f"gateway, recording {mode}", []).append(one)
        bare.close()
        for place in places.values():
            await place.stop()
    await served.stop()
    return found


def is_carried(found: dict[str, list[float]]) -> bool:
    """Whether a recorded session carries as much as is asked for, each round beside its own bare proxy."""
    ours, theirs = found["gateway, recording bounded"], found[BARE]
    ratio = statistics.median(one / other for one, other in zip(ours, theirs, strict=True))
    return statistics.median(ours) >= LEAST_MB and ratio >= LEAST_SHARE


def carried_page(found: dict[str, list[float]], megabytes: int) -> str:
    rows = []
    for name, values in found.items():
        share = statistics.median(one / other for one, other in zip(values, found[BARE], strict=True))
        rows.append(f"| {name} | {statistics.median(values):.0f} | {min(values):.0f} | {share:.2f} |")
    verdict = _verdict(met=is_carried(found))
    return f"""{megabytes} MB of log lines from one sshd to one ssh, {len(found[BARE])} rounds; ssh, sshd and
the way between share the processors. The share is the median of each round's own.

| way | MB/s, median | slowest | of the bare proxy |
|---|---|---|---|
{chr(10).join(rows)}

Asked for, recorded `bounded`: at least {LEAST_MB} MB/s and {LEAST_SHARE} of the bare proxy: {verdict}."""


def commands_page(found: dict[str, Any]) -> str:
    how = "each on a connection of its own" if found["fresh"] else "on connections that stand"
    late = f"{found['late']} of {found['beats']}"
    stayed = "yes" if found["leaderStayed"] else "no"
    return f"""`true` by `exec` {found["rate"]:g} times a second for {found["seconds"] / 60:g} minutes, {how},
over the gateways of three nodes in turn; from when it was due. An exchange of a node with Redis is late where it comes
more than a heartbeat of {HEARTBEAT_MS} ms after its time.

| commands | p50, ms | p99 | max | failed | late exchanges | the latest, ms | leader stayed |
|---|---|---|---|---|---|---|---|
| {found["took"].row()} | {len(found["failed"])} | {late} | {found["jitterMaxMs"]:.0f} | {stayed} |

Asked for: p99 below {EXEC_P99_MS} ms, none failed, no exchange late: {_verdict(met=is_quick(found))}."""


def is_quick(found: dict[str, Any]) -> bool:
    quick = found["took"].p99 < EXEC_P99_MS and not found["failed"]
    return bool(quick and found["late"] == 0 and found["leaderStayed"])


def idle_page(found: dict[str, Any]) -> str:
    files = max(0, found["filesLeft"])
    memory = f"{found['beforeMb']} | {found['moreMb']} | {found['moreOwnMb']}"
    return f"""Sessions with a connection and a command of their own at one gateway, begun within {found["beganInS"]} s
and held for {found["heldS"]:g} s.

| sessions | alive at the end | memory before, MB | more, MB | of its own alone, MB | files left open |
|---|---|---|---|---|---|
| {found["sessions"]} | {found["alive"]} | {memory} | {files} |

Asked for: less than {IDLE_MB:g} MB more for 1,000: {_verdict(met=is_small(found))}."""


def is_small(found: dict[str, Any]) -> bool:
    share = max(1.0, found["sessions"] / 1_000)
    return bool(found["moreMb"] < IDLE_MB * share and found["alive"] == found["sessions"] and found["filesLeft"] <= 0)


def watches_page(found: dict[str, dict[str, Spread]]) -> str:
    asked = ", ".join(f"{most} ms {how}" for how, most in KILL_MS.items())
    rows = [f"| {how} | {name} | {one.row()} |" for how, all_ in found.items() for name, one in all_.items()]
    return f"""Sessions at each of three nodes, watched through the second and ended through the third.

| | what | n | p50, ms | p99 | max |
|---|---|---|---|---|---|
{chr(10).join(rows)}

Asked for, p99 of an order to end: below {asked}: {_verdict(met=is_soon(found))}."""


def is_soon(found: dict[str, dict[str, Spread]]) -> bool:
    return all(all_[ORDERED].p99 < KILL_MS[how] for how, all_ in found.items())


def strict_page(found: dict[str, Any]) -> str:
    return f"""A session that prints without end, recorded `strict`; its gateway gets SIGKILL at a moment by chance,
each node in turn. What its user has seen is looked for in the recording, which another node shows.

| kills | bytes shown | bytes recorded | shown and not recorded | other problems |
|---|---|---|---|---|
| {found["kills"]} | {found["shown"]} | {found["recorded"]} | {found["lost"]} | {len(found["problems"])} |

Asked for: 0 bytes lost over 50: {_verdict(met=is_whole(found))}."""


def is_whole(found: dict[str, Any]) -> bool:
    return found["lost"] == 0 and not found["problems"] and found["shown"] > 0


def _verdict(*, met: bool) -> str:
    return "met" if met else "not met"


def live(part: str, options: argparse.Namespace) -> tuple[str, bool]:
    """One of the parts that run on three nodes: its page, and whether it is as it should be."""
    with installed(sqlite=options.sqlite, level="Warning") as place:
        gateways = Gateways(place)
        if part == "exec":
            doing = commands(gateways, rate=options.rate, seconds=options.minutes * 60, fresh=options.fresh)
            told = asyncio.run(doing)
            for one in told["failed"][:5]:
                print(one, file=sys.stderr)
            return commands_page(told), is_quick(told)
        if part == "idle":
            told = asyncio.run(idle(gateways, sessions=options.sessions, hold_s=options.hold))
            return idle_page(told), is_small(told)
        if part == "strict":
            told = asyncio.run(strict(gateways, options.kills, random.Random(options.seed)))
            for one in told["problems"][:5]:
                print(one, file=sys.stderr)
            return strict_page(told), is_whole(told)
        found = {"with Redis": asyncio.run(watches(gateways, options.rounds))}
        place.redis.kill()
        time.sleep(3)
        place.lab.wait_for_leader()
        found["without Redis"] = asyncio.run(watches(gateways, options.rounds))
        return watches_page(found), is_soon(found)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", default="carry", help=f"parts, by commas: {', '.join(TITLES)}")
    parser.add_argument("--megabytes", type=int, default=200, help="of each way and round of carry")
    parser.add_argument("--carry-rounds", type=int, default=ROUNDS)
    parser.add_argument("--minutes", type=float, default=30.0, help="of exec")
    parser.add_argument("--rate", type=float, default=10.0, help="commands a second of exec")
    parser.add_argument("--fresh", action="store_true", help="exec: a log-in for each command")
    parser.add_argument("--sessions", type=int, default=1_000, help="of idle")
    parser.add_argument("--hold", type=float, default=60.0, help="seconds that they are idle")
    parser.add_argument("--rounds", type=int, default=30, help="of watch, three sessions each, with Redis and without")
    parser.add_argument("--kills", type=int, default=50, help="of strict")
    parser.add_argument("--seed", type=int, default=1, help="of strict")
    parser.add_argument("--sqlite", action="store_true", help="the nodes of all parts but carry have SQLite")
    parser.add_argument("--write", action="store_true", help="put the results into docs/reference/measurements.md")
    options = parser.parse_args()
    worst = 0
    for part in options.only.split(","):
        before = machine()
        if part == "carry":
            found = asyncio.run(carry(options.megabytes, options.carry_rounds))
            text, met = carried_page(found, options.megabytes), is_carried(found)
        else:
            text, met = live(part, options)
        print(text, flush=True)
        worst = max(worst, not met)
        if options.write:
            kind = "" if part == "carry" else f", {'SQLite' if options.sqlite else 'PostgreSQL'}"
            more = ", a log-in each" if part == "exec" and options.fresh else ""
            command = f"`python -m benchmarks.gateway {' '.join(sys.argv[1:])}`"
            facts_ = f"{facts(before)}\n- load after: {load()}"
            page = f"## {TITLES[part]}{more}{kind}\n\n{command}\n\n{facts_}\n\n{text}\n"
            write_section(f"gateway {part}{more}{kind}", page)
    return int(worst)


if __name__ == "__main__":
    sys.exit(main())
