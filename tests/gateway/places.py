"""What the tests of the gateway run against: a real sshd as the target, the gateway in front, OpenSSH's own clients."""

import asyncio
import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import asyncssh

from rppam.access.sessions.model import Identity
from rppam.gateway.errors import AccountUnclear, JumpUnusable, RouteUnknown
from rppam.gateway.model import PinnedKey
from rppam.gateway.ports import Credential, NoRecordings, Recordings, Route, Ways
from rppam.gateway.relay import listening
from rppam.gateway.ssh.run import Gateway
from rppam.kernel.secret import Secret
from tests.support.ports import free_port
from tests.support.served import PASSWORD, Served

HOST = "127.0.0.1"


class Sshd(NamedTuple):
    """A real sshd of the account that runs the tests."""

    folder: Path
    port: int
    user: str
    private_key: str
    earlier: set[str]
    """Sessions that tests before this one left on it: their holders wait for a quarter of an hour."""

    @property
    def held(self) -> list[str]:
        """The sessions that holders keep on it since this test began."""
        return sorted(self.kept() - self.earlier)

    def kept(self) -> set[str]:
        return {one.name for one in (self.folder / ".rppam").glob("*")}

    @property
    def host_key(self) -> str:
        return " ".join((self.folder / "host.pub").read_text().split()[:2])


@contextlib.contextmanager
def sshd(folder: Path, *more: str, under: Sequence[str] = ()) -> Iterator[Sshd]:
    """Run one until the end. ``more``: lines of its configuration; ``under``: a program that runs it."""
    folder.mkdir(mode=0o700)
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    shutil.copy(folder / "user.pub", folder / "authorized_keys")
    port = free_port()
    lines = [  # of a key that stands twice the first counts
        *more, f"ListenAddress {HOST}", f"Port {port}", f"HostKey {folder / 'host'}", f"PidFile {folder / 'pid'}",
        f"AuthorizedKeysFile {folder / 'authorized_keys'}", "StrictModes no", "UsePAM no",
        "PermitRootLogin prohibit-password", "PasswordAuthentication no", "MaxStartups 100", "MaxSessions 50",
        "AcceptEnv LANG LC_* TZ", "Subsystem sftp internal-sftp", "LogLevel ERROR", f"SetEnv HOME={folder}",
    ]  # fmt: skip
    (folder / "config").write_text("\n".join(lines) + "\n")
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    program = shutil.which("sshd") or "/usr/sbin/sshd"
    process = subprocess.Popen([*under, program, "-D", "-e", "-f", str(folder / "config")], stderr=subprocess.DEVNULL)
    try:
        for _ in range(200):
            with contextlib.suppress(OSError), socket.create_connection((HOST, port), 1):
                break
        yield Sshd(folder, port, getpass.getuser(), (folder / "user").read_text(), set())
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)


def node_folder(folder: Path) -> Path:
    """A folder for a node that shares its keys with every other one that is made so."""
    folder.mkdir()
    for name, digits in (("cluster.key", "ab"), ("sealing.key", "5e")):
        (folder / name).write_text(digits * 32 + "\n")
        (folder / name).chmod(0o600)
    return folder


class SomeRoutes:
    """Targets and credentials that a test sets."""

    def __init__(self) -> None:
        self.ways: list[tuple[Route, Credential]] = []
        self.failure: Exception | None = None
        self.left: float | None = None
        self.before: dict[str, Credential] = {}
        """By target."""

    def add(self, target: str, port: int, username: str, credential: Credential, **more: Any) -> Route:
        values = {"host": HOST, "account": username, "trust": "tofu", **more}
        route = Route(f"id-{target}", target, port=port, account_id=f"{username}-{target}", username=username, **values)
        self.ways.append((route, credential))
        return route

    async def all(self, identity: Identity) -> list[Route]:
        return [route for route, _ in self.ways] if identity.subject != "ursula" else []

    async def find(self, identity: Identity, target: str, account: str) -> Route:
        found = [one for one in await self.all(identity) if one.target == target and account in {"", one.account}]
        if not found:
            raise RouteUnknown("there is no such target, or you have no access to it")
        if len(found) > 1:
            raise AccountUnclear("several")
        return found[0]

    async def open(self, identity: Identity, route: Route, session: str) -> Credential:
        if self.failure is not None:
            raise self.failure
        return next(credential for one, credential in self.ways if one == route)

    async def known(self, target_id: str, account_id: str) -> Route:
        for route, _ in self.ways:
            if (route.target_id, route.account_id) == (target_id, account_id):
                return route
        raise RouteUnknown("there is no such target, or you have no access to it")

    async def open_to_end(self, route: Route, session: str) -> Credential:
        return next(credential for one, credential in self.ways if one == route)

    async def open_before(self, identity: Identity | None, route: Route, session: str) -> Credential | None:
        return self.before.get(route.target)

    async def left_s(self, identity: Identity, route: Route) -> float | None:
        return self.left

    async def between(self, target: str, account: str) -> Route:
        for route, _ in self.ways:
            if route.target == target:
                return route
        raise JumpUnusable(f"there is no target {target} to go through")

    async def open_between(self, route: Route, session: str) -> Credential:
        return await self.open_to_end(route, session)


