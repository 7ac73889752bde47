"""The fence on both databases: one rule, also under real concurrency."""

import asyncio
import multiprocessing
import random
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text

import rppam.app.slices  # noqa: F401 - a spawned process reads no conftest, and needs the migrations
from rppam.cluster.consensus.record import EPOCH_MAX
from rppam.cluster.store.epoch_register import SqlEpochRegister
from rppam.db.database import Database
from rppam.db.fence import HISTORY_MAX
from rppam.kernel.fence import Claimed, Fenced, Outranked
from rppam.manager.note_errors import NoteInvalid
from rppam.manager.note_store import SqlFencedNote
from tests.support.epochs import highest, leaderships

pytestmark = pytest.mark.integration


async def test_higher_epoch_or_same_life_and_nothing_else(database: Database) -> None:
    register = SqlEpochRegister(database)
    assert await highest(register, 2_000) == 0
    steps = [
        ((7, "node1", "boot-a"), Fenced.ACCEPTED),
        ((7, "node1", "boot-a"), Fenced.ACCEPTED),
        ((7, "node2", "boot-b"), Fenced.REFUSED),
        ((6, "node1", "boot-a"), Fenced.REFUSED),
        ((EPOCH_MAX, "node2", "boot-b"), Fenced.ACCEPTED),
        ((8, "node1", "boot-a"), Fenced.REFUSED),
    ]
    for claim, answer in steps:
        assert await register.claim(*claim, 2_000) is answer, claim
    assert await highest(register, 2_000) == EPOCH_MAX
    assert [(line.epoch, line.node) for line in await leaderships(database)] == [(EPOCH_MAX, "node2"), (7, "node1")]


async def test_agrees_with_the_rule_on_a_random_sequence(database: Database) -> None:
    register, chance = SqlEpochRegister(database), random.Random(20)
    epoch, boot = 0, ""
    for _ in range(150):
        claimed, life = max(1, epoch + chance.choice([-2, -1, 0, 0, 0, 1])), chance.choice(["a", "b"])
        expected = claimed > epoch or (claimed == epoch and life == boot)
        answer = await register.claim(claimed, f"node-{life}", life, 2_000)
        assert (answer is Fenced.ACCEPTED) == expected, (epoch, boot, claimed, life)
        if expected:
            epoch, boot = claimed, life
    assert await highest(register, 2_000) == epoch > 5


async def test_impossible_epochs_are_our_own_mistake(database: Database) -> None:
    register = SqlEpochRegister(database)
    for epoch in (0, -1, EPOCH_MAX + 1):
        with pytest.raises(ValueError, match="epoch: expected 1 to"):
            await register.claim(epoch, "node1", "boot", 2_000)
    assert await highest(register, 2_000) == 0


async def test_the_claim_time_is_the_databases_own(database: Database) -> None:
    register = SqlEpochRegister(database)
    await register.claim(1, "node1", "boot", 2_000)
    [line] = await leaderships(database)
    seconds = await database.read(
        lambda connection: connection.execute(
            text(
                "SELECT EXTRACT(EPOCH FROM clock_timestamp())"
                if connection.dialect.name == "postgresql"
                else "SELECT strftime('%s', 'now') + 0"
            )
        ).scalar_one()
    )
    assert abs(line.claimed_at / 1000 - float(seconds)) < 5


async def test_history_is_bounded(database: Database) -> None:
    def fill(connection: Any) -> None:
        rows = [{"e": epoch} for epoch in range(1, HISTORY_MAX + 51)]
        connection.execute(text("INSERT INTO epochs VALUES (:e, 'node1', 'boot', 0)"), rows)

    await database.write(fill)
    register = SqlEpochRegister(database)
    assert await register.claim(HISTORY_MAX + 51, "node1", "boot", 2_000) is Fenced.ACCEPTED
    history = await leaderships(database)
    assert len(history) == HISTORY_MAX
    assert history[0].epoch == HISTORY_MAX + 51


