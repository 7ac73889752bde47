"""Delivery to a real rsyslogd over TLS that is killed: a short run of ``benchmarks/siem_rsyslog.py``."""

import random
from pathlib import Path

import pytest

from benchmarks.siem_rsyslog import deliver
from rppam.siem import delivery, senders
from tests.support.rsyslog import missing

pytestmark = pytest.mark.server


async def test_none_is_missing_order_is_kept_and_duplicates_are_marked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if package := missing():
        pytest.skip(f"no {package} on this machine")
    monkeypatch.setattr(senders, "UNPROVEN_S", 1)
    monkeypatch.setattr(delivery, "RETRY_S", (0.1,))
    monkeypatch.setattr(delivery, "LOOK_EVERY_S", 0.05)
    run = await deliver(4_000, 2, tmp_path, random.Random(7))
    told = run.told
    assert (told.missing, told.out_of_order, told.unmarked) == (0, 0, 0), told
    assert run.kills == 2
    assert told.again > 0, "it was killed in the middle"