class MemoryHosts:
    def __init__(self) -> None:
        self.pins: dict[str, list[PinnedKey]] = {}

    async def of(self, target_id: str) -> list[PinnedKey]:
        return self.pins.get(target_id, [])

    async def pin(self, target_id: str, key: PinnedKey) -> None:
        self.pins.setdefault(target_id, []).append(key)


class Ended(NamedTuple):
    code: int
    out: bytes
    err: str


class Place:
    """A gateway, its targets, and clients that log in as ``admin``."""

    def __init__(
        self, served: Served, folder: Path, target: Sshd, recordings: Recordings | None = None, ways: Ways | None = None
    ) -> None:
        self.served, self.folder, self.target = served, folder, target
        self.routes, self.hosts = SomeRoutes(), MemoryHosts()
        self.key = Credential(private_key=Secret(target.private_key))
        self.routes.add("web1", target.port, target.user, self.key)
        own = Ways(self.routes, self.hosts, recordings or NoRecordings())
        self.gateway = Gateway(served.base, served.services, ways or own)
        self._plug = socket.socket()
        self._plug.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._plug.bind((HOST, 0))
        self._plug.listen(128)
        self.port: int = self._plug.getsockname()[1]
        self._task: asyncio.Task[None] | None = None
        self._prompted = folder / "prompted"

    async def start(self, relay: str = "", more: Sequence[socket.socket] = ()) -> None:
        """``relay``: the name under which the workers of this node find it; ``more``: sockets that listen as well."""
        folder = Path(self.served.base.config.node.data_dir)
        plug = listening(folder, relay) if relay else None
        self._task = asyncio.create_task(self.gateway.run([self._plug, *more], plug))

    async def stop(self) -> None:
        await self.gateway.stop("the test is over", 0)
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._plug.close()

    def options(self, user: str = "admin+web1") -> list[str]:
        words = {
            "Port": self.port, "User": user, "StrictHostKeyChecking": "no", "UserKnownHostsFile": "/dev/null",
            "LogLevel": "ERROR", "NumberOfPasswordPrompts": 1, "PubkeyAuthentication": "no", "ControlPath": "none",
        }  # fmt: skip
        return [word for name, value in words.items() for word in ("-o", f"{name}={value}")]

    def environment(self, *answers: str) -> dict[str, str]:
        """An environment in which ssh's questions are answered with ``answers`` one after the other."""
        script = self.folder / f"ask-{abs(hash(answers))}"
        count = script.with_suffix(".count")
        cases = "".join(f"{place}) echo '{answer}';;\n" for place, answer in enumerate(answers))
        script.write_text(
            f"#!/bin/sh\nn=$(cat {count} 2>/dev/null || echo 0)\necho $((n+1)) > {count}\n"
            f'case "$(( n % {len(answers)} ))" in\n{cases}esac\n'
        )
        script.chmod(0o700)
        count.unlink(missing_ok=True)
        kept = {name: value for name, value in os.environ.items() if name != "SSH_AUTH_SOCK"}
        return {**kept, "SSH_ASKPASS": str(script), "SSH_ASKPASS_REQUIRE": "force", "DISPLAY": ":0"}

    async def ssh(
        self, *words: str, user: str = "admin+web1", given: bytes | None = b"", answers: tuple[str, ...] = (PASSWORD,),
        options: tuple[str, ...] = (), env: dict[str, str] | None = None, patience_s: float = 30,
    ) -> Ended:  # fmt: skip
        return await self.run(
            "ssh",
            *self.options(user),
            *options,
            HOST,
            *words,
            given=given,
            answers=answers,
            env=env,
            patience_s=patience_s,
        )

    async def run(
        self, *argv: str, given: bytes | None = b"", answers: tuple[str, ...] = (PASSWORD,),
        env: dict[str, str] | None = None, patience_s: float = 30,
    ) -> Ended:  # fmt: skip
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL if given is None else asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**self.environment(*answers), **(env or {})},
            start_new_session=True,
        )
        try:
            out, err = await asyncio.wait_for(process.communicate(given), patience_s)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        return Ended(process.returncode or 0, out, err.decode(errors="replace"))

    @contextlib.asynccontextmanager
    async def client(self, user: str = "admin+web1", password: str = PASSWORD) -> AsyncIterator[Any]:
        """A client in this process, for what OpenSSH's cannot be asked to do."""
        async with asyncssh.connect(
            HOST, self.port, username=user, password=password, known_hosts=None, client_keys=None, agent_path=None,
            config=None, kex_algs=["curve25519-sha256"],
        ) as connection:  # fmt: skip
            yield connection
