"""A ledger's key, for tests."""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from rppam.cluster.health.ports import Authority
from rppam.ledger.checkpoint import Signer

ORIGIN = "rppam/test"
SIGNER = Signer(ORIGIN, Ed25519PrivateKey.from_private_bytes(bytes(32)))
LEADER = Authority(7, "boot-a")
