"""Whether the sentinel here knows the new name of CONFIG: by its file, or by what its unit said at the start."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from rppam.doctor import sentinel_conf
from rppam.doctor.sentinel_conf import TOLD, told_in
from tests.setup.made import rppam

SAYS = "sentinel monitor rppam-master 10.0.1.11 6379 2\nsentinel rename-command rppam-master CONFIG abc\n"


@pytest.fixture
def conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "sentinel.conf"
    monkeypatch.setattr(sentinel_conf, "SENTINEL_CONF", (path,))
    return path


def test_the_word_of_the_unit_is_believed_where_the_file_cannot_be_read(conf: Path, tmp_path: Path) -> None:
    told = tmp_path / "config-name"
    assert told_in(None, "rppam-master", told) == (None, "")
    told.write_text("rppam-master\n")
    assert told_in(None, "rppam-master", told) == (True, str(told))
    assert told_in(None, "another", told) == (None, ""), "of another group"
    conf.write_text(SAYS.splitlines()[0])
    assert told_in(None, "rppam-master", told) == (False, str(conf)), "the file itself goes before it"
    conf.write_text(SAYS)
    assert told_in(None, "rppam-master", told) == (True, str(conf))
    assert told_in(tmp_path / "absent", "rppam-master", told) == (None, ""), "only the one that was named"


@pytest.mark.integration
def test_what_setup_writes_for_the_unit_says_so_only_where_the_file_does(tmp_path: Path) -> None:
    etc, run = tmp_path / "etc", tmp_path / "run"
    etc.mkdir()
    run.mkdir()
    hosts = ("--host", "10.0.1.11", "--host", "10.0.1.12", "--host", "10.0.1.13")
    rppam("redis", "setup", "--dir", str(tmp_path / "made"), "--sentinel", *hosts, "--conf-dir", str(etc))
    made = tmp_path / "made" / "redis-1"
    drop_in = (made / "redis-sentinel.service.d" / "rppam.conf").read_text()
    assert f"RuntimeDirectory={TOLD.parent.name}" in drop_in.splitlines()
    (post,) = re.findall(r"^ExecStartPost=\+-(.*)$", drop_in, re.MULTILINE)
    words = shlex.split(post.replace(str(TOLD.parent), str(run)))
    told = run / TOLD.name
    (etc / "sentinel.conf").write_text("sentinel monitor rppam-master 10.0.1.11 6379 2\n")
    subprocess.run(words, check=False, timeout=20)
    assert not told.exists() or told.read_text() == ""
    (etc / "sentinel.conf").write_text((made / "sentinel.conf").read_text())
    subprocess.run(words, check=True, timeout=20)
    assert told.read_text() == "rppam-master\n"
    assert told.stat().st_mode & 0o044 == 0o044, "the node's account can read it"
    assert "ExecStartPost" not in (made / "redis-server.service.d" / "rppam.conf").read_text()
