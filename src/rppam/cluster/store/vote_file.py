"""What a member promised, in one small file that is always the old one or the new one.

::

    rppam-promise2
    claim node1 9f0c1d2e3a4b5c6d 1795478400123
    highest 1795478400123
    electorate rppam-electorate1 5b1e90aa5b1e90aa 0 1 majority:node1,node2,node3
    home 41b2c3d4e5f60718 0a1b2c3d4e5f6071,9f0c1d2e3a4b5c6d
    made 1795478400123456789 starts 17
    sha256 51b2...

A new file is written beside it, synced, renamed over it, and the directory is synced: once ``save`` has returned, the
member may answer. The checksum tells a torn or an edited file from a good one. The last lines say to whom it belongs,
see ``home``: with the file of another host, or a copy, nobody votes before an operator has said that the other one is
off for good. A file of format 1 has no such lines and is taken over as this host's own.

What it does not promise: protection against somebody who can write the directory and knows how to make a checksum, nor
against a disk that lies about syncing.
"""

import hashlib
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from rppam.cluster.consensus.membership import Membership, QuorumPolicy, VoterSet, founding, parse_membership
from rppam.cluster.consensus.messages import NO_CANDIDACY, Candidacy, PersistedVote
from rppam.cluster.errors import PromiseFileBroken, PromiseFileStrange, PromiseFileUnwritable
from rppam.cluster.store.home import NO_MARK, Home, Mark, born_ns, look_at_home, why_strange
from rppam.kernel.entropy import Entropy
from rppam.kernel.files import replace_durably

FILE_NAME: Final = "promise"
"""Its name in the data directory."""
FORMAT: Final = "rppam-promise2"
FORMAT_BEFORE: Final = "rppam-promise1"
"""Of releases that did not write down whose it is."""
BYTES_MAX: Final = 64 * 1024
_NONE: Final = "-"
_ANEW: Final = (
    "While the other members run, stop this node, remove the file and start the node again: it waits for one lease and "
    "takes the list of members from the others"
)
STRANGE: Final = (
    "{path}: this member does not vote and does not lead, since its promise file is not its own: {why}. A clone beside "
    "the original would make two leaders. If the original is off for good, or this is it, moved or restored: stop this "
    "node, then 'rppam cluster adopt', and start it"
)
_CARDS: Final = r"-|[0-9a-f]{16}(?:,[0-9a-f]{16})*"
_FILE: Final = re.compile(
    rf"(?P<signed>(?:{FORMAT_BEFORE}|(?P<new>{FORMAT}))\n"
    r"claim (?P<claim>-|[a-z0-9][a-z0-9-]{0,62} [0-9a-f]{16} (?:0|[1-9][0-9]{0,14}))\n"
    r"highest (?P<highest>0|[1-9][0-9]{0,14})\n"
    r"electorate (?P<electorate>[^\n]+)\n"
    rf"(?(new)home (?P<machine>-|[0-9a-f]{{16}}) (?P<cards>{_CARDS})\n"
    r"made (?P<made>0|[1-9][0-9]{0,19}) starts (?P<starts>0|[1-9][0-9]{0,14})\n|))"
    r"sha256 (?P<sum>[0-9a-f]{64})\n"
)


class FilePromises:
    """What a member keeps over a restart. All calls may block for as long as the disk does."""

    def __init__(self, path: Path, home: Home | None = None) -> None:
        """The directory of ``path`` exists and belongs to this process alone. ``home``: by default, this host."""
        self.path = path
        self.strange = ""
        """Why nobody may vote with what was loaded; empty when it is this host's own."""
        self.starts = 0
        """How often this host has begun to use the file."""
        self.is_taken_over = False
        """Whether it did not say whose it is: an earlier release wrote it."""
        self._home = home
        self._read: Mark = NO_MARK

    @property
    def home(self) -> Home:
        if self._home is None:
            self._home = look_at_home()
        return self._home

    def load(self) -> PersistedVote | None:
        """Return what was kept; ``None`` when there is no file. Also notes to whom it belongs.

        Raises PromiseFileBroken for a file that cannot be read or understood.
        """
        try:
            with self.path.open("rb") as file:
                data = file.read(BYTES_MAX + 1)
                made = born_ns(file.fileno(), self.path)
        except FileNotFoundError:
            return None
        except OSError as error:
            why = f"a file that cannot be read ({error.strerror}). Let the account that runs rppam own it"
            raise self._broken(why) from None
        (kept, mark), found = _parse(data)
        if kept is None:
            raise self._broken(f"{found}. Check the disk")
        self._read, self.starts = mark or NO_MARK, (mark or NO_MARK).starts
        self.is_taken_over = mark is None
        why = "" if kept.membership is None else why_strange(self._read, self.home, made)  # else it is nobody's vote
        self.strange = STRANGE.format(path=self.path, why=why) if why else ""
        return kept

    def begin(self) -> tuple[PersistedVote | None, str]:
        """Load for a process that will vote: where the file is this host's own, one more start is on disk.

        Returns what was kept, and why the start could not be noted, which keeps no member from starting.
        """
        kept = self.load()
        if kept is None or self.strange:
            return kept, ""
        self.starts += 1
        try:
            self.save(kept)
        except PromiseFileUnwritable as error:
            return kept, str(error)
        return kept, ""

    def adopt(self, kept: PersistedVote) -> None:
        """Make the file this host's own, by an operator's word. Raises PromiseFileUnwritable."""
        self.strange, self._read = "", NO_MARK
        self.save(kept)

    def _broken(self, found: str) -> PromiseFileBroken:
        return PromiseFileBroken(f"{self.path}: expected what this member promised, found {found}. {_ANEW}")

    def save(self, kept: PersistedVote) -> None:
        """Replace the file; returns when the disk has it. Raises PromiseFileUnwritable, and PromiseFileStrange for a
        file that is not this host's own."""
        if self.strange:
            raise PromiseFileStrange(self.strange)
        self._replace(self.path, kept)

    def try_out(self, kept: PersistedVote) -> None:
        """Try ``save`` beside the file, in the same way, and leave nothing behind. Raises PromiseFileUnwritable."""
        probe = self.path.with_name(f".{self.path.name}.probe")
        try:
            self._replace(probe, kept)
        finally:
            with suppress(OSError):
                probe.unlink(missing_ok=True)

    def _replace(self, path: Path, kept: PersistedVote) -> None:
        home = Home(self.home.machine or self._read.home.machine, self.home.cards or self._read.home.cards)
        try:
            replace_durably(path, lambda new: encode(kept, Mark(home, born_ns(new, path), self.starts)))
        except OSError as error:
            with suppress(OSError):  # a full disk keeps no half of it
                path.with_name(f".{path.name}.part").unlink(missing_ok=True)
            raise PromiseFileUnwritable(
                f"{self.path}: expected to keep a promise on disk, found: {error.strerror}. Until this is put right "
                "this member does not vote: make room there, or let the account that runs rppam own the directory"
            ) from None


