"""The cluster as a failover test talks to it: entries that clients use, and each node by itself.

The administrator's token goes to the addresses that were named and nowhere else; one that was made here, by the
cluster's keys and for minutes, also to addresses that the nodes have proven to each other. What needs no token is asked
of every node. Every question is bounded.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from rppam.access.tokens.target import Target
from rppam.cli.view import parse_view
from rppam.cluster.health.model import ClusterHealth
from rppam.http.client import Answer, NoAnswerError, ask_json, get_json
from rppam.kernel.logging import one_line
from rppam.kernel.secret import Secret

ANSWER_S: Final = 5.0
TRIES_S: Final = 20.0
AGAIN_S: Final = 0.3
HEALTH: Final = "/system/health/cluster"
LEADER: Final = "/system/health/leader"
TESTS: Final = "/api/v1/admin/cluster/failover-tests"
_TEXT_MAX: Final = 600
_BUSY: Final = frozenset({421, 429, 502, 503, 504})


class CannotTestError(Exception):
    """There is no test, or it came to no verdict; ``str()`` is why and what to do."""


class Cluster:
    """See the module."""

    def __init__(self, target: Target, urls: tuple[str, ...], named: tuple[str, ...] = ()) -> None:
        """``urls``: where clients go in; ``named``: nodes that may get the token besides."""
        self._target = target
        self.urls: Final = tuple(dict.fromkeys(url.rstrip("/") for url in urls or (target.url,)))
        self.named: Final = tuple(dict.fromkeys(url.rstrip("/") for url in named))
        self.is_own: Final = target.is_own

    async def ask(
        self,
        method: str,
        url: str,
        body: object = None,
        *,
        token: Secret | None = None,
        timeout_s: float = ANSWER_S,
    ) -> Answer:
        """One request, with the administrator's token unless there is another. Raises NoAnswerError."""
        given = token or self._target.token()
        return await ask_json(method, url, body, token=given, timeout_s=timeout_s, trust=self._target.trust)

    async def open(self, url: str, timeout_s: float) -> Answer:
        """One question that needs no token. Raises NoAnswerError."""
        return await get_json(url, timeout_s=timeout_s, trust=self._target.trust)

    async def tell(self, url: str, body: Mapping[str, object]) -> Answer:
        """One POST that needs no token. Raises NoAnswerError."""
        return await ask_json("POST", url, body, timeout_s=ANSWER_S, trust=self._target.trust)

    async def order(self, method: str, path: str, body: object = None, *, again: bool = True) -> Mapping[str, Any]:
        """What the first entry that does it answers. Raises CannotTestError with the node's own words.

        ``again``: it may be sent more than once, and is until :data:`TRIES_S` have passed.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + TRIES_S
        while True:
            why = ""
            for url in self.urls:
                try:
                    answer = await self.ask(method, url + path, body)
                except NoAnswerError as error:
                    why = f"{url}: {error}"
                    if not again:
                        break
                    continue
                if answer.status < 300:
                    return answer.body if isinstance(answer.body, Mapping) else {}
                why = f"{url}: {sentence_of(answer)}"
                if answer.status not in _BUSY:
                    raise CannotTestError(why)
            if not again or loop.time() > until:
                raise CannotTestError(why)
            await asyncio.sleep(AGAIN_S)

    async def view(self, url: str, timeout_s: float = ANSWER_S) -> ClusterHealth:
        """The cluster as who answers at ``url`` sees it. Raises CannotTestError, NoAnswerError."""
        answer = await self.ask("GET", url + HEALTH, timeout_s=timeout_s)
        found = parse_view(answer.body) if answer.status == 200 else None
        if found is None:
            raise CannotTestError(f"{url}: {sentence_of(answer)}")
        return found

    async def leads(self, url: str) -> bool:
        """Whether the node there says that it leads; no answer is no."""
        try:
            return (await self.open(url + LEADER, 1.0)).status == 200
        except NoAnswerError:
            return False


def sentence_of(answer: Answer) -> str:
    """What a node said in place of what was asked for, for people."""
    if isinstance(answer.body, Mapping):
        detail, fix, code = (one_line(str(answer.body.get(name, ""))[:_TEXT_MAX]) for name in ("detail", "fix", "code"))
        if code:
            return f"{detail.rstrip('.')}. {fix.rstrip('.')} ({code})" if fix else f"{detail.rstrip('.')} ({code})"
    if answer.status == 401:
        return "the node refused the token: it has expired, or was made with keys of another cluster"
    if answer.status == 403:
        return "the token's account may not do this; use a pam_admin's"
    if isinstance(answer.body, Mapping) and "clusterHealthy" in answer.body:
        return "the token's account may not see the whole cluster; use a pam_admin's"
    return f"answered with HTTP status {answer.status}, which is no answer of an RP-PAM node to this"
