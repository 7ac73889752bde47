"""A bundle: a ledger, or a part of it, in one file, to be verified anywhere with nothing but it and a public key.

JSON lines. The first names format, origin and key, then come the signed notes, then events in order. What stands for a
commitment is in it, too, unless the export left that out. Of events that were pruned there is the hash alone. A part
begins where a checkpoint was signed, and has the subtrees of the tree up to there.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, TextIO

from rppam.audit.verify import Cosignature
from rppam.ledger.errors import BundleUnreadable
from rppam.ledger.merkle import Frontier
from rppam.ledger.model import Event, Remains

FORMAT: Final = "rppam-ledger-1"
PART_FORMAT: Final = "rppam-ledger-part-1"


class Head(NamedTuple):
    """What stands before the events."""

    origin: str
    key: str
    notes: Mapping[int, str]
    """The signed notes by size."""
    cosigners: Sequence[Cosignature]
    start: Frontier = Frontier()
    """The tree before the first event."""


class Bundle(NamedTuple):
    """A bundle that is being read."""

    origin: str
    key: str
    notes: Mapping[int, str]
    cosigners: Sequence[Cosignature]
    events: Iterator[Event]
    total: int
    """How many events the exporter has written; 0 where it did not say."""
    start: Frontier


def write_bundle(file: TextIO, head: Head, events: Iterable[Event], count: int) -> int:
    """Write a bundle; how many events. Raises OSError."""
    first: dict[str, Any] = {"format": PART_FORMAT if head.start.size else FORMAT}
    first |= {"origin": head.origin, "key": head.key}
    if head.start.size:
        first |= {"first": head.start.size, "subtrees": head.start.pack().hex()}
    first |= {"notes": len(head.notes), "events": count, "cosigners": [one._asdict() for one in head.cosigners]}
    file.write(json.dumps(first) + "\n")
    file.writelines(json.dumps({"size": size, "note": note}) + "\n" for size, note in head.notes.items())
    written = 0
    for event in events:
        line: dict[str, Any] = {"index": event.index}
        line |= {"text": event.text} if event.remains is None else {"remains": event.remains._asdict()}
        if used := {ref: word for ref, word in event.words.items() if ref in event.text}:
            line["words"] = used
        file.write(json.dumps(line, ensure_ascii=False) + "\n")
        written += 1
    return written


def read_bundle(path: Path) -> Bundle:
    """The bundle at ``path``; its events are read as they are asked for. Raises :class:`BundleUnreadable`."""
    lines = _lines(path)
    head = next(lines, (0, {}))[1]
    if head.get("format") not in {FORMAT, PART_FORMAT}:
        raise BundleUnreadable(f"{path}: expected a first line with the format {FORMAT}, found something else")
    notes: dict[int, str] = {}
    try:
        for _ in range(int(head["notes"])):
            _, line = next(lines)
            notes[int(line["size"])] = str(line["note"])
        # A bundle of the release before names none.
        cosigners = [Cosignature(**one) for one in head.get("cosigners", ())]
        start = Frontier.unpack(int(head.get("first", 0)), bytes.fromhex(head.get("subtrees", "")))
        events = _events(path, lines)
        return Bundle(str(head["origin"]), str(head["key"]), notes, cosigners, events, int(head["events"]), start)
    except (StopIteration, KeyError, TypeError, ValueError):
        raise BundleUnreadable(f"{path}: the file ends within its signed notes, or they are none") from None


def _events(path: Path, lines: Iterator[tuple[int, dict[str, Any]]]) -> Iterator[Event]:
    for number, line in lines:
        text, index = line.get("text"), line.get("index")
        try:
            remains = None if "text" in line else Remains(**line["remains"])
        except (KeyError, TypeError):
            remains = text = None
        if not isinstance(text or "", str) or not isinstance(index, int | None) or text is remains is None:
            raise BundleUnreadable(f"{path}, line {number}: expected an event, found something else")
        yield Event(text or "", index, line.get("words") or {}, remains)


def _lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                found = json.loads(line)
                if not isinstance(found, dict):
                    raise BundleUnreadable(f"{path}, line {number}: expected an object")
                yield number, found
    except OSError as error:
        raise BundleUnreadable(f"{path}: {error.strerror}") from None
    except ValueError:
        raise BundleUnreadable(f"{path}: expected JSON in UTF-8, line by line") from None