async def test_the_note_is_written_only_behind_the_fence(database: Database) -> None:
    heard: list[Outranked] = []
    note, register = SqlFencedNote(database, heard.append), SqlEpochRegister(database)
    assert await note.read() is None
    assert await register.newest(2_000) == Claimed(0, "", "")
    assert await note.write(3, "node1", "boot-a", "Patching tonight: 22:00\nAsk Jörg 🙂", "admin") is Fenced.ACCEPTED
    assert await highest(register, 2_000) == 3, "a guarded write advances the fence itself"
    assert await register.claim(4, "node2", "boot-b", 2_000) is Fenced.ACCEPTED
    assert await note.write(3, "node1", "boot-a", "I am still the leader", "admin") is Fenced.REFUSED
    assert await note.write(4, "node1", "boot-a", "I am still the leader", "admin") is Fenced.REFUSED
    newest = Claimed(4, "node2", "boot-b")
    assert heard == [Outranked(3, newest), Outranked(4, newest)], "each refusal is told, with who stands there"
    assert await register.newest(2_000) == newest
    written = await note.read()
    assert written is not None
    assert (written.text, written.author, written.epoch, written.node) == (
        "Patching tonight: 22:00\nAsk Jörg 🙂",
        "admin",
        3,
        "node1",
    )
    assert await note.write(4, "node2", "boot-b", "", "root") is Fenced.ACCEPTED
    cleared = await note.read()
    assert cleared is not None
    assert (cleared.text, cleared.author, cleared.epoch, cleared.node) == ("", "root", 4, "node2")


@pytest.mark.parametrize("text_", ["x" * 501, "nul\0", "half \ud800", "back\u202ewards"])
async def test_a_note_that_cannot_be_shown_is_refused_before_the_fence(database: Database, text_: str) -> None:
    with pytest.raises(NoteInvalid, match="text:"):
        await SqlFencedNote(database).write(3, "node1", "boot-a", text_, "admin")
    assert await highest(SqlEpochRegister(database), 2_000) == 0


async def test_many_lives_at_once_one_per_epoch(url: str, open_database: Callable[..., Any]) -> None:
    registers = [SqlEpochRegister(await open_database(url)) for _ in range(4)]

    async def life(number: int) -> list[int]:
        return [
            epoch
            for epoch in range(1, 26)
            if await registers[number].claim(epoch, f"node{number}", f"boot{number}", 3_000) is Fenced.ACCEPTED
        ]

    wins = await asyncio.gather(*(life(number) for number in range(4)))
    everything = [epoch for won in wins for epoch in won]
    assert len(everything) == len(set(everything)), "two lives were accepted at one epoch"
    assert all(won == sorted(won) for won in wins)
    assert await highest(registers[0], 2_000) == 25


def _claims_in_a_process(url: str, number: int, gate: Any, answers: Any) -> None:
    async def run() -> list[tuple[int, str]]:
        database = Database(url, 5_000)
        await database.start()
        register = SqlEpochRegister(database)
        await asyncio.to_thread(gate.wait, 30)
        found = [
            (epoch, str(await register.claim(epoch, f"node{number}", f"boot{number}", 5_000))) for epoch in range(1, 41)
        ]
        await database.stop()
        return found

    answers.put((number, asyncio.run(run())))


async def test_processes_start_on_an_empty_database_and_claim_at_once(url: str) -> None:
    context = multiprocessing.get_context("spawn")
    gate, answers = context.Barrier(3), context.Queue()
    nodes = [context.Process(target=_claims_in_a_process, args=(url, number, gate, answers)) for number in range(3)]
    try:
        for node in nodes:
            node.start()
        found = dict([await asyncio.to_thread(answers.get, True, 40) for _ in nodes])
    finally:
        for node in nodes:
            node.join(5)
            if node.is_alive():
                node.kill()
    everything = [answer for claims in found.values() for answer in claims]
    assert {answer for _, answer in everything} <= {"accepted", "refused"}, "nothing was slow enough to be unknown"
    accepted = [epoch for epoch, answer in everything if answer == "accepted"]
    assert len(accepted) == len(set(accepted))
    assert max(accepted) == 40
