"""Where second factors and half-finished log-ins are kept. Each call is one transaction."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from rppam.access.accounts import Account, Written
from rppam.access.mfa.model import Factor, Proof


class Pending(NamedTuple):
    """A log-in whose password was right."""

    token_hash: str
    user_id: str
    auth_epoch: int
    """Of the account as it was when the password was checked."""
    client: str


class FactorStore(Protocol):
    """The second factors in the cluster's database.

    Every call raises a :class:`~rppam.db.errors.DatabaseError` when the database does not answer; those
    with a ``user_id`` raise :class:`~rppam.access.accounts.errors.UserUnknown`, also for a deleted account.
    """

    async def read(self, user_id: str) -> Factor:
        """An account's second factor."""
        ...

    async def begin(self, pending: Pending) -> None:
        """Remember a log-in for :data:`~rppam.access.mfa.model.PENDING_MS`."""
        ...

    async def find(self, token_hash: str) -> Factor | None:
        """What a log-in is about; ``None`` when it is over: done, too late, too many guesses
        (:data:`~rppam.access.mfa.model.ATTEMPTS_MAX`), or the account's sessions were ended since."""
        ...

    async def guess(self, token_hash: str) -> bool:
        """Charge one guess to a log-in; false when it is over."""
        ...

    async def complete(self, token_hash: str, user_id: str, proof: Proof) -> bool:
        """Use the proof up and end the log-in; false, and nothing changed, when either was done already."""
        ...

    async def use(self, user_id: str, proof: Proof) -> bool:
        """Use the proof up; false when it was used already."""
        ...

    async def propose(self, user_id: str, sealed: str) -> bool:
        """Keep an enrolment until it is confirmed or the account's sessions are ended; false when one is in force."""
        ...

    async def confirm(
        self, user_id: str, sealed: str, step: int, code_hashes: Sequence[str], token_hash: str | None
    ) -> Written | None:
        """Put the proposed enrolment in force, its first code used, and end the log-in it was part of.

        ``None``, and nothing changed, when this one is not proposed any more or one is in force, or the log-in is over.
        """
        ...

    async def replace_codes(self, user_id: str, proof: Proof, code_hashes: Sequence[str]) -> bool:
        """Use the proof up and put these backup codes in the place of all others; false when it was used already."""
        ...

    async def record_refusal(self, account: Account) -> None:
        """Record that a code was refused."""
        ...

    async def codes_left(self, user_id: str) -> int:
        """Backup codes not used yet."""
        ...

    async def remove(self, user_id: str, proof: Proof | None) -> Written | None:
        """Take the second factor away: with a proof by its owner, else by an administrator, which ends all sessions.

        ``None``: the proof was used already.
        """
        ...
