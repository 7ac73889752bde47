"""A throw-away PostgreSQL server on a free port, for as long as a test session lasts."""

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import psycopg

from tests.support.ports import free_port

MEMORY = "/dev/shm"
ROOM_MIN = 2 << 30
PASSWORD = "s3cret@/:#%ü"  # every character that a URL must escape


class Server(NamedTuple):
    host: str
    port: int
    log: Path

    def connect(self, database: str = "postgres") -> psycopg.Connection:
        return psycopg.connect(
            host=self.host, port=self.port, user="postgres", password=PASSWORD, dbname=database, autocommit=True
        )

    def url(self, database: str, driver: str = "postgresql") -> str:
        """Of a database here, with the password."""
        return f"{driver}://postgres:{quote(PASSWORD, safe='')}@{self.host}:{self.port}/{database}"

    def create(self, database: str) -> str:
        """Make an empty database; its URL."""
        with self.connect() as admin:
            admin.execute(f'CREATE DATABASE "{database}"'.encode())
        return self.url(database)


def binaries() -> Path | None:
    """Where the newest installed server's programs are."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    on_path = shutil.which("postgres")
    return Path(on_path).parent if on_path else None


def quick_place() -> str | None:
    """A file system in memory, where one with room is; ``None``: where temporary files are.

    A database is some 300 files, and each test has one of its own: on a disk making them takes ten times as long.
    """
    try:
        room = shutil.disk_usage(MEMORY).free
    except OSError:
        return None
    return MEMORY if room > ROOM_MIN and os.access(MEMORY, os.W_OK | os.X_OK) else None


@contextmanager
def running(programs: Path, place: Path | None = None) -> Iterator[Server]:
    """A server that ends with this process, whatever ends it (it is told to by the kernel).

    ``place``: where its files are; in memory else.
    """
    home = Path(tempfile.mkdtemp(prefix="rppam-pg-", dir=place or quick_place()))
    as_user = ["setpriv", "--pdeathsig", "QUIT"]
    if os.getuid() == 0:  # PostgreSQL refuses to run as root
        account = pwd.getpwnam("postgres")
        os.chown(home, account.pw_uid, account.pw_gid)
        as_user += [f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]
    word = home / "word"
    word.write_text(PASSWORD)
    word.chmod(0o644)
    cluster, port = home / "cluster", free_port()
    initdb = [str(programs / "initdb"), "-D", str(cluster), "-U", "postgres", "-A", "scram-sha-256"]
    initdb += ["--pwfile", str(word), "-E", "UTF8", "--no-sync"]
    subprocess.run([*as_user, *initdb], check=True, capture_output=True, cwd="/")
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": port,
        "unix_socket_directories": "",
        "fsync": "off",
        "max_connections": 100,
        "shared_buffers": "16MB",
    }
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            [*as_user, programs / "postgres", "-D", cluster, *options], stdout=log, stderr=log, cwd="/"
        )
    server = Server("127.0.0.1", port, home / "log")
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                server.connect().close()
                break
            except psycopg.OperationalError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError((home / "log").read_text()) from None
                time.sleep(0.05)
        yield server
    finally:
        process.send_signal(3)
        process.wait(10)
        shutil.rmtree(home, ignore_errors=True)
