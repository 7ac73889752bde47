"""The conversation behind ``rppam cluster``: give an order to the asked node, and watch what comes of it.

The asked node hands an order on by itself, over the member link. A token that was given goes to the nodes that the
administrator named and nowhere else: an address that a node reports is shown, and asked only what needs no token. One
that was made here, by the cluster's keys and for minutes, goes to the leader's address, too, where the leader has told
that address on the member link. No node is asked twice for one order, and every wait is bounded. Nothing about the
cluster is decided here: a node's refusal is shown in
the node's own words.
"""

import asyncio
from collections.abc import Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from rppam.access.tokens.target import Target, Where
from rppam.cli.database import exit_of
from rppam.cli.view import TEXT_CHARS_MAX, parse_view
from rppam.cluster.health.model import ClusterHealth
from rppam.http.client import Answer, NoAnswerError, ask_json, get_json
from rppam.kernel.errors import Exit
from rppam.kernel.instant import US_PER_MS, US_PER_S, Instant
from rppam.kernel.logging import one_line
from rppam.kernel.system_clock import SystemClock

ANSWER_S: Final = 10.0
WAIT_S: Final = 15.0
"""For what an order leads to."""
LOOK_S: Final = 0.005
HEALTH: Final = "/system/health/cluster"
LEADER: Final = "/system/health/leader"
PING: Final = "/system/health/ping"
PING_S: Final = 2.0


class OrderError(Exception):
    """The order was not carried out; ``str()`` is why and what to do."""

    def __init__(self, sentence: str, exit_code: Exit, *, code: str = "") -> None:
        super().__init__(sentence)
        self.exit_code = exit_code
        self.code = code


class Told(NamedTuple):
    """What became of an order at a further node."""

    node: str
    told: bool
    said: str


class Taken(NamedTuple):
    """An order that a node took."""

    said: str
    node: str
    at: Instant
    """When it was sent."""
    others: tuple[Told, ...] = ()
    """Every other node, where the order was for all."""


