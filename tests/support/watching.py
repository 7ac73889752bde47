"""Eyes on ``/system/health/leader`` of every node at once, and the judgement of what they saw.

What one answer proves: a 200 with epoch E that was asked for at ``sent_ns`` and was there at ``received_ns`` says that
the node led E at *some* instant between the two. No more: the answer may have waited in a frozen process.

What is a violation, then? Epochs grow with every leadership, so whoever answers 200 for E must have stopped before
anybody leads at a higher epoch. It has not when an answer for E was *asked for* after an answer for the higher epoch
had *arrived*: the lower one led later than the higher one. The same epoch answered by two nodes is one at any time.
Both are proofs: no delay of a request, an answer or this program can make them up.
"""

import itertools
import json
import socket
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Final, NamedTuple, Self

from tests.support.lab import HOST

REQUEST: Final = b"GET /system/health/leader HTTP/1.1\r\nHost: lab\r\n\r\n"


class Sample(NamedTuple):
    """One answer of one node."""

    node: str
    sent_ns: int
    received_ns: int
    status: int
    """0: the connection broke or was refused."""
    epoch: int


def violations(samples: Iterable[Sample]) -> list[str]:
    """Every proof that two nodes led at one time, as a sentence."""
    holders: dict[int, str] = {}
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    found = []
    for sample in samples:
        if sample.status != 200:
            continue
        holder = holders.setdefault(sample.epoch, sample.node)
        if holder != sample.node:
            found.append(f"epoch {sample.epoch} was answered by both {holder} and {sample.node}")
        first[sample.epoch] = min(first.get(sample.epoch, sample.received_ns), sample.received_ns)
        last[sample.epoch] = max(last.get(sample.epoch, sample.sent_ns), sample.sent_ns)
    epochs = sorted(holders)
    for place, lower in enumerate(epochs):
        for higher in epochs[place + 1 :]:
            late_ns = last[lower] - first[higher]
            if late_ns > 0:
                found.append(
                    f"{holders[lower]} answered 200 for epoch {lower} when asked {late_ns / 1e6:.3f} ms after "
                    f"{holders[higher]} had answered 200 for epoch {higher}"
                )
    return found


class Eyes:
    """Samples every node each ``every_ms`` from a thread of its own, over one kept connection each."""

    def __init__(self, ports: Mapping[str, int], every_ms: float = 5.0) -> None:
        self._ports = dict(ports)
        self._every_s = every_ms / 1000
        self._over = threading.Event()
        self._samples: dict[str, list[Sample]] = {name: [] for name in ports}
        self._threads = [threading.Thread(target=self._watch, args=(name,), daemon=True) for name in ports]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(10)

    # ---- what was seen ----------------------------------------------------------------------------------------------

    def samples(self) -> list[Sample]:
        """All so far, by the time they were sent."""
        return sorted((sample for of_node in self._samples.values() for sample in tuple(of_node)), key=lambda s: s[1])

    def leaderships(self) -> dict[int, str]:
        """Who answered 200, by epoch."""
        return {sample.epoch: sample.node for sample in self.samples() if sample.status == 200}

    def first_yes(self, after_ns: int, *, other_than: str) -> Sample | None:
        """The first 200 of another node that arrived after ``after_ns``."""
        found = [
            sample
            for name, of_node in self._samples.items()
            if name != other_than
            for sample in of_node[-400:]
            if sample.status == 200 and sample.sent_ns > after_ns
        ]
        return min(found, key=lambda sample: sample.received_ns, default=None)

    def wait_for_yes(self, after_ns: int, *, other_than: str, within_s: float) -> Sample:
        """As :meth:`first_yes`; AssertionError when there is none in time."""
        until = time.monotonic() + within_s
        while time.monotonic() < until:
            if (found := self.first_yes(after_ns, other_than=other_than)) is not None:
                return found
            time.sleep(0.005)
        raise AssertionError(f"no node but {other_than} answered 200 within {within_s} s")

    def check(self, *, sharp_ms: float = 100.0) -> None:
        """No violation was seen, and the eyes were open: 19 of 20 answers of a node came ``sharp_ms`` apart at most.

        A pause of the node itself (SIGSTOP) leaves one gap, so the test is on the gaps' distribution.
        """
        for name, of_node in self._samples.items():
            answered = [sample for sample in of_node if sample.status]
            gaps = sorted((b.sent_ns - a.received_ns) / 1e6 for a, b in itertools.pairwise(answered))
            if len(gaps) > 20:
                assert gaps[len(gaps) * 95 // 100] <= sharp_ms, f"{name} was not watched closely enough to judge"
        found = violations(self.samples())
        assert not found, "; ".join(found)

    # ---- looking ----------------------------------------------------------------------------------------------------

    def _connect(self, name: str) -> socket.socket:
        return socket.create_connection((HOST, self._ports[name]), timeout=1)

    def _watch(self, name: str) -> None:
        seen = self._samples[name]
        link: socket.socket | None = None
        due = time.monotonic()
        while not self._over.is_set():
            sent_ns = time.monotonic_ns()
            try:
                if link is None:
                    link = self._connect(name)
                    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    link.settimeout(0.2)
                    sent_ns = time.monotonic_ns()
                link.sendall(REQUEST)
                status, epoch = self._read(link)
            except (OSError, ValueError):
                status, epoch = 0, 0
                if link is not None:
                    link.close()
                    link = None
            seen.append(Sample(name, sent_ns, time.monotonic_ns(), status, epoch))
            due = max(due + self._every_s, time.monotonic())
            self._over.wait(max(0.0, due - time.monotonic()) if status else 0.02)
        if link is not None:
            with suppress(OSError):
                link.close()

    def _read(self, link: socket.socket) -> tuple[int, int]:
        """Status and epoch of one reply. Waits for a frozen node as long as the watch lasts."""
        data = b""
        while True:
            try:
                more = link.recv(65536)
            except TimeoutError:
                if self._over.is_set():
                    raise
                continue
            if not more:
                raise ConnectionError("hung up")
            data += more
            head, end, body = data.partition(b"\r\n\r\n")
            if not end:
                continue
            lines = head.split(b"\r\n")
            length = next(int(line[15:]) for line in lines if line.lower().startswith(b"content-length:"))
            if len(body) >= length:
                status = int(lines[0].split(b" ")[1])
                return status, json.loads(body)["epoch"] if status == 200 else 0
