"""The watch over a node's master key: when it is named, when the node does not lead, and when it may again."""

import pytest

from rppam.cluster.health.agreement import NO_KEY, HeldKeys
from rppam.db.database import Database
from rppam.kernel.instant import Instant
from rppam.kernel.system_clock import SystemClock
from rppam.vault.errors import MasterKeyMissing, VaultClosed
from rppam.vault.key_watch import EVERY_S, FRESH_US, KeyWatch
from rppam.vault.keys import Master, MasterKeys, Masters
from rppam.vault.sealing import Keyring
from tests.vault.test_sealing import kept, new_master, ring

pytestmark = pytest.mark.server


def watch(database: Database, keyring: Keyring, *, leads_without: bool = False) -> KeyWatch:
    return KeyWatch(database, keyring, leads_without=leads_without)


def none() -> Masters:
    raise MasterKeyMissing("vault.keySource file: no such file")


async def test_another_key_is_named_at_once_and_keeps_from_leading_after_a_second_look(database: Database) -> None:
    right, wrong = new_master(), new_master()
    await kept(database, ring(right), "one")
    one = watch(database, ring(wrong))
    with pytest.raises(VaultClosed, match=f"RPPAM-8421.*{right.fingerprint}"):
        await one.look()
    assert one.master_keys == HeldKeys((wrong.fingerprint,), right.fingerprint)
    assert one.unfit == "", "one look may fall between two files"
    with pytest.raises(VaultClosed):
        await one.look()
    assert right.fingerprint in one.unfit
    assert "vault.leadWithoutKey" in one.unfit


async def test_where_the_setting_lets_it_a_node_with_another_key_may_lead(database: Database) -> None:
    await kept(database, ring(new_master()), "one")
    one = watch(database, ring(new_master()), leads_without=True)
    for _ in range(3):
        with pytest.raises(VaultClosed):
            await one.look()
    assert one.unfit == ""


async def test_a_node_that_gets_the_right_key_may_lead_again(database: Database) -> None:
    right = new_master()
    await kept(database, ring(right), "one")
    given: list[Master] = [new_master()]
    one = watch(database, Keyring(MasterKeys(lambda: Masters(given[0]), _Hurried())))
    for _ in range(2):
        with pytest.raises(VaultClosed):
            await one.look()
    assert one.unfit
    given[0] = right
    assert await one.look() == ""
    assert one.unfit == ""
    assert one.master_keys.is_right


async def test_each_look_reads_the_key_anew(database: Database) -> None:
    right, wrong = new_master(), new_master()
    await kept(database, ring(right), "one")
    given, clock = [right], _Paced()
    one = watch(database, Keyring(MasterKeys(lambda: Masters(given[0]), clock, FRESH_US)))
    for key in (wrong, right, wrong):
        clock.at = Instant(clock.at + int(EVERY_S * 1e6))
        given[0] = key
        if key is right:
            assert await one.look() == ""
        else:
            with pytest.raises(VaultClosed):
                await one.look()
        assert one.master_keys == HeldKeys((key.fingerprint,), right.fingerprint)


async def test_without_any_key_an_empty_vault_is_a_warning_and_a_used_one_keeps_from_leading(
    database: Database,
) -> None:
    one = watch(database, Keyring(MasterKeys(none, SystemClock())))
    for _ in range(3):
        assert "RPPAM-8420" in await one.look()
    assert (one.unfit, one.master_keys) == ("", HeldKeys((NO_KEY,), ""))
    await kept(database, ring(new_master()), "one")
    for _ in range(2):
        with pytest.raises(VaultClosed, match="RPPAM-8420"):
            await one.look()
    assert one.unfit


class _Paced(SystemClock):
    """Goes on when the test says so."""

    at = Instant(0)

    def now(self) -> Instant:
        return self.at


class _Hurried(SystemClock):
    """Each look comes later than what was read before counts."""

    def __init__(self) -> None:
        super().__init__()
        self._ahead = 0

    def now(self) -> Instant:
        self._ahead += 2_000_000
        return Instant(super().now() + self._ahead)
