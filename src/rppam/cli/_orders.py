"""The conversation behind ``rppam cluster``: find the node that an order is for, give it, and watch what comes of it.

Every order goes to the asked node, which hands it on by itself. Where the command itself has to go elsewhere (a 421
that it follows, a node that has to be told too), the token goes along only to a proven address: see ``_proven``. It
asks no node twice for one order, bounds every wait, and decides nothing about the cluster: whatever a node refuses is
shown with the node's own words.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from rppam.adapters.system.clock import SystemClock
from rppam.adapters.system.rest_client import Answer, NoAnswerError, ask_json, get_json
from rppam.cli._proven import why_no_token
from rppam.cli._target import Target
from rppam.cli._view import TEXT_CHARS_MAX, View, parse_view
from rppam.domain.exits import Exit
from rppam.domain.instant import US_PER_MS, US_PER_S, Instant
from rppam.runtime.logging import one_line

ANSWER_S: Final = 10.0
LOOK_S: Final = 0.005
HOPS_MAX: Final = 3
HEALTH: Final = "/system/health/cluster"
LEADER: Final = "/system/health/leader"
CLUSTER: Final = "/api/v1/admin/cluster"


class OrderError(Exception):
    """The order was not carried out; ``str()`` is why and what to do."""

    def __init__(self, sentence: str, exit_code: Exit, *, code: str = "") -> None:
        super().__init__(sentence)
        self.exit_code = exit_code
        self.code = code


class Taken(NamedTuple):
    """An order that a node took."""

    said: str
    node: str
    url: str
    at: Instant
    """When it was sent."""


class NewLeader(NamedTuple):
    """Who leads now."""

    name: str
    after_ms: int


class Orders:
    """A cluster as its administrator talks to it."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._clock = SystemClock()
        self.url = target.url.rstrip("/")

    async def look(self, url: str | None = None) -> View:
        """The cluster as one node sees it. Raises :class:`OrderError`."""
        base = url or self.url
        try:
            answer = await get_json(
                base + HEALTH, token=self._target.token(), timeout_s=ANSWER_S, trust=self._target.trust
            )
        except NoAnswerError as error:
            why = f"{base}: {error}. Is the node running there? Try another one with --url"
            raise OrderError(why, Exit.ERRORS) from error
        view = parse_view(answer.body) if answer.status == 200 else None
        if view is None:
            raise OrderError(f"{base}: {_refusal(answer)}", Exit.ERRORS, code=code_of(answer))
        return view

    def why_not_at(self, url: str, seen: View) -> str:
        """Why no order is given at ``url``, by what the asked node sees, and what to do; empty when it may be."""
        why = why_no_token(seen, self.url, url)
        return why and f"{why}. If that is where the node is, give it the order there: --url {url}"

    async def give(
        self, method: str, path: str, body: Mapping[str, object], there: tuple[str, View] | None = None
    ) -> Taken:
        """Have the order carried out by whoever takes it; ``there``: at another address than that of the asked node,
        with what that one sees. Raises :class:`OrderError`."""
        base = self.url if there is None else self._allowed(*there)
        at, base, answer = await self._ask_whom_it_is_for(method, path, body, base)
        told: Mapping[str, Any] = answer.body if isinstance(answer.body, Mapping) else {}
        if not isinstance(told.get("said"), str):
            raise _refused(base, answer)
        return Taken(_text(told["said"]), _text(told.get("node")), base, at)

    async def read(self, path: str) -> object:
        """What any node answers there. Raises :class:`OrderError`."""
        _, _, answer = await self._ask_whom_it_is_for("GET", path, None, self.url)
        return answer.body

    async def write(self, path: str, body: Mapping[str, object], if_match: str) -> str:
        """Have the leader put ``body`` there, in the place of ``if_match``; the new entity tag. Raises
        :class:`OrderError`."""
        _, _, answer = await self._ask_whom_it_is_for("PUT", path, body, self.url, if_match)
        return answer.etag

    async def _ask_whom_it_is_for(
        self, method: str, path: str, body: Mapping[str, object] | None, base: str, if_match: str = ""
    ) -> tuple[Instant, str, Answer]:
        """When and where it was asked, and the answer, with status 200. Raises :class:`OrderError`."""
        for _ in range(HOPS_MAX):
            at = self._clock.now()
            try:
                answer = await ask_json(
                    method,
                    base + path,
                    body,
                    token=self._target.token(),
                    timeout_s=ANSWER_S,
                    trust=self._target.trust,
                    headers={"If-Match": if_match} if if_match else {},
                )
            except NoAnswerError as error:
                fix = "Is the node running there? Try another one with --url"
                if method != "GET":
                    fix = "Look with 'rppam status' whether the order was taken"
                why = f"{base}: {error}. {fix}"
                raise OrderError(why, Exit.ERRORS) from error
            told: Mapping[str, Any] = answer.body if isinstance(answer.body, Mapping) else {}
            if answer.status == 200:
                return at, base, answer
            elsewhere = told.get("leaderUrl") or told.get("nodeUrl") if answer.status == 421 else None
            if not isinstance(elsewhere, str) or elsewhere.rstrip("/") == base:
                raise _refused(base, answer)
            base = self._allowed(elsewhere, await self.look(), code=_text(told.get("code")))
        raise OrderError("the nodes send one another the order; the leader is changing, try again", Exit.NO)

    def _allowed(self, url: str, seen: View, *, code: str = "") -> str:
        """``url``, where the token may go there. Raises :class:`OrderError`."""
        if why := self.why_not_at(_text(url), seen):
            raise OrderError(why, Exit.NO, code=code)
        return url.rstrip("/")

    async def new_leader(
        self, view: View, before: str | None, taken: Taken, within_s: float, told: Callable[[str], None]
    ) -> NewLeader:
        """Wait until another node than ``before`` acts as the leader. Raises :class:`OrderError`."""
        watchers = [
            asyncio.create_task(self._leads(peer.name, peer.url.rstrip("/")))
            for peer in view.peers
            if peer.url and peer.name != before
        ]
        told("waiting for the next leader")
        try:
            done, _ = await asyncio.wait(watchers, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for watcher in watchers:
                watcher.cancel()
            await asyncio.gather(*watchers, return_exceptions=True)
        if not done:
            fix = "'rppam status' says why"
            raise OrderError(f"no other node leads {within_s:g} s after the order was taken; {fix}", Exit.NO)
        name, at = done.pop().result()
        return NewLeader(name, (at - taken.at) // US_PER_MS)

    async def _leads(self, name: str, url: str) -> tuple[str, Instant]:
        """Return once this node says that it leads."""
        while True:
            try:
                answer = await get_json(url + LEADER, timeout_s=1.0, trust=self._target.trust)
            except NoAnswerError:
                await asyncio.sleep(0.1)
                continue
            if answer.status == 200:
                return name, self._clock.now()
            await asyncio.sleep(LOOK_S)

    async def changed(self, taken: Taken, seen: View, gone: tuple[str, ...], within_s: float) -> View:
        """Wait until ``gone`` have no vote and no change is pending, as the node sees it that took the order where the
        token may go there. Raises :class:`OrderError`: what it waits for."""
        peer = seen.peer(taken.node)
        is_there = peer is not None and peer.url and not self.why_not_at(peer.url, seen)
        url = peer.url.rstrip("/") if peer is not None and is_there else taken.url
        until = self._clock.now() + within_s * US_PER_S
        while True:
            view = await self.look(url)
            voters = {line.voter for line in view.votes}
            if not view.pending_change and not voters & set(gone):
                return view
            if self._clock.now() > until:
                why = view.pending_change or "the change has not begun"
                raise OrderError(f"not done yet: {why}. 'rppam status' goes on showing it", Exit.NO)
            await asyncio.sleep(0.1)


def _text(value: object) -> str:
    return one_line(value[:TEXT_CHARS_MAX]) if isinstance(value, str) else ""


def code_of(answer: Answer) -> str:
    """The code of the error that a node answered with, or nothing."""
    return _text(answer.body.get("code")) if isinstance(answer.body, Mapping) else ""


def _refused(url: str, answer: Answer) -> OrderError:
    told: Mapping[str, Any] = answer.body if isinstance(answer.body, Mapping) else {}
    code = code_of(answer)
    detail, fix = (_text(told.get(name)) for name in ("detail", "fix"))
    if not code:
        return OrderError(f"{url}: {_refusal(answer)}", Exit.ERRORS)
    # Some sentences end with what to do already.
    sentence = detail.rstrip(".") if fix.rstrip(".") in detail else f"{detail.rstrip('.')}. {fix.rstrip('.')}"
    exit_code = Exit.NO if answer.status in {409, 412, 421, 503} else Exit.ERRORS
    return OrderError(f"{sentence} ({code})", exit_code, code=code)


def _refusal(answer: Answer) -> str:
    if answer.status == 401:
        return "the node refused the token: it has expired, or was made with keys of another cluster"
    if answer.status == 403:
        return "the token's account may not give orders; use an administrator's"
    return f"answered with HTTP status {answer.status}, which is no answer of an RP-PAM node"
