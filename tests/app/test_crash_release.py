"""What is handed over for the death of a leader's process is always of this moment, also where it is too much."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from rppam.app.crash_release import CrashRelease
from rppam.cluster.link.link import TlsMemberLink
from rppam.config.load import parse_settings
from rppam.kernel.instant import Instant
from rppam.kernel.system_entropy import SystemEntropy
from rppam.process import crash_release as last_words
from rppam.process.crash_release import LastWords
from tests.cluster.admin.test_service import seated
from tests.cluster.link.links import make_node

CrashRelease.__test__ = False  # type: ignore[attr-defined]  # pytest takes its name for that of a test


@pytest.fixture
def words(monkeypatch: pytest.MonkeyPatch) -> Iterator[LastWords]:
    """Room for a few."""
    monkeypatch.setattr(last_words, "WORDS_BYTES_MAX", 8_000)
    descriptor = LastWords.make()
    yield LastWords(descriptor)
    os.close(descriptor)


def told(words: LastWords) -> list[str]:
    return [word.tls.server_name for word in words.read() if word.tls is not None]


def test_of_words_that_are_too_long_the_first_are_left_and_none_of_before(
    words: LastWords, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = parse_settings("{}", folder=tmp_path)
    house, leader = seated("a", "b", "c")
    core, now = house.core(leader), Instant(house.now)
    link, testament = (
        make_node(leader).link,
        CrashRelease(settings, None, words, SystemEntropy(), core.released),
    )
    monkeypatch.setattr(TlsMemberLink, "places", {"before": ("10.0.0.1", 1)})
    testament.look(core.status(), link, now)
    assert told(words) == ["before"]
    heir = core.status().successor(now)
    monkeypatch.setattr(TlsMemberLink, "places", {f"{name}": ("10.0.0.1", 1) for name in (*map(str, range(19)), heir)})
    testament.look(core.status(), link, now)
    assert 1 < len(told(words)) < 20
    assert told(words)[:2] == [heir, "0"]
