"""A real name server (BIND's named) with one zone that takes updates, which is killed and started again."""

import base64
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Final, Self

import dns.message
import dns.query
import dns.rdatatype

from tests.support.ports import free_port

ZONE: Final = "example.com"
NAME: Final = "pam.example.com"
KEY: Final = "rppam-key"
"""May change the name and what is below it."""
STRANGER: Final = "stranger"
"""A key that the server knows and that may change nothing."""
SECRETS: Final = {KEY: bytes(range(32)), STRANGER: bytes(range(32, 64))}
START_S: Final = 20.0
_SEARCH: Final = "/usr/sbin:/usr/bin:/sbin"
_CONFIG: Final = """
{keys}
options {{
  directory "{folder}"; listen-on port {port} {{ {address}; }}; listen-on-v6 {{ none; }};
  pid-file none; session-keyfile none; recursion no; dnssec-validation no; allow-transfer {{ none; }};
}};
controls {{ }};
zone "{zone}" {{
  type primary; file "{folder}/zone";
  update-policy {{ grant {key} subdomain {name} A AAAA TXT; }};
}};
zone "broken.example" {{ type primary; file "{folder}/broken"; allow-update {{ key {key}; }}; }};
"""
_ZONE_FILE: Final = """$TTL 60
@ IN SOA ns.example.com. root.example.com. 1 3600 600 86400 60
@ IN NS ns
ns IN A 127.0.0.1
{more}
"""


def missing() -> str:
    """What this machine lacks for it; empty for nothing."""
    return "" if shutil.which("named", path=_SEARCH) else "bind9"


def secret_of(key: str) -> str:
    """As a config has it."""
    return base64.b64encode(SECRETS[key]).decode()


class Named:
    """See the module."""

    address = "127.0.0.1"

    def __init__(self, folder: Path, more: str = "", *, port: int = 0) -> None:
        """``more``: further lines of the zone. ``port``: 0: a free one."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.port = folder, port or free_port()
        keys = "\n".join(f'key "{name}" {{ algorithm hmac-sha256; secret "{secret_of(name)}"; }};' for name in SECRETS)
        facts = {"keys": keys, "folder": folder, "port": self.port, "zone": ZONE, "key": KEY, "name": NAME}
        (folder / "named.conf").write_text(_CONFIG.format(address=self.address, **facts))
        (folder / "zone").write_text(_ZONE_FILE.format(more=more))
        (folder / "broken").write_text("this is no zone\n")
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Returns when it answers."""
        program = shutil.which("named", path=_SEARCH)
        assert program is not None
        command = [program, "-g", "-n", "1", "-c", str(self.folder / "named.conf")]
        self._process = self._run(command, self.folder / "log")
        until = time.monotonic() + START_S
        while True:
            try:
                self.ask("ns.example.com")
            except OSError:
                assert self._process.poll() is None, self.log()
                assert time.monotonic() < until, self.log()
                time.sleep(0.02)
            else:
                return

    def kill(self) -> None:
        """By SIGKILL: what it has written is in its journal."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def ask(self, name: str = NAME, kind: str = "A") -> list[str]:
        """What anybody is told, in order. OSError where nobody answers."""
        query = dns.message.make_query(name, kind)
        with self._reached() as link:
            dns.query.send_tcp(link, query)
            answer, _ = dns.query.receive_tcp(link)
        wanted = dns.rdatatype.from_text(kind)
        return sorted(one.to_text().strip('"') for rrset in answer.answer if rrset.rdtype == wanted for one in rrset)

    def _run(self, command: list[str], log: Path) -> "subprocess.Popen[bytes]":
        with log.open("ab") as out:
            return subprocess.Popen(command, stdout=out, stderr=out)

    def _reached(self) -> socket.socket:
        return socket.create_connection((self.address, self.port), timeout=2)
