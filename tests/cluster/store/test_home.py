"""Whose a promise file is: what is another host or a copy, and what is none of it."""

import os
import shutil
import time
from pathlib import Path

import pytest

from rppam.cluster.consensus.membership import QuorumPolicy, VoterSet, founding
from rppam.cluster.consensus.messages import NO_CANDIDACY, Candidacy, PersistedVote
from rppam.cluster.errors import PromiseFileStrange, PromiseFileUnwritable
from rppam.cluster.store.home import NO_MARK, Home, Mark, born_ns, is_container, look_at_home, why_strange
from rppam.cluster.store.vote_file import FILE_NAME, FORMAT_BEFORE, FilePromises, encode

FOUNDED = founding("0123456789abcdef", VoterSet.of(("node1", "node2"), QuorumPolicy.MAJORITY))
KEPT = PersistedVote(Candidacy("node1", "9f0c1d2e3a4b5c6d", 17), FOUNDED, 17)
HERE = Home("a" * 16, frozenset({"1" * 16, "2" * 16}))
MACHINE_ID = "0123456789abcdef0123456789abcdef"
APART_S = 0.1
"""Longer than two files may seem to be made at once."""


def a_host(root: Path, machine_id: str | None = MACHINE_ID, cards: dict[str, tuple[str, str]] | None = None) -> Path:
    (root / "etc").mkdir(parents=True)
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/mountinfo").write_text("22 1 8:1 / / rw - ext4 /dev/sda1 rw\n")
    if machine_id is not None:
        (root / "etc/machine-id").write_text(machine_id + "\n")
    for name, (address, kind) in (cards or {"eth0": ("52:54:00:12:34:56", "0")}).items():
        card = root / "sys/class/net" / name
        (card / "device").mkdir(parents=True)
        for file, text in (("type", "1"), ("address", address), ("addr_assign_type", kind)):
            (card / file).write_text(text + "\n")
    return root


def begun(path: Path, home: Home = HERE) -> FilePromises:
    promises = FilePromises(path / FILE_NAME, home)
    promises.begin()
    return promises


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    FilePromises(folder / FILE_NAME, HERE).save(KEPT)
    with (folder / FILE_NAME).open("rb") as file:
        if not born_ns(file.fileno(), folder / FILE_NAME):
            pytest.skip("this file system does not keep when a file was made")
    time.sleep(APART_S)
    return folder


def test_each_start_of_its_own_host_is_counted_on_disk(place: Path) -> None:
    for starts in (1, 2, 3):
        promises = begun(place)
        assert (promises.strange, promises.starts) == ("", starts)
    assert b" starts 3\n" in (place / FILE_NAME).read_bytes()


@pytest.mark.parametrize("how", ["copied folder", "restored over it", "copied file"])
def test_a_copy_is_strange_and_stays_so_over_starts_until_it_is_adopted(place: Path, tmp_path: Path, how: str) -> None:
    if how == "copied folder":
        shutil.copytree(place, tmp_path / "copy")
        place = tmp_path / "copy"
    elif how == "restored over it":
        (place / "backup").write_bytes((place / FILE_NAME).read_bytes())
        (place / "backup").replace(place / FILE_NAME)
    else:
        shutil.copy2(place / FILE_NAME, tmp_path / FILE_NAME)
        place = tmp_path
    before = (place / FILE_NAME).read_bytes()
    for promises in (begun(place), begun(place)):
        assert "it is a copy" in promises.strange
        assert "rppam cluster adopt" in promises.strange
        with pytest.raises(PromiseFileStrange):
            promises.save(KEPT)
    assert (place / FILE_NAME).read_bytes() == before
    begun(place).adopt(KEPT)
    later = FilePromises(place / FILE_NAME, HERE)
    assert later.load() == KEPT
    assert later.strange == ""


def test_what_is_moved_within_its_file_system_is_no_copy(place: Path) -> None:
    assert begun(place.rename(place.with_name("moved"))).strange == ""


