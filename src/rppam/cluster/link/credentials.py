"""How members know each other: certificates that every node makes for itself out of the cluster key.

The cluster key (one file, the same on all members) is stretched with HKDF (RFC 5869) into the private key of an
authority that exists nowhere else. At its start a node signs a certificate for a key of its own with it: CN is the
node's name, O the cluster id. A peer believes exactly what that authority signed, so it believes a holder of the
cluster key; then it looks at the names, and at the proof of a node. The cluster id is not mixed into the authority's
key on purpose: a node with the right key and a wrong ``cluster.clusterId`` learns that, and not that it is a stranger.

**The proof that a member is a node**, and no mere holder of the cluster key, which every witness is: a holder of the
sealing key, too, adds an HMAC-SHA-256 (RFC 2104) over its certificate's public key and names, under a key that HKDF
derives; TLS then proves that it holds the private one. There is one for each sealing key it has, its own first: so
others see which keys it knows while that is changed. Only nodes ask for votes, give promises back, invite, and make
lists of members; where a proof is demanded, a member that has none is heard as a witness or not at all. Nobody demands
one while the cluster key itself seals, as in an old installation; nor does a witness, which has no key to check one.

Nothing of it touches a disk, and both keys end with the process. The certificates are valid from 1950 to 9999 (RFC 5280
says: no end), since the wall clock of a host decides nothing here, and a member whose clock is wrong has to be able to
vote. What it does not promise: to keep out a thief of the cluster key. Then change it on all nodes: see ``key_files``.
"""

import asyncio
import base64
import hmac
import os
import re
import ssl
import stat
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from rppam.cluster.errors import ClusterKeyUnusable, SealingKeyUnusable
from rppam.crypto.pfx import load_pair
from rppam.crypto.sealed import Label, derived, framed
from rppam.kernel.secret import Secret

_AUTHORITY_LABEL: Final = Label(b"rppam-member-link-1", b"authority of the member link, EC P-256")
_PROOF_LABEL: Final = Label(b"rppam-node-1", b"proof of a node in its certificate")
_P256_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_STRETCHED_BYTES: Final = 48
"""128 bits more than the order has, so that the remainder is even (FIPS 186-5, A.2.1)."""
_FROM: Final = datetime(1950, 1, 2, tzinfo=UTC)
_UNTIL: Final = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
_AUTHORITY: Final = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "rppam members")])
_KEY: Final = re.compile(rb"[0-9a-fA-F]{64}\r?\n?")
_OLDER_KEY: Final = re.compile(rb"[A-Za-z0-9+/]{43}=\r?\n?")
"""The same 32 bytes in base64, as 'rppam init' once wrote them."""
_KEY_BYTES_MAX: Final = 4096
OID: Final = x509.ObjectIdentifier("2.25.302771931457290471862150873354198706243")
"""Of the certificate's extension: from a random UUID, as X.667 has it."""
KEYS_MAX: Final = 3
_TAG: Final = 32
_OCTET_STRING: Final = b"\x04"


class PeerName(NamedTuple):
    """Whom a certificate is for."""

    cluster_id: str
    node: str


