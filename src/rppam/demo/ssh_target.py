"""The demo's own SSH target: a machine to connect to, which is this one, for the account that runs the demo.

It is OpenSSH's sshd where that is installed, on a port of loopback and with keys of its own; else a small server that
gives the same account a shell. Nothing of it outlives the demo. What it does not promise: to be a pattern for a target.
"""

import asyncio
import getpass
import os
import shutil
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from rppam.cli.files import write_private
from rppam.demo.children import Child, start
from rppam.demo.redis_server import HOST
from rppam.kernel.secret import Secret

NAME: Final = "web1"
FOLDER: Final = "target"
START_S: Final = 5.0
_LOOK_S: Final = 0.02
_SEPARATION: Final = Path("/run/sshd")
_PLACES: Final = ("/usr/sbin", "/usr/local/sbin", "/sbin")


class SshTarget(NamedTuple):
    """It runs."""

    child: Child
    port: int
    account: str
    private_key: Secret
    host_key: str
    """As in ``known_hosts``, without the name."""


async def start_ssh_target(place: Path, port: int) -> SshTarget:
    """Start it with keys below ``place``, which stay the same there. Raises
    :class:`~rppam.setup.errors.DemoError`."""
    folder = place / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    host_key, (user_public, user_private) = _key(folder / "host")[0], _key(folder / "user")
    write_private(folder / "authorized_keys", user_public + "\n")
    account = getpass.getuser()
    program = _sshd()
    if program is not None:
        _write_config(folder, port)
        argv = [program, "-D", "-e", "-f", str(folder / "sshd_config")]
    else:
        argv = [sys.executable, "-m", "rppam.demo.ssh_server", str(folder), HOST, str(port)]
    child = start("the SSH target", argv, log=folder / "log")
    await _listens(child, port)
    return SshTarget(child, port, account, Secret(user_private), host_key)


def _key(path: Path) -> tuple[str, str]:
    """The public and the private half of the key at ``path``, made where there is none."""
    if not path.exists():
        made = Ed25519PrivateKey.generate()
        private = made.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
        public = made.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
        write_private(path.with_suffix(".pub"), public + b"\n")
        write_private(path, private)
    return path.with_suffix(".pub").read_text(encoding="ascii").strip(), path.read_text(encoding="ascii")


def _sshd() -> str | None:
    """The program, where it can be run: as root it wants a folder that its service makes at boot."""
    found = shutil.which("sshd", path=os.pathsep.join([os.environ.get("PATH", ""), *_PLACES]))
    if found is not None and sys.platform != "win32" and os.getuid() == 0:
        with suppress(OSError):
            _SEPARATION.mkdir(mode=0o755, exist_ok=True)
        return found if _SEPARATION.is_dir() else None
    return found


def _write_config(folder: Path, port: int) -> None:
    lines = [
        f"ListenAddress {HOST}",
        f"Port {port}",
        f"HostKey {folder / 'host'}",
        f"AuthorizedKeysFile {folder / 'authorized_keys'}",
        "PidFile none",
        "StrictModes no",
        "UsePAM no",
        "PermitRootLogin prohibit-password",
        "PasswordAuthentication no",
        "MaxStartups 100",
        "MaxSessions 50",
        "AcceptEnv LANG LC_*",
        "Subsystem sftp internal-sftp",
        "LogLevel ERROR",
    ]
    write_private(folder / "sshd_config", "\n".join(lines) + "\n")


async def _listens(child: Child, port: int) -> None:
    from rppam.setup.errors import DemoError

    until = asyncio.get_running_loop().time() + START_S
    while asyncio.get_running_loop().time() < until:
        with suppress(OSError), socket.create_connection((HOST, port), 1):
            return
        if how := child.ended():
            raise DemoError(f"the SSH target of the demo ended {how}. {child.log_end()}")
        await asyncio.sleep(_LOOK_S)
    raise DemoError(f"the SSH target of the demo does not listen on port {port}. {child.log_end()}")
