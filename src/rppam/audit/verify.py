"""Verification of a whole ledger: each event's text, each writer's chain, the tree, and every signature over it.

Decides whether what was handed in is what was recorded; the first place that is not is named. It reads events in the
order of the tree, so it needs little memory. It trusts the key that it is given and nothing else: not the hashes beside
the events, and not the subtrees that the database keeps. What stands beside them only helps to name the very event that
was changed, and not the one that follows it.
"""

import hashlib
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
from rppam.ledger.leading import ACTION as CONTEXT
from rppam.ledger.merkle import Frontier
from rppam.ledger.model import FIRST, Event, Remains


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


class _Batch:
    """Events that were pruned together, as they are found."""

    def __init__(self, place: str) -> None:
        self.place, self.count, self.digest = place, 0, hashlib.sha256()
        """Where the first of them is, how many there are, and of their hashes."""


@dataclass
class Verification:
    """A verification under way: give it checkpoints, then events in order, then ask for its end."""

    verifier: Verifier
    notes: Mapping[int, str]
    """The signed notes by size."""
    seen: Checkpoint | None = None
    """What this host has seen signed, if anything."""
    tree: Frontier = field(default_factory=Frontier)
    epochs: dict[str, int] = field(default_factory=dict)
    """The epoch of the last election, and of the last ``checkpoint.context``. Neither falls; one may be ahead of the
    other, as an election waits for its place behind what was recorded before it."""
    archived: int = 0
    """Of how many events there is only the hash."""
    batches: int | None = None
    """How many batches were pruned when the reading began; ``None``: it does not change while it is read."""
    is_part: bool = False
    """It does not begin at the first event: what writers did before is not known."""
    _gone: dict[int, "_Batch"] = field(default_factory=dict)
    _told: dict[int, tuple[int, str]] = field(default_factory=dict)
    """What ``ledger.prune`` says of each batch: how many, and the digest."""
    _last: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Of each writer its last event: the number, and the hash."""
    _where: dict[str, str] = field(default_factory=dict)
    """The place of that."""
    _leaders: dict[int, str] = field(default_factory=dict)

    def begin(self) -> None:
        """A part begins where a signed tree ends. Raises :class:`Tampered`."""
        note = self.notes.get(self.tree.size)
        if note is None:
            raise Tampered(f"event {self.tree.size}", "the part does not begin where a checkpoint was signed")
        self._check(note)

    def add(self, event: Event) -> None:
        """The next event of the tree. Raises :class:`Tampered`."""
        index = self.tree.size
        if event.index != index:
            raise Tampered(f"event {index}", f"expected it here, found event {event.index}: some are missing or moved")
        digest = event.hash
        if event.remains is not None:
            self._leave(f"event {index}", event.remains, digest)
        else:
            self._follow(f"event {index}", event, digest.hex())
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
        self._follow("", event, event.hash.hex())

    def end(self) -> None:
        """All events were added. Raises :class:`Tampered` where some are missing that were signed."""
        newest = max(self.notes, default=0)
        if newest > self.tree.size:
            raise Tampered(f"event {self.tree.size}", f"{newest} events were signed, and the rest is missing")
        self._end_batches()
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

    def _leave(self, place: str, remains: Remains, digest: bytes) -> None:
        """An event of which there is only the hash."""
        self._next(place, remains.writer, remains.number, digest.hex())
        batch = self._gone.setdefault(remains.batch, _Batch(place))
        batch.count += 1
        batch.digest.update(digest)
        self.archived += 1

    def _end_batches(self) -> None:
        """What was pruned is what the ledger says was pruned; of a part the end may say it, which is not here."""
        for number, batch in self._gone.items():
            found = self._told.get(number)
            if found == (batch.count, batch.digest.hexdigest()) or (found is None and self.is_part):
                continue
            if self.batches is not None and number > self.batches:
                continue  # pruned while this was read
            raise Tampered(batch.place, "there is only its hash, and no event says that it was pruned so")
        for number in self._told.keys() - self._gone.keys():
            if not self.is_part and (self.batches is None or number <= self.batches):
                raise Tampered(f"batch {number} of pruned events", "it was pruned, and is here with its texts")

    def _next(self, place: str, writer: str, number: int, digest: str) -> tuple[str, str] | None:
        """The writer's next event; hash and place of the one before it, ``None`` where that is not known."""
        last, where = self._last.get(writer), self._where.get(writer, "")
        self._last[writer], self._where[writer] = (number, digest), place
        if last is None and self.is_part:
            return None
        expected, before = (0, FIRST) if last is None else (last[0] + 1, last[1])
        if number < expected:
            raise Tampered(
                place,
                f"it is a second event {number} of the writer {writer}, of which {expected} comes next: two writers "
                "had one identity, or it was copied or moved",
            )
        if number != expected:
            raise Tampered(
                place, f"expected event {expected} of its writer {writer}, found {number}: some were removed or moved"
            )
        return before, where

    def _follow(self, place: str, event: Event, digest: str) -> None:
        try:
            body = event.body
            place = place or f"event {body['id']}, which waits for its place"
            writer, number, previous = str(body["writer"]), int(body["number"]), str(body["previous"])
            action, epoch, target = str(body["action"]), body["epoch"], str(body["object"]["id"])
        except (KeyError, TypeError, ValueError):
            raise Tampered(place or "an event that waits for its place", "its text is no event") from None
        if event.noted and event.noted != digest:
            raise Tampered(place, "its text is not the one that was hashed")
        before = self._next(place, writer, number, digest)
        if before is not None and previous != before[0]:
            if not before[1]:
                raise Tampered(place, f"it does not begin the chain of its writer {writer}")
            raise Tampered(
                f"{before[1]} or {place}",
                f"the latter does not follow from event {number - 1} of its writer {writer}: one of them was changed",
            )
        if action == "ledger.prune":
            self._tell(place, body)
        if action == "leader.elect" and isinstance(epoch, int):
            self._lead(place, action, epoch, target)
        if action == CONTEXT:
            self._tell_context(place, body)

    def _lead(self, place: str, action: str, epoch: int, node: str) -> None:
        """A node led in an epoch: no other did, and none of a later one before it."""
        leader = self._leaders.setdefault(epoch, node)
        if leader != node:
            raise Tampered(place, f"{leader} and {node} were both elected in epoch {epoch}")
        before = self.epochs.get(action, 0)
        if epoch < before:
            raise Tampered(place, f"the epoch falls from {before} to {epoch}: a leader of the past has written it")
        self.epochs[action] = epoch

    def _tell_context(self, place: str, body: Mapping[str, Any]) -> None:
        try:
            leader, epoch = str(body["details"]["leader"]), int(body["epoch"])
            heads = [(str(writer), int(number), str(digest)) for writer, number, digest in body["details"]["heads"]]
        except (KeyError, TypeError, ValueError):
            raise Tampered(place, "it does not say who leads and how far the writers had come") from None
        self._lead(place, CONTEXT, epoch, leader)
        for writer, number, digest in heads:
            last = self._last.get(writer)
            if last is None and self.is_part:
                self._last[writer], self._where[writer] = (number, digest), place
            elif last is None or last[0] < number:
                found = "there is none" if last is None else f"there are those up to {last[0]}"
                raise Tampered(
                    place,
                    f"it says that the writer {writer} had come to its event {number}, and before it {found}: the rest "
                    "was cut off",
                )
            elif last != (number, digest):
                raise Tampered(
                    place,
                    f"it says that the writer {writer} had come to its event {number}, and before it there is another "
                    f"last one, {last[0]}",
                )

    def _tell(self, place: str, body: Mapping[str, Any]) -> None:
        try:
            details = body["details"]
            self._told[int(details["batch"])] = int(details["count"]), str(details["sha256"])
        except (KeyError, TypeError, ValueError):
            raise Tampered(place, "it does not say what was pruned") from None

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
