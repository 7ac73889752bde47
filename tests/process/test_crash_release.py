"""Last words survive in memory as they were handed over, and show nobody what they hold."""

import os
from collections.abc import Iterator

import pytest

from rppam.process.crash_release import LastWord, LastWords, TlsWords

STORE = LastWord("store", "10.0.0.9", 6379, b"AUTH hunter2\r\n\x00\xff", b"+OK\r\n:1\r\n", b"+OK\r\n:0\r\n")
SECURED = STORE._replace(kind="member", tls=TlsWords("redis.example", "/etc/ca.pem", b"-----BEGIN", "letmein"))


@pytest.fixture
def words() -> Iterator[LastWords]:
    descriptor = LastWords.make()
    yield LastWords(descriptor)
    os.close(descriptor)


def test_they_come_back_as_they_were(words: LastWords) -> None:
    assert words.read() == ()
    assert words.hand_over([STORE, SECURED])
    assert words.read() == (STORE, SECURED)
    assert words.hand_over([])
    assert words.read() == ()


def test_words_too_long_leave_those_of_before(words: LastWords) -> None:
    words.hand_over([STORE])
    assert not words.hand_over([STORE._replace(send=b"x" * 300_000)])
    assert words.read() == (STORE,)


def test_a_word_in_a_log_shows_no_password() -> None:
    text = f"{STORE} {STORE!r} {[SECURED]}"
    assert "hunter2" not in text
    assert "letmein" not in text
    assert "10.0.0.9" in text
