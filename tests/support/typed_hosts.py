"""Hosts on which a page's commands are typed as they stand: each has its own network, files, accounts and processes.

    with Hosts({"node1": "10.0.1.11", "db1": "10.0.1.20"}) as hosts:
        hosts.type("db1", "sudo systemctl restart postgresql")

A host is a network namespace on one bridge, a mount namespace with layers of its own over ``/etc`` and ``/var/lib``,
and a process namespace, so that nothing of this machine is changed and all ends with the host. The servers are real.
Four commands are stand-ins, as no host here has a service manager: ``systemctl`` starts what the unit or its drop-in
says, with its account and its capabilities, and waits for its word of readiness; ``sudo`` changes the account;
``scp`` copies to the other host's home; ``apt`` finds everything there, and starts PostgreSQL as its package does.
"""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

ROOT: Final = Path(__file__).parents[2]
BIN: Final = Path(sys.executable).parent
CAN: Final = os.geteuid() == 0 and all(shutil.which(one) for one in ("ip", "unshare", "setpriv", "pg_ctlcluster"))
WHY_NOT: Final = "hosts of their own need root, iproute2 and PostgreSQL as Debian packages it"

_SYSTEMCTL: Final = r'''#!%(python)s
"""Stand-in of systemctl: units of services that serve in the foreground."""
import glob, os, pwd, re, shlex, signal, socket, subprocess, sys, time

def unit_file(unit):
    for folder in ("/etc/systemd/system", "/lib/systemd/system"):
        if os.path.exists(f"{folder}/{unit}.service"):
            return f"{folder}/{unit}.service"
    if unit == "redis-sentinel":
        return None
    sys.exit(f"Unit {unit}.service could not be found.")

def read(unit):
    values = {}
    for file in filter(None, [unit_file(unit), *sorted(glob.glob(f"/etc/systemd/system/{unit}.service.d/*.conf"))]):
        for line in open(file):
            name, there, value = line.strip().partition("=")
            if there and re.fullmatch("[A-Za-z]+", name):
                values[name] = [] if not value else values.get(name, []) + [value]
    return values

def runs(unit):
    try:
        os.kill(int(open(f"/run/{unit}.pid").read()), 0)
    except (OSError, ValueError):
        return False
    return True

def stop(unit):
    try:
        pid = int(open(f"/run/{unit}.pid").read())
        os.kill(pid, signal.SIGTERM)
    except (OSError, ValueError):
        return
    for _ in range(300):
        if not os.path.exists(f"/proc/{pid}") or open(f"/proc/{pid}/stat").read().split()[2] == "Z":
            return
        time.sleep(0.1)
    os.kill(pid, signal.SIGKILL)

def start(unit):
    values = read(unit)
    command = shlex.split(values["ExecStart"][-1])
    if command[0] == "/usr/bin/redis-sentinel":  # Debian's is a link to the server
        command = ["/usr/bin/redis-server", *command[1:], "--sentinel"]
    user = values.get("User", ["redis"])[-1]
    account = pwd.getpwnam(user)
    for folder in values.get("StateDirectory", []):
        os.makedirs(f"/var/lib/{folder}", exist_ok=True)
        os.chown(f"/var/lib/{folder}", account.pw_uid, account.pw_gid)
    for folder in " ".join(values.get("RuntimeDirectory", [])).split():
        os.makedirs(f"/run/{folder}", mode=0o755, exist_ok=True)
        os.chown(f"/run/{folder}", account.pw_uid, account.pw_gid)
    place = f"/run/{unit}.notify"
    if os.path.exists(place):
        os.unlink(place)
    ready = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    ready.bind(place)
    os.chmod(place, 0o666)
    rights = " ".join(values.get("AmbientCapabilities", [])).split()
    words = ["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--init-groups"]
    if rights:
        told = ",".join("+" + one.removeprefix("CAP_").lower() for one in rights)
        words += [f"--inh-caps={told}", f"--ambient-caps={told}"]
    log = open(f"/var/log/{unit}.log", "ab")
    environment = {**os.environ, "NOTIFY_SOCKET": place}
    process = subprocess.Popen([*words, *command], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/",
                               env=environment, start_new_session=True, umask=int(values.get("UMask", ["022"])[-1], 8))
    open(f"/run/{unit}.pid", "w").write(str(process.pid))
    ready.settimeout(0.2)
    ends = time.monotonic() + 90
    while time.monotonic() < ends:
        if process.poll() is not None:
            print(f"Job for {unit}.service failed (exit {process.returncode}).")
            sys.exit(open(f"/var/log/{unit}.log").read()[-3000:])
        try:
            if b"READY=1" in ready.recv(4096):
                for post in values.get("ExecStartPost", []):
                    as_account = [] if "+" in post[:2] else words
                    subprocess.run([*as_account, *shlex.split(post.lstrip("+-"))], stdout=log, stderr=log)
                return
        except TimeoutError:
            pass
    sys.exit(f"Job for {unit}.service timed out.\n" + open(f"/var/log/{unit}.log").read()[-3000:])

words = [word for word in sys.argv[1:] if not word.startswith("-")]
verb, units = words[0], words[1:]
if verb == "daemon-reload" or (verb == "enable" and "--now" not in sys.argv):
    sys.exit(0)
for unit in units:
    if unit == "postgresql":
        version = sorted(os.listdir("/etc/postgresql"))[-1]
        sys.exit(subprocess.run(["pg_ctlcluster", version, "main", "start" if verb == "enable" else verb]).returncode)
    if verb in ("restart", "stop"):
        stop(unit)
    if verb == "restart" or (verb in ("start", "enable") and not runs(unit)):
        start(unit)
'''
_SUDO: Final = """#!/bin/sh
if [ "$1" = -u ]; then
    user=$2
    shift 2
    exec setpriv --reuid="$user" --regid="$user" --init-groups "$@"
fi
exec "$@"
"""
_SCP: Final = """#!/bin/bash
set -eu
files=()
for word in "$@"; do [ "$word" = -r ] || files+=("$word"); done
to=${files[-1]}
unset 'files[-1]'
cp -r "${files[@]}" "HOMES/${to%%:*}/${to#*:}"
"""
_APT: Final = """#!/bin/sh
case " $* " in *" postgresql "*) exec pg_ctlcluster "$(ls /etc/postgresql | tail -1)" main start;; esac
"""


