"""One strictness for all Pythons: authorities as openssl makes them, and why one is not believed."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

pytestmark = pytest.mark.integration

_PYTHONS: Final = [sys.executable, *filter(None, [shutil.which("python3.13", path="/usr/bin:/usr/local/bin")])]
_AUTHORITIES: Final = {
    "plain": "",
    "with keyUsage": "-addext keyUsage=critical,keyCertSign,cRLSign",
    "no authority": "-config empty.cnf -addext basicConstraints=critical,CA:FALSE",
    "without any extension": "-config empty.cnf",
    "signs nothing": "-addext keyUsage=critical,digitalSignature",
}
_LEAVES: Final = {
    "plain": "subjectAltName=DNS:localhost",
    "without AKI": "subjectAltName=DNS:localhost\nauthorityKeyIdentifier=none\nsubjectKeyIdentifier=none",
    "for clients": "subjectAltName=DNS:localhost\nextendedKeyUsage=clientAuth",
}
_ASK: Final = """
import json, socket, ssl, sys, threading
from rppam.kernel.tls import ill_made, tells_ill_made, trusting
told = {}
for authority, leaf in json.loads(sys.argv[1]):
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(leaf + ".pem", leaf + ".key")
    here, there = socket.socketpair()
    def serve():
        try:
            serving.wrap_socket(there, server_side=True)
        except OSError:
            pass
    thread = threading.Thread(target=serve)
    thread.start()
    try:
        trusting(authority).wrap_socket(here, server_hostname="localhost")
        told[leaf] = ""
    except ssl.SSLCertVerificationError as error:
        assert tells_ill_made(str(error)), error
        told[leaf] = ill_made(error)
    here.close()
    thread.join()
    there.close()
print(json.dumps(told))
"""


def openssl(folder: Path, *words: str) -> None:
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each authority with each certificate, made as people make them."""
    folder = tmp_path_factory.mktemp("openssl")
    (folder / "empty.cnf").write_text("[req]\ndistinguished_name=dn\n[dn]\n")
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    for name, options in _AUTHORITIES.items():
        openssl(folder, "req", "-x509", *key, "-keyout", f"{name}.key", "-out", f"{name}.pem", "-days", "30",
                "-subj", f"/CN={name}", *options.split())  # fmt: skip
        for leaf, extensions in _LEAVES.items():
            file = f"{name}-{leaf}"
            (folder / "leaf.ext").write_text(extensions)
            openssl(folder, "req", "-new", *key, "-keyout", f"{file}.key", "-out", "leaf.csr", "-subj", "/CN=localhost")
            openssl(folder, "x509", "-req", "-in", "leaf.csr", "-CA", f"{name}.pem", "-CAkey", f"{name}.key",
                    "-CAcreateserial", "-days", "20", "-extfile", "leaf.ext", "-out", f"{file}.pem")  # fmt: skip
    return folder


def told(python: str, folder: Path) -> dict[str, str]:
    pairs = [(f"{name}.pem", f"{name}-{leaf}") for name in _AUTHORITIES for leaf in _LEAVES]
    source = Path(__file__).parents[2] / "src"
    environment: dict[str, Any] = {**os.environ, "PYTHONPATH": str(source), "PYTHONDONTWRITEBYTECODE": "1"}
    words = [python, "-c", _ASK, json.dumps(pairs)]
    done = subprocess.run(words, cwd=folder, env=environment, check=True, capture_output=True, text=True)
    found: dict[str, str] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("python", _PYTHONS)
def test_a_plain_authority_is_believed_and_an_ill_made_one_told_with_the_option_that_heals_it(
    made: Path, python: str
) -> None:
    found = told(python, made)
    assert [found[f"{name}-plain"] for name in ("plain", "with keyUsage")] == ["", ""]
    assert [found[f"{name}-without AKI"] for name in ("plain", "with keyUsage")] == ["", ""]
    for name in ("no authority", "without any extension", "signs nothing"):
        assert "-addext basicConstraints=critical,CA:TRUE" in found[f"{name}-plain"]
        assert "-addext keyUsage=critical,keyCertSign,cRLSign" in found[f"{name}-plain"]
    for name in _AUTHORITIES:
        assert "extendedKeyUsage=serverAuth" in found[f"{name}-for clients"]
