"""The gateway goes on keeping promises whatever a thread meets, and says meanwhile why this member does not vote."""

import asyncio
import threading
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import wait
from pathlib import Path

import pytest

from rppam.cluster.consensus.admission import Admission
from rppam.cluster.consensus.effects import Asked
from rppam.cluster.consensus.election import Election
from rppam.cluster.consensus.failure_detector import FailureDetector
from rppam.cluster.consensus.lease import Identity
from rppam.cluster.consensus.membership import Membership, Version
from rppam.cluster.consensus.messages import NO_CANDIDACY, PersistedVote, Vote
from rppam.cluster.consensus.node import NodeCore, NodeEffect
from rppam.cluster.consensus.rules import VoteRules
from rppam.cluster.consensus.timing import PROFILES
from rppam.cluster.consensus.vote import Voter
from rppam.cluster.driver import member_gateway as module
from rppam.cluster.driver.member_gateway import MemberGateway, MemberWays
from rppam.cluster.driver.vouching import NodeVouching
from rppam.cluster.errors import PromiseFileUnwritable
from rppam.cluster.store.hint_files import AddressBook
from rppam.cluster.store.vote_file import FilePromises
from rppam.crypto.store_mac import StoreMac
from rppam.kernel.secret import Secret
from rppam_sim.host import SeededEntropy
from tests.cluster.link.links import CLOCK, THREE, eventually, make_node
from tests.support.late_threads import LateThreads

pytestmark = pytest.mark.integration

TIMING = PROFILES["default"]
NEWER = THREE._replace(version=Version(1, 1))
NEWEST = THREE._replace(version=Version(1, 2))
NO_THREAD = RuntimeError("can't start new thread")


class Disk(FilePromises):
    """Promises in memory; ``fault`` is what a thread that shall write them meets."""

    def __init__(self) -> None:
        super().__init__(Path())
        self.kept: list[PersistedVote] = []
        self.fault: Exception | None = None
        self.goes_on = threading.Event()
        """While it is not set, whoever tries it waits."""
        self.goes_on.set()

    def load(self) -> PersistedVote | None:
        return None

    def save(self, kept: PersistedVote) -> None:
        if self.fault is not None:
            raise self.fault
        self.kept.append(kept)

    def try_out(self, kept: PersistedVote) -> None:
        self.goes_on.wait(10)
        if self.fault is not None:
            raise self.fault


class Book(AddressBook):
    """Takes no address."""

    def __init__(self) -> None:
        super().__init__(Path())
        self.asked = 0

    def load(self) -> Mapping[str, str]:
        return {}

    def save(self, addresses: Mapping[str, str]) -> None:
        self.asked += 1
        raise NO_THREAD


