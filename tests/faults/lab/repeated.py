"""One thing again and again, many such things: each in a process with a lab of its own, several processes at once.

Each run is a line of JSON in a results file, with the fields of the key that it belongs to. A key of which some runs
stand there is only brought up to its number, so what was ended goes on where it was; a lab that fails or takes too long
is ended, told, and begun again. What a process is told to do are words for the same program, which then runs
:func:`kept` for each run, and nothing of this.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar

from tests.faults.lab.net import sweep

ATTEMPTS: Final = 4
"""How often a key is begun, when its lab fails."""
RUN_S: Final = 90.0
"""So long a run may take on average; a lab that takes longer is ended."""


class Key(Protocol):
    """A named tuple: what the runs of one kind have in common."""

    def _asdict(self) -> dict[str, Any]: ...


K = TypeVar("K", bound=Key)


def rows_of(results: Path, timed: str) -> list[dict[str, Any]]:
    """All runs that were timed, which have ``timed``. A last line that was cut off by a crash is none."""
    found = []
    for line in results.read_text(encoding="utf-8").splitlines() if results.exists() else ():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and timed in row:
            found.append(row)
    return found


def of_key(key: Key, rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those of them that belong to a key."""
    return [row for row in rows if all(row.get(name) == value for name, value in key._asdict().items())]


def kept(key: Key, found: dict[str, Any], results: Path, words: str) -> None:
    """Keep one run, and show it on a line: ``words``, and what must not be."""
    line = {**key._asdict(), "at": datetime.now(UTC).isoformat(timespec="seconds"), **found}
    with results.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
    print(words + "".join(f"; VIOLATION: {one}" for one in found["violations"]), flush=True)


class Job:
    """One key under way in a process of its own."""

    def __init__(self, command: Sequence[str], seconds: float) -> None:
        self._until = time.monotonic() + seconds
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed at the end of the job
        self._process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *command], stdin=subprocess.DEVNULL, stderr=self._said
        )

    def is_over(self) -> bool:
        """Whether it has ended; one that takes too long is ended."""
        return self._process.poll() is not None or time.monotonic() > self._until

    def end(self) -> str:
        """Kill it if it still runs; what it said, empty when it did all its runs."""
        self._process.kill()
        code = self._process.wait()
        with self._said as file:
            file.seek(0)
            said = file.read().decode(errors="replace")
        return "" if code == 0 else said[-4_000:] or f"ended with {code}"


class Plan(NamedTuple, Generic[K]):
    """What is to be there at the end."""

    module: str
    """The program, which is started anew for each key."""
    words: Callable[[K], list[str]]
    """How it is told to make runs of that key alone, in its own process; number and file are added."""
    runs: int
    results: Path
    timed: str
    """The field that only a run has that was timed."""

    def missing(self, key: K) -> int:
        """So many runs are not there yet."""
        return self.runs - len(of_key(key, rows_of(self.results, self.timed)))

    def begin(self, key: K) -> Job:
        """Make those that are missing."""
        missing = self.missing(key)
        words = [*self.words(key), "--runs", str(missing), "--results", str(self.results)]
        return Job([sys.executable, "-m", self.module, *words], RUN_S * (missing + 1))

    def carry_out(self, keys: Iterable[K], labs: int) -> None:
        """Bring every key up to its number of runs, ``labs`` at a time."""
        self.results.parent.mkdir(parents=True, exist_ok=True)
        if self.results.exists() and (text := self.results.read_bytes()) and not text.endswith(b"\n"):
            self.results.write_bytes(text + b"\n")
        waiting = [(key, 1) for key in keys]
        under_way: list[tuple[K, int, Job]] = []
        try:
            while waiting or under_way:
                while waiting and len(under_way) < labs:
                    key, attempt = waiting.pop(0)
                    if self.missing(key) > 0:
                        under_way.append((key, attempt, self.begin(key)))
                        time.sleep(1.0)  # so that two do not boot their nodes in the same second
                for one in [one for one in under_way if one[2].is_over()]:
                    under_way.remove(one)
                    key, attempt, job = one
                    if said := job.end():
                        name = " ".join(map(str, key._asdict().values()))
                        print(f"{name}: attempt {attempt} failed:\n{said}", file=sys.stderr, flush=True)
                    if attempt < ATTEMPTS:  # nothing is left to do unless it failed
                        waiting.append((key, attempt + 1))
                time.sleep(0.2)
        finally:
            for _, _, job in under_way:
                job.end()
            sweep()
