"""Signing keys on disk: made private, shared as files, and refused when somebody else could read or add one."""

import stat
from pathlib import Path

import pytest

from rppam.access.tokens.key_files import FILES_MAX, create_signing_key, ensure_signing_keys, load_signing_keys
from rppam.access.tokens.service import KeySet
from rppam.http.serving_errors import SigningKeyError
from rppam.kernel.instant import WallMs

NOON = WallMs(1_772_366_400_000)  # 2026-03-01T12:00:00Z


def test_a_key_is_made_private_and_named_after_its_time(tmp_path: Path) -> None:
    directory = tmp_path / "a" / "keys"
    path = create_signing_key(directory, now_ms=NOON)
    assert path.name.startswith("jwt-20260301T120000Z-")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert list(directory.iterdir()) == [path], "no temporary file is left"
    [key] = load_signing_keys(directory)
    assert (key.name, key.signs_from_s) == (path.name, NOON // 1000)
    assert KeySet([key]).signing(NOON // 1000).algorithm == "ES256"
    assert "PRIVATE" not in repr(key)


def test_a_copied_directory_gives_every_node_the_same_key_ids(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    path = create_signing_key(one, now_ms=NOON)
    two.mkdir(mode=0o700)
    (two / path.name).write_bytes(path.read_bytes())
    (two / path.name).chmod(0o600)
    assert KeySet(load_signing_keys(one)).public() == KeySet(load_signing_keys(two)).public()


def test_keys_come_oldest_first_and_an_undated_one_is_the_oldest(tmp_path: Path) -> None:
    later = create_signing_key(tmp_path, now_ms=WallMs(NOON + 5000))
    first = create_signing_key(tmp_path, now_ms=NOON)
    own = create_signing_key(tmp_path, now_ms=NOON).rename(tmp_path / "jwt-signing.key")
    assert [key.name for key in load_signing_keys(tmp_path)] == [own.name, first.name, later.name]


def test_what_is_not_a_signing_key_is_left_alone(tmp_path: Path) -> None:
    path = create_signing_key(tmp_path, now_ms=NOON)
    for name in ("config.key", "cluster.key", ".jwt-half", "notes.txt"):
        (tmp_path / name).write_text("other")
    assert [key.name for key in load_signing_keys(tmp_path)] == [path.name]


def test_the_first_start_makes_one_key_and_the_next_ones_none(tmp_path: Path) -> None:
    directory = tmp_path / "keys"
    first = ensure_signing_keys(directory, now_ms=NOON)
    assert ensure_signing_keys(directory, now_ms=WallMs(NOON + 9999)) == first
    with_others = tmp_path / "others"
    with_others.mkdir(mode=0o700)
    (with_others / "config.key").write_text("x")
    assert len(ensure_signing_keys(with_others, now_ms=NOON)) == 1


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o777])
def test_a_key_others_can_read_is_refused_with_the_cure(tmp_path: Path, mode: int) -> None:
    path = create_signing_key(tmp_path, now_ms=NOON)
    path.chmod(mode)
    with pytest.raises(SigningKeyError, match=f"mode 0{mode:o}, expected 0600.*chmod 600 {path}"):
        load_signing_keys(tmp_path)


def test_a_directory_others_can_write_to_is_refused(tmp_path: Path) -> None:
    create_signing_key(tmp_path, now_ms=NOON)
    tmp_path.chmod(0o770)
    with pytest.raises(SigningKeyError, match="others could add a key"):
        load_signing_keys(tmp_path)


def test_nothing_there_says_where_to_get_it(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    for directory in (tmp_path, tmp_path / "missing"):
        with pytest.raises(SigningKeyError, match=r"rppam init.*copy the directory from another node"):
            load_signing_keys(directory)


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"\xff\xfe", "not ASCII"), (b"x" * 70_000, "larger than any key")],
)
def test_a_file_that_cannot_be_a_key_is_named(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "jwt.pem"
    path.write_bytes(content)
    path.chmod(0o600)
    tmp_path.chmod(0o700)
    with pytest.raises(SigningKeyError, match=reason):
        load_signing_keys(tmp_path)


def test_a_directory_or_a_dangling_link_in_place_of_a_key_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    (tmp_path / "jwt-a.pem").mkdir()
    with pytest.raises(SigningKeyError, match=r"jwt-a\.pem"):
        load_signing_keys(tmp_path)
    (tmp_path / "jwt-a.pem").rmdir()
    (tmp_path / "jwt-b.pem").symlink_to(tmp_path / "nowhere")
    with pytest.raises(SigningKeyError, match=r"jwt-b\.pem cannot be read: No such file"):
        load_signing_keys(tmp_path)
    (tmp_path / "jwt-b.pem").unlink()
    (tmp_path / "jwt-20269901T120000Z-01234567.pem").write_text("x")
    (tmp_path / "jwt-20269901T120000Z-01234567.pem").chmod(0o600)
    with pytest.raises(SigningKeyError, match="holds no time"):
        load_signing_keys(tmp_path)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(SigningKeyError, match="cannot be written"):
        create_signing_key(tmp_path / "file" / "keys", now_ms=NOON)


def test_too_many_keys_are_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    for number in range(FILES_MAX + 1):
        (tmp_path / f"jwt-{number}.pem").write_text("x")
    with pytest.raises(SigningKeyError, match=f"holds {FILES_MAX + 1} keys"):
        load_signing_keys(tmp_path)