class House:
    """One member: its core, its gateway on a real link, and what became of them."""

    def __init__(self) -> None:
        self.node = make_node("node1")
        now, boot_id = CLOCK.now(), self.node.boot_id
        kept = PersistedVote(NO_CANDIDACY, THREE)
        self.voter = Voter(Identity("node1", boot_id, TIMING), kept, VoteRules(TIMING), now)
        election = Election(Identity("node1", boot_id, TIMING), SeededEntropy(boot_id), now=now, voter=self.voter)
        admission = Admission("node1", boot_id, TIMING, lambda _others: None)
        self.core = NodeCore(election, FailureDetector("node1", TIMING), admission, now=now)
        self.disk, self.book = Disk(), Book()
        self.votes: list[Vote] = []
        self.ended: list[BaseException | None] = []
        self.fault: Exception | None = None
        """What the carrying out of effects meets."""
        ways = MemberWays(self.node.link, self.disk, self.book, NodeVouching(StoreMac("lab", Secret("5e" * 32))))
        self.gateway = MemberGateway(self.core, ways, CLOCK, self.feed, self.on_end)

    def feed(self, effects: list[NodeEffect]) -> None:
        if self.fault is not None:
            raise self.fault
        for effect in effects:
            self.gateway.perform(effect)

    def on_end(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled():
            self.ended.append(task.exception())

    def ask(self, membership: Membership = NEWER) -> None:
        """A member tells of newer members, which have to be on disk before it is answered."""
        vote_request = make_node("node2").vote_request(membership=membership)
        self.feed(self.core.step(Asked(vote_request, self.votes.append), CLOCK.now()))


@pytest.fixture
async def house(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    monkeypatch.setattr(module, "TRY_EVERY_S", 0.02)
    monkeypatch.setattr(module, "HANGS_S", 0.1)
    monkeypatch.setattr(module, "LOOK_US", 0)
    made = House()
    await made.gateway.start()
    yield made
    await made.gateway.stop()


async def test_a_host_that_starts_no_thread_costs_votes_only_while_it_does(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    house.disk.fault = NO_THREAD
    house.ask()
    await eventually(lambda: house.voter.vote.problem)
    house.ask()
    await eventually(lambda: not house.voter._saving)
    assert 'found: RuntimeError("can\'t start new thread")' in house.voter.vote.problem
    assert "TasksMax" in house.voter.vote.problem
    assert house.votes == [], "nothing is answered before it is on disk"
    house.disk.fault = None
    house.ask()
    await eventually(lambda: house.votes)
    assert house.voter.vote.problem == ""
    assert house.disk.kept[-1].membership == NEWER
    assert house.ended == []
    assert caplog.text.count("for a reason that nobody foresaw") == 1, "told once, with its traceback"


async def test_a_promise_that_a_thread_makes_late_is_not_kept_over_the_one_that_was_answered(house: House) -> None:
    threads = LateThreads()
    asyncio.get_running_loop().set_default_executor(threads)
    house.ask()
    await eventually(lambda: house.voter.vote.problem)
    assert house.votes == []
    house.ask(NEWEST)
    await eventually(lambda: house.votes)
    wait(threads.make_late_ones(), 20)
    assert [kept.membership for kept in house.disk.kept] == [NEWEST]


async def test_addresses_that_come_late_are_not_noted_over_newer_ones(house: House) -> None:
    threads = LateThreads()
    asyncio.get_running_loop().set_default_executor(threads)
    for number in (1, 2):
        house.node.link.know({"node2": f"127.0.0.1:{number}"})
        house.gateway.look()
    await eventually(lambda: house.book.asked)
    wait(threads.make_late_ones(), 20)
    assert house.book.asked == 1


async def test_a_new_list_is_looked_at_at_once_and_all_else_in_a_moment(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(house.node.link, "expect", lambda _names, _nodes: None)
    monkeypatch.setattr(module, "LOOK_US", 60_000_000)
    house.gateway.look()
    looks: list[int] = []

    def to_be_reached() -> frozenset[str]:
        looks.append(1)
        return frozenset()

    monkeypatch.setattr(house.gateway, "_to_be_reached", to_be_reached)
    for _ in range(5):
        house.gateway.look()
    assert looks == [], "nothing has changed"
    house.ask()
    await eventually(lambda: house.votes)
    house.gateway.look()
    assert looks == [1], "the list is another one"


async def test_addresses_that_cannot_be_kept_cost_no_promise(house: House) -> None:
    house.node.link.know({"node2": "127.0.0.1:1"})
    house.gateway.look()
    await eventually(lambda: house.book.asked)
    house.ask()
    await eventually(lambda: house.votes)
    assert house.ended == []


async def test_the_end_of_the_one_who_keeps_promises_is_told(house: House) -> None:
    house.ask()
    house.fault = ValueError("odd")
    await eventually(lambda: house.ended)
    assert house.fault in house.ended


async def test_a_disk_that_fills_up_is_told_before_anything_has_to_be_kept_and_so_is_room(house: House) -> None:
    house.disk.fault = PromiseFileUnwritable("no space is left")
    await eventually(lambda: house.voter.vote.disk_problem == "no space is left")
    house.disk.fault = None
    await eventually(lambda: not house.voter.vote.disk_problem, within_s=10)
    assert house.disk.kept == [], "a trial keeps nothing"


async def test_a_disk_that_stands_still_is_told_and_nobody_waits_for_it(house: House) -> None:
    house.disk.goes_on.clear()
    await eventually(lambda: "has not answered" in house.voter.vote.disk_problem)
    house.disk.goes_on.set()
    await eventually(lambda: not house.voter.vote.disk_problem)
    assert house.ended == []
