"""``Idempotency-Key``: a change that is sent again, because its node died or its answer was lost, happens once.

Applies to every request that changes something and carries the header with a valid token. A repeated one gets the
first one's answer, with ``Idempotency-Replayed: true``. Keys belong to an account, so nobody hears another's answer.
What is kept of a request tells nothing of its body to who does not know its key, which is random and kept nowhere.

While the database is away it does nothing: orders to the cluster must be possible then.
"""

import hashlib
import hmac
import logging
import re
from collections.abc import Awaitable, Callable
from typing import Final, ParamSpec

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rppam.access.sessions.model import Identity
from rppam.console.errors import AnswerLost, KeyInvalid
from rppam.console.store import Act, Kept, SqlActs
from rppam.crypto.data_keys import DataKeys
from rppam.crypto.errors import SealingKeyMissing
from rppam.db.errors import DatabaseError
from rppam.kernel.errors import RppamError
from rppam.kernel.secret import Secret

log: Final = logging.getLogger("rppam.api")
HEADER: Final = b"idempotency-key"
_KEY: Final = re.compile(rb"[A-Za-z0-9_-]{8,64}")
_CHANGES: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
P = ParamSpec("P")
_ANSWER_BYTES_MAX: Final = 64 * 1024
SHOWN_ONCE: Final = re.compile(r"/reveal$|/generate$|/password/reset$|/ssh-tokens$|^/api/v1/users$")
"""What is answered there holds a secret that is shown once: it is kept nowhere, sealed or not."""
_OPEN: Final = "/api/v1/auth/"
"""Log-ins and codes have their own rules about being sent twice, and their answers are kept nowhere."""


class IdempotencyMiddleware:
    """Stands inside the one that reads bodies."""

    def __init__(self, app: ASGIApp, *, acts: SqlActs, data_keys: DataKeys) -> None:
        self._app, self._acts, self._data_keys = app, acts, data_keys

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Answer one request. One without a key costs no coroutine of its own."""
        key = _key_of(scope)
        return self._app(scope, receive, send) if key is None else self._once(key, scope, receive, send)

    async def _once(self, key: str, scope: Scope, receive: Receive, send: Send) -> None:
        body = (await receive()).get("body", b"")
        act, older = _acts(scope, key, body)
        try:
            kept = await self._acts.begin(act, older)
        except DatabaseError:
            await self._app(scope, _given(body, receive), send)
            return
        if kept is not None:
            await self._replay(act, kept, send)
            return
        answer = _Answer(send)
        try:
            await self._app(scope, _given(body, receive), answer.send)
        except RppamError as error:
            # What ended in an error of ours may have happened all the same: the ledger tells, when it is asked again.
            if error.row.status is not None and error.row.status < 500:
                await self._note(self._acts.refused, act)
            raise
        await self._keep(act, scope["path"], answer)

    async def _keep(self, act: Act, path: str, answer: "_Answer") -> None:
        if answer.status >= 500:
            return
        if answer.status >= 400:
            await self._note(self._acts.refused, act)
            return
        sealed: str | None = None
        if len(answer.body) <= _ANSWER_BYTES_MAX and not SHOWN_ONCE.search(path):
            try:
                sealed = await self._data_keys.seal(Secret(answer.body.decode()), _place(act.owner, act.key))
            except (SealingKeyMissing, DatabaseError) as error:
                log.debug("the answer to an act is not kept: %s", error)
        await self._note(self._acts.answered, act, answer.status, sealed)

    async def _replay(self, act: Act, kept: Kept, send: Send) -> None:
        if kept.answer is None:
            raise AnswerLost("it was done, and its answer could not be kept")
        body = (await self._data_keys.unseal(kept.answer, _place(act.owner, kept.key))).reveal().encode()
        headers = [(b"idempotency-replayed", b"true")]
        if body:
            headers += [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": kept.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _note(self, work: Callable[P, Awaitable[None]], *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            await work(*args, **kwargs)
        except DatabaseError as error:
            log.warning("what became of an act could not be noted: %s", error)


class _Answer:
    """Passes an answer on and remembers it."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 500
        self.body = b""

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        elif len(self.body) <= _ANSWER_BYTES_MAX:
            self.body += message.get("body", b"")
        await self._send(message)


def _key_of(scope: Scope) -> str | None:
    if scope["type"] != "http" or scope["method"] not in _CHANGES or "identity" not in scope["state"]:
        return None
    found = [value for name, value in scope["headers"] if name == HEADER]
    if not found or scope["path"].startswith(_OPEN):
        return None
    if len(found) > 1 or _KEY.fullmatch(found[0]) is None:
        raise KeyInvalid("expected one Idempotency-Key of 8 to 64 letters, digits, - and _")
    key: bytes = found[0]
    return key.decode("ascii")


def _acts(scope: Scope, key: str, body: bytes) -> tuple[Act, Act]:
    """The act, and how a node of the release before has it, which may have begun it: by the key itself, and a
    fingerprint without a key."""
    identity: Identity = scope["state"]["identity"]
    asked = f"{scope['method']} {scope['path']}?".encode() + scope["query_string"] + b"\0" + body
    owner, request = identity.user_id or identity.session_id, scope["state"]["request_id"]
    keyed = hmac.digest(key.encode(), asked, "sha256").hex()
    return (
        Act(owner, hashlib.sha256(key.encode()).hexdigest(), keyed, request),
        Act(owner, key, hashlib.sha256(asked).hexdigest(), request),
    )


def _place(owner: str, key: str) -> str:
    return f"idempotency/{owner}/{key}"


def _given(body: bytes, receive: Receive) -> Receive:
    """``body`` once more, then what the connection says."""
    first = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return first.pop() if first else await receive()

    return again