def _closed() -> list[str]:
    """Folders on the way to this Python and checkout that no other account may pass, as the homes of people are."""
    places = [Path(sys.base_prefix), BIN, ROOT]
    on_the_way = {folder for place in places for folder in (place, *place.parents)}
    return sorted(str(folder)[1:] for folder in on_the_way if not folder.stat().st_mode & 0o001)


def ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False, timeout=20)
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"


class Hosts:
    """Hosts on one bridge, from ``with`` to its end."""

    def __init__(self, addresses: Mapping[str, str]) -> None:
        self._folder, self._addresses = Path(tempfile.mkdtemp(prefix="rppam-hosts-")), dict(addresses)
        self._stem = f"rpt{os.getpid() % 100_000}{secrets.token_hex(2)}"
        self._shells: dict[str, subprocess.Popen[str]] = {}
        self.took_s = 0.0
        self.typed: list[tuple[str, str, float]] = []
        """Host, command and how long it took, in seconds."""

    def home(self, name: str) -> Path:
        return self._folder / "home" / name

    def __enter__(self) -> Self:
        self._stand_ins()
        try:
            ip("netns", "add", self._stem)
            ip("-n", self._stem, "link", "add", "br0", "type", "bridge")
            ip("-n", self._stem, "link", "set", "br0", "up")
            for name, address in self._addresses.items():
                self._add(name, address)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        for shell in self._shells.values():
            with suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGKILL)  # the first process of the namespace takes the others along
            shell.wait(20)
            assert shell.stdin is not None
            shell.stdin.close()
        for name in (*self._addresses, ""):
            words = ["ip", "netns", "del", f"{self._stem}{name}"]
            subprocess.run(words, capture_output=True, check=False, timeout=20)
        shutil.rmtree(self._folder, ignore_errors=True)

    def type(self, name: str, command: str, *, timeout_s: float = 180) -> str:
        """Type one command; what it printed. AssertionError when it ends with another code than 0."""
        code, said = self.code_of(name, command, timeout_s=timeout_s)
        assert code == 0, f"on {name}: {command}\nexit {code}\n{said}"
        return said

    def code_of(self, name: str, command: str, *, timeout_s: float = 180) -> tuple[int, str]:
        """Type one command; its exit code and what it printed."""
        shell, mark = self._shells[name], f"-- {secrets.token_hex(8)}"
        assert shell.stdin is not None
        begun = time.monotonic()
        out = self._folder / f"{mark[3:]}.out"
        shell.stdin.write(f"{{ {command}\n}} < /dev/null > {out} 2>&1; echo '{mark}' $? >> {out}.code\n")
        shell.stdin.flush()
        code = out.with_name(f"{out.name}.code")
        while not code.exists() or not code.read_text().endswith("\n"):
            assert shell.poll() is None, f"on {name}: {command}\nthe shell ended\n{out.read_text()}"
            assert time.monotonic() - begun < timeout_s, f"on {name}: {command}\nnot over\n{out.read_text()}"
            time.sleep(0.02)
        self.typed.append((name, command, time.monotonic() - begun))
        return int(code.read_text().split()[-1]), out.read_text(errors="replace")

    def log(self, name: str, unit: str) -> str:
        return self.code_of(name, f"tail -40 /var/log/{unit}.log")[1]

    def _stand_ins(self) -> None:
        shims, homes = self._folder / "bin", self._folder / "home"
        homes.mkdir(parents=True)
        shims.mkdir()
        self._folder.chmod(0o755)
        for name in self._addresses:
            self.home(name).mkdir()
        texts = {
            "systemctl": _SYSTEMCTL % {"python": sys.executable},
            "sudo": _SUDO,
            "scp": _SCP.replace("HOMES", str(homes)),
            "apt": _APT,
        }
        for name, text in texts.items():
            (shims / name).write_text(text)
            (shims / name).chmod(0o755)
        (shims / "rppam").symlink_to(BIN / "rppam")
        names = "".join(f"{address} {name}\n" for name, address in self._addresses.items())
        (self._folder / "hosts").write_text(f"127.0.0.1 localhost\n{names}")

    def _add(self, name: str, address: str) -> None:
        space, link = f"{self._stem}{name}", f"{name}-v"
        ip("netns", "add", space)
        ip("-n", self._stem, "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", space)
        ip("-n", self._stem, "link", "set", link, "master", "br0", "up")
        ip("-n", space, "addr", "add", f"{address}/24", "dev", "eth0")
        ip("-n", space, "link", "set", "eth0", "up")
        ip("-n", space, "link", "set", "lo", "up")
        layers = self._folder / "layers" / name
        layers.mkdir(parents=True)
        closed = [(f"closed{number}", path) for number, path in enumerate(_closed())]
        begin = [
            f"mount -t tmpfs tmpfs {layers}",
            *(
                f"mkdir -p {layers}/{top}/u {layers}/{top}/w && mount -t overlay overlay "
                f"-o lowerdir=/{path},upperdir={layers}/{top}/u,workdir={layers}/{top}/w /{path}"
                for top, path in (("etc", "etc"), ("lib", "var/lib"), ("log", "var/log"), *closed)
            ),
            *(f"chmod o+x /{path}" for _, path in closed),
            "mount -t tmpfs tmpfs /run && mkdir -p /run/postgresql && chown postgres: /run/postgresql",
            f"cp {self._folder}/hosts /etc/hosts",
            f"hostname {name}",
            f"cd {self.home(name)}",
            f"echo begun > {layers.parent}/{name}.begun",
        ]
        environment = {
            "PATH": f"{self._folder / 'bin'}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(self.home(name)),
            "LANG": "C.UTF-8",
            "TERM": "dumb",
        }
        shell = subprocess.Popen(
            ["ip", "netns", "exec", space, "unshare", "--mount", "--uts", "--pid", "--fork", "--kill-child",
             "--mount-proc", "bash"],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True, env=environment,
            start_new_session=True,
        )  # fmt: skip
        assert shell.stdin is not None
        self._shells[name] = shell
        shell.stdin.write("".join(f"{line} || exit 9\n" for line in begin))
        shell.stdin.flush()
        ends = time.monotonic() + 20
        while not (layers.parent / f"{name}.begun").exists():
            assert shell.poll() is None, f"the host {name} could not be made"
            assert time.monotonic() < ends, f"the host {name} was not made in time"
            time.sleep(0.05)
