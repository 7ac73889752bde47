"""The measurements of sessions in short: they run on real servers, and tell what they are meant to find."""

import asyncio

import pytest

from benchmarks import requests, sessions_under_fire
from tests.contract.servers import available

pytestmark = [
    pytest.mark.server,
    pytest.mark.alone,
    pytest.mark.skipif(not available(), reason="no Redis-protocol server is on this machine"),
]


def test_requests_and_log_ins_are_measured_beside_their_limits() -> None:
    result = asyncio.run(requests.measure(1, 0.3))
    assert result["ratio1"] > 0
    assert result["loginShare"] > 0
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
    assert sessions_under_fire.spread([3.0, 1.0, 2.0]) == {"p50": 2.0, "p99": 3.0, "max": 3.0}
