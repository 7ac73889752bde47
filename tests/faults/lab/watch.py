"""One watched stretch of a lab: observers, marks of what was done to it, the verdict, and the timeline that is left.

Files go below ``build/faults`` unless ``FAULT_TIMELINES`` names another folder: ``NAME.svg`` and ``NAME.txt``.
"""

import os
import re
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from tests.faults.lab.history import Span, leadership_faults, register_faults, spans
from tests.faults.lab.observers import Hands, HostEyes
from tests.faults.lab.timeline import Mark, Timeline

if TYPE_CHECKING:
    from tests.faults.lab.cluster import FaultLab

FOLDER: Final = "FAULT_TIMELINES"
LATE_S: Final = {"single": 4.0, "aof": 4.0, "sentinel": 15.0}
"""What a leader may need beyond L once all is healed: a reconnection (back-off up to 2 s), an election, a busy machine;
behind Sentinel 2 s more by the rule, and the settling of its own election."""


class Settled(NamedTuple):
    """How long the cluster needed once every fault had ended, in ms."""

    leader_ms: float
    """Until some node answered that it leads."""
    write_ms: float
    """Until a guarded write was accepted."""


@dataclass
class _Open:
    lane: str
    words: str
    from_ns: int
    to_ns: int | None = None


class Watch:
    """Made by :meth:`FaultLab.watched`."""

    def __init__(self, lab: "FaultLab", title: str, *, every_ms: float) -> None:
        self.lab = lab
        self.title = (
            title if lab.quorum_policy is None or lab.quorum_policy in title else f"{title} ({lab.quorum_policy})"
        )
        hosts = {node.name: node.host for node in lab.nodes}
        self.eyes: Final = HostEyes(hosts, every_ms)
        self.hands: Final = Hands(hosts, lab.token, str(lab.watches))
        self._marks: list[_Open] = []
        self.from_ns = self.to_ns = 0
        self.verdict: list[str] = []

    def __enter__(self) -> Self:
        self.from_ns = time.monotonic_ns()
        self.eyes.__enter__()
        self.hands.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.hands.__exit__(kind, error, trace)
        self.eyes.__exit__(kind, error, trace)
        self.to_ns = time.monotonic_ns()
        self.lab.watch = None
        self.verdict = self.judge()
        self.lab.earlier_deeds += self.hands.deeds()
        if error is not None:
            self.verdict.append(f"the story ended early: {str(error).splitlines()[0][:160]}")
        stem = self.write(timelines())
        if error is not None:
            error.add_note(f"timeline: {stem}.svg")
        else:
            assert not self.verdict, f"{'; '.join(self.verdict)} (timeline: {stem}.svg)"

    # ---- what was done ----------------------------------------------------------------------------------------------

    def begin(self, lane: str, words: str) -> None:
        """A fault begins now."""
        self._marks.append(_Open(lane, words, time.monotonic_ns()))

    def end(self, words: tuple[str, ...], lane: str | None) -> None:
        """Faults whose words begin like one of these end now."""
        for mark in self._marks:
            if mark.to_ns is None and lane in (None, mark.lane) and mark.words.startswith(words):
                mark.to_ns = time.monotonic_ns()

    def note(self, lane: str, words: str) -> None:
        """Something that takes no time."""
        now = time.monotonic_ns()
        self._marks.append(_Open(lane, words, now, now))

    def leader_now(self) -> str | None:
        """Who answered 200 last, within the last 300 ms."""
        since_ns = time.monotonic_ns() - 300_000_000
        found = self.eyes.last_yes(since_ns)
        return found.node if found else None

    # ---- what was seen ----------------------------------------------------------------------------------------------

    def spans(self) -> list[Span]:
        return spans(self.eyes.samples())

    def judge(self) -> list[str]:
        """Every violation, as a sentence."""
        # The register is as old as the lab: an earlier watch wrote into it, and what it left under way may arrive now.
        deeds = [*self.lab.earlier_deeds, *self.hands.deeds()]
        if not self.lab.shared:
            deeds = []  # each node has a register of its own; the fence does not reach across
        return leadership_faults(self.eyes.samples()) + register_faults(deeds)

    def settle(self, since_ns: int | None = None) -> Settled:
        """L1: every fault ends now; a leader, and a write that only a leader may make, within the bound."""
        if since_ns is None:
            self.lab.heal()
            self.lab.wait_until(self._all_live, "every node to run", 30)
            since_ns = time.monotonic_ns()
            self.note("", "all healed")
        bound_s = self.lab.lease_ms / 1000 + LATE_S[self.lab.store_kind]
        answer = self.eyes.wait_for_yes(since_ns, other_than="", within_s=bound_s)
        deeds = self.lab.wait_until(lambda: self.hands.accepted_since(since_ns), "a guarded write", bound_s)
        written_ns = min(deed.received_ns for deed in deeds)
        time.sleep(0.5)  # the picture shows who it is
        return Settled((answer.received_ns - since_ns) / 1e6, (written_ns - since_ns) / 1e6)

    def longest_wait_ms(self, since_ns: int) -> float:
        """The longest time since then in which no answer of any node said that it leads."""
        seen_ns = [one.received_ns for one in self.eyes.samples() if one.status == 200 and one.received_ns > since_ns]
        return max((later - sooner for sooner, later in pairwise([since_ns, *sorted(seen_ns)])), default=0) / 1e6

    def facts(self) -> dict[str, Any]:
        """Numbers for a results file."""
        samples, deeds = self.eyes.samples(), self.hands.deeds()
        return {
            "answers": sum(1 for one in samples if one.status),
            "leaderships": len(self.spans()),
            "writes_accepted": sum(1 for d in deeds if d.kind == "write" and d.outcome == "accepted"),
            "writes_unknown": sum(1 for d in deeds if d.outcome == "unknown"),
            "reads": sum(1 for d in deeds if d.kind == "read"),
        }

    def _all_live(self) -> bool:
        return all(node.status_of("/system/health/live", 1.0) == 200 for node in self.lab.nodes)

    # ---- what is left -----------------------------------------------------------------------------------------------

    def timeline(self) -> Timeline:
        """All of it, as a picture and as text."""
        to_ns = self.to_ns or time.monotonic_ns()
        marks = [Mark(one.lane, one.words, one.from_ns, one.to_ns or to_ns) for one in self._marks]
        lanes = [member.name for member in self.lab.members] + [host.name for host in self.lab.store.hosts]
        return Timeline(
            self.title, lanes, self.spans(), marks, self.hands.views(), self.verdict, self.from_ns, to_ns, self._about()
        )

    def write(self, folder: Path) -> Path:
        """Both files below ``folder``; their path without the ending."""
        folder.mkdir(parents=True, exist_ok=True)
        stem = folder / re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")
        made = self.timeline()
        stem.with_suffix(".svg").write_text(made.svg(), encoding="utf-8")
        stem.with_suffix(".txt").write_text(made.text(), encoding="utf-8")
        return stem

    def _about(self) -> str:
        words = [
            f"{len(self.lab.nodes)} nodes" + (" and a witness" if self.lab.witness else ""),
            f"store: {self.lab.store_kind}",
            f"lease {self.lab.lease_ms} ms",
        ]
        words.append(f"policy {self.lab.quorum_policy}" if self.lab.quorum_policy else "the record decides")
        facts = self.facts()
        words.append(f"{facts['answers']} answers, {facts['writes_accepted']} guarded writes")
        return " · ".join(words)


def timelines() -> Path:
    """Where timelines go."""
    return Path(os.environ.get(FOLDER, "build/faults"))
