"""The judge of the fault tests has teeth: fakes that both say yes are found, a clean hand-over is not accused."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.support.watching import Eyes, Sample, violations

pytestmark = pytest.mark.integration


class Fake:
    """Answers like a node; the test says whether it leads, and how long an answer waits before it leaves."""

    def __init__(self) -> None:
        self.epoch: int | None = None
        self.delay_s = 0.0
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            wbufsize = -1

            def do_GET(self) -> None:
                epoch = fake.epoch  # asked here, and answered later: what a frozen process does
                if fake.delay_s:
                    time.sleep(fake.delay_s)
                body = json.dumps({"epoch": epoch}).encode()
                self.send_response(200 if epoch is not None else 503)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]


@contextmanager
def fakes(count: int = 2) -> Iterator[list[Fake]]:
    made = [Fake() for _ in range(count)]
    threads = [threading.Thread(target=fake.server.serve_forever, kwargs={"poll_interval": 0.02}) for fake in made]
    for thread in threads:
        thread.start()
    try:
        yield made
    finally:
        for fake in made:
            fake.server.shutdown()
            fake.server.server_close()
        for thread in threads:
            thread.join()


def watched(*fakes: Fake) -> Eyes:
    return Eyes({f"node{number}": fake.port for number, fake in enumerate(fakes, 1)})


def test_two_that_say_yes_for_60_ms_are_found() -> None:
    with fakes() as (one, two), watched(one, two) as eyes:
        one.epoch = 7
        time.sleep(0.2)
        two.epoch = 8
        time.sleep(0.06)
        one.epoch = None
        time.sleep(0.2)
    with pytest.raises(AssertionError, match=r"node1 answered 200 for epoch 7 when asked .* after node2"):
        eyes.check()


def test_two_that_say_yes_for_the_same_epoch_are_found() -> None:
    with fakes() as (one, two), watched(one, two) as eyes:
        one.epoch = 7
        time.sleep(0.1)
        one.epoch = None
        time.sleep(0.05)
        two.epoch = 7
        time.sleep(0.1)
    with pytest.raises(AssertionError, match="epoch 7 was answered by both node1 and node2"):
        eyes.check()


def test_a_leader_that_wakes_up_and_still_says_yes_is_found() -> None:
    with fakes() as (one, two), watched(one, two) as eyes:
        one.epoch = 7
        time.sleep(0.1)
        one.epoch, two.epoch = None, 8
        time.sleep(0.1)
        one.epoch = 7
        time.sleep(0.05)
    with pytest.raises(AssertionError, match="epoch 7 when asked"):
        eyes.check()


def test_a_clean_hand_over_back_and_forth_is_not_accused() -> None:
    with fakes() as (one, two), watched(one, two) as eyes:
        for epoch in range(10, 40, 2):
            one.epoch = epoch
            time.sleep(0.015)
            one.epoch = None
            two.epoch = epoch + 1
            time.sleep(0.015)
            two.epoch = None
    eyes.check()
    assert len(eyes.leaderships()) > 20


def test_an_answer_that_waited_in_a_frozen_process_is_not_accused() -> None:
    with fakes() as (one, two), watched(one, two) as eyes:
        one.epoch = 7
        time.sleep(0.1)
        one.delay_s = 0.3
        time.sleep(0.05)
        one.epoch, one.delay_s, two.epoch = None, 0.0, 8
        time.sleep(0.5)
    late = [sample for sample in eyes.samples() if sample.node == "node1" and sample.status == 200][-1]
    first = next(sample for sample in eyes.samples() if sample.node == "node2" and sample.status == 200)
    assert late.received_ns > first.received_ns, "the case is the one that is meant"
    eyes.check()


def test_eyes_that_look_away_do_not_judge() -> None:
    with fakes(1) as [one], Eyes({"node1": one.port}) as eyes:
        one.epoch = 7
        time.sleep(0.3)
    assert len(eyes.samples()) > 20
    with pytest.raises(AssertionError, match="not watched closely enough"):
        eyes.check(sharp_ms=0.001)


def test_the_order_in_which_samples_are_told_does_not_matter() -> None:
    old = Sample("node1", 50, 60, 200, 7)
    new = Sample("node2", 10, 20, 200, 8)
    assert len(violations([old, new])) == len(violations([new, old])) == 1
    assert violations([old._replace(sent_ns=15), new]) == [], "they may have changed places while both were under way"
    assert violations([old._replace(status=503), new]) == []
