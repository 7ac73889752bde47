"""Keys that are kept in hardware (``sk-ssh-ed25519``): OpenSSH signs by an agent that stands for such hardware."""

import asyncio
import base64
import contextlib
import hashlib
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.gateway.places import HOST, Ended, Place
from tests.gateway.test_register import recorded
from tests.gateway.test_user_keys import added, by_key, made, signed_in
from tests.support.served import PASSWORD

pytestmark = [pytest.mark.integration]
TYPE = b"sk-ssh-ed25519@openssh.com"
TOUCHED, WITH_PIN = 0x01, 0x05
SETTING = "/api/v1/settings/access/ssh"


def text(value: bytes) -> bytes:
    return struct.pack(">I", len(value)) + value


class Hardware:
    """One key, and what its owner does when it is to sign: touches it, gives the PIN, or nothing of both."""

    def __init__(self) -> None:
        self._key = Ed25519PrivateKey.generate()
        self.blob = text(TYPE) + text(self._key.public_key().public_bytes_raw()) + text(b"ssh:")
        self.flags, self.claimed = TOUCHED, -1
        """``claimed``: flags that are sent in place of those that were signed."""

    def save(self, folder: Path) -> Path:
        """The public half, as ``ssh-keygen`` writes it, and what it belongs to."""
        path = folder / "hard-key"
        path.with_suffix(".pub").write_text(f"{TYPE.decode()} {base64.b64encode(self.blob).decode()} token\n")
        return path

    def sign(self, data: bytes) -> bytes:
        """As FIDO2 hardware does it: over the application, the flags, a counter, and the data."""
        counter = struct.pack(">I", 7)
        signed = hashlib.sha256(b"ssh:").digest() + bytes([self.flags]) + counter + hashlib.sha256(data).digest()
        sent = self.flags if self.claimed < 0 else self.claimed
        return text(TYPE) + text(self._key.sign(signed)) + bytes([sent]) + counter

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """The agent's side of its protocol."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                (size,) = struct.unpack(">I", await reader.readexactly(4))
                asked = await reader.readexactly(size)
                answer = b"\x05"
                if asked[0] == 11:
                    answer = b"\x0c" + struct.pack(">I", 1) + text(self.blob) + text(b"token")
                elif asked[0] == 13:
                    at = 5 + struct.unpack(">I", asked[1:5])[0]
                    length = struct.unpack(">I", asked[at : at + 4])[0]
                    answer = b"\x0e" + text(self.sign(asked[at + 4 : at + 4 + length]))
                writer.write(text(answer))
                await writer.drain()
        writer.close()


@pytest.fixture
async def hardware(place: Place, tmp_path: Path) -> AsyncIterator[Hardware]:
    one = Hardware()
    await added(place, one.save(tmp_path), await signed_in(place))
    async with await asyncio.start_unix_server(one.serve, tmp_path / "agent"):
        yield one


async def hard(place: Place, tmp_path: Path) -> Ended:
    own = ["-o", "PubkeyAuthentication=yes", "-o", f"IdentityAgent={tmp_path / 'agent'}", "-o", "IdentitiesOnly=yes"]
    key = ["-o", "LogLevel=INFO", "-o", "PreferredAuthentications=publickey", "-i", str(tmp_path / "hard-key.pub")]
    return await place.run("ssh", *own, *key, *place.options(), HOST, "echo in")


async def demand(place: Place, wanted: str) -> None:
    answer = await place.served.http.put(SETTING, json={"hardwareKeys": wanted}, headers=place.served.bearer())
    assert answer.status_code == 200, answer.text


async def test_a_touched_key_lets_in_and_an_untouched_one_does_not(
    place: Place, tmp_path: Path, hardware: Hardware
) -> None:
    fine = await hard(place, tmp_path)
    assert (fine.code, fine.out) == (0, b"in\n"), fine
    (login,) = await recorded(place, "access.login")
    assert login["details"]["how"] == "key"
    hardware.flags = 0
    assert (await hard(place, tmp_path)).code == 255
    hardware.claimed = TOUCHED  # which was not signed
    assert (await hard(place, tmp_path)).code == 255
    assert len(await recorded(place, "access.login")) == 1


async def test_the_policy_demands_them(place: Place, tmp_path: Path, hardware: Hardware) -> None:
    soft = await made(tmp_path, "-t", "ed25519")
    await added(place, soft, await signed_in(place))
    assert (await by_key(place, soft)).code == 0
    await demand(place, "required")
    info = ("-o", "LogLevel=INFO", "-o", "PreferredAuthentications=publickey")
    refused = await by_key(place, soft, *info)
    assert refused.code == 255
    assert "only keys that are kept in hardware are taken here" in refused.err
    assert "RPPAM-8631" in refused.err
    assert (await hard(place, tmp_path)).code == 0
    assert hardware.flags == TOUCHED


async def test_the_policy_demands_the_pin(place: Place, tmp_path: Path, hardware: Hardware) -> None:
    await demand(place, "pin")
    refused = await hard(place, tmp_path)
    assert refused.code == 255
    assert "has to ask for its PIN, and did not" in refused.err
    hardware.claimed = WITH_PIN
    assert (await hard(place, tmp_path)).code == 255, "what it says has to be what it has signed"
    hardware.flags, hardware.claimed = WITH_PIN, -1
    fine = await hard(place, tmp_path)
    assert (fine.code, fine.out) == (0, b"in\n"), fine


async def test_a_certificate_for_another_key_is_no_way_around(place: Place, tmp_path: Path, hardware: Hardware) -> None:
    admin = await signed_in(place)
    assert (await place.served.http.post("/api/v1/access/ca", headers=place.served.bearer())).status_code == 201
    soft = await made(tmp_path, "-t", "ed25519")
    body = {"key": soft.with_suffix(".pub").read_text()}
    signed = await place.served.http.post("/api/v1/users/me/ssh-certificates", json=body, headers=admin)
    assert signed.status_code == 201, signed.text
    (tmp_path / "user-key-cert.pub").write_text(signed.json()["certificate"] + "\n")
    only = ("-o", "LogLevel=INFO", "-o", "PreferredAuthentications=publickey")
    assert (await by_key(place, soft, *only)).code == 0
    await demand(place, "required")
    refused = await by_key(place, soft, *only)
    assert (refused.code, "RPPAM-8631" in refused.err) == (255, True), refused
    assert PASSWORD not in refused.err
    assert hardware.flags == TOUCHED
