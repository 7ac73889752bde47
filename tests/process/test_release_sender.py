"""Saying last words to listeners of every kind: never longer than the time, and told as it was."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from rppam.process.crash_release import LastWord
from rppam.process.supervisor.release_sender import AGAIN_MS, TRIES, deliver

pytestmark = pytest.mark.integration

Answer = Callable[[socket.socket, threading.Event], None]


@contextmanager
def listener(answer: Answer) -> Iterator[LastWord]:
    """A server that does ``answer`` with each connection; the word that reaches it."""
    over = threading.Event()
    threads: list[threading.Thread] = []

    def one(line: socket.socket) -> None:
        with line, suppress(OSError):
            line.recv(100)
            answer(line, over)

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def serve() -> None:
            while True:
                line, _ = server.accept()
                if over.is_set():
                    line.close()
                    return
                threads.append(threading.Thread(target=one, args=(line,)))
                threads[-1].start()

        threads.append(threading.Thread(target=serve))
        threads[0].start()
        yield LastWord("store", "127.0.0.1", port, b"release secret\r\n", b"yes\r\n", b"no\r\n")
        over.set()
        socket.create_connection(("127.0.0.1", port)).close()  # accept() returns
        for thread in threads:
            thread.join(5)


def replies(*parts: bytes) -> Answer:
    def answer(line: socket.socket, over: threading.Event) -> None:
        for part in parts:
            line.sendall(part)
            over.wait(0.01)

    return answer


def silent(line: socket.socket, over: threading.Event) -> None:
    over.wait(5)


def drip(line: socket.socket, over: threading.Event) -> None:
    while not over.wait(0.02):
        line.sendall(b"y")


def only(word: LastWord, bound_ms: int = 300) -> tuple[bool, str]:
    (outcome,) = deliver([word], bound_ms)
    assert "secret" not in outcome.said
    return outcome.heard, outcome.said


def test_a_yes_is_heard_also_in_pieces() -> None:
    with listener(replies(b"yes\r\n")) as word:
        assert only(word) == (True, "released")
    with listener(replies(b"ye", b"s\r", b"\n and more")) as word:
        assert only(word) == (True, "released")


def test_a_no_is_asked_again_as_a_last_renewal_may_be_on_its_way() -> None:
    asked: list[int] = []

    def answer(line: socket.socket, over: threading.Event) -> None:
        asked.append(len(asked))
        line.sendall(b"yes\r\n" if len(asked) == TRIES else b"no\r\n")

    with listener(answer) as word:
        started = time.monotonic()
        assert only(word) == (True, "released")
    assert len(asked) == TRIES
    assert time.monotonic() - started >= (TRIES - 1) * AGAIN_MS / 1000


def test_a_no_that_stays_is_told() -> None:
    with listener(replies(b"no\r\n")) as word:
        assert only(word) == (False, "there was nothing of this node to release")


def test_something_else_is_told_as_it_was_said() -> None:
    with listener(replies(b"-NOAUTH who are you\r\n")) as word:
        assert only(word) == (False, "it answered: NOAUTH")
    with listener(replies(b"-ERR unknown command 'AUTH', with args beginning with: 'release secret'\r\n")) as word:
        assert only(word) == (False, "it answered: ERR")
    with listener(replies(b"HTTP/1.1 200 OK\r\n")) as word:
        assert only(word) == (False, "it answered: 17 bytes of something else")


def test_hanging_up_and_refusing_are_told() -> None:
    with listener(replies()) as word:
        heard, said = only(word)
    assert not heard
    assert said
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        heard, said = only(word._replace(port=free.getsockname()[1]))
    assert (heard, "refused" in said) == (False, True)


def test_silence_and_dripping_end_with_the_time() -> None:
    with listener(silent) as deaf, listener(drip) as dripping:
        started = time.monotonic()
        outcomes = deliver([deaf, dripping._replace(expect=b"y" * 1000)], 100)
        assert time.monotonic() - started < 1.0
    assert [outcome.heard for outcome in outcomes] == [False, False]
    assert all("no answer" in outcome.said for outcome in outcomes)


def test_one_that_hangs_does_not_hold_up_another() -> None:
    with listener(silent) as deaf, listener(replies(b"yes\r\n")) as quick:
        outcomes = deliver([deaf, quick], 200)
    assert [outcome.heard for outcome in outcomes] == [False, True]
    assert outcomes[1].took_ms < 200
