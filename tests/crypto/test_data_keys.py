"""Sealed secrets in both databases: a dump gives none away, and the cluster key can be changed."""

import asyncio
import logging
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from rppam.cluster.link.key_files import SealingSecrets
from rppam.crypto.data_key_ports import ClusterSecrets
from rppam.crypto.data_keys import DataKeys, wrapping_of
from rppam.crypto.errors import SealBroken, SealingKeyMissing
from rppam.db.data_keys import SqlDataKeys
from rppam.db.database import Database
from rppam.kernel.secret import Secret

pytestmark = pytest.mark.integration

TEXT = Secret("JBSWY3DPEHPK3PXP, a secret of 20 bytes or so")


def cluster_key() -> Secret:
    return Secret(secrets.token_hex(32))


def holding(database: Database, *found: ClusterSecrets) -> DataKeys:
    return DataKeys(SqlDataKeys(database), lambda: found[0])


async def dump(database: Database) -> str:
    rows = await database.read(lambda connection: connection.execute(text("SELECT * FROM data_keys")).all())
    return repr(rows)


async def test_what_is_sealed_on_one_node_opens_on_another(url: str, open_database: Callable[..., Any]) -> None:
    key = cluster_key()
    one, two = [holding(await open_database(url), ClusterSecrets(key)) for _ in range(2)]
    sealed = await one.seal(TEXT, "place")
    assert await two.unseal(sealed, "place") == TEXT
    assert await one.unseal(await two.seal(TEXT, "elsewhere"), "elsewhere") == TEXT
    assert sealed != await one.seal(TEXT, "place"), "never the same bytes twice"
    assert TEXT.reveal() not in sealed
    assert len(sealed) < 256
    assert len(await SqlDataKeys(await open_database(url)).all()) == 1


async def test_nodes_that_make_the_first_key_at_once_understand_each_other(
    url: str, open_database: Callable[..., Any]
) -> None:
    key = cluster_key()
    nodes = [holding(await open_database(url), ClusterSecrets(key)) for _ in range(4)]
    sealed = await asyncio.gather(*(node.seal(TEXT, "place") for node in nodes))
    for node in nodes:
        assert [await node.unseal(one, "place") for one in sealed] == [TEXT] * 4


async def test_nothing_opens_elsewhere_changed_or_with_a_foreign_key(database: Database) -> None:
    key = cluster_key()
    keys = holding(database, ClusterSecrets(key))
    sealed = await keys.seal(TEXT, "place")
    kid, _, body = sealed.partition(".")
    for wrong, place in (
        (sealed, "another place"),
        (sealed[:-8], "place"),
        (sealed[:-6] + "AAAAA=", "place"),
        (f"{kid}.", "place"),
        (kid, "place"),
        (f"{kid}.Ag{body[2:]}", "place"),  # another version
        (f"{'0' * 32}.{body}", "place"),
        ("", "place"),
        ("\u2603.\u2603", "place"),
        (TEXT.reveal(), "place"),
    ):
        with pytest.raises(SealBroken) as caught:
            await keys.unseal(wrong, place)
        assert TEXT.reveal() not in str(caught.value)
    stranger = holding(database, ClusterSecrets(cluster_key()))
    with pytest.raises(SealBroken):
        await stranger.unseal(sealed, "place")
    with pytest.raises(SealBroken):
        await stranger.seal(TEXT, "place")
    with pytest.raises(SealBroken):
        await stranger.rewrap()
    assert TEXT.reveal() not in await dump(database)
    assert key.reveal() not in await dump(database)


async def test_a_wrapped_key_under_another_name_does_not_open(database: Database) -> None:
    found = ClusterSecrets(cluster_key())
    sealed = await holding(database, found).seal(TEXT, "place")
    await database.write(lambda connection: connection.execute(text("UPDATE data_keys SET kid = 'renamed'")))
    with pytest.raises(SealBroken):
        await holding(database, found).unseal(sealed.replace(sealed[:32], "renamed"), "place")


async def test_the_cluster_key_is_changed_while_secrets_are_in_use(
    url: str, open_database: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    old, new = cluster_key(), cluster_key()
    database = await open_database(url)
    store = SqlDataKeys(database)
    sealed = await holding(database, ClusterSecrets(old)).seal(TEXT, "place")
    unswitched = holding(database, ClusterSecrets(old, coming=(new,)))
    switched = holding(database, ClusterSecrets(new, gone=(old,)))
    assert await unswitched.unseal(sealed, "place") == TEXT
    assert (await store.all())[0].wrapped_by == wrapping_of(old).name, "nothing is wrapped by what is to come"
    assert await switched.rewrap() == 1
    assert await switched.rewrap() == 0
    [wrapped] = await store.all()
    assert wrapped.wrapped_by == wrapping_of(new).name
    again = holding(database, ClusterSecrets(old, coming=(new,)))
    assert await again.unseal(sealed, "place") == TEXT
    later = await again.seal(TEXT, "later")
    finished = holding(database, ClusterSecrets(new))
    assert await finished.unseal(sealed, "place") == TEXT
    assert await finished.unseal(later, "later") == TEXT
    with pytest.raises(SealBroken):
        await holding(database, ClusterSecrets(old)).unseal(sealed, "place")
    assert new.reveal() not in caplog.text
    assert old.reveal() not in caplog.text


def private(path: Path, content: str) -> None:
    path.write_text(content)
    path.chmod(0o600)


def test_the_files_of_a_host(tmp_path: Path) -> None:
    path = tmp_path / "cluster.key"
    member, alone = (SealingSecrets(path, tmp_path, alone=alone) for alone in (False, True))
    with pytest.raises(SealingKeyMissing, match=r"cluster\.key"):
        member()
    lone = alone()
    assert alone() == lone, "made once"
    own, coming, before = (secrets.token_hex(32) for _ in range(3))
    private(path, own)
    assert alone() == ClusterSecrets(Secret(own), gone=(lone.own,)), "what the lone key wrapped is wrapped anew"
    private(tmp_path / "cluster.key.next", coming)
    private(tmp_path / "cluster.key.previous", before)
    assert member() == ClusterSecrets(Secret(own), (Secret(coming),), (Secret(before), lone.own))
    private(path, "nonsense")
    with pytest.raises(SealingKeyMissing) as caught:
        member()
    assert "nonsense" not in str(caught.value)
