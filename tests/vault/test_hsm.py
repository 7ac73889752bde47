"""The master key in a token, with SoftHSM: what it wraps, what each fault says, and the way there from a file."""

import base64
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rppam.config.settings import Settings
from rppam.crypto.sealed import SealRefused
from rppam.db.database import Database
from rppam.kernel.system_clock import SystemClock
from rppam.vault.errors import MasterKeyMissing, TokenAway, TokenKeyMissing, TokenPinWrong
from rppam.vault.key_service import VaultKeys
from rppam.vault.key_watch import KeyWatch
from rppam.vault.keys import MasterKeys, read_masters
from rppam.vault.sealing import Keyring
from tests.support import prefork
from tests.support.served import configured
from tests.support.softhsm import PIN, SO_PIN, SoftHsm
from tests.vault.test_sealing import kept, opened

pytestmark = [pytest.mark.integration, pytest.mark.server]


@pytest.fixture
def softhsm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SoftHsm]:
    """With one token, without a key."""
    from rppam.vault import hsm

    made = SoftHsm(tmp_path / "hsm")
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    made.make_token()
    hsm._stale.add(str(made.module))  # the library of this process has another folder yet
    # Nothing is remembered: what a test breaks and mends is looked at at once.
    monkeypatch.setattr(hsm, "REMEMBERED_US", 0)
    yield made
    hsm._tokens_of.clear()
    hsm._stale.add(str(made.module))


def settings(softhsm: SoftHsm, tmp_path: Path, **vault: Any) -> Settings:
    folder = tmp_path / "node"
    folder.mkdir(exist_ok=True)
    return configured(folder, "node1", {"vault": softhsm.settings(keySource="pkcs11") | vault})


def with_key(given: Settings) -> Settings:
    from rppam.vault.hsm import Token, place_of

    Token(place_of(given)).generate()
    return given


def ring(given: Settings) -> Keyring:
    return Keyring(MasterKeys(lambda: read_masters(given), SystemClock()))


def test_the_token_wraps_for_a_place_and_is_told_by_a_block_that_it_encrypts(softhsm: SoftHsm, tmp_path: Path) -> None:
    given = with_key(settings(softhsm, tmp_path))
    master, key = read_masters(given).own, secrets.token_bytes(32)
    wrapped = master.wrap(key, b"here")
    assert master.unwrap(wrapped, b"here") == key
    assert key not in wrapped
    assert wrapped != master.wrap(key, b"here")
    changed = wrapped[:-1] + bytes([wrapped[-1] ^ 1])
    for wrong, place in ((wrapped, b"there"), (changed, b"here"), (b"", b"here"), (wrapped[:20], b"here")):
        with pytest.raises(SealRefused):
            master.unwrap(wrong, place)
    assert master.unwrap(wrapped, b"here") == key, "a seal that does not open breaks nothing"
    again = read_masters(given).own
    assert (again, len(again.fingerprint)) == (master, 16)
    other = with_key(settings(softhsm, tmp_path, pkcs11Key="another"))
    assert read_masters(other).own != master
    with pytest.raises(TokenKeyMissing, match="already"):
        with_key(given)


def test_no_error_of_the_library_is_left_for_whoever_speaks_tls(softhsm: SoftHsm, tmp_path: Path) -> None:
    from rppam.vault import hsm

    given = with_key(settings(softhsm, tmp_path))
    hsm._stale.add(str(softhsm.module))
    assert hsm._OPENSSL is not None
    assert hsm.Token(hsm.place_of(given)).fingerprint()
    assert hsm._OPENSSL.ERR_peek_error() == 0


def test_what_is_not_there_is_named(softhsm: SoftHsm, tmp_path: Path) -> None:
    unset = configured(tmp_path, "node1", {"vault": {"keySource": "pkcs11"}})
    no_library = tmp_path / "no.so"
    no_library.write_text("not a library")
    for given, kind, said in (
        (unset, TokenAway, "vault.pkcs11Module: expected"),
        (settings(softhsm, tmp_path, pkcs11Module=str(tmp_path / "none.so")), TokenAway, r"none\.so: it does not load"),
        (settings(softhsm, tmp_path, pkcs11Module=str(no_library)), TokenAway, r"no\.so: it does not load"),
        (settings(softhsm, tmp_path, pkcs11Token="other"), TokenAway, "expected one token 'other'.*there are: 'rppam'"),
        (settings(softhsm, tmp_path), TokenKeyMissing, "no AES key 'rppam-vault'"),
        (settings(softhsm, tmp_path, pkcs11PinPath=str(tmp_path / "none")), TokenPinWrong, "expected a file"),
    ):
        with pytest.raises(kind, match=said) as refused:
            read_masters(given)
        assert isinstance(refused.value, MasterKeyMissing)
        assert PIN not in str(refused.value)
    softhsm.pin.chmod(0o644)
    with pytest.raises(TokenPinWrong, match="open to everyone"):
        read_masters(settings(softhsm, tmp_path))
    softhsm.write_pin("")
    with pytest.raises(TokenPinWrong, match="expected a PIN"):
        read_masters(settings(softhsm, tmp_path))


