"""A next key that cannot be read stops nothing; the key itself and the previous one do."""

import stat
from pathlib import Path

import pytest

from rppam.cluster.errors import ClusterKeyUnusable
from rppam.cluster.link.key_files import SealingSecrets, next_of, previous_of, read_sealing_keys, tell_left_out
from rppam.crypto.errors import SealingKeyMissing

KEY, NEXT = "1" * 64, "2" * 64


def write(path: Path, key: str, mode: int = 0o600) -> Path:
    path.write_text(key + "\n", encoding="ascii")
    path.chmod(mode)
    return path


@pytest.mark.parametrize("name", ["sealing.key", "cluster.key"])
def test_a_next_key_that_others_may_read_is_left_out_and_told_once(
    tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    key = write(tmp_path / name, KEY)
    write(next_of(key), NEXT, 0o644)
    secrets = SealingSecrets(tmp_path / "cluster.key", tmp_path, alone=False)
    for _ in range(3):
        assert secrets().own.reveal() == KEY
        assert secrets().coming == ()
    assert caplog.text.count("the next key is left out") == 1
    assert stat.S_IMODE(next_of(key).stat().st_mode) == 0o644
    next_of(key).chmod(0o600)
    assert [one.reveal() for one in secrets().coming] == [NEXT]


def test_the_key_itself_and_the_previous_one_stay_fatal(tmp_path: Path) -> None:
    key = write(tmp_path / "sealing.key", KEY)
    secrets = SealingSecrets(tmp_path / "cluster.key", tmp_path, alone=False)
    write(previous_of(key), NEXT, 0o644)
    with pytest.raises(SealingKeyMissing, match=r"sealing\.key\.previous"):
        secrets()
    previous_of(key).unlink()
    key.chmod(0o644)
    with pytest.raises(SealingKeyMissing, match=r"sealing\.key"):
        secrets()


def test_who_does_not_ask_to_be_told_is_refused(tmp_path: Path) -> None:
    key = write(tmp_path / "sealing.key", KEY)
    write(next_of(key), NEXT, 0o644)
    with pytest.raises(ClusterKeyUnusable):
        read_sealing_keys(key, tmp_path / "cluster.key")
    assert read_sealing_keys(key, tmp_path / "cluster.key", tell_left_out).coming == ()
