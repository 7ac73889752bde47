"""The service of a node or witness under systemd: its account, its unit, and who owns its files.

``rppam init --service`` does what the manual asks for by hand: the account ``rppam``, the unit of this installation
with the place of its own program, the drop-in for a virtual address where the config has one; with ``--hosts``, or a
bundle for this host, its Redis and Sentinel, by the script that ``rppam redis setup`` writes. With ``--start`` the node
is started as well.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import rppam
from rppam.cli.files import own_as, write_private
from rppam.setup.errors import InitError

ACCOUNT: Final = "rppam"
UNITS: Final = Path("/etc/systemd/system")
_PROGRAM: Final = "/opt/rppam/.venv/bin/rppam"
"""As the units name it."""
_CONFIG: Final = Path("/etc/rppam")
_HOME: Final = "/var/lib/rppam"


def refuse_unless_possible(config: Path) -> None:
    """Raises :class:`InitError` where no unit could be installed, before anything is written."""
    if sys.platform != "linux" or shutil.which("systemctl") is None:
        raise InitError("--service: expected a host with systemd; start the node by hand, or see docs: systemd.md")
    if sys.platform != "win32" and os.geteuid() != 0:
        raise InitError("--service: makes an account and a unit; run this as root")
    if config.parent != _CONFIG:
        raise InitError(
            f"--service: the unit reads {_CONFIG}, and the config is {config}; leave --dir and --config out"
        )


def refuse_without_redis() -> None:
    """Raises :class:`InitError` where Redis is not installed, before anything is written."""
    if sys.platform == "win32":
        raise InitError("--service: not on Windows")
    import pwd

    if shutil.which("redis-server") is None or "redis" not in {one.pw_name for one in pwd.getpwall()}:
        raise InitError(
            "--service: sets up this host's Redis and Sentinel, which are not installed here. On Debian and Ubuntu: "
            "apt install redis-server redis-sentinel"
        )


def install_redis(files: Mapping[str, bytes]) -> None:
    """Place this host's Redis and Sentinel, and start them. Raises :class:`InitError` and :class:`OSError`."""
    with tempfile.TemporaryDirectory(prefix="rppam-redis-") as place:
        for name, content in files.items():
            path = Path(place, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_private(path, content)
        _run("sh", str(Path(place, "install.sh")))


def install(config: Path, data: Path, *, witness: bool, with_address: bool, units: Path = UNITS) -> tuple[Path, ...]:
    """Make account and units; what was written. Raises :class:`InitError` and :class:`OSError`."""
    if sys.platform == "win32":
        raise InitError("--service: not on Windows")
    import pwd

    if ACCOUNT not in {one.pw_name for one in pwd.getpwall()}:
        _run("useradd", "--system", "--home-dir", _HOME, "--shell", "/usr/sbin/nologin", ACCOUNT)
    name = "rppam-witness.service" if witness else "rppam.service"
    written = [_put(units / name, unit_text(name))]
    if with_address:
        written.append(_put(units / f"{name}.d" / "rppam-virtual-ip.conf", unit_text("rppam-virtual-ip.conf")))
    account = pwd.getpwnam(ACCOUNT)
    for folder in {config.parent, data}:
        for path in (folder, *folder.rglob("*")):
            # Never through a link: the account owns the folder and could point at any file of root.
            os.chown(path, account.pw_uid, account.pw_gid, follow_symlinks=False)
    _run("systemctl", "daemon-reload")
    return tuple(written)


def redis_places(files: Mapping[str, bytes]) -> list[Path]:
    """Which of them :func:`install_redis` would place where nothing stands yet."""
    etc = Path("/etc/redis")
    placed = [etc / name for name in files if name.endswith((".conf", ".acl")) and "/" not in name]
    return [path for path in (*placed, *(etc / name for name in files if name.startswith("tls/"))) if not path.exists()]


def start(*, witness: bool) -> None:
    """Start it, now and at each boot; returns when it serves. Raises :class:`InitError` with what the journal has."""
    unit = "rppam-witness" if witness else "rppam"
    try:
        _run("systemctl", "enable", "--now", unit)
    except InitError as error:
        raise InitError(f"{error}. See: journalctl -u {unit}") from None


def unit_text(name: str) -> str:
    """A unit of ``packaging`` with the program of this installation."""
    packaged = Path(rppam.__file__).parent / "packaging"
    if not packaged.is_dir():  # a checkout
        packaged = Path(rppam.__file__).parents[2] / "packaging"
    program = Path(sys.executable).parent / "rppam"
    return (packaged / name).read_text(encoding="utf-8").replace(_PROGRAM, str(program))


def _put(path: Path, text: str) -> Path:
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    write_private(path, text, mode=0o644)
    own_as(path.parent, path)
    return path


def _run(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)  # noqa: S603 - ours
    if done.returncode:
        raise InitError(
            f"'{' '.join(words)}' ended with {done.returncode}: {done.stderr.strip() or done.stdout.strip()}"
        )
