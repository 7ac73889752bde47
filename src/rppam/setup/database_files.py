"""The files that make role and database of a cluster on a PostgreSQL that is there: a script, its SQL, its certificate.

The password stays with the nodes. What goes to the database's host is the verifier that PostgreSQL keeps of it anyway
(SCRAM-SHA-256, RFC 5803), so that neither a file there, nor a command line, nor a log of statements holds it. It
lets in the nodes' addresses alone, over TLS alone; a second run changes nothing, and a role of another cluster is
refused. What it does not do: install PostgreSQL, make it available twice, or back it up.
"""

import base64
import hashlib
import hmac
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Final

from rppam.kernel.secret import Secret
from rppam.setup.certificates import Issued
from rppam.setup.hosts import Host
from rppam.setup.templating import filled

NAME: Final = "rppam"
"""Of the role and of its database."""
PORT: Final = 5432
_ROUNDS: Final = 4096
_SALT_BYTES: Final = 16


def database_files(database: Host, nodes: Sequence[Host], password: Secret, issued: Issued) -> dict[str, bytes]:
    """Every file by its name in the folder that goes to the database's host."""
    values = {"address": database.address, "verifier": verifier(password), "name": NAME, "port": PORT}
    lines = [f"hostssl {NAME} {NAME} {_network(node.address)} scram-sha-256" for node in nodes]
    return {
        "install.sh": filled("database.sh", values).encode(),
        "setup.sql": filled("database.sql", values).encode(),
        "pg_hba.lines": "".join(f"{line}\n" for line in lines).encode(),
        "rppam-server.pem": issued.certificate,
        "rppam-server.key": issued.key,
    }


def database_url(database: Host, authority: str) -> str:
    """The URL without the password. ``authority``: the file of whom to believe, on every node."""
    host = f"[{database.address}]" if ":" in database.address else database.address
    return f"postgresql://{NAME}@{host}:{PORT}/{NAME}?sslmode=verify-full&sslrootcert={authority}"


def verifier(password: Secret) -> str:
    """What PostgreSQL keeps of the password, the same each time: its salt is made of the password, which is random."""
    secret = password.reveal().encode()
    salt = hashlib.sha256(b"rppam salt" + secret).digest()[:_SALT_BYTES]
    salted = hashlib.pbkdf2_hmac("sha256", secret, salt, _ROUNDS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    return f"SCRAM-SHA-256${_ROUNDS}:{_text(salt)}${_text(stored)}:{_text(server)}"


def _network(address: str) -> str:
    return f"{address}/{ip_address(address).max_prefixlen}"


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")
