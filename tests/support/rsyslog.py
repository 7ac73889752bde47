"""A real rsyslogd that takes events over TLS, is killed, and started again; and what it has written."""

import asyncio
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from tests.support.authority import Authority
from tests.support.ports import free_port

DRIVER: Final = "lmnsd_ossl.so"
START_S: Final = 20.0
_CONFIG: Final = """
global(workDirectory="{folder}" maxMessageSize="64k" defaultNetstreamDriverCAFile="{folder}/ca.pem"
       defaultNetstreamDriverCertFile="{folder}/own.pem" defaultNetstreamDriverKeyFile="{folder}/own.key")
module(load="imtcp" streamDriver.name="ossl" streamDriver.mode="1" streamDriver.authMode="anon" maxSessions="50")
template(name="seen" type="string" string="%structured-data%\\n")
ruleset(name="seen" queue.type="Direct") {{ action(type="omfile" file="{seen}" template="seen") }}
input(type="imtcp" address="127.0.0.1" port="{port}" ruleset="seen")
"""
_SEEN: Final = re.compile(rb'index="(\d+)"( again="1")?\]\n')


def missing() -> str:
    """What this machine lacks for it; empty for nothing."""
    if shutil.which("rsyslogd", path="/usr/sbin:/usr/bin:/sbin") is None:
        return "rsyslog"
    return "" if any(Path("/usr/lib").glob(f"*/rsyslog/{DRIVER}")) else "rsyslog-openssl"


class Told(NamedTuple):
    """What the receiver has written, held against what there is."""

    lines: int
    again: int
    """Of them marked as sent again."""
    missing: int
    out_of_order: int
    """An event before one that comes before it."""
    unmarked: int
    """An event that came a second time, without the mark."""


class Rsyslog:
    """See the module. ``kill`` and ``start`` may follow each other."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.seen = folder, folder / "seen.log"
        self.port, self.kills = free_port(), 0
        self._process: subprocess.Popen[bytes] | None = None
        self._read, self.newest = 0, -1
        """The highest index that was written, as of the last :meth:`look`."""
        authority = Authority(folder)
        own = authority.certify("localhost")
        (folder / "ca.pem").write_bytes(authority.path.read_bytes())
        (folder / "own.pem").write_bytes(own.pem())
        (folder / "own.key").write_bytes(own.key_pem())
        self.ca = folder / "ca.pem"
        facts = {"folder": folder, "seen": self.seen, "port": self.port}
        (folder / "rsyslog.conf").write_text(_CONFIG.format(**facts))

    @property
    def url(self) -> str:
        return f"tls://localhost:{self.port}"

    async def start(self) -> None:
        """Returns when it listens."""
        program = shutil.which("rsyslogd", path="/usr/sbin:/usr/bin:/sbin")
        assert program is not None
        command = [program, "-n", "-f", str(self.folder / "rsyslog.conf"), "-i", str(self.folder / "pid")]
        with (self.folder / "rsyslog.log").open("ab") as log:
            self._process = await asyncio.to_thread(subprocess.Popen, command, stdout=log, stderr=log)
        async with asyncio.timeout(START_S):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                except OSError:
                    assert self._process.poll() is None, (self.folder / "rsyslog.log").read_text()
                    await asyncio.sleep(0.02)
                else:
                    writer.close()
                    return

    async def kill(self) -> None:
        """By SIGKILL: what it had in memory is gone."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            await asyncio.to_thread(process.wait)
            self.kills += 1
            (self.folder / "pid").unlink(missing_ok=True)

    def look(self) -> int:
        """The highest index so far."""
        if self.seen.exists():
            with self.seen.open("rb") as file:
                file.seek(self._read)
                new = file.read()
            whole = new.rfind(b"\n") + 1
            self._read += whole
            self.newest = max([self.newest, *(int(found[1]) for found in _SEEN.finditer(new[:whole]))])
        return self.newest

    def judge(self, count: int) -> Told:
        """Hold what was written against ``count`` events."""
        lines = again = out_of_order = unmarked = 0
        next_new = 0
        for index, is_again in self._events():
            lines += 1
            again += is_again
            if index > next_new:
                out_of_order += 1
            elif index < next_new and not is_again:
                unmarked += 1
            next_new = max(next_new, index + 1)
        seen = {index for index, _ in self._events()}
        return Told(lines, again, len(set(range(count)) - seen), out_of_order, unmarked)

    def _events(self) -> Iterator[tuple[int, bool]]:
        for found in _SEEN.finditer(self.seen.read_bytes()):
            yield int(found[1]), found[2] is not None