class Credentials:
    """What one node shows, and what it believes."""

    server: ssl.SSLContext
    """For connections that others make."""
    client: ssl.SSLContext
    """For connections to others. Ask ``peer_name`` whose certificate it is."""
    root_pem: str
    """The authorities, for another process of this node."""
    own_pem: bytes
    """This node's certificate and key, for another process of this node: it stays in memory."""
    demands_proof: bool
    """Whether nodes are told from other holders of the cluster key: the sealing key is another one."""

    def __init__(
        self,
        cluster_key: Secret,
        *,
        cluster_id: str,
        node_name: str,
        also: tuple[Secret, ...] = (),
        sealing: tuple[Secret, ...] = (),
    ) -> None:
        """``cluster_key`` is 64 hexadecimal digits, as ``read_cluster_key`` gives it; so are ``also``, whose holders
        are believed as well, and ``sealing``: what this node seals with, then what it knows besides."""
        self._name = PeerName(cluster_id, node_name)
        self.use(cluster_key, also, sealing)

    def use(self, cluster_key: Secret, also: tuple[Secret, ...] = (), sealing: tuple[Secret, ...] = ()) -> None:
        """Show from now on what is made with ``cluster_key``, and believe its holders and those of ``also``.

        Connections that stand are left alone. It takes some 10 ms and may be called in a thread.
        """
        self._sealing = sealing
        self.demands_proof = bool(sealing) and not {key.reveal() for key in sealing} & {
            key.reveal() for key in (cluster_key, *also)
        }
        authority = _authority_key(cluster_key)
        roots = (_root(authority), *(_root(_authority_key(key)) for key in also))
        key = ec.generate_private_key(ec.SECP256R1())
        proof = proof_of(sealing, *self._name, key.public_key()) if sealing else None
        leaf = _leaf(authority, key.public_key(), self._name, proof)
        self.server, self.client = (
            _context(ssl.PROTOCOL_TLS_SERVER, roots, leaf, key),
            _context(ssl.PROTOCOL_TLS_CLIENT, roots, leaf, key),
        )
        self.root_pem = "".join(root.public_bytes(Encoding.PEM).decode("ascii") for root in roots)
        self.own_pem = leaf.public_bytes(Encoding.PEM) + key.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        )

    def is_node(self, transport: asyncio.BaseTransport | None, name: PeerName | None) -> bool:
        """Return whether the other side, whose certificate is for ``name``, has proven to be a node; always true where
        no proof is demanded."""
        if name is None or not self.demands_proof:
            return name is not None
        return proves(certificate_of(transport), *name, self._sealing)


def certified_name(transport: asyncio.BaseTransport | None) -> PeerName | None:
    return None if transport is None else peer_name(transport.get_extra_info("peercert"))


def certificate_of(transport: asyncio.BaseTransport | None) -> bytes | None:
    """Return the other side's certificate (DER), which TLS has verified."""
    found = None if transport is None else transport.get_extra_info("ssl_object")
    return None if found is None else found.getpeercert(True)


def read_cluster_key(path: Path) -> Secret:
    """Raises ClusterKeyUnusable."""
    return read_key_of("auth.clusterKeyPath", path, ClusterKeyUnusable, "can vote in this cluster")


def read_sealing_key(path: Path) -> Secret:
    """Raises SealingKeyUnusable."""
    return read_key_of("auth.sealingKeyPath", path, SealingKeyUnusable, "can forge people's rights")


def read_key_of(setting: str, path: Path, unusable: type[ClusterKeyUnusable], what_for: str) -> Secret:
    """Read 64 digits from ``path``. Raises ``unusable``; ``what_for`` says what a thief could do."""
    expected = f"{setting} {path}: expected 64 hexadecimal digits, readable by this account alone, found"
    fix = "Copy the file from another node of the cluster (rppam init --bundle); a first node gets it by 'rppam init'"
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            data = file.read(_KEY_BYTES_MAX + 1)
    except OSError as error:
        raise unusable(f"{expected} no readable file ({error.strerror}). {fix}") from None
    if os.name == "posix" and mode & 0o077:
        raise unusable(f"{expected} mode {mode:04o}: whoever reads it {what_for}. Run: chmod 600 {path}")
    if _OLDER_KEY.fullmatch(data):
        return Secret(base64.b64decode(data.strip()).hex())
    if _KEY.fullmatch(data) is None:
        size = f"more than {_KEY_BYTES_MAX}" if len(data) > _KEY_BYTES_MAX else str(len(data))
        found = "an empty file" if not data else f"{size} bytes of something else, which are not shown"
        raise unusable(f"{expected} {found}. {fix}")
    return Secret(data.decode("ascii").strip().lower())


