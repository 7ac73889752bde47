"""A node's word that a list of members was made by a node, and how it goes along with the list.

The leader that made a list may be gone for good before anybody but a witness has it. That witness lets nobody lead by
the list before, and a witness alone is not believed: whoever takes its host could bring members of his own. So each
node signs every list that it sends, with what only nodes have (the sealing key); a witness, which can neither make nor
check that, keeps it and passes it on. What it does not promise: anything where the cluster key does the work of the
sealing key, which witnesses have, too; nor that the word outlives the key that it was made with: who has another one
then goes by what it was told before.
"""

import asyncio
from functools import lru_cache
from typing import Final, Protocol

from rppam.cluster.consensus.membership import VOUCHED, Membership
from rppam.cluster.store.hint_files import VouchNote
from rppam.crypto.store_mac import StoreMac

KIND: Final = "members"


class Vouching(Protocol):
    """What a member does with the word for a list."""

    def sent(self, membership: Membership) -> Membership:
        """The list as it is sent."""
        ...

    def heard(self, membership: Membership) -> Membership:
        """A list that came, as the core takes it."""
        ...

    async def keep(self, membership: Membership) -> None:
        """The list is on disk; keep what a later process has to know. Raises nothing."""
        ...


class NodeVouching:
    """A node's: it makes and checks the word."""

    def __init__(self, mac: StoreMac) -> None:
        """``mac``: by the keys that nodes alone have; it follows their files."""
        self._mac = mac
        # Each request for a vote has a list, and nearly all have the same one.
        self._sent = lru_cache(maxsize=16)(self._signed)
        self._heard = lru_cache(maxsize=16)(self._judged)

    def sent(self, membership: Membership) -> Membership:
        """See :class:`Vouching`."""
        return self._sent(self._mac.generation, membership)

    def heard(self, membership: Membership) -> Membership:
        """See :class:`Vouching`."""
        return self._heard(self._mac.generation, membership) if membership.vouch else membership

    def _signed(self, _generation: int, membership: Membership) -> Membership:
        return membership._replace(vouch=self._mac.tag(KIND, membership.encode()))

    def _judged(self, _generation: int, membership: Membership) -> Membership:
        is_genuine = self._mac.is_genuine(KIND, membership.encode(), membership.vouch)
        return membership._replace(vouch=VOUCHED if is_genuine else "")

    async def keep(self, membership: Membership) -> None:
        """Keep nothing: it makes the word anew."""


class WitnessVouching:
    """A witness's: it passes the word on."""

    def __init__(self, note: VouchNote) -> None:
        self._note = note
        self._kept: tuple[str, str] | None = None

    def sent(self, membership: Membership) -> Membership:
        """See :class:`Vouching`."""
        if membership.vouch:
            return membership
        if self._kept is None:
            self._kept = self._note.load()
        text, vouch = self._kept
        return membership._replace(vouch=vouch) if text == membership.encode() else membership

    def heard(self, membership: Membership) -> Membership:
        """See :class:`Vouching`."""
        return membership

    async def keep(self, membership: Membership) -> None:
        """See :class:`Vouching`."""
        new = membership.encode(), membership.vouch
        if membership.vouch and new != self._kept:
            self._kept = new
            await asyncio.to_thread(self._note.save, *new)
