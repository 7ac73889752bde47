"""Verification of a whole ledger: each event's text, each writer's chain, the tree, and every signature over it.

Decides whether what was handed in is what was recorded; the first place that is not is named. It reads events in the
order of the tree, so it needs little memory. It trusts the key that it is given and nothing else: not the hashes beside
the events, and not the subtrees that the database keeps.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from rppam.ledger.checkpoint import (
    Checkpoint,
    CheckpointRefused,
    Verifier,
    cosigned_at,
    read_checkpoint,
    verifier_of,
)
from rppam.ledger.merkle import Frontier
from rppam.ledger.model import FIRST, Event


class Tampered(Exception):
    """The first place that is not what was recorded."""

    def __init__(self, place: str, sentence: str) -> None:
        super().__init__(f"{place}: {sentence}")
        self.place, self.sentence = place, sentence


class Cosignature(NamedTuple):
    """The newest one of a member."""

    name: str
    key: str
    size: int
    line: str


@dataclass
class Verification:
    """A verification under way: give it checkpoints, then events in order, then ask for its end."""

    verifier: Verifier
    notes: Mapping[int, str]
    """The signed notes by size."""
    seen: Checkpoint | None = None
    """What this host has seen signed, if anything."""
    tree: Frontier = field(default_factory=Frontier)
    epoch: int = 0
    """The highest epoch of an election so far."""
    _last: dict[str, tuple[int, str]] = field(default_factory=dict)
    _leaders: dict[int, str] = field(default_factory=dict)

    def add(self, event: Event) -> None:
        """The next event of the tree. Raises :class:`Tampered`."""
        index = self.tree.size
        if event.index != index:
            raise Tampered(f"event {index}", f"expected it here, found event {event.index}: some are missing or moved")
        digest = event.hash
        self._follow(f"event {index}", event.body, digest.hex())
        for _ in self.tree.append(digest):
            pass
        note = self.notes.get(self.tree.size)
        if note is not None:
            self._check(note)
        if self.seen is not None and self.seen.size == self.tree.size and self.seen.root != self.tree.root():
            raise Tampered(
                f"event {index} or before", "this host has seen another ledger signed up to here: it was changed since"
            )

    def wait(self, event: Event) -> None:
        """An event that has no place in the tree yet: it follows its writer's last one. Raises :class:`Tampered`."""
        self._follow(f"event {event.body.get('id')}, which waits for its place", event.body, event.hash.hex())

    def end(self) -> None:
        """All events were added. Raises :class:`Tampered` where some are missing that were signed."""
        newest = max(self.notes, default=0)
        if newest > self.tree.size:
            raise Tampered(f"event {self.tree.size}", f"{newest} events were signed, and the rest is missing")
        if self.tree.size > newest:
            raise Tampered(f"event {newest}", f"{self.tree.size - newest} events are in the tree and not signed")
        if self.seen is not None and self.seen.size > self.tree.size:
            raise Tampered(
                f"event {self.tree.size}", f"this host has seen {self.seen.size} events signed, and the rest is missing"
            )

    def cosigned(self, cosigners: Iterable[Cosignature]) -> dict[str, int]:
        """How far each member has cosigned what was verified. Raises :class:`Tampered` where one did not."""
        found = {}
        for one in cosigners:
            place = f"the cosignature of {one.name}"
            note = self.notes.get(one.size)
            if note is None:
                raise Tampered(place, f"it is for {one.size} events, and no such checkpoint is left")
            try:
                verifier = verifier_of(one.key)
                cosigned_at(note + one.line, verifier)
            except CheckpointRefused as error:
                raise Tampered(place, str(error)) from None
            found[verifier.name] = one.size
        return found

    def _follow(self, place: str, body: Mapping[str, Any], digest: str) -> None:
        try:
            writer, number, previous = str(body["writer"]), int(body["number"]), str(body["previous"])
            action, epoch, node = str(body["action"]), body["epoch"], str(body["node"])
        except (KeyError, TypeError, ValueError):
            raise Tampered(place, "its text is no event") from None
        last = self._last.get(writer)
        expected, before = (0, FIRST) if last is None else (last[0] + 1, last[1])
        if number != expected:
            raise Tampered(place, f"expected event {expected} of its writer {writer}, found {number}")
        if previous != before:
            raise Tampered(place, f"it does not follow from event {expected - 1} of its writer {writer}")
        self._last[writer] = (number, digest)
        if action == "leader.elect" and isinstance(epoch, int):
            leader = self._leaders.setdefault(epoch, node)
            if leader != node:
                raise Tampered(place, f"{leader} and {node} were both elected in epoch {epoch}")
            self.epoch = max(self.epoch, epoch)

    def _check(self, note: str) -> None:
        place = f"checkpoint {self.tree.size}"
        try:
            signed = read_checkpoint(note, self.verifier)
        except CheckpointRefused as error:
            raise Tampered(place, str(error)) from None
        if signed.size != self.tree.size or signed.root != self.tree.root():
            raise Tampered(place, "the events up to here are not those that were signed")


def verified(verification: Verification, events: Iterable[Event]) -> int:
    """How many events there are in the tree, all of them good. Raises :class:`Tampered`."""
    for event in events:
        if event.index is None:
            verification.wait(event)
        else:
            verification.add(event)
    verification.end()
    return verification.tree.size
