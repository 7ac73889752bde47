"""Orders of an administrator as plain values, for the way between two processes of one node.

``answer_call`` stands in the process that decides, ``CalledAdministration`` in the one that was asked; between them is
whatever carries a name and a flat object there, and one back. An error arrives as the same error.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, cast

from rppam.cluster.admin.errors import AdministrationError, ControlSilent, OtherNodeError
from rppam.cluster.admin.ports import Administration
from rppam.http.errors import NotLeaderError, RequestError
from rppam.kernel.errors import coded
from rppam.kernel.fence import Outranked

Call = Callable[[str, dict[str, Any]], Awaitable[dict[str, Any]]]
"""Carries a call: its name and arguments, and back what ``answer_call`` made of it. Raises ControlSilent."""

_ERRORS: Final = {error.row.code: error for error in coded(AdministrationError)}
KNOWN: Final = frozenset({*_ERRORS, NotLeaderError.row.code})
"""Codes of the errors that arrive as themselves."""
OUTRANKED: Final = "outranked"


class CalledOutranked:
    """Tells the process that decides of a refusal, and waits for nothing: that process looks by itself, too."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._tasks: set[asyncio.Task[None]] = set()

    def __call__(self, news: Outranked) -> None:
        """Call in the event loop."""
        task = asyncio.get_running_loop().create_task(self._tell(news), name="tell of the fence")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tell(self, news: Outranked) -> None:
        by = news.by
        told = {"epoch": news.epoch, "newest": by.epoch, "node": by.node, "boot_id": by.boot_id}
        with suppress(ControlSilent):
            await self._call(OUTRANKED, told)


async def answer_call(administration: Administration, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Carry out the call of that name. Raises ValueError for an unknown one, or other arguments."""
    try:
        return {"said": await _carry_out(administration, name, arguments)}
    except RequestError as error:
        return error_of(error)


def error_of(error: RequestError) -> dict[str, Any]:
    """Make the answer that carries ``error``."""
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
        case "fail", {"fault": str(fault), "seconds": int(seconds), "by": str(by)}:
            return await administration.fail(fault, seconds, by)
        case "fencing_token", {"purpose": str(purpose), "by": str(by)}:
            return await administration.fencing_token(purpose, by)
        case "try_settings", {"values": {**values}, "by": str(by)}:
            return await administration.try_settings(cast("dict[str, Any]", values), by)
        case "force_forget", {"members": [*members], "by": str(by), "back": [*back]} if all(
            isinstance(one, str) for one in (*members, *back)
        ):
            return await administration.force_forget(members, by, back)
        case _:
            raise ValueError(f"no such call: {name}")


class CalledAdministration:
    """Implements ``Administration`` by calls to another process."""

    def __init__(self, call: Call) -> None:
        self._call = call

    async def switch_over(self, to: str | None, by: str) -> str:
        return said_of(await self._call("switch_over", {"to": to, "by": by}))

    async def set_maintenance(self, on: bool, by: str) -> str:
        return said_of(await self._call("set_maintenance", {"on": on, "by": by}))

    async def pause(self, on: bool, by: str) -> str:
        return said_of(await self._call("pause", {"on": on, "by": by}))

    async def forget(self, member: str, *, is_off: bool, by: str) -> str:
        return said_of(await self._call("forget", {"member": member, "is_off": is_off, "by": by}))

    async def fail(self, fault: str, seconds: int, by: str) -> str:
        return said_of(await self._call("fail", {"fault": fault, "seconds": seconds, "by": by}))

    async def fencing_token(self, purpose: str, by: str) -> str:
        return said_of(await self._call("fencing_token", {"purpose": purpose, "by": by}))

    async def try_settings(self, values: Mapping[str, Any], by: str) -> str:
        return said_of(await self._call("try_settings", {"values": dict(values), "by": by}))

    async def force_forget(self, members: Sequence[str], by: str, back: Sequence[str] = ()) -> str:
        return said_of(await self._call("force_forget", {"members": list(members), "by": by, "back": list(back)}))


def said_of(answer: Mapping[str, Any]) -> str:
    """Return what was said. Raises the error that came back in its place."""
    if "error" not in answer:
        return str(answer["said"])
    code, text = answer["error"], str(answer.get("text"))
    if code == NotLeaderError.row.code:
        raise NotLeaderError(str(answer.get("node")), _text(answer.get("leader")), _text(answer.get("leaderUrl")))
    kind = _ERRORS.get(code, ControlSilent)
    if issubclass(kind, OtherNodeError):
        raise kind(text, str(answer.get("node")), _text(answer.get("nodeUrl")))
    raise kind(text)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
