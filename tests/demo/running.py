"""Start a ``rppam demo --json`` as a process, read what it tells, and make sure it is gone afterwards."""

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from tests.support.ports import free_base

READY_S = 60.0


class Demo:
    """A running ``rppam demo --json``."""

    def __init__(self, *options: str, temporary: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "rppam", "demo", "--json", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "TMPDIR": str(temporary)},
        )
        self.events: queue.Queue[dict[str, Any]] = queue.Queue()
        self.told: list[dict[str, Any]] = []
        self.people: list[str] = []
        self._readers = [threading.Thread(target=self._read), threading.Thread(target=self._read_people)]
        for reader in self._readers:
            reader.start()
        self.pids: list[int] = []

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.events.put(json.loads(line))

    def _read_people(self) -> None:
        assert self.process.stderr is not None
        self.people.extend(self.process.stderr)

    def ready(self) -> dict[str, Any]:
        event = self.next(READY_S)
        assert event.get("event") == "ready", (event, self.people)
        self.pids = [event["redis"]["pid"], *(node["pid"] for node in event["nodes"])]
        return event

    def next(self, timeout_s: float) -> dict[str, Any]:
        try:
            event = self.events.get(timeout=timeout_s)
        except queue.Empty:
            raise AssertionError(f"no event within {timeout_s} s; told {self.told}; people {self.people}") from None
        self.told.append(event)
        return event

    def until(self, kind: str, timeout_s: float = 30.0) -> dict[str, Any]:
        deadline = time.monotonic() + timeout_s
        while True:
            event = self.next(max(0.01, deadline - time.monotonic()))
            if event["event"] == kind:
                return event

    def end(self, timeout_s: float = 12.0) -> int:
        code = self.process.wait(timeout_s)
        for reader in self._readers:
            reader.join(5)
        return code

    def alive(self) -> list[int]:
        return [pid for pid in self.pids if psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie"]

    def close(self) -> None:
        self.process.kill()
        self.end()
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()


@contextmanager
def demo(temporary: Path, *options: str, nodes: int = 3) -> Iterator[Demo]:
    running = Demo("--nodes", str(nodes), "--base-port", str(free_base(nodes)), *options, temporary=temporary)
    try:
        yield running
    finally:
        running.close()


def gone(running: Demo, within_s: float = 3.0) -> bool:
    deadline = time.monotonic() + within_s
    while running.alive() and time.monotonic() < deadline:
        time.sleep(0.05)
    return running.alive() == []


def of(ready: dict[str, Any], *, role: str) -> list[dict[str, Any]]:
    return [node for node in ready["nodes"] if node["role"] == role]