def encode(kept: PersistedVote, mark: Mark = NO_MARK) -> bytes:
    candidacy, membership, highest = kept
    (machine, cards), made, starts = mark
    who = _NONE if candidacy == NO_CANDIDACY else f"{candidacy.candidate} {candidacy.boot_id} {candidacy.epoch}"
    body = _NONE if membership is None else membership.encode()
    signed = (
        f"{FORMAT}\nclaim {who}\nhighest {highest}\nelectorate {body}\n"
        f"home {machine or _NONE} {','.join(sorted(cards)) or _NONE}\nmade {made} starts {starts}\n"
    )
    return f"{signed}sha256 {hashlib.sha256(signed.encode()).hexdigest()}\n".encode()


def _parse(data: bytes) -> tuple[tuple[PersistedVote | None, Mark | None], str]:
    """Return what is kept and whose it is (no mark where the format has none); or nothing, and what was found."""
    nothing = None, None
    if len(data) > BYTES_MAX:
        return nothing, f"more than {BYTES_MAX} bytes"
    text = data.decode("ascii", "replace")
    if not text:
        return nothing, "an empty file"
    first = text.partition("\n")[0]
    if first not in {FORMAT, FORMAT_BEFORE} and re.fullmatch(r"rppam-promise[0-9]+", first):
        return nothing, f"format {first!r} of another version of rppam, where this one knows {FORMAT!r}"
    match = _FILE.fullmatch(text)
    if match is None:
        return nothing, f"{len(data)} bytes that are not a whole file of format {FORMAT!r}"
    if hashlib.sha256(match["signed"].encode()).hexdigest() != match["sum"]:
        return nothing, "a checksum that does not match what stands above it"
    membership = None if match["electorate"] == _NONE else parse_membership(match["electorate"])
    if membership is None and match["electorate"] != _NONE:
        return nothing, "a list of members that cannot be understood"
    candidacy = NO_CANDIDACY
    if match["claim"] != _NONE:
        candidate, boot_id, epoch = match["claim"].split(" ")
        candidacy = Candidacy(candidate, boot_id, int(epoch))
    return (PersistedVote(candidacy, membership, int(match["highest"])), _mark(match)), ""


def _mark(match: re.Match[str]) -> Mark | None:
    if match["new"] is None:
        return None
    machine = "" if match["machine"] == _NONE else match["machine"]
    cards = frozenset() if match["cards"] == _NONE else frozenset(match["cards"].split(","))
    return Mark(Home(machine, cards), int(match["made"]), int(match["starts"]))


def found(
    homes: Mapping[str, Path], policy: QuorumPolicy, entropy: Entropy, witnesses: tuple[str, ...] = ()
) -> Membership:
    """Found a cluster of the members named in ``homes``; each path is that member's data directory.

    It is done once, by an operator (``rppam init``, ``rppam cluster found``, the demo); later members come by asking
    the leader. Founding twice makes two clusters that know nothing of each other: the lineage, drawn here, tells them
    apart.

    Where all of them are members of just this cluster already, nothing changes. Raises PromiseFileBroken and
    PromiseFileUnwritable.
    """
    body = VoterSet.of(tuple(homes), policy, witnesses)
    files = {name: FilePromises(home / FILE_NAME) for name, home in homes.items()}
    kept = {name: file.load() for name, file in files.items()}
    present = {entry.membership for entry in kept.values() if entry is not None}
    if len(present) == 1 and None not in kept.values():
        (membership,) = present
        if membership is not None and membership.old is None and membership.body == body:
            return membership
    membership = founding(entropy.nonce(), body)
    for name, file in files.items():
        before = kept[name]
        file.adopt(PersistedVote(NO_CANDIDACY, membership, 0 if before is None else before.highest))
    return membership
