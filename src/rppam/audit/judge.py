"""A database's ledger, or a file's, verified for a command; and written to a file.

What was signed while a database is read is taken in, so a cluster that works on is no cause to call it tampered with.
"""

import sys
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

import click

from rppam.audit.bundle import Head, read_bundle, write_bundle
from rppam.audit.reading import PAGE, Reading
from rppam.audit.verify import Cosignature, Tampered, Verification, verified
from rppam.ledger.checkpoint import CheckpointRefused, Verifier, origin_of, verifier_of
from rppam.ledger.cosigner import SEEN_FILE, SeenFile
from rppam.ledger.errors import EventUnknown, LedgerBusy
from rppam.ledger.merkle import Frontier
from rppam.ledger.model import Event
from rppam.ledger.store import Query

_STEP: Final = 500


class Judged(NamedTuple):
    """What was found whole."""

    first: int
    """Index of the first event: 0 but for a part."""
    events: int
    archived: int
    """Of which there is only the hash."""
    cosigned: Mapping[str, int]

    def facts(self) -> dict[str, Any]:
        """For scripts."""
        facts: dict[str, Any] = {"events": self.events, "cosigned": dict(self.cosigned)}
        facts |= {"archived": self.archived} if self.archived else {}
        return facts | ({"first": self.first} if self.first else {})


def verify_database(config: Path | None, key: str | None, trusted: Collection[Verifier] = ()) -> Judged:
    """``trusted``: keys of cosigners, of which each has to have cosigned; no other one counts then.

    Raises :class:`Tampered`, and what opening and reading raise.
    """
    with Reading(config) as reading:
        seen = SeenFile(reading.settings.node.data_dir / SEEN_FILE).read()
        cosigners, notes = reading.cosigners(), reading.notes()
        verification = _verification(key or (seen.key if seen else reading.key()), notes, Frontier())
        verification.seen = seen.checkpoint if seen else None
        verification.batches = reading.ask(reading.archives.batches())
        events = _verified(verification, reading.judged(notes), 0, max(notes, default=0))
        notes |= reading.notes(max(notes, default=0))
        return Judged(0, events, verification.archived, _cosigned(verification, cosigners, trusted))


def verify_bundle(path: Path, key: str | None, trusted: Collection[Verifier] = ()) -> Judged:
    """As :func:`verify_database`. Raises :class:`Tampered`, :class:`~rppam.ledger.errors.BundleUnreadable`."""
    bundle = read_bundle(path)
    first = bundle.start.size
    verification = _verification(key or bundle.key, bundle.notes, bundle.start)
    if first:
        verification.is_part = True
        verification.begin()
    events = _verified(verification, bundle.events, first, first + bundle.total) - first
    return Judged(first, events, verification.archived, _cosigned(verification, bundle.cosigners, trusted))


def export_bundle(config: Path | None, path: Path) -> int:
    """Write the whole ledger to a file; how many events. Raises OSError, what reading raises, :class:`LedgerBusy`."""
    with Reading(config) as reading, path.open("w", encoding="utf-8") as file:
        cosigners, notes, key = reading.cosigners(), reading.notes(), _key(reading)
        head = Head(origin_of(reading.settings.cluster.cluster_id), key, notes, cosigners)
        count = max(notes, default=0)
        events = islice(reading.events(Query(limit=PAGE, placed=True, archived=True)), count)
        with closing(progress("exporting", 0, count, _told(events))) as shown:
            return write_bundle(file, head, shown, count)


def export_part(reading: Reading, path: Path, first: int, end: int, *, has_words: bool) -> None:
    """Write events from ``first`` to before ``end``, both of which were signed, to a file. Raises as above."""
    notes = {size: note for size, note in reading.notes(first - 1).items() if size <= end}
    start = reading.ask(reading.ledger.signed_at(first)).frontier if first else Frontier()
    cosigners = [one for one in reading.cosigners() if one.size in notes]
    head = Head(origin_of(reading.settings.cluster.cluster_id), _key(reading), notes, cosigners, start)
    found = islice(reading.events(Query(after=first - 1, limit=PAGE, placed=True, archived=True)), end - first)
    events = found if has_words else (Event(one.text, one.index, {}, one.remains) for one in found)
    with path.open("w", encoding="utf-8") as file, closing(progress("archiving", first, end, events)) as shown:
        write_bundle(file, head, shown, end - first)


def _key(reading: Reading) -> str:
    key = reading.key()
    if key is None:
        raise EventUnknown("the ledger has no signing key yet: a node that leads makes it")
    return key


def _told(events: Iterator[Event]) -> Iterator[Event]:
    """Every event; LedgerBusy at the end where what says that some were pruned is not among them."""
    pruned, told = set(), set()
    for event in events:
        if event.remains is not None:
            pruned.add(event.remains.batch)
        elif '"ledger.prune"' in event.text:
            with suppress(KeyError, TypeError, ValueError):
                told.add(int(event.body["details"]["batch"]))
        yield event
    if pruned != told:
        raise LedgerBusy("old events were pruned while the ledger was read")


def _verification(key: str | None, notes: Mapping[int, str], start: Frontier) -> Verification:
    if key is None:
        if notes:
            raise Tampered("the signing key", "there are signed checkpoints, and no key that has signed them")
        raise EventUnknown("the ledger has no signing key yet: a node that leads makes it")
    try:
        return Verification(verifier_of(key), notes, tree=start)
    except CheckpointRefused as error:
        raise Tampered("the signing key", str(error)) from None


def progress(
    label: str, first: int, end: int, events: Iterable[Event], *, is_hidden: bool = False
) -> Generator[Event, None, None]:
    """``events``, and on a terminal how far they are between two places of the tree, where that is far apart."""
    is_short = end - first < PAGE
    with click.progressbar(length=end - first, label=label, file=sys.stderr, hidden=is_short or is_hidden) as bar:
        for event in events:
            yield event
            done = 0 if event.index is None else event.index - first - bar.pos
            if done >= _STEP:
                bar.update(done)
        bar.update(max(0, end - first - bar.pos))


def _verified(verification: Verification, events: Iterator[Event], first: int, end: int) -> int:
    """As :func:`rppam.audit.verify.verified`, with progress on a terminal."""
    with closing(progress("verifying", first, end, events)) as shown:
        return verified(verification, shown)


def _cosigned(
    verification: Verification, cosigners: Sequence[Cosignature], trusted: Collection[Verifier]
) -> Mapping[str, int]:
    """How far each member has cosigned; with ``trusted`` keys, those alone, and each of them. Raises Tampered."""
    found = verification.cosigned(cosigners)
    if not trusted:
        return found
    keys = {_same(one) for one in trusted}
    # There may be two of one name, so what others have cosigned is not looked at again.
    believed = verification.cosigned(one for one in cosigners if _same(verifier_of(one.key)) in keys)
    for one in trusted:
        if one.name not in believed:
            why = "it is by another key than the one that is trusted" if one.name in found else "there is none"
            raise Tampered(f"the cosignature of {one.name}", why)
    return believed


def _same(verifier: Verifier) -> tuple[str, bytes]:
    """What two texts of one key have in common."""
    return verifier.name, verifier.key.public_bytes_raw()
