"""The measurements of sessions in short: they run on real servers, and tell what they are meant to find."""

import asyncio
from pathlib import Path

import pytest

from benchmarks import delays, requests, sessions_under_fire
from tests.support.lab import CALM, Lab
from tests.support.redis_servers import Server, available

pytestmark = [
    pytest.mark.integration,
    pytest.mark.server,
    pytest.mark.pair,
    pytest.mark.skipif(not available(), reason="no Redis-protocol server is on this machine"),
]


def test_requests_and_log_ins_are_measured_beside_their_limits() -> None:
    result = asyncio.run(requests.measure(1, 0.3))
    assert result["ratio1"] > 0
    assert result["loginShare"] > 0
    assert result["recorded"] > 0
    assert "at most 1.1)" in requests.page({}, result)
    assert all(one["per_s"] > 0 for one in result["medians"].values())
    assert requests.page({}, result).count("| 1.5 |") == 2


def test_what_an_answer_means_depends_on_whether_the_session_was_ended() -> None:
    meaning = sessions_under_fire.meaning
    assert [meaning(status, ended=False) for status in (404, 401, 503, 500)] == ["let in", "lost", "503", "other"]
    assert [meaning(status, ended=True) for status in (404, 401)] == ["wrong allow", "refused as ended"]
    seen = sessions_under_fire.Seen("x")
    for what in ("let in", "503", "refused as ended", "no answer"):
        seen.note(what)
    row = seen.row()
    assert (row["requests"], row["unknown"], row["noAnswer"], row["lost"]) == (4, 1, 1, 0)
    assert 0 <= row["errorSeconds"] < 10
    clean = {"lostAtTheEnd": 0, "phases": [row]}
    assert sessions_under_fire.is_clean(clean)
    assert not sessions_under_fire.is_clean(clean | {"lostAtTheEnd": 1})
    assert not sessions_under_fire.is_clean(clean | {"phases": [row | {"wrongAllows": 1}]})
    assert delays.spread([3.0, 1.0, 2.0]) == {"p50": 2.0, "p99": 3.0, "max": 3.0}


def test_an_unlock_and_a_revocation_are_watched_in_every_process(tmp_path: Path) -> None:
    with Server(available()[-1]) as server, Lab(tmp_path / "lab", server.port, times=CALM) as lab:
        lab.start()
        unlocking = asyncio.run(delays.unlock(lab.nodes, lab.token, lab.database, 2))
        revocation = asyncio.run(delays.revoke(lab.nodes, [lab.new_token()]))
    assert (unlocking["unlocks"], revocation["revocations"]) == (2, 1)
    for told in (unlocking["answer"], unlocking["after"], revocation["answer"], revocation["after"]):
        assert 0 <= told["p50"] <= told["p99"] <= told["max"] < delays.WITHIN_S * 1000
    assert unlocking["answer"]["p50"] > 0
    assert len(delays.table(revocation, unlocking)) == 8


async def test_a_delay_lasts_until_the_last_one_that_still_hears_the_old() -> None:
    left = {"quick": 0, "slow": 5}
    held: list[str] = []

    async def ask(wire: str) -> int:
        await asyncio.sleep(0.01)
        if not held or left[wire] <= 0:
            return 1 if not held else 2
        left[wire] -= 1
        return 1

    async def change() -> None:
        await asyncio.sleep(0.01)
        held.append("changed")

    answer, after = await delays.delay(["quick", "slow"], ask, 1, change)
    assert answer > 0
    assert left["slow"] == 0
    assert after > 20, "the slow one asked on for five times"
