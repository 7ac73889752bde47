"""Password hashing: Argon2id with parameters that are written down, away from the event loop, and bounded.

One check costs some 15 ms of a core and 19 MiB, on purpose. It is libsodium that computes it, with the vector units of
the processor, as an attacker does: half the time of the reference implementation for the same hash. Checks run on a few
threads of their own, a bounded number may wait, and one more is refused at once with
:class:`~rppam.access.accounts.errors.Overloaded`: a flood of logins then costs the attacker answers, not the node its
heartbeats.

Text is put into Unicode NFC first and every Unicode space counts as a plain one (RFC 8265, OpaqueString), so that a
password typed on another keyboard still fits. A new one has to keep the rule of its account (:mod:`.policy`) and to be
uncommon. What it does not promise: that a guessable password is safe; rate limits and lockout stand in front of this.
"""

import asyncio
import re
import threading
import unicodedata
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final, NamedTuple, TypeVar

import nacl.pwhash
from nacl.exceptions import CryptoError

from rppam.access.accounts.breached import why_guessed_first
from rppam.access.accounts.errors import Overloaded, PasswordUnfit
from rppam.access.accounts.policy import CHARS_MIN, PasswordRule
from rppam.kernel.secret import Secret

T = TypeVar("T")

BYTES_MAX: Final = 1024


class HashParameters(NamedTuple):
    """Cost of one Argon2id hash (RFC 9106) of one lane, with 16 bytes of salt and 32 of hash."""

    memory_kib: int
    passes: int


DEFAULT_PARAMETERS: Final = HashParameters(memory_kib=19_456, passes=2)
"""The OWASP minimum for Argon2id (Password Storage Cheat Sheet): 19 MiB, two passes, one lane. Not more by default,
because a node may have one core and must keep its heartbeats while people log in."""

_HASH: Final = re.compile(r"\$argon2id\$v=19\$m=([0-9]{1,9}),t=([0-9]{1,4}),p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}")


class Verdict(NamedTuple):
    matches: bool
    stale: bool
    """It matches, but was hashed with other parameters than today's: hash again."""


def password_bytes(password: Secret) -> bytes | None:
    """The bytes that are hashed, or ``None`` when the text cannot be a password (half a surrogate pair, too long)."""
    text = password.reveal()
    if len(text) > BYTES_MAX:
        return None
    if not text.isascii():  # in ASCII there is one space, and one form
        spaced = "".join(" " if unicodedata.category(char) == "Zs" else char for char in text)
        text = unicodedata.normalize("NFC", spaced)
    try:
        raw = text.encode()
    except UnicodeEncodeError:
        return None
    return raw if len(raw) <= BYTES_MAX else None


def check_new_password(password: Secret, rule: PasswordRule | None = None) -> bytes:
    """The bytes of a password fit to be set, or :class:`PasswordUnfit` saying why not (never the password).

    Without a ``rule`` it is one that was made at random.
    """
    raw = password_bytes(password)
    if raw is None:
        raise PasswordUnfit(f"password: at most {BYTES_MAX} bytes of valid Unicode; this one is longer or broken")
    text = raw.decode()
    least = CHARS_MIN if rule is None else rule.chars_min
    if len(text) < least:
        why = "" if rule is None else f" {'with' if rule.has_second_factor else 'without'} a second factor"
        raise PasswordUnfit(f"password: at least {least} characters{why}, found {len(text)}; use a longer one")
    if any(unicodedata.category(char) == "Cc" for char in text):
        raise PasswordUnfit("password: holds a control character (NUL, tab, line break); use printable characters")
    if rule is not None and (why := why_guessed_first(text, rule.user)):
        raise PasswordUnfit(f"password: {why}, so it is guessed first; use another, such as some words without a link")
    return raw


class Passwords:
    """Hashes and checks passwords on threads of its own. Call :meth:`close` at the end."""

    def __init__(
        self, parameters: HashParameters = DEFAULT_PARAMETERS, *, threads: int = 2, waiting_max: int = 32
    ) -> None:
        """``threads`` check at the same time; ``waiting_max`` more may wait."""
        self._parameters = parameters
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="argon2")
        self._room = threads + waiting_max
        self._in_hand = 0
        self._guard = threading.Lock()
        self._decoy: Secret | None = None

    async def hash(self, password: Secret, rule: PasswordRule | None = None) -> Secret:
        """The hash to store. Raises :class:`PasswordUnfit`, :class:`Overloaded`."""
        raw = check_new_password(password, rule)
        return await self._run(self._hash, raw)

    async def rehash(self, password: Secret) -> Secret | None:
        """The hash of a password that has just matched, by today's parameters; today's bounds do not apply to it."""
        raw = password_bytes(password)
        return None if raw is None else await self._run(self._hash, raw)

    async def verify(self, password: Secret, stored: Secret | None) -> Verdict:
        """Check ``password`` against ``stored``; with ``None`` (no such account) take the same time and say no.

        Raises :class:`Overloaded`.
        """
        return await self._run(self._verify, password_bytes(password), stored)

    def close(self) -> None:
        """Take no more work, drop what waits, and let what runs end."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _hash(self, raw: bytes) -> Secret:
        memory_kib, passes = self._parameters
        return Secret(nacl.pwhash.argon2id.str(raw, opslimit=passes, memlimit=memory_kib * 1024).decode("ascii"))

    def _verify(self, raw: bytes | None, stored: Secret | None) -> Verdict:
        if self._decoy is None:
            self._decoy = self._hash(b"nobody has this password")
        hashed = (self._decoy if stored is None else stored).reveal()
        written = _HASH.fullmatch(hashed)
        try:
            # An impossible password is hashed like any other, so that its answer takes as long.
            matches = written is not None and nacl.pwhash.argon2id.verify(hashed.encode(), raw or b"")
        except CryptoError:
            matches = False
        if written is None or not matches or stored is None or raw is None:
            return Verdict(matches=False, stale=False)
        return Verdict(matches=True, stale=(int(written[1]), int(written[2])) != self._parameters)

    async def _run(self, work: Callable[..., T], *args: object) -> T:
        with self._guard:
            if self._in_hand >= self._room:
                raise Overloaded(f"{self._in_hand} password checks are in hand already; try again in a second")
            self._in_hand += 1
        try:
            future = self._threads.submit(work, *args)
        except RuntimeError:
            self._leave()
            raise Overloaded("this node is stopping; ask another one") from None
        # Counted down when the *thread* is done, not when the caller loses patience: that is what bounds the work.
        future.add_done_callback(self._leave)
        return await asyncio.wrap_future(future)

    def _leave(self, _done: Future[Any] | None = None) -> None:
        with self._guard:
            self._in_hand -= 1
