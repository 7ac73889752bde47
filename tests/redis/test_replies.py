"""Every word that an error reply may begin with means one class, and nothing of ours is kept that a server quotes."""

import pytest
from hypothesis import given, strategies as st

from rppam.redis.errors import (
    BY_WORD,
    StoreCommandUnknown,
    StoreFull,
    StoreNoDatabase,
    StoreNoPermission,
    StoreOutOfMemory,
    StoreProtocol,
    StoreReadOnly,
    StoreReplyError,
    StoreReplyUnforeseen,
    StoreWrongPassword,
    StoreWrongType,
    classify,
)
from rppam.redis.pipeline import garbled

# As the servers say it: Redis 6.2.5, 8.0.2, Valkey 8.1.1 and 9.1.2.
WRAPPED = "ERR Error running script (call to f_a380e033237bcf83ca4c51d3e4e9e4402227a1da): @user_script:1: "


@pytest.mark.parametrize("word", sorted(BY_WORD))
def test_the_first_word_decides(word: str) -> None:
    error = classify(f"{word} some explanation")
    assert type(error) is BY_WORD[word]
    assert error.raw == f"{word} some explanation"
    assert error.row.remedy in str(error)
    assert type(classify(word)) is BY_WORD[word], "also without an explanation"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ERR unknown command 'foo', with args beginning with: 'bar' ", StoreCommandUnknown),
        ("ERR unknown command `foo`, with args beginning with: `bar`, ", StoreCommandUnknown),
        ("ERR max number of clients reached", StoreFull),
        ("ERR DB index is out of range", StoreNoDatabase),
        ("ERR AUTH <password> called without any password configured for the default user.", StoreWrongPassword),
        (WRAPPED + "WRONGTYPE Operation against a key holding the wrong kind of value", StoreWrongType),
        (WRAPPED + "@user_script: 1: -OOM command not allowed when used memory > 'maxmemory'.", StoreOutOfMemory),
        (WRAPPED + "@user_script: 1: -READONLY You can't write against a read only replica.", StoreReadOnly),
        ("WRONGTYPE Operation against a key ... script: a380, on @user_script:1.", StoreWrongType),
        ("NOPERM this user has no permissions script: a380, on @user_script:1.", StoreNoPermission),
        ("ERR syntax error", StoreReplyUnforeseen),
        ("MYERR of a script", StoreReplyUnforeseen),
        ("oom lower case is no code", StoreReplyUnforeseen),
        ("", StoreReplyUnforeseen),
    ],
)
def test_sentences_are_told_apart(text: str, expected: type[StoreReplyError]) -> None:
    assert type(classify(text)) is expected


def test_what_the_server_quotes_from_our_command_is_cut_off() -> None:
    error = classify("ERR unknown command 'HELLO', with args beginning with: '3' 'AUTH' 'default' 'hunter2\r\n'")
    assert "hunter2" not in error.raw + str(error) + repr(error)


@pytest.mark.parametrize("word", sorted(BY_WORD))
def test_an_error_out_of_a_script_never_proves_that_nothing_ran(word: str) -> None:
    """A script may fail after it has written, and may raise any word it likes."""
    assert not classify(f"{word} text script: 0123, on @user_script:2.").surely_not_run
    assert not classify(WRAPPED + f"{word} text").surely_not_run


@given(st.text())
def test_any_text_becomes_a_short_error(text: str) -> None:
    error = classify(text)
    assert isinstance(error, StoreReplyError)
    assert len(error.raw) <= 500


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"HTTP/1.1 400 Bad Request", "speaks HTTP"),
        (b"<html>", "speaks HTTP"),
        (b"\x15\x03\x03\x00\x02", "speaks TLS"),
        (b"hello", "does not speak the Redis protocol"),
    ],
)
def test_garbage_is_named(data: bytes, sentence: str) -> None:
    error = garbled("[::1]:6379", data, ValueError("bad"))
    assert isinstance(error, StoreProtocol)
    assert sentence in str(error)
    assert "[::1]:6379" in str(error)


def test_the_longest_reply_of_redis_is_kept_whole_and_a_longer_one_is_cut_between_two_words() -> None:
    misconf = (
        "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. Commands "
        "that may modify the data set are disabled, because this instance is configured to report errors during "
        "writes if RDB snapshotting fails (stop-writes-on-bgsave-error option). Please check the Redis logs for "
        "details about the RDB error."
    )
    assert classify(misconf).raw == misconf
    assert classify("ERR " + "word " * 200).raw.endswith(" word ...")
    assert len(classify("ERR " + "x" * 1_000).raw) <= 500
