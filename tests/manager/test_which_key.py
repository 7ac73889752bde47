"""One of a cluster's two keys is changed at a time, and what was begun can always be ended."""

from collections.abc import Callable
from pathlib import Path

import click
import pytest

from rppam.cluster.link.key_files import next_of, previous_of
from rppam.config.settings import AuthSettings
from rppam.manager.which_key import changed_key


@pytest.fixture
def auth(tmp_path: Path) -> AuthSettings:
    for name in ("cluster.key", "sealing.key"):
        (tmp_path / name).write_text("1" * 64)
    return AuthSettings(
        jwt_keys_dir=tmp_path,
        issuer="rppam",
        audience="rppam-api",
        token_minutes=60,
        secret_key_path=tmp_path / "config.key",
        cluster_key_path=tmp_path / "cluster.key",
        sealing_key_path=tmp_path / "sealing.key",
    )


@pytest.mark.parametrize("has_sealing_key", [True, False])
@pytest.mark.parametrize("sealing", [True, False])
@pytest.mark.parametrize(("beside", "due"), [(next_of, "switch"), (previous_of, "finish")])
def test_none_begins_while_the_other_one_is_changed(
    auth: AuthSettings, beside: Callable[[Path], Path], due: str, *, sealing: bool, has_sealing_key: bool
) -> None:
    other = auth.cluster_key_path if sealing else auth.sealing_key_path
    beside(other).write_text("2" * 64)
    if not has_sealing_key:
        auth.sealing_key_path.unlink()
    with pytest.raises(click.ClickException) as refused:
        changed_key(auth, sealing=sealing, begins=True)
    assert f"rppam cluster key {due}{'' if sealing else ' --sealing'}" in refused.value.message
    assert changed_key(auth, sealing=not sealing, begins=True).path == other, "begun once more: it tells what is next"


@pytest.mark.parametrize("has_sealing_key", [True, False])
@pytest.mark.parametrize("sealing", [True, False])
def test_two_that_were_begun_can_both_be_ended(auth: AuthSettings, *, sealing: bool, has_sealing_key: bool) -> None:
    for path in (auth.cluster_key_path, auth.sealing_key_path):
        next_of(path).write_text("2" * 64)
    if not has_sealing_key:
        auth.sealing_key_path.unlink()
    assert changed_key(auth, sealing=sealing).is_sealing is sealing
