"""The proof that a member is a node, and no mere holder of the link key: made by the sealing key, in its certificate.

The authority of the member link follows from the cluster key, which every witness has, so a certificate's name is what
its maker chose. Whoever holds the sealing key, too, adds an HMAC-SHA-256 (RFC 2104) over its certificate's public key
and names, under a key that HKDF (RFC 5869) derives; TLS then proves that it holds the private one. One for each sealing
key it has, its own first: so others see which keys it knows while that is changed.

Decides who is believed to be a node. Only nodes ask for votes, give promises back, invite, and make lists of members;
where a proof is demanded, whoever has none is heard as a witness or not at all.

What it does not promise: anything while the cluster key itself seals, as in an installation of before: then nobody
demands a proof. Nor does a witness, which has no key to look at one with.
"""

import hmac
from collections.abc import Sequence
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from rppam.crypto.sealed import Label, derived, framed
from rppam.kernel.secret import Secret

OID: Final = x509.ObjectIdentifier("2.25.302771931457290471862150873354198706243")
"""Of the certificate's extension: from a random UUID, as X.667 has it."""
KEYS_MAX: Final = 3
_TAG: Final = 32
_OCTET_STRING: Final = b"\x04"
_LABEL: Final = Label(b"rppam-node-1", b"proof of a node in its certificate")


def proof_of(sealing: Sequence[Secret], cluster_id: str, node: str, public: ec.EllipticCurvePublicKey) -> bytes:
    """The extension's value: a tag for each of the keys, at most :data:`KEYS_MAX`."""
    tags = b"".join(_tag(key, cluster_id, node, public) for key in sealing[:KEYS_MAX])
    return _OCTET_STRING + len(tags).to_bytes(1, "big") + tags


def proves(certificate: bytes | None, cluster_id: str, node: str, sealing: Sequence[Secret]) -> bool:
    """Whether a certificate that TLS has verified (DER) was made by a holder of one of the keys."""
    found = _tags(certificate)
    if found is None:
        return False
    tags, public = found
    made = [_tag(key, cluster_id, node, public) for key in sealing]
    return any(hmac.compare_digest(tag, one) for tag in tags for one in made)


def shows(certificate: bytes | None, cluster_id: str, node: str, key: Secret) -> bool:
    """Whether ``key`` is the one that its maker seals with, and not merely knows."""
    found = _tags(certificate)
    return found is not None and hmac.compare_digest(found[0][0], _tag(key, cluster_id, node, found[1]))


def _tags(certificate: bytes | None) -> tuple[list[bytes], ec.EllipticCurvePublicKey] | None:
    """What the certificate has, and for which public key; ``None`` where it has none."""
    if certificate is None:
        return None
    try:
        parsed = x509.load_der_x509_certificate(certificate)
        extension, public = parsed.extensions.get_extension_for_oid(OID).value, parsed.public_key()
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        return None
    if not isinstance(extension, x509.UnrecognizedExtension) or not isinstance(public, ec.EllipticCurvePublicKey):
        return None
    tags = extension.value[2:]
    if extension.value[:2] != _OCTET_STRING + bytes([len(tags) % 256]) or len(tags) not in range(
        _TAG, KEYS_MAX * _TAG + 1, _TAG
    ):
        return None
    return [tags[at : at + _TAG] for at in range(0, len(tags), _TAG)], public


def _tag(key: Secret, cluster_id: str, node: str, public: ec.EllipticCurvePublicKey) -> bytes:
    shown = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hmac.digest(derived(key, _LABEL), framed(cluster_id.encode(), node.encode(), shown), "sha256")
