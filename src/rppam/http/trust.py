"""Whom whoever asks a node over https believes.

The authorities are those that were named, else the system's, and server names are checked. A node on this very host is
known by its certificate itself, which stands in its config: it is often reached as 127.0.0.1, which no certificate
names.
"""

import ssl
from pathlib import Path
from typing import NamedTuple

from rppam.kernel.tls import trusting


class Trust(NamedTuple):
    """Authorities, and the one certificate of this host's own node."""

    ca: Path | None = None
    own_url: str = ""
    """Address of this host's own node."""
    own_leaf: bytes = b""
    """Its certificate (DER); empty when it is not known."""
    verifies: bool = True
    """``False``: any certificate is believed, as an administrator has said for one address."""
    hint: str = "name its authority with --ca or api.tlsCaPath, and the node as its certificate does"
    """What to do where its certificate is not believed."""

    def context(self, url: str) -> ssl.SSLContext:
        """For one connection to ``url``. Raises OSError, ssl.SSLError for authorities that cannot be read."""
        try:
            context = trusting(self.ca)
        except FileNotFoundError:
            raise ssl.SSLError(f"the authorities' file {self.ca} is not there") from None
        if self._is_own(url) or not self.verifies:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE  # this host's own is compared whole instead, see check()
        return context

    def check(self, url: str, shown: bytes | None) -> None:
        """``shown`` is the certificate (DER) seen at ``url``. Raises ssl.SSLError for another than this host's."""
        if self._is_own(url) and shown != self.own_leaf:
            raise ssl.SSLError("another certificate is shown there than the one in api.tlsCertPath of the config")

    def _is_own(self, url: str) -> bool:
        return bool(self.own_leaf) and url.startswith(self.own_url + "/")
