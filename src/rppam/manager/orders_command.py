"""The conversation behind ``rppam cluster``: find the node that an order is for, give it, and watch what comes of it.

Every order goes to the asked node, which hands it on by itself, over the member link. The token goes to the nodes that
the administrator named and nowhere else: an address that a node tells is shown, and asked only what needs no token. It
asks no node twice for one order, bounds every wait, and decides nothing about the cluster: whatever a node refuses is
shown with the node's own words.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from rppam.access.tokens import Target
from rppam.cli.view import TEXT_CHARS_MAX, parse_view
from rppam.cluster.health.model import ClusterHealth
from rppam.http.client import Answer, NoAnswerError, ask_json, get_json
from rppam.kernel.errors import Exit
from rppam.kernel.instant import US_PER_MS, US_PER_S, Instant
from rppam.kernel.logging import one_line
from rppam.kernel.system_clock import SystemClock

ANSWER_S: Final = 10.0
LOOK_S: Final = 0.005
HEALTH: Final = "/system/health/cluster"
LEADER: Final = "/system/health/leader"
CLUSTER: Final = "/api/v1/admin/cluster"


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
    """Nodes that were to be told, too."""


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

    async def look(self) -> ClusterHealth:
        """The cluster as the asked node sees it. Raises :class:`OrderError`."""
        base = self.url
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

    async def give(self, method: str, path: str, body: Mapping[str, object]) -> Taken:
        """Have the order carried out by whoever it is for. Raises :class:`OrderError`."""
        at = self._clock.now()
        answer = await self._ask(self.url, method, path, body)
        told: Mapping[str, Any] = answer.body if isinstance(answer.body, Mapping) else {}
        if answer.status != 200 or not isinstance(told.get("said"), str):
            raise _refused(self.url, answer)
        return Taken(_text(told["said"]), _text(told.get("node")), at, _others(told.get("others")))

    async def read(self, path: str) -> object:
        """What the asked node answers there. Raises :class:`OrderError`."""
        answer = await self._ask(self.url, "GET", path, None)
        if answer.status != 200:
            raise _refused(self.url, answer)
        return answer.body

    async def write(self, path: str, body: Mapping[str, object], if_match: str) -> str:
        """Have the leader put ``body`` there, in the place of ``if_match``; the new entity tag. Raises
        :class:`OrderError`.

        The leader has to be one of the nodes that were named: this is no order that a node hands on.
        """
        failure: OrderError | None = None
        for base in (self.url, *(url.rstrip("/") for url in self._target.others)):
            try:
                answer = await self._ask(base, "PUT", path, body, if_match)
            except OrderError as error:
                failure = error
                continue
            if answer.status == 200:
                return answer.etag
            failure = _refused(base, answer)
            if answer.status != 421:
                break
        assert failure is not None, "one node was asked"
        raise failure

    async def _ask(
        self, base: str, method: str, path: str, body: Mapping[str, object] | None, if_match: str = ""
    ) -> Answer:
        """Whatever a node answers. Raises :class:`OrderError`."""
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
            why = f"{base}: {error}. {fix}"
            raise OrderError(why, Exit.ERRORS) from error

    async def new_leader(
        self, view: ClusterHealth, before: str | None, taken: Taken, within_s: float, told: Callable[[str], None]
    ) -> NewLeader:
        """Wait until another node than ``before`` acts as the leader. Raises :class:`OrderError`."""
        watchers = [
            asyncio.create_task(self._leads(one.node, one.api_url.rstrip("/")))
            for one in view.members
            if one.api_url and one.node != before
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

    async def changed(self, gone: tuple[str, ...], within_s: float) -> ClusterHealth:
        """Wait until ``gone`` have no vote and no change is pending, as the asked node sees it. Raises
        :class:`OrderError`: what it waits for."""
        until = self._clock.now() + within_s * US_PER_S
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


def _refused(url: str, answer: Answer) -> OrderError:
    told: Mapping[str, Any] = answer.body if isinstance(answer.body, Mapping) else {}
    code = code_of(answer)
    detail, fix = (_text(told.get(name)) for name in ("detail", "fix"))
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
    exit_code = Exit.NO if answer.status in {409, 412, 421, 503} else Exit.ERRORS
    return OrderError(f"{sentence} ({code})", exit_code, code=code)


def _refusal(answer: Answer) -> str:
    if answer.status == 401:
        return "the node refused the token: it has expired, or was made with keys of another cluster"
    if answer.status == 403:
        return "the token's account may not give orders; use an administrator's"
    return f"answered with HTTP status {answer.status}, which is no answer of an RP-PAM node"
