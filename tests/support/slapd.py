"""A real slapd with a few service accounts, whose passwords one directory manager may change."""

import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

from tests.support.lab import eventually
from tests.support.ports import HOST, free_port

BASE: Final = "dc=example,dc=org"
PEOPLE: Final = f"ou=people,{BASE}"
_PROGRAMS: Final = "/usr/sbin:/usr/bin:/sbin"
_CONFIG: Final = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {folder}/slapd.pid
database mdb
suffix "{base}"
rootdn "cn=manager,{base}"
rootpw {password}
directory {folder}/data
index objectClass,uid eq
"""
_TREE: Final = """dn: {base}
objectClass: dcObject
objectClass: organization
o: example
dc: example

dn: {people}
objectClass: organizationalUnit
ou: people
"""
_ACCOUNT: Final = """
dn: uid={name},{people}
objectClass: inetOrgPerson
uid: {name}
cn: {name}
sn: {name}
userPassword: first
"""


class Slapd(NamedTuple):
    """Where it listens, and who may change what is in it."""

    port: int
    manager: str
    password: str


def missing() -> str:
    """What this machine lacks for it; empty for nothing."""
    return "" if shutil.which("slapd", path=_PROGRAMS) else "slapd"


@contextmanager
def slapd(folder: Path, accounts: Sequence[str]) -> Iterator[Slapd]:
    """A server with these accounts, which ends with the block."""
    (folder / "data").mkdir(parents=True)
    port, password = free_port(), "of the manager"
    config = folder / "slapd.conf"
    config.write_text(_CONFIG.format(folder=folder, base=BASE, password=f'"{password}"'))
    tree = _TREE.format(base=BASE, people=PEOPLE)
    tree += "".join(_ACCOUNT.format(name=name, people=PEOPLE) for name in accounts)
    add = [str(shutil.which("slapadd", path=_PROGRAMS)), "-q", "-f", str(config)]
    subprocess.run(add, input=tree, text=True, check=True, capture_output=True)
    words = [str(shutil.which("slapd", path=_PROGRAMS)), "-f", str(config), "-h", f"ldap://{HOST}:{port}", "-d", "0"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *words], stdout=log, stderr=log)
    try:
        eventually(lambda: _answers(port), within_s=20, what="slapd", say=lambda: (folder / "log").read_text()[-2000:])
        yield Slapd(port, f"cn=manager,{BASE}", password)
    finally:
        process.kill()
        process.wait()


def _answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection((HOST, port), 1):
        return True
    return False
