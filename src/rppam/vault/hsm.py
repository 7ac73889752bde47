"""The master key in a token (an HSM, a smart card, SoftHSM) that is reached by PKCS#11 and never gives it out.

The token itself wraps and unwraps the vault's keys: AES-256-GCM, in the form and bound to the place as every other seal
(:mod:`rppam.crypto.sealed`), so AES is all that it has to know. A key is told by a block that the token encrypts, never
by the key. Each process has one session for a token, opened where it is first needed: a library that is inside a
process must not be forked.

A PIN that the token refused is tried by no process of the node again until its file is written anew, and never where
the token says that it would be the last try: nobody wants an HSM that locks itself because a node was restarted.

What it does not promise: an answer within a bound of the library itself. Whoever waits for a library that hangs gives
up after five seconds, one after another.
"""

import ctypes
import hashlib
import os
import secrets
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

import pkcs11

from rppam.config.host_secrets import read_file
from rppam.config.settings import Settings
from rppam.crypto.sealed import KEY_BYTES, NONCE_BYTES, TAG_BYTES, VERSION, SealRefused
from rppam.kernel.system_clock import host_us
from rppam.vault.errors import TokenAway, TokenKeyMissing, TokenPinWrong

T = TypeVar("T")

PIN_CREDENTIAL: Final = "rppam-vault-pin"
MARK_FILE: Final = "vault-pin.tried"
ANSWER_S: Final = 5.0
REMEMBERED_US: Final = 1_000_000
"""So long a failure is answered again without a look, as a request that fails must not become a storm of log-ins."""
_PIN_BYTES_MAX: Final = 256
_KNOWN_BLOCK: Final = b"rppam-vault-kcv1"
"""What the token encrypts for the fingerprint. No counter block of GCM is like it: nonces are never its first twelve
bytes by choice, and its last four would count a message of 25 GB and more."""
_FINGERPRINT_DIGITS: Final = 16


class TokenPlace(NamedTuple):
    """Where the key is, and who may have it."""

    module: Path
    token: str
    key: str
    pin: Path
    mark: Path | None
    """Says which PIN was refused; ``None``: a person tries."""

    def __str__(self) -> str:
        return f"the token {self.token!r}"


def place_of(settings: Settings, *, by_person: bool = False) -> TokenPlace:
    """What a config names. Raises :class:`TokenAway`."""
    vault = settings.vault
    if vault.pkcs11_module is None:
        raise TokenAway("vault.pkcs11Module: expected the path of the library of the token's maker, found none")
    folder = os.environ.get("CREDENTIALS_DIRECTORY", "")
    credential = Path(folder) / PIN_CREDENTIAL
    pin = credential if folder and credential.exists() else vault.pkcs11_pin_path
    mark = None if by_person else settings.node.data_dir / MARK_FILE
    return TokenPlace(vault.pkcs11_module, vault.pkcs11_token, vault.pkcs11_key, pin, mark)


