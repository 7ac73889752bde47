"""Whom the commands believe when they ask a node over https: what ``--ca`` and a node's config say.

The authorities are those of ``--ca``, else of ``api.tlsCaPath``, else the system's: see ``adapters.system.rest_trust``.
"""

from pathlib import Path

from rppam.config.errors import ConfigError
from rppam.config.settings import Settings
from rppam.http.trust import Trust


def trust_of(settings: Settings, own_url: str, ca: Path | None = None) -> Trust:
    """What a node's config and ``--ca`` say.

    Raises ConfigValueError for a certificate that cannot be read, where no authority is named.
    """
    from rppam.http.served_certificate import read_held

    api = settings.api
    leaf = b""
    if api.tls_cert_path is not None:
        try:
            leaf = read_held(api.tls_cert_path, api.tls_key_path, api.tls_cert_password).leaf
        except ConfigError:  # the node goes on with the one of before; its authority is enough to believe it
            if not (ca or api.tls_ca_path):
                raise
    return Trust(ca or api.tls_ca_path, own_url, leaf)
