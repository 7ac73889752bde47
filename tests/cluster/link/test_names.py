"""Host names: a name server that hangs or fails delays nobody, and what it said last still counts."""

import asyncio
import socket
import threading

import pytest

from rppam.cluster.link.connect import Names, UnknownPlaceError
from rppam.kernel.network import LOOKUPS_MAX, THREAD, Place

HERE: Place = (socket.AF_INET, ("127.0.0.1", 5201))


async def test_numbers_need_no_name_server() -> None:
    def hang(host: str, port: int, flags: int) -> list[Place]:
        assert flags & socket.AI_NUMERICHOST
        return [HERE]

    assert await Names(hang).places("127.0.0.1:5201", timeout_s=1) == [HERE]
    assert await Names().places("127.0.0.1:5201", timeout_s=1) == [HERE]
    ((family, place),) = await Names().places("[::1]:5201", timeout_s=1)
    assert (family, place[:2]) == (socket.AF_INET6, ("::1", 5201))


async def test_a_name_is_looked_up() -> None:
    places = await Names().places("localhost:5201", timeout_s=5)
    assert {place[1] for _, place in places} == {5201}
    assert {place[0] for _, place in places} <= {"127.0.0.1", "::1"}


@pytest.mark.parametrize(
    ("address", "said"), [("node1", "has no port"), ("a b:5", "is no host:port"), ("x" * 300 + ":1", "is no host:port")]
)
async def test_what_is_no_address_is_told(address: str, said: str) -> None:
    with pytest.raises(UnknownPlaceError, match=said):
        await Names().places(address, timeout_s=1)


async def test_a_name_that_nobody_knows_is_told_with_the_fix() -> None:
    def unknown(host: str, port: int, flags: int) -> list[Place]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with pytest.raises(UnknownPlaceError, match=r"'node1\.example' cannot be resolved .*cluster\.memberAddress"):
        await Names(unknown).places("node1.example:5201", timeout_s=1)


async def test_when_the_name_server_fails_the_last_answer_counts() -> None:
    works = True

    def moody(host: str, port: int, flags: int) -> list[Place]:
        if works:
            return [HERE]
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    names = Names(moody)
    assert await names.places("node1:5201", timeout_s=1) == [HERE]
    works = False
    assert await names.places("node1:5201", timeout_s=1) == [HERE]
    with pytest.raises(UnknownPlaceError):
        await names.places("node2:5201", timeout_s=1)


async def test_a_name_server_that_hangs_costs_a_bounded_number_of_threads_and_no_more_time_than_given() -> None:
    release = threading.Event()

    def hang(host: str, port: int, flags: int) -> list[Place]:
        release.wait()
        return [HERE]

    names = Names(hang)
    before = threading.active_count()
    try:
        asked = [names.places(f"node{number}:5201", timeout_s=0.05) for number in range(3 * LOOKUPS_MAX)]
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
        assert all(isinstance(outcome, UnknownPlaceError) for outcome in outcomes)
        assert threading.active_count() - before <= LOOKUPS_MAX
    finally:
        release.set()
    for thread in threading.enumerate():
        if thread.name == THREAD:
            thread.join()
    await asyncio.sleep(0)
    # Those that hung have ended, and made room.
    places = [names.places(f"node{number}:5201", timeout_s=5) for number in range(3)]
    assert [await place for place in places] == [[HERE]] * 3