class TokenMaster:
    """A master key that stays in its token. Implements :class:`~rppam.vault.keys.Master`."""

    def __init__(self, token: "Token", fingerprint: str) -> None:
        self._token, self.fingerprint = token, fingerprint

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TokenMaster) and other.fingerprint == self.fingerprint

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def wrap(self, key: bytes, place: bytes) -> bytes:
        """Wrap a key for a place. Raises as :meth:`Token.fingerprint`."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return VERSION + nonce + self._token.sealed(nonce, key, place)

    def unwrap(self, wrapped: bytes, place: bytes) -> bytes:
        """Raises :class:`SealRefused`, and as :meth:`Token.fingerprint`."""
        start = len(VERSION) + NONCE_BYTES
        if not wrapped.startswith(VERSION) or len(wrapped) < start + TAG_BYTES:
            raise SealRefused
        return self._token.opened(wrapped[len(VERSION) : start], wrapped[start:], place)


class Token:
    """One token, as one process sees it. Any thread may call."""

    def __init__(self, place: TokenPlace) -> None:
        self._place = place
        self._lock = threading.Lock()
        self._session: Any = None
        self._key: Any = None
        self._process = os.getpid()
        self._failed: tuple[int, Exception] | None = None

    def fingerprint(self) -> str:
        """Tells keys apart and says nothing about them.

        Raises :class:`TokenAway`, :class:`TokenPinWrong`, :class:`TokenKeyMissing`.
        """
        block = self._done(_check_value)
        return hashlib.sha256(b"fingerprint of " + block).hexdigest()[:_FINGERPRINT_DIGITS]

    def sealed(self, nonce: bytes, text: bytes, bound: bytes) -> bytes:
        """AES-256-GCM by the token: the text and its tag. Raises as :meth:`fingerprint`."""

        def work(key: Any) -> bytes:
            parameters = pkcs11.GCMParams(nonce, bound, TAG_BYTES * 8)
            return bytes(key.encrypt(text, mechanism=pkcs11.Mechanism.AES_GCM, mechanism_param=parameters))

        return self._done(work)

    def opened(self, nonce: bytes, sealed: bytes, bound: bytes) -> bytes:
        """What :meth:`sealed` was given. Raises :class:`SealRefused`, and as :meth:`fingerprint`."""

        def work(key: Any) -> bytes | None:
            parameters = pkcs11.GCMParams(nonce, bound, TAG_BYTES * 8)
            try:
                return bytes(key.decrypt(sealed, mechanism=pkcs11.Mechanism.AES_GCM, mechanism_param=parameters))
            except pkcs11.PKCS11Error:
                _check_value(key)  # each maker has another error for a seal that does not fit: does it work at all?
                return None

        found = self._done(work)
        if found is None:
            raise SealRefused
        return found

    def generate(self) -> None:
        """Make the key, which then never leaves the token. Raises as :meth:`fingerprint`; :class:`TokenKeyMissing`
        where one of this name is there."""
        with self._mine():
            try:
                self._open(writes=True)
                wanted = {
                    pkcs11.Attribute.CLASS: pkcs11.ObjectClass.SECRET_KEY,
                    pkcs11.Attribute.LABEL: self._place.key,
                }
                if list(self._session.get_objects(wanted)):
                    raise TokenKeyMissing(f"{self._place} has a key {self._place.key!r} already; nothing was made")
                self._session.generate_key(
                    pkcs11.KeyType.AES,
                    KEY_BYTES * 8,
                    label=self._place.key,
                    store=True,
                    capabilities=pkcs11.MechanismFlag.ENCRYPT | pkcs11.MechanismFlag.DECRYPT,
                    template={pkcs11.Attribute.SENSITIVE: True, pkcs11.Attribute.EXTRACTABLE: False},
                )
            except pkcs11.PKCS11Error as error:
                raise TokenAway(f"{self._place} made no key: {_said(error)}") from None
            finally:
                self._forget()

    # ---- parts ------------------------------------------------------------------------------------------------------

    def _done(self, work: Callable[[Any], T]) -> T:
        """What ``work`` answers of the key. A session that was lost is opened anew, once."""
        with self._mine():
            if self._failed is not None and host_us() < self._failed[0]:
                raise self._failed[1].with_traceback(None)
            self._failed = None
            if self._process != os.getpid():  # a copy of the process that opened it
                self._session = None
                _stale.add(str(self._place.module))
            try:
                if self._session is not None:
                    try:
                        return work(self._key)
                    except pkcs11.PKCS11Error:
                        self._forget()  # the token was away, or another program has reset it
                self._open()
                return work(self._key)
            except pkcs11.PKCS11Error as error:
                self._forget()
                raise self._remembered(TokenAway(f"{self._place} does not work: {_said(error)}")) from None
            except (TokenAway, TokenPinWrong, TokenKeyMissing) as error:
                self._forget()
                raise self._remembered(error) from None

    @contextmanager
    def _mine(self) -> Iterator[None]:
        if not self._lock.acquire(timeout=ANSWER_S):
            raise TokenAway(f"{self._place}: its library has not answered for {ANSWER_S:g} s")
        try:
            yield
        finally:
            _forget_errors()
            self._lock.release()

    def _open(self, *, writes: bool = False) -> None:
        place = self._place
        library = _library(place.module)
        tokens = [one for one in _tokens(library) if one.label == place.token]
        if len(tokens) != 1:
            there = ", ".join(sorted(repr(one.label) for one in _tokens(library))) or "none"
            raise TokenAway(
                f"{place.module}: expected one token {place.token!r}, found {len(tokens)}; there are: {there}"
            )
        self._session = _logged_in(tokens[0], place, writes=writes)
        self._process = os.getpid()
        if writes:
            return
        wanted = {"object_class": pkcs11.ObjectClass.SECRET_KEY, "key_type": pkcs11.KeyType.AES, "label": place.key}
        try:
            self._key = self._session.get_key(**wanted)
        except pkcs11.NoSuchKey:
            raise TokenKeyMissing(f"{place} has no AES key {place.key!r}") from None
        except pkcs11.MultipleObjectsReturned:
            raise TokenKeyMissing(f"{place} has several AES keys {place.key!r}; which one is meant?") from None

    def _forget(self) -> None:
        session, self._session, self._key = self._session, None, None
        if session is not None:
            with suppress(Exception):  # it may be gone with its token
                session.close()
        _stale.add(str(self._place.module))

    def _remembered(self, error: Exception) -> Exception:
        self._failed = (host_us() + REMEMBERED_US, error)
        return error


_tokens_of: Final[dict[TokenPlace, Token]] = {}
_stale: Final[set[str]] = set()
"""Libraries that have to be told to look anew: many list tokens only once."""


def token_of(place: TokenPlace) -> Token:
    """The one of this process: a log-in holds for all of it."""
    return _tokens_of.setdefault(place, Token(place))


def token_master(settings: Settings) -> TokenMaster:
    """The master key in the token that a config names. Raises as :meth:`Token.fingerprint`."""
    token = token_of(place_of(settings))
    return TokenMaster(token, token.fingerprint())


def _openssl() -> Any:
    """The OpenSSL that Python's TLS uses, which the token's library may use as well; ``None``: another one."""
    try:
        return ctypes.CDLL(f"libcrypto.so.{ssl.OPENSSL_VERSION_INFO[0]}")
    except OSError:
        return None


_OPENSSL: Final = _openssl() if sys.platform == "linux" else None


def _forget_errors() -> None:
    """Leave nothing of the token's library among this thread's errors: TLS would take the next one for its own.

    SoftHSM looks for an engine that is not there, each time that it begins.
    """
    if _OPENSSL is not None:
        _OPENSSL.ERR_clear_error()


def _check_value(key: Any) -> bytes:
    zero = bytes(len(_KNOWN_BLOCK))
    return bytes(key.encrypt(_KNOWN_BLOCK, mechanism=pkcs11.Mechanism.AES_CBC, mechanism_param=zero))


def _library(module: Path) -> Any:
    name = str(module)
    try:
        library = pkcs11.lib(name)
        if name in _stale:
            library.reinitialize()
            _stale.discard(name)
    except (pkcs11.PKCS11Error, RuntimeError, OSError) as error:
        raise TokenAway(f"vault.pkcs11Module {name}: it does not load: {_said(error)}") from None
    return library


def _tokens(library: Any) -> list[Any]:
    """Those that can be used; an empty slot has none."""
    found = []
    for slot in library.get_slots(token_present=True):
        with suppress(pkcs11.PKCS11Error):
            found.append(slot.get_token())
    return [one for one in found if one.flags & pkcs11.TokenFlag.TOKEN_INITIALIZED]


def _logged_in(token: Any, place: TokenPlace, *, writes: bool) -> Any:
    """A session. Raises :class:`TokenPinWrong`."""
    pin, written = _pin(place)
    with _one_process(place.mark) as mark:
        tried = f"{place.pin} {written} {place.token}"
        if mark is not None and mark.read() == tried:
            raise TokenPinWrong(f"{place} refused the PIN in {place.pin}; it is not tried again until the file changes")
        if token.flags & pkcs11.TokenFlag.USER_PIN_LOCKED:
            raise TokenPinWrong(f"{place} is locked: too many wrong PINs")
        if mark is not None and token.flags & pkcs11.TokenFlag.USER_PIN_FINAL_TRY:
            raise TokenPinWrong(f"{place} has one try left, which a node does not take")
        try:
            session = token.open(rw=writes, user_pin=pin)
        except pkcs11.UserAlreadyLoggedIn:  # for another key of the token: a log-in holds for the process
            session = token.open(rw=writes)
        except (pkcs11.PinIncorrect, pkcs11.PinInvalid, pkcs11.PinLenRange, pkcs11.PinLocked) as error:
            if mark is not None:
                mark.seek(0)
                mark.truncate()
                mark.write(tried)
            raise TokenPinWrong(f"{place} refused the PIN in {place.pin} ({_said(error)})") from None
        if mark is not None:
            mark.truncate(0)
        return session


def _pin(place: TokenPlace) -> tuple[str, int]:
    """The PIN, and when its file was written."""
    try:
        content = read_file(place.pin, _PIN_BYTES_MAX)
        written = place.pin.stat().st_mtime_ns
    except OSError as error:
        raise TokenPinWrong(f"{place.pin}: expected a file with the PIN of {place}, found: {error.strerror}") from None
    if content.open_to:
        raise TokenPinWrong(f"{place.pin}: expected a file closed to others, found it open to {content.open_to}")
    pin = content.data.strip().decode("utf-8", "replace")
    if not pin or len(content.data) > _PIN_BYTES_MAX:
        raise TokenPinWrong(f"{place.pin}: expected a PIN on one line, found {len(content.data)} bytes without one")
    return pin, written


@contextmanager
def _one_process(mark: Path | None) -> Iterator[Any]:
    """The file that says which PIN was refused, held: processes of a node log in one after another."""
    if mark is None or sys.platform == "win32":
        yield None
        return
    import fcntl  # noqa: PLC0415 - not on Windows

    descriptor = os.open(mark, os.O_RDWR | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "r+", encoding="utf-8") as file:
        until = host_us() + int(ANSWER_S * 1e6)
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if host_us() > until:
                    raise TokenAway(f"another process of this node has been signing in for {ANSWER_S:g} s") from None
                time.sleep(0.01)
        yield file


def _said(error: BaseException) -> str:
    """What a library calls it; none of these names holds a secret."""
    text = str(error).strip()
    name = type(error).__name__
    return f"{name}: {text}" if text else name
