"""Orders of an administrator as plain values, for the way between two processes of one node.

:func:`answer_call` stands in the process that decides, :class:`CalledAdministration` in the one that was asked; between
them is whatever carries a name and a flat object there, and one back. An error arrives as the same error.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from rppam.domain.errors import leaves
from rppam.domain.errors.administration import AdministrationError, ControlSilent, OtherNodeError
from rppam.domain.errors.request import NotLeaderError, RequestError
from rppam.domain.fence import Claimed, OnOutranked, Outranked
from rppam.ports.administration import Administration

Call = Callable[[str, dict[str, Any]], Awaitable[dict[str, Any]]]
"""Carries a call: its name and arguments, and back what :func:`answer_call` made of it.

Raises :class:`~rppam.domain.errors.administration.ControlSilent` when no answer comes.
"""

_ERRORS: Final = {error.row.code: error for error in leaves(AdministrationError)}


_OUTRANKED: Final = "outranked"


def answering(administration: Administration, outranked: OnOutranked) -> Call:
    """What the process that decides answers with: orders are carried out, and refusals of the fence are heard."""

    async def answer(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        match name, arguments:
            case "outranked", {
                "epoch": int(epoch),
                "newest": int(newest),
                "node": str(node),
                "boot_id": str(boot_id),
            }:
                outranked(Outranked(epoch, Claimed(newest, node, boot_id)))
                return {"said": ""}
            case _:
                return await answer_call(administration, name, arguments)

    return answer


class CalledOutranked:
    """Tells the process that decides of a refusal, and waits for nothing: that process looks by itself, too."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._tasks: set[asyncio.Task[None]] = set()

    def __call__(self, news: Outranked) -> None:
        """See :data:`rppam.domain.fence.OnOutranked`. Call in the event loop."""
        task = asyncio.get_running_loop().create_task(self._tell(news), name="tell of the fence")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tell(self, news: Outranked) -> None:
        by = news.by
        told = {"epoch": news.epoch, "newest": by.epoch, "node": by.node, "boot_id": by.boot_id}
        with suppress(ControlSilent):
            await self._call(_OUTRANKED, told)


async def answer_call(administration: Administration, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Carry out the call of that name. ValueError for one that there is not, or with other arguments."""
    try:
        return {"said": await _carry_out(administration, name, arguments)}
    except RequestError as error:
        told: dict[str, Any] = {"error": error.row.code, "text": str(error), **error.members()}
        return told | {"node": error.node} if isinstance(error, NotLeaderError) else told


async def _carry_out(administration: Administration, name: str, arguments: Mapping[str, Any]) -> str:
    match name, arguments:
        case "switch_over", {"to": str() | None as to, "by": str(by)}:
            return await administration.switch_over(to, by)
        case "set_maintenance", {"on": bool(on), "by": str(by)}:
            return await administration.set_maintenance(on, by)
        case "pause", {"on": bool(on), "by": str(by)}:
            return await administration.pause(on, by)
        case "forget", {"member": str(member), "is_off": bool(is_off), "by": str(by)}:
            return await administration.forget(member, is_off=is_off, by=by)
        case "force_forget", {"members": [*members], "by": str(by)} if all(isinstance(one, str) for one in members):
            return await administration.force_forget(members, by)
        case _:
            raise ValueError(f"no such call: {name}")


class CalledAdministration:
    """Implements :class:`rppam.ports.administration.Administration` by calls to another process."""

    def __init__(self, call: Call) -> None:
        self._call = call

    async def switch_over(self, to: str | None, by: str) -> str:
        """See the port."""
        return _said(await self._call("switch_over", {"to": to, "by": by}))

    async def set_maintenance(self, on: bool, by: str) -> str:
        """See the port."""
        return _said(await self._call("set_maintenance", {"on": on, "by": by}))

    async def pause(self, on: bool, by: str) -> str:
        """See the port."""
        return _said(await self._call("pause", {"on": on, "by": by}))

    async def forget(self, member: str, *, is_off: bool, by: str) -> str:
        """See the port."""
        return _said(await self._call("forget", {"member": member, "is_off": is_off, "by": by}))

    async def force_forget(self, members: Sequence[str], by: str) -> str:
        """See the port."""
        return _said(await self._call("force_forget", {"members": list(members), "by": by}))


def _said(answer: Mapping[str, Any]) -> str:
    """What was said, or the error that came back."""
    if "error" not in answer:
        return str(answer["said"])
    code, text = answer["error"], str(answer["text"])
    if code == NotLeaderError.row.code:
        raise NotLeaderError(answer["node"], answer["leader"], answer["leaderUrl"])
    kind = _ERRORS.get(code, ControlSilent)
    if issubclass(kind, OtherNodeError):
        raise kind(text, answer["node"], answer["nodeUrl"])
    raise kind(text)
