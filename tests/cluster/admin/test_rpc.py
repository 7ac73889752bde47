"""An order that travels to another process arrives as it was given, and its answer, good or bad, as it was made."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from rppam.cluster.admin.errors import AdministrationError, ControlSilent, NotThisNode, OtherNodeError
from rppam.cluster.admin.forwarding import LinkRelay, answering
from rppam.cluster.admin.rpc import CalledAdministration, CalledOutranked, answer_call
from rppam.http.errors import NotLeaderError, RequestError
from rppam.kernel.errors import coded
from rppam.kernel.fence import Claimed, Outranked


class Recording:
    """An administration that remembers what it was asked, and fails when told to."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.failure: RequestError | None = None

    def _note(self, *asked: Any) -> str:
        self.asked.append(asked)
        if self.failure is not None:
            raise self.failure
        return f"said {asked[0]}"

    async def switch_over(self, to: str | None, by: str) -> str:
        return self._note("switch_over", to, by)

    async def set_maintenance(self, on: bool, by: str) -> str:
        return self._note("set_maintenance", on, by)

    async def pause(self, on: bool, by: str) -> str:
        return self._note("pause", on, by)

    async def forget(self, member: str, *, is_off: bool, by: str) -> str:
        return self._note("forget", member, is_off, by)

    async def fail(self, fault: str, seconds: int, by: str) -> str:
        return self._note("fail", fault, seconds, by)

    async def fencing_token(self, purpose: str, by: str) -> str:
        return self._note("fencing_token", purpose, by)

    async def try_settings(self, values: Mapping[str, Any], by: str) -> str:
        return self._note("try_settings", dict(values), by)

    async def force_forget(self, members: Sequence[str], by: str, back: Sequence[str] = ()) -> str:
        return self._note("force_forget", list(members), by, list(back))


def called(there: Recording) -> CalledAdministration:
    async def call(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        answer = await answer_call(there, name, json.loads(json.dumps(arguments)))
        return json.loads(json.dumps(answer))

    return CalledAdministration(call)


async def test_what_the_fence_refuses_is_heard_where_it_is_decided_and_orders_are_taken_beside() -> None:
    there, heard = Recording(), list[Outranked]()
    answer = answering(there, LinkRelay("node1", None), heard.append)
    done = asyncio.Event()

    async def call(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        try:
            return await answer(name, json.loads(json.dumps(arguments)))
        finally:
            done.set()

    news = Outranked(7, Claimed(9, "x", "f" * 16))
    CalledOutranked(call)(news)
    async with asyncio.timeout(10):
        await done.wait()
    assert heard == [news]
    assert await CalledAdministration(call).pause(True, "eve") == "said pause"
    with pytest.raises(ValueError, match="no such call"):
        await answer("outranked", {"epoch": "7"})


async def test_nobody_to_tell_of_the_fence_harms_nobody() -> None:
    async def call(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        raise ControlSilent("gone")

    tells = CalledOutranked(call)
    tells(Outranked(7, Claimed(9, "x", "f" * 16)))
    while tells._tasks:
        await asyncio.gather(*tells._tasks)


async def test_every_order_arrives_as_it_was_given() -> None:
    there = Recording()
    here = called(there)
    assert await here.switch_over(None, "eve") == "said switch_over"
    await here.switch_over("b", "eve")
    await here.set_maintenance(True, "eve")
    await here.pause(False, "eve")
    await here.forget("c", is_off=True, by="eve")
    await here.fencing_token("PUT /x", "eve")
    await here.force_forget(("c", "d"), "eve", ("e", "w*"))
    assert there.asked == [
        ("switch_over", None, "eve"),
        ("switch_over", "b", "eve"),
        ("set_maintenance", True, "eve"),
        ("pause", False, "eve"),
        ("forget", "c", True, "eve"),
        ("fencing_token", "PUT /x", "eve"),
        ("force_forget", ["c", "d"], "eve", ["e", "w*"]),
    ]


@pytest.mark.parametrize("kind", [kind for kind in coded(AdministrationError) if not issubclass(kind, OtherNodeError)])
async def test_an_error_comes_back_as_itself(kind: type[AdministrationError]) -> None:
    there = Recording()
    there.failure = kind("why not")
    with pytest.raises(kind, match=r"^why not$"):
        await called(there).pause(True, "eve")


async def test_errors_that_say_where_to_go_still_do() -> None:
    there = Recording()
    for failure in (NotLeaderError("a", "b", "http://b:7101"), NotLeaderError("a", None, None)):
        there.failure = failure
        with pytest.raises(NotLeaderError) as caught:
            await called(there).switch_over(None, "eve")
        assert (str(caught.value), caught.value.members()) == (str(failure), failure.members())
    there.failure = NotThisNode("another one", "b", "http://b:7101")
    with pytest.raises(NotThisNode) as elsewhere:
        await called(there).set_maintenance(True, "eve")
    assert elsewhere.value.members() == {"node": "b", "nodeUrl": "http://b:7101"}


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("stop", {}),
        ("pause", {"on": 1, "by": "eve"}),
        ("pause", {"on": True}),
        ("forget", {"member": None, "is_off": True, "by": "eve"}),
        ("force_forget", {"members": [1], "by": "eve", "back": []}),
        ("force_forget", {"members": ["c"], "by": "eve", "back": [1]}),
        ("switch_over", {"to": 5, "by": "eve"}),
        ("fencing_token", {"by": "eve"}),
    ],
)
async def test_what_is_no_call_is_not_carried_out(name: str, arguments: dict[str, Any]) -> None:
    there = Recording()
    with pytest.raises(ValueError, match="no such call"):
        await answer_call(there, name, arguments)
    assert there.asked == []
