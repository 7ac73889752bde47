"""By what a node knows that an order, or the answer to one, comes from another node: a signature of its own.

The member link believes every holder of the cluster key, and witnesses hold it, too. So an order carries an HMAC with
SHA-256 (RFC 2104) under a key that HKDF (RFC 5869) derives from what seals secrets in the database, which is for nodes
alone. It is bound to the cluster, to both names, to the life of both processes, to the order's number and to its
ticket; an order and an answer are told apart. Signed with the own key; while the key is changed the next and the
previous one are believed, too.

What it does not promise: that it is no replay. Each ticket is good once: see :mod:`rppam.cluster.link.orders`.
"""

import asyncio
import hmac
from collections.abc import Callable
from typing import Final, NamedTuple

from rppam.crypto.data_key_ports import ClusterSecrets
from rppam.crypto.errors import SealingKeyMissing
from rppam.crypto.sealed import Label, derived, framed

_LABEL: Final = Label(b"rppam-orders-1", b"authentication of orders between nodes")
ORDER: Final = "order"
ANSWER: Final = "answer"


class Signed(NamedTuple):
    """What a signature is over."""

    kind: str
    """:data:`ORDER` or :data:`ANSWER`."""
    cluster_id: str
    speaker: str
    speaker_boot_id: str
    hearer: str
    hearer_boot_id: str
    number: str
    ticket: str
    body: str


class OrderKeys:
    """The keys of one moment."""

    __slots__ = ("_keys",)

    def __init__(self, secrets: ClusterSecrets) -> None:
        self._keys = tuple(derived(key, _LABEL) for key in (secrets.own, *secrets.coming, *secrets.gone))

    def tag(self, signed: Signed) -> str:
        """The signature, 64 hexadecimal digits."""
        return _tag(self._keys[0], signed)

    def is_genuine(self, signed: Signed, tag: str) -> bool:
        """Whether a node of this cluster made ``tag`` over exactly this."""
        return any(hmac.compare_digest(_tag(key, signed), tag) for key in self._keys)


async def read_keys(secrets: Callable[[], ClusterSecrets]) -> OrderKeys | None:
    """The keys as they stand in this host's files now, read beside the loop; ``None`` where there are none."""
    try:
        return OrderKeys(await asyncio.to_thread(secrets))
    except SealingKeyMissing:
        return None


def _tag(key: bytes, signed: Signed) -> str:
    return hmac.digest(key, framed(*(word.encode() for word in signed)), "sha256").hex()