def peer_name(certificate: dict[str, Any] | None) -> PeerName | None:
    """Return whom a verified certificate (``SSLObject.getpeercert()``) is for; ``None`` where it does not say."""
    names: dict[str, list[str]] = {}
    for part in (certificate or {}).get("subject", ()):
        for kind, value in part:
            names.setdefault(kind, []).append(value)
    nodes, clusters = names.get("commonName", []), names.get("organizationName", [])
    if len(nodes) != 1 or len(clusters) != 1:
        return None
    return PeerName(clusters[0], nodes[0])


def proof_of(sealing: Sequence[Secret], cluster_id: str, node: str, public: ec.EllipticCurvePublicKey) -> bytes:
    """Make the extension's value: a tag for each of the keys, at most ``KEYS_MAX``."""
    tags = b"".join(_tag(key, cluster_id, node, public) for key in sealing[:KEYS_MAX])
    return _OCTET_STRING + len(tags).to_bytes(1, "big") + tags


def proves(certificate: bytes | None, cluster_id: str, node: str, sealing: Sequence[Secret]) -> bool:
    """Return whether a certificate that TLS has verified (DER) was made by a holder of one of the keys."""
    found = _tags(certificate)
    if found is None:
        return False
    tags, public = found
    made = [_tag(key, cluster_id, node, public) for key in sealing]
    return any(hmac.compare_digest(tag, one) for tag in tags for one in made)


def shows(certificate: bytes | None, cluster_id: str, node: str, key: Secret) -> bool:
    """Return whether ``key`` is the one that its maker seals with, and not merely knows."""
    found = _tags(certificate)
    return found is not None and hmac.compare_digest(found[0][0], _tag(key, cluster_id, node, found[1]))


def _tags(certificate: bytes | None) -> tuple[list[bytes], ec.EllipticCurvePublicKey] | None:
    """Return the tags of a certificate and its public key; ``None`` where it has none."""
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
    return hmac.digest(derived(key, _PROOF_LABEL), framed(cluster_id.encode(), node.encode(), shown), "sha256")


def _authority_key(cluster_key: Secret) -> ec.EllipticCurvePrivateKey:
    """The same on every node that has the same cluster key."""
    raw = derived(cluster_key, _AUTHORITY_LABEL, _STRETCHED_BYTES)
    return ec.derive_private_key(int.from_bytes(raw, "big") % (_P256_ORDER - 1) + 1, ec.SECP256R1())


def _root(authority: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    """The authority's own certificate. Each node makes one; they differ in their signature alone."""
    public = authority.public_key()
    return (
        _builder(_AUTHORITY, public, serial=1)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .sign(authority, hashes.SHA256())
    )


def _leaf(
    authority: ec.EllipticCurvePrivateKey, public: ec.EllipticCurvePublicKey, name: PeerName, proof: bytes | None
) -> x509.Certificate:
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, name.cluster_id),
            x509.NameAttribute(NameOID.COMMON_NAME, name.node),
        ]
    )
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key())
    usages = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    builder = _builder(subject, public, serial=x509.random_serial_number())
    if proof is not None:
        builder = builder.add_extension(x509.UnrecognizedExtension(OID, proof), critical=False)
    return (
        builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(usages, critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name.node)]), critical=False)
        .add_extension(issuer, critical=False)
        .sign(authority, hashes.SHA256())
    )


def _builder(subject: x509.Name, public: ec.EllipticCurvePublicKey, *, serial: int) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(_AUTHORITY)
        .public_key(public)
        .serial_number(serial)
        .not_valid_before(_FROM)
        .not_valid_after(_UNTIL)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _context(
    protocol: int, roots: tuple[x509.Certificate, ...], leaf: x509.Certificate, key: ec.EllipticCurvePrivateKey
) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False  # members are known by name, wherever they are; see peer_name
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.options |= ssl.OP_NO_TICKET
    if protocol == ssl.PROTOCOL_TLS_SERVER:
        context.num_tickets = 0  # every connection proves itself
    context.load_verify_locations(cadata=b"".join(root.public_bytes(Encoding.DER) for root in roots))
    load_pair(context, (leaf,), key)
    return context
