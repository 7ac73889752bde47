"""Signing keys that cannot be used at the next start are told now, by the finding of the doctor."""

from pathlib import Path

import pytest

from rppam.access.tokens.key_files import create_signing_key
from rppam.access.tokens.watch import SigningKeyWatch
from rppam.cluster.health.agreement import SIGNING_KEYS
from rppam.http.serving_errors import SigningKeyError
from rppam.kernel.instant import WallMs


async def test_which_keys_there_are_is_said_and_what_cannot_be_used(tmp_path: Path) -> None:
    folder = tmp_path / "jwt"
    key = create_signing_key(folder, now_ms=WallMs(1_795_000_000_000))
    watch = SigningKeyWatch(folder)
    assert await watch.look() == ""
    one = watch.keeps[SIGNING_KEYS]
    create_signing_key(folder, now_ms=WallMs(1_795_000_100_000))
    await watch.look()
    assert one in watch.keeps[SIGNING_KEYS].split(", ")
    assert len(watch.keeps[SIGNING_KEYS].split(", ")) == 2
    key.chmod(0o644)
    with pytest.raises(SigningKeyError) as raised:
        await watch.look()
    assert raised.value.row.finding == "RD-603"
