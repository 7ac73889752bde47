"""The cluster's signing keys as they are stored."""

from typing import NamedTuple

from rppam.kernel.secret import Secret


class StoredKey(NamedTuple):
    """One private key as found."""

    name: str
    """File name, for messages."""
    pem: Secret
    """PKCS#8 PEM, not encrypted."""
    signs_from_s: int
    """Seconds since 1970 UTC from which on it may sign; before that it only verifies. 0 when not stated."""