def test_the_file_of_another_host_is_strange_though_nothing_tells_when_it_was_made(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(encode(KEPT, Mark(HERE._replace(machine="b" * 16), 0, 3)))
    assert "another host" in begun(tmp_path).strange


def test_a_file_of_the_release_before_is_taken_over_and_marked(tmp_path: Path) -> None:
    import hashlib

    signed = "\n".join(encode(KEPT).decode().splitlines()[:4]).replace("rppam-promise2", FORMAT_BEFORE) + "\n"
    (tmp_path / FILE_NAME).write_text(f"{signed}sha256 {hashlib.sha256(signed.encode()).hexdigest()}\n")
    promises = FilePromises(tmp_path / FILE_NAME, HERE)
    assert promises.begin() == (KEPT, "")
    assert promises.is_taken_over
    assert promises.strange == ""
    again = FilePromises(tmp_path / FILE_NAME, HERE)
    assert again.begin() == (KEPT, "")
    assert (again.is_taken_over, again.starts) == (False, 2)
    other = FilePromises(tmp_path / FILE_NAME, Home("c" * 16))
    other.begin()
    assert "another host" in other.strange


def test_a_file_that_belongs_to_no_cluster_is_nobodys_vote_and_needs_no_word(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(encode(PersistedVote(NO_CANDIDACY, None), Mark(Home("b" * 16), 0, 3)))
    assert begun(tmp_path).strange == ""


def test_what_is_not_known_here_is_not_forgotten(tmp_path: Path) -> None:
    """A host whose machine id cannot be read for once does not lose what its file says of it."""
    (tmp_path / FILE_NAME).write_bytes(encode(KEPT, Mark(HERE, 0, 3)))
    assert begun(tmp_path, Home()).strange == ""
    assert "another host" in begun(tmp_path, Home("b" * 16)).strange


@pytest.mark.parametrize(
    ("mark", "here", "born", "strange"),
    [
        (NO_MARK, HERE, 5, False),
        (Mark(HERE, 10**9, 1), HERE, 10**9, False),
        (Mark(HERE, 10**9, 1), HERE, 10**9 + 10_000_000, False),  # a file system that keeps hundredths of a second
        (Mark(HERE, 10**9, 1), HERE, 2 * 10**9, True),
        (Mark(HERE, 10**9, 1), HERE, 0, False),  # moved to a disk that does not keep it
        (Mark(HERE, 0, 1), HERE._replace(machine=""), 0, False),
        (Mark(HERE, 0, 1), HERE._replace(machine="b" * 16), 0, True),
        (Mark(HERE, 0, 1), HERE._replace(cards=frozenset({"2" * 16, "3" * 16})), 0, False),  # one card replaced
        (Mark(HERE, 0, 1), HERE._replace(cards=frozenset()), 0, False),
        (Mark(HERE, 0, 1), HERE._replace(cards=frozenset({"3" * 16})), 0, True),  # a clone that kept its machine id
    ],
)
def test_only_what_both_sides_know_is_judged(mark: Mark, here: Home, born: int, strange: bool) -> None:
    assert bool(why_strange(mark, here, born)) is strange


def test_a_host_is_known_by_its_machine_id_and_its_cards_and_by_hashes_only(tmp_path: Path) -> None:
    cards = {
        "eth0": ("52:54:00:12:34:56", "0"),
        "made-up": ("52:54:00:00:00:01", "1"),
        "lo": ("00:00:00:00:00:00", "0"),
    }
    home = look_at_home(a_host(tmp_path, cards=cards))
    assert len(home.cards) == 1
    assert home.machine
    assert MACHINE_ID[:8] not in f"{home}"
    other = look_at_home(a_host(tmp_path / "other", "f" * 32))
    assert other.machine != home.machine
    assert other.cards == home.cards


@pytest.mark.parametrize("text", [None, "", "uninitialized", "0" * 32, "not an id"])
def test_a_host_without_a_machine_id_has_none_and_no_alarm(tmp_path: Path, text: str | None) -> None:
    home = look_at_home(a_host(tmp_path, text))
    assert home.machine == ""
    assert why_strange(Mark(home, 0, 1), home, 0) == ""


@pytest.mark.parametrize("how", [".dockerenv", "run/.containerenv", "overlay"])
def test_a_container_is_known_by_its_disk_alone(tmp_path: Path, how: str) -> None:
    """Its machine id is its image's, and its cards are new with each one that is made."""
    root = a_host(tmp_path)
    assert not is_container(root)
    if how == "overlay":
        (root / "proc/self/mountinfo").write_text("22 1 0:1 / / rw - overlay overlay rw\n")
    else:
        (root / how).parent.mkdir(exist_ok=True)
        (root / how).touch()
    assert look_at_home(root) == Home()


def test_a_trial_writes_as_much_as_a_promise_and_leaves_nothing(place: Path) -> None:
    promises, synced, fsync = begun(place), [], os.fsync

    def noted(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_size)
        fsync(descriptor)

    before = (place / FILE_NAME).read_bytes()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", noted)
        promises.try_out(KEPT)
    assert synced[0] == len(before)
    assert list(place.iterdir()) == [place / FILE_NAME]
    assert (place / FILE_NAME).read_bytes() == before
    place.rename(place.with_name("gone"))
    with pytest.raises(PromiseFileUnwritable, match="does not vote"):
        promises.try_out(KEPT)