class Orders:
    """A cluster as its administrator talks to it. Every question raises :class:`OrderError`."""

    def __init__(
        self,
        where: Where,
        subject: str | None = None,
        others: tuple[str, ...] = (),
        fixes: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """``subject``: who orders, where the token is made here; ``others``: further nodes that may get the token.

        ``fixes``: what to do after some codes, for who types commands, in place of what a node says of its REST API.
        """
        self.where = where
        self._subject, self._others, self._fixes = subject, others, fixes
        self._clock = SystemClock()

    @cached_property
    def _target(self) -> Target:
        return self.where.target(self._subject)

    @property
    def url(self) -> str:
        """The node that is asked."""
        return self._target.url.rstrip("/")

    async def elsewhere(self) -> str:
        """Which other member can be asked where this host's own node does not answer; empty where none is known."""
        from rppam.manager.elsewhere import advice_elsewhere

        async def answers(url: str) -> bool:
            try:
                await get_json(url + PING, timeout_s=PING_S, trust=self._target.trust)
            except NoAnswerError:
                return False
            return True

        return await advice_elsewhere(self.url, self.where.config, answers)

    async def look(self) -> ClusterHealth:
        """The cluster as the asked node sees it."""
        return (await self.health())[1]

    async def health(self) -> tuple[object, ClusterHealth]:
        """The cluster as the asked node sees it: the JSON as it came, and what it means."""
        answer = await self._ask(self.url, "GET", HEALTH, None)
        view = parse_view(answer.body) if answer.status == 200 else None
        if view is None:
            raise OrderError(f"{self.url}: {_refusal(answer)}", Exit.ERRORS, code=code_of(answer))
        return answer.body, view

    async def give(self, method: str, path: str, body: Mapping[str, object]) -> Taken:
        """Have the order carried out by the node that it is for."""
        at = self._clock.now()
        answer = await self._ask(self.url, method, path, body)
        told: Mapping[str, Any] = answer.body if isinstance(answer.body, Mapping) else {}
        if answer.status != 200 or not isinstance(told.get("said"), str):
            raise self._refused(self.url, answer)
        return Taken(_text(told["said"]), _text(told.get("node")), at, _others(told.get("others")))

    async def read(self, path: str) -> object:
        """What the asked node answers there."""
        answer = await self._ask(self.url, "GET", path, None)
        if answer.status != 200:
            raise self._refused(self.url, answer)
        return answer.body

    async def ask_for(self, path: str, body: Mapping[str, object]) -> object:
        """What the asked node answers to a question that has a body."""
        answer = await self._ask(self.url, "POST", path, body)
        if answer.status >= 300:
            raise self._refused(self.url, answer)
        return answer.body

    async def write(self, path: str, body: Mapping[str, object], if_match: str, method: str = "PUT") -> str:
        """Have the leader replace the revision ``if_match`` there by ``body``; return the new entity tag.

        The leader has to be one of the nodes that were named, or known for certain to a token that was made here: a
        node does not hand this on.
        """
        failure: OrderError | None = None
        bases = [self.url, *(url.rstrip("/") for url in self._others)]
        for base in bases:
            try:
                answer = await self._ask(base, method, path, body, if_match)
            except OrderError as error:
                failure = error
                continue
            if answer.status == 200:
                return answer.etag
            failure = self._refused(base, answer)
            if answer.status != 421:
                break
            if base == self.url and (leader := await self._leader()) not in {"", *bases}:
                bases.append(leader)
        assert failure is not None, "one node was asked"
        raise failure

    async def _leader(self) -> str:
        """Where a token that was made here may follow to; empty: nowhere."""
        if not self._target.is_own:
            return ""
        view = await self.look()
        proven = (one.api_url for one in view.members if one.node == view.leader and one.is_at_url)
        return next(proven, "").rstrip("/")

    async def _ask(
        self, base: str, method: str, path: str, body: Mapping[str, object] | None, if_match: str = ""
    ) -> Answer:
        try:
            return await ask_json(
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
            raise OrderError(f"{base}: {error}. {fix}", Exit.ERRORS) from error

    def _refused(self, url: str, answer: Answer) -> OrderError:
        told: Mapping[str, Any] = answer.body if isinstance(answer.body, Mapping) else {}
        code = code_of(answer)
        detail, fix = _text(told.get("detail")), self._fixes.get(code) or _text(told.get("fix"))
        if not code:
            return OrderError(f"{url}: {_refusal(answer)}", Exit.ERRORS)
        # Some sentences end with what to do already.
        sentence = detail.rstrip(".") if fix.rstrip(".") in detail else f"{detail.rstrip('.')}. {fix.rstrip('.')}"
        elsewhere = told.get("leaderUrl") or told.get("nodeUrl") if answer.status == 421 else None
        if isinstance(elsewhere, str) and elsewhere.rstrip("/") != url:
            sentence = (
                f"{sentence}. No token is sent to an address that a node only tells of: if {_text(elsewhere)} is where "
                "that node is, give it the order there with --url"
            )
        exit_code = exit_of(code, Exit.NO if answer.status in {409, 412, 421, 503} else Exit.ERRORS)
        return OrderError(f"{sentence} ({code})", exit_code, code=code)

    async def new_leader(self, view: ClusterHealth, taken: Taken) -> tuple[str, int]:
        """Wait until another node leads than the one that took the order; return it, and after how many ms."""
        watchers = [
            asyncio.create_task(self._leads(one.node, one.api_url.rstrip("/")))
            for one in view.members
            if one.api_url and one.node != taken.node
        ]
        try:
            done, _ = await asyncio.wait(watchers, timeout=WAIT_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for watcher in watchers:
                watcher.cancel()
            await asyncio.gather(*watchers, return_exceptions=True)
        if not done:
            fix = "'rppam status' says why"
            raise OrderError(f"no other node leads {WAIT_S:g} s after the order was taken; {fix}", Exit.NO)
        name, at = done.pop().result()
        return name, (at - taken.at) // US_PER_MS

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

    async def changed(self, gone: tuple[str, ...]) -> ClusterHealth:
        """Wait until ``gone`` have no vote and no change is pending, as the asked node sees it."""
        until = self._clock.now() + WAIT_S * US_PER_S
        while True:
            view = await self.look()
            voters = {line.voter for line in view.votes}
            if not view.pending_change and not voters & set(gone):
                return view
            if self._clock.now() > until:
                why = view.pending_change or "the change has not begun"
                raise OrderError(f"not done yet: {why}. 'rppam status' goes on showing it", Exit.NO)
            await asyncio.sleep(0.1)


def _text(value: object) -> str:
    return one_line(value[:TEXT_CHARS_MAX]) if isinstance(value, str) else ""


def _others(body: object) -> tuple[Told, ...]:
    lines = body if isinstance(body, list) else []
    return tuple(
        Told(_text(line.get("node")), line.get("told") is True, _text(line.get("said")))
        for line in lines
        if isinstance(line, Mapping)
    )


def code_of(answer: Answer) -> str:
    """The code of the error that a node answered with, or nothing."""
    return _text(answer.body.get("code")) if isinstance(answer.body, Mapping) else ""


def _refusal(answer: Answer) -> str:
    if answer.status == 401:
        return "the node refused the token: it has expired, or was made with keys of another cluster"
    if answer.status == 403:
        return "the token's account may not do this; use an administrator's"
    return f"answered with HTTP status {answer.status}, which is no answer of an RP-PAM node to this"
