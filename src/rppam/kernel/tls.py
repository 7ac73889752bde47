"""Which certificates are believed, alike on every Python, and why one is not.

Decides one strictness for all connections that check a certificate of somebody else's authority (Redis, Sentinel, the
API of a node): the one of curl, redis-cli and ``openssl s_client``. Python 3.13 became stricter than its predecessors:
it demands a ``keyUsage`` of every authority, which a plain ``openssl req -x509`` does not write, so that one and the
same file would work on one host and not on the next. What is checked all the same: signatures, dates, names, purposes,
and that an authority is one. A certificate that is named as trusted is, also where it is no root.

What it does not promise: that other programs on a Python of today believe what is believed here.
"""

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_KEY_USAGE: Final = "critical,keyCertSign,cRLSign"
_NO_AUTHORITY: Final = (
    "the certificate that signed it may not sign any: make the authority again with openssl req -x509 "
    f"-addext basicConstraints=critical,CA:TRUE -addext keyUsage={_KEY_USAGE}, or with rppam tls ca"
)
_NO_PURPOSE: Final = (
    "its extendedKeyUsage allows no server: issue it again with extendedKeyUsage=serverAuth (openssl x509 -extfile), "
    "or with rppam tls issue"
)
_TOO_WEAK: Final = (
    "its key or digest is too weak for this host's OpenSSL: issue it again with openssl req -newkey rsa:3072 -sha256, "
    "or with rppam tls issue"
)
_STRICT: Final = f"issue it, and the authority with -addext keyUsage={_KEY_USAGE}, again; rppam tls does both"
_CODES: Final[Mapping[int, str]] = {
    24: _NO_AUTHORITY,
    25: "its authority allows fewer authorities below it than there are: leave pathlen out of its basicConstraints",
    26: _NO_PURPOSE,
    32: _NO_AUTHORITY,
    66: _TOO_WEAK,
    67: _TOO_WEAK,
    68: _TOO_WEAK,
    79: _NO_AUTHORITY,
    **dict.fromkeys(range(80, 95), _STRICT),
}
"""By the number that OpenSSL gives a failed verification (X509_V_ERR_...)."""
_WORDS: Final = (
    "invalid CA certificate",
    "unsuitable certificate purpose",
    "key usage does not include",
    "path length constraint",
    "key too weak",
    "md too weak",
    "Authority Key Identifier",
    "does not include key usage",
    "Subject Key Identifier",
    "Basic Constraints of CA",
)


def trusting(authorities: Path | str | None = None, *, also: str | None = None) -> ssl.SSLContext:
    """Context for a client: ``authorities`` is a file of them, ``also`` more as PEM; without both the system's.

    TLS 1.2 or later; names are checked. Raises :class:`OSError` and :class:`ssl.SSLError` for what cannot be read.
    """
    context = ssl.create_default_context(cafile=authorities, cadata=also)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def ill_made(error: ssl.SSLCertVerificationError) -> str:
    """What is wrong in how the certificate was made, and the option of openssl that heals it; empty: something else."""
    return _CODES.get(error.verify_code, "")


def tells_ill_made(text: str) -> bool:
    """Whether an error's text is about how a certificate was made."""
    return any(word in text for word in _WORDS)
