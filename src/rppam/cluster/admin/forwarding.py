"""Orders that are for another node: sent to it, and carried out there by the same code as its own.

``LinkRelay`` stands in the process that decides and has the member link; ``CalledRelay`` in an API worker; ``Carrier``
on the other node, which answers. Decides what may come over the link, and which answers are one. The log of the node
that carries an order out says who gave it, and through which node. It never hands on what came over the link, so two
nodes that disagree about who leads cannot send an order to and fro.
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, cast

import msgspec

from rppam.cluster.admin.errors import ControlSilent, NodeAnswersWrongly, NotThisNode
from rppam.cluster.admin.ports import Administration, HandedOn, Relay
from rppam.cluster.admin.rpc import KNOWN, Call, answer_call, error_of, said_of
from rppam.cluster.health.model import ClusterSnapshot, NodeReport, report_of
from rppam.cluster.link.link import TlsMemberLink
from rppam.http.errors import RequestError, UnexpectedError
from rppam.kernel.fence import Claimed, OnOutranked, Outranked
from rppam.kernel.logging import one_line

audit: Final = logging.getLogger("rppam.audit")
log: Final = logging.getLogger("rppam.node")

CARRY_OUT_S: Final = 4.0
"""How long an order of another node may take; the node that gave it waits a little longer."""
TEXT_CHARS_MAX: Final = 1_500
NAME_CHARS_MAX: Final = 300
"""Of a sentence that goes back, and of names and addresses with it: in JSON each may be six times as long."""
REPORT: Final = "report"
HAND_ON: Final = "hand_on"
_ORDERS: Final = frozenset(
    {"switch_over", "set_maintenance", "pause", "forget", "fail", "fencing_token", "try_settings"}
)
"""Others are for the node that was asked, by their nature."""
_WORD_CHARS: Final = 100


Other = Callable[[str, Mapping[str, Any]], Awaitable[dict[str, Any]]]
"""Answers what the node of this name asks. ValueError for what is no question."""


class LinkRelay:
    """Implements ``Relay`` over the member link."""

    def __init__(self, node: str, link: TlsMemberLink | None) -> None:
        """``link``: ``None`` where members do not vote."""
        self._node, self._link = node, link

    async def hand_on(self, order: HandedOn) -> str:
        return said_of(await self._ask(order))

    async def report(self, node: str, request_id: str) -> NodeReport:
        answer = await self._ask(HandedOn(node, REPORT, {}, request_id))
        if "error" in answer:
            said_of(answer)
        return _report(answer, node)

    async def _ask(self, order: HandedOn) -> Mapping[str, Any]:
        if self._link is None:
            raise NotThisNode(
                f"the order is for {order.node}, and {self._node} hands none on: members do not vote here, so there is "
                "no link between the nodes (it needs the cluster key). Send the order to that node itself",
                order.node,
                order.url,
            )
        body = json.dumps({"order": order.name, "arguments": dict(order.arguments), "request": order.request_id})
        said = await self._link.order(order.node, body, order.url)
        try:
            answer = _object(said)
        except ValueError:
            answer = {"text": said}
        is_read = isinstance(answer.get("said"), str) or isinstance(answer.get(REPORT), dict)
        if not is_read and str(answer.get("error")) not in KNOWN:
            found = one_line(str(answer.get("text") or said)[:TEXT_CHARS_MAX])
            raise NodeAnswersWrongly(
                f"{self._node} handed the order on to {order.node}; expected its answer, found: {found}",
                order.node,
                order.url,
            )
        return answer


class CalledRelay:
    """Implements ``Relay`` by calls to the process of this node that has the link."""

    def __init__(self, call: Call) -> None:
        self._call = call

    async def hand_on(self, order: HandedOn) -> str:
        return said_of(await self._call(HAND_ON, order._asdict()))

    async def report(self, node: str, request_id: str) -> NodeReport:
        answer = await self._call(REPORT, {"node": node, "request_id": request_id})
        if "error" in answer:
            said_of(answer)
        return _report(answer, node)


def answering(administration: Administration, relay: Relay, outranked: OnOutranked) -> Call:
    """Make what the process that decides answers its node's workers with: orders for here are carried out, those for
    others handed on, and refusals of the fence heard. ValueError for a call that there is not."""

    async def answer(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        match name, arguments:
            case "hand_on", {
                "node": str(node), "name": str(order), "arguments": {**given}, "request_id": str(request),
                "url": str() | None as url,
            } if order in _ORDERS:  # fmt: skip
                handed = HandedOn(node, order, cast("dict[str, Any]", given), request, url)
                return {"said": await relay.hand_on(handed)}
            case "report", {"node": str(node), "request_id": str(request)}:
                return {REPORT: msgspec.to_builtins(await relay.report(node, request))}
            case "outranked", {
                "epoch": int(epoch), "newest": int(newest), "node": str(node), "boot_id": str(boot_id),
            }:  # fmt: skip
                outranked(Outranked(epoch, Claimed(newest, node, boot_id)))
                return {"said": ""}
        return await answer_call(administration, name, arguments)

    async def with_errors(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        try:
            return await answer(name, arguments)
        except RequestError as error:
            return error_of(error)

    return with_errors


class Carrier:
    """Carries out what comes over the member link."""

    def __init__(
        self,
        administration: Administration,
        snapshot: Callable[[], ClusterSnapshot],
        others: Mapping[str, Other] = MappingProxyType({}),
    ) -> None:
        """``others``: orders that are no administration, by name; they may grow."""
        self._administration, self._snapshot, self._others = administration, snapshot, others

    async def __call__(self, through: str, body: str) -> str:
        """Answer ``body``, which came through the node ``through``; both JSON. Raises nothing."""
        try:
            async with asyncio.timeout(CARRY_OUT_S):
                answer = await self._carry_out(through, _object(body))
        except TimeoutError:
            answer = error_of(ControlSilent(ControlSilent.row.meaning))
        except ValueError as error:
            answer = {"error": "", "text": str(error)}
        except Exception:
            log.exception("an order that came through %s failed in a way that nobody foresaw", through)
            answer = error_of(UnexpectedError(UnexpectedError.row.meaning))
        return json.dumps({name: _cut(name, value) for name, value in answer.items()})

    async def _carry_out(self, through: str, order: Mapping[str, Any]) -> dict[str, Any]:
        match order:
            case {"order": "report"}:
                return {REPORT: msgspec.to_builtins(report_of(self._snapshot()))}
            case {"order": str(name), "arguments": {"by": str(by), **given}, "request": str(request)} if (
                name in _ORDERS
            ):
                told = (one_line(word[:_WORD_CHARS]) for word in (by, name, through, request))
                audit.info("%s orders %s through the node %s (request %s)", *told)
                return await answer_call(self._administration, name, cast("dict[str, Any]", given) | {"by": by})
            case {"order": str(name), "arguments": {**given}} if name in self._others:
                return await self._others[name](through, cast("dict[str, Any]", given))
            case _:
                raise ValueError("no order that may come from another node; let both run one release of rppam")


def _report(answer: Mapping[str, Any], node: str) -> NodeReport:
    try:
        found = msgspec.convert(answer.get(REPORT), NodeReport)
    except msgspec.ValidationError:
        found = None
    if found is None or found.node != node:
        raise NodeAnswersWrongly(f"{node} was asked how it is; expected its report, found something else", node, None)
    return found


def _cut(name: str, value: object) -> object:
    if not isinstance(value, str):
        return value
    return value[: TEXT_CHARS_MAX if name in {"said", "text"} else NAME_CHARS_MAX]


def _object(body: str) -> Mapping[str, Any]:
    """Raises ValueError."""
    try:
        found = json.loads(body)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(found, dict):
        raise ValueError("no object")  # noqa: TRY004  # as any other text that is none
    return found
