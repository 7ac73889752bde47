"""A promise file is the old one or the new one, and a damaged one is told from both."""

import resource
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from rppam.cluster.consensus.membership import Membership, QuorumPolicy, Version, VoterSet, founding
from rppam.cluster.consensus.messages import NO_CANDIDACY, Candidacy, PersistedVote
from rppam.cluster.errors import PromiseFileBroken, PromiseFileUnwritable
from rppam.cluster.store.vote_file import FILE_NAME, FilePromises, encode

THREE = VoterSet.of(("node1", "node2", "node3"), QuorumPolicy.MAJORITY, ("node3",))
FOUNDED = founding("0123456789abcdef", THREE)
PENDING = Membership("0123456789abcdef", Version(17, 2), VoterSet.of(("node1", "node2"), QuorumPolicy.MAJORITY), THREE)
CLAIM = Candidacy("node1", "9f0c1d2e3a4b5c6d", 1_795_478_400_123)
SOME = [
    PersistedVote(NO_CANDIDACY, None),
    PersistedVote(NO_CANDIDACY, FOUNDED),
    PersistedVote(CLAIM, None),
    PersistedVote(CLAIM, FOUNDED),
    PersistedVote(CLAIM, PENDING),
]


@pytest.fixture
def promises(tmp_path: Path) -> FilePromises:
    return FilePromises(tmp_path / FILE_NAME)


def test_nothing_was_kept_where_no_file_is(promises: FilePromises) -> None:
    assert promises.load() is None


@pytest.mark.parametrize("kept", SOME)
def test_what_was_kept_is_read_again_by_the_next_life(promises: FilePromises, kept: PersistedVote) -> None:
    promises.save(PersistedVote(CLAIM, PENDING))
    promises.save(kept)
    assert FilePromises(promises.path).load() == kept
    assert promises.path.stat().st_mode & 0o777 == 0o600
    assert list(promises.path.parent.iterdir()) == [promises.path]


@pytest.mark.parametrize("kept", SOME)
def test_a_file_torn_at_any_byte_is_refused(promises: FilePromises, kept: PersistedVote) -> None:
    whole = encode(kept)
    for length in range(len(whole)):
        promises.path.write_bytes(whole[:length])
        with pytest.raises(PromiseFileBroken, match=r"promise: expected what this member promised, found .*remove"):
            promises.load()
    promises.path.write_bytes(whole)
    assert promises.load() == kept


@given(place=st.integers(0), bit=st.integers(0, 7))
def test_a_flipped_bit_is_refused(tmp_path_factory: pytest.TempPathFactory, place: int, bit: int) -> None:
    path = tmp_path_factory.getbasetemp() / "flipped"
    content = bytearray(encode(PersistedVote(CLAIM, PENDING)))
    content[place % len(content)] ^= 1 << bit
    path.write_bytes(content)
    with pytest.raises(PromiseFileBroken):
        FilePromises(path).load()


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "an empty file"),
        (b"\0" * 300, "300 bytes that are not a whole file"),
        (b"x" * 100_000, "more than 65536 bytes"),
        (
            encode(PersistedVote(CLAIM, None)).replace(b"promise2", b"promise3"),
            "format 'rppam-promise3' of another version",
        ),
        (encode(PersistedVote(CLAIM, None)).replace(b"400123", b"400124"), "a checksum that does not match"),
        (encode(PersistedVote(CLAIM, None)) * 2, "bytes that are not a whole file"),
    ],
)
def test_a_file_that_is_something_else_is_told_with_what_it_is(
    promises: FilePromises, content: bytes, found: str
) -> None:
    promises.path.write_bytes(content)
    with pytest.raises(PromiseFileBroken) as caught:
        promises.load()
    assert found in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_list_of_members_that_cannot_be_understood_is_refused_though_its_sum_is_right(promises: FilePromises) -> None:
    odd = FOUNDED._replace(lineage="not a lineage")
    promises.path.write_bytes(encode(PersistedVote(CLAIM, odd)))
    with pytest.raises(PromiseFileBroken, match="list of members that cannot be understood"):
        promises.load()


def test_a_path_that_is_no_file_is_broken(promises: FilePromises) -> None:
    promises.path.mkdir()
    with pytest.raises(PromiseFileBroken, match="cannot be read"):
        promises.load()


def test_a_directory_that_is_gone_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(PromiseFileUnwritable, match="does not vote"):
        FilePromises(tmp_path / "absent" / FILE_NAME).save(PersistedVote(CLAIM, FOUNDED))


def test_a_directory_of_somebody_else_cannot_be_written(tmp_path: Path) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir(mode=0o755)
    FilePromises(folder / FILE_NAME).save(SOME[0])
    # Root may write anywhere, so a process without that right tries; the path to the folder stays open to it.
    script = f"""
        import os
        from pathlib import Path
        from rppam.cluster.store.vote_file import FilePromises
        from rppam.cluster.consensus.messages import PersistedVote, NO_CANDIDACY
        from rppam.cluster.errors import PromiseFileUnwritable
        os.chdir({str(folder)!r})
        if os.getuid() == 0:
            os.setgid(65534)
            os.setuid(65534)
        else:
            os.chmod(".", 0o500)
        try:
            FilePromises(Path("promise")).save(PersistedVote(NO_CANDIDACY, None))
        except PromiseFileUnwritable as error:
            print(error)
    """
    assert "Permission denied" in _run(script)
    folder.chmod(0o755)


def test_a_full_disk_leaves_the_old_file(promises: FilePromises) -> None:
    promises.save(PersistedVote(CLAIM, FOUNDED))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        for limit in (0, 1, 50, len(encode(PersistedVote(CLAIM, PENDING))) - 1):
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
            with pytest.raises(PromiseFileUnwritable, match="File too large"):
                promises.save(PersistedVote(CLAIM, PENDING))
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            assert promises.load() == PersistedVote(CLAIM, FOUNDED)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    promises.save(PersistedVote(CLAIM, PENDING))
    assert promises.load() == PersistedVote(CLAIM, PENDING)


@pytest.mark.integration
def test_a_process_killed_while_it_saves_leaves_a_whole_file(promises: FilePromises) -> None:
    script = f"""
        from pathlib import Path
        from rppam.cluster.store.vote_file import FilePromises
        from rppam.cluster.consensus.messages import Candidacy, PersistedVote
        from rppam.cluster.consensus.membership import VoterSet, QuorumPolicy, founding
        promises = FilePromises(Path({str(promises.path)!r}))
        kept = promises.load()
        epoch = kept.candidacy.epoch if kept else 0
        body = VoterSet.of(tuple("n%02d" % number for number in range(60)), QuorumPolicy.MAJORITY)
        while True:
            epoch += 1
            candidacy = Candidacy("node1", "9f0c1d2e3a4b5c6d", epoch)
            promises.save(PersistedVote(candidacy, founding("0123456789abcdef", body)))
            print(epoch, flush=True)
    """
    told = 0
    for lines in range(1, 9):
        child = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, text=True, cwd=Path.cwd()
        )
        assert child.stdout is not None
        with child.stdout:
            for _ in range(lines * 3):
                told = int(child.stdout.readline())
            child.kill()
            told = max([told, *(int(line) for line in child.stdout.read().split("\n")[:-1])])
        child.wait()
        kept = promises.load()
        assert kept is not None
        # What was said to be on disk is there; one more may be, which was saved and not yet told.
        assert kept.candidacy.epoch in {told, told + 1}


def _run(script: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True, timeout=30
    )
    return done.stdout
