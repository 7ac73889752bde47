"""Hands an administrator's order on to another node, over its REST API.

One hop and one deadline: the request says that it was handed on, so whoever gets it never hands it on again. The
caller's token goes with it, so it never leaves a node that serves https for one that is reached without.
"""

from typing import Final

from rppam.adapters.system.rest_client import NoAnswerError, ask_json
from rppam.adapters.system.rest_trust import Trust
from rppam.domain.errors.administration import NodeSilent, NotThisNode
from rppam.ports.relay import FORWARDED, HandedOn, Passed

ANSWER_S: Final = 6.0
"""A node's own control process may take 5 s to answer it."""


class RestRelay:
    """Implements :class:`rppam.ports.relay.Relay`."""

    def __init__(self, node: str, trust: Trust, *, only_https: bool) -> None:
        """``node`` is this one's name; ``only_https``: send nothing in the clear."""
        self._node, self._trust, self._only_https = node, trust, only_https

    async def hand_on(self, order: HandedOn) -> Passed:
        """See the port."""
        base = order.base
        if self._only_https and not base.startswith("https://"):
            raise NotThisNode(
                f"{self._node} serves https and does not send the token on in the clear; {order.node} is reached at "
                f"{base}. Set api.tlsCertPath there too, or send the order to it",
                order.node,
                base,
            )
        try:
            answer = await ask_json(
                order.method,
                base + order.path,
                order.body,
                token=order.token,
                timeout_s=ANSWER_S,
                trust=self._trust,
                headers={FORWARDED: self._node, "X-Request-Id": order.request_id},
            )
        except NoAnswerError as error:
            raise NodeSilent(
                f"{self._node} handed the order on to {order.node} at {base}, and found: {error}",
                order.node,
                base,
            ) from error
        return Passed(answer.status, answer.body)