def test_a_wrong_pin_is_tried_once_until_its_file_changes(
    softhsm: SoftHsm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pkcs11

    from rppam.vault import hsm

    given = with_key(settings(softhsm, tmp_path))
    right = read_masters(given).own
    wrong = "1" + PIN
    softhsm.write_pin(wrong)
    hsm._tokens_of.clear()  # as after a restart
    hsm._stale.add(str(softhsm.module))
    with pytest.raises(TokenPinWrong, match="refused the PIN") as refused:
        read_masters(given)
    assert wrong not in str(refused.value)
    # Now the token has just this PIN: whoever tried it would be let in.
    library = pkcs11.lib(str(softhsm.module))
    library.reinitialize()
    with library.get_token(token_label="rppam").open(rw=True, so_pin=SO_PIN) as session:
        session.init_pin(wrong)
    for _ in range(3):
        hsm._tokens_of.clear()  # another process of the node
        with pytest.raises(TokenPinWrong, match="not tried again"):
            read_masters(given)
    mark = given.node.data_dir / hsm.MARK_FILE
    assert (mark.stat().st_mode & 0o777, wrong in mark.read_text()) == (0o600, False)
    softhsm.write_pin(wrong)  # the same text, written anew
    assert read_masters(given).own == right
    assert mark.read_text() == ""
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    (tmp_path / hsm.PIN_CREDENTIAL).write_text("no\n")
    (tmp_path / hsm.PIN_CREDENTIAL).chmod(0o400)
    hsm._tokens_of.clear()
    hsm._stale.add(str(softhsm.module))
    with pytest.raises(TokenPinWrong, match=hsm.PIN_CREDENTIAL):
        read_masters(given)


async def test_a_token_that_is_pulled_closes_the_vault_and_opens_it_once_it_is_back(
    softhsm: SoftHsm, tmp_path: Path, database: Database
) -> None:
    given = with_key(settings(softhsm, tmp_path))
    [entry] = await kept(database, ring(given), "one")
    keyring = ring(given)
    assert await opened(database, keyring, entry) == "one"
    watch = KeyWatch(database, keyring, leads_without=False)
    assert await watch.look() == ""
    assert watch.master_keys.held == (read_masters(given).own.fingerprint,)
    softhsm.take_away()
    fresh = ring(given)  # what was read counts for a second; this is as after that second
    with pytest.raises(TokenAway):
        await opened(database, fresh, entry)
    softhsm.put_back()
    assert await opened(database, fresh, entry) == "one"
    assert await opened(database, keyring, entry) == "one"


async def test_from_a_file_to_the_token_node_by_node_broken_off_and_gone_on(
    softhsm: SoftHsm, tmp_path: Path, url: str, open_database: Callable[..., Any]
) -> None:
    path = tmp_path / "vault.key"
    path.write_text(base64.b64encode(secrets.token_bytes(32)).decode())
    path.chmod(0o600)
    with_key(settings(softhsm, tmp_path))
    by_file = {"keySource": "file", "keyPath": str(path)}
    before = ring(settings(softhsm, tmp_path, **by_file))
    first = ring(settings(softhsm, tmp_path, **by_file, keySourceNext="pkcs11"))
    second = ring(settings(softhsm, tmp_path, keySource="pkcs11", keySourceBefore="file", keyPath=str(path)))
    after = ring(settings(softhsm, tmp_path))
    database = await open_database(url)
    keys = VaultKeys(database, second)
    [one] = await kept(database, before, "one")
    await keys.rotate()
    [two] = await kept(database, before, "two")
    assert await opened(database, before, two) == "two", "a new key meanwhile is still wrapped with the old master key"

    async def readable(*rings: Keyring) -> None:
        for keyring in rings:
            assert [await opened(database, keyring, entry) for entry in (one, two)] == ["one", "two"]

    await readable(before, first, second)
    assert await KeyWatch(database, first, leads_without=False).look() == ""
    without = ring(settings(softhsm, tmp_path, **by_file, keySourceNext="pkcs11", pkcs11Key="none"))
    assert "RPPAM-8430" in await KeyWatch(database, without, leads_without=False).look()

    def broken_off(connection: Any) -> None:
        assert second.rewrap_keks(connection) == 2
        raise RuntimeError("the leader dies")

    with pytest.raises(RuntimeError):
        await database.write(broken_off)
    await readable(before, first, second)
    await keys.follow()
    await readable(first, second, after)
    path.unlink()
    fresh = ring(settings(softhsm, tmp_path, **by_file))
    with pytest.raises(MasterKeyMissing):
        await opened(database, fresh, one)
    await readable(second, after)


def test_the_command_makes_the_key_and_shows_what_it_is_told_by(softhsm: SoftHsm, tmp_path: Path) -> None:
    given = settings(softhsm, tmp_path)
    file = tmp_path / "rppam.config"
    file.write_text(
        f'{{"node": {{"dataDir": "{given.node.data_dir}"}}, "vault": {{"keySource": "pkcs11", "pkcs11Module": '
        f'"{softhsm.module}", "pkcs11PinPath": "{softhsm.pin}"}}}}'
    )
    file.chmod(0o600)
    environment = prefork.clean(**softhsm.environment)
    made = prefork.run("vault", "key", "token", "--new", "--config", str(file), environment=environment)
    assert made.returncode == 0, made.stderr
    assert read_masters(given).own.fingerprint == made.stdout.strip()
    softhsm.write_pin("wrong")
    refused = prefork.run("vault", "key", "token", "--config", str(file), environment=environment)
    assert (refused.returncode, "RPPAM-8429" in refused.stderr) == (78, True), refused.stderr
