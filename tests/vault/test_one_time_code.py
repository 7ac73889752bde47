"""Codes of a ``totp-seed``: those of the standard, and in the place of the seed, which nothing shows."""

import base64

import pytest

from rppam.kernel.instant import WallMs
from rppam.kernel.secret import Secret
from rppam.vault.errors import EntryInvalid
from rppam.vault.one_time_code import read_seed, shown_now
from tests.support.served import Served
from tests.vault.people import ENTRIES, actions, host
from tests.vault.test_command import run

SEED = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
RFC_SEED = base64.b32encode(b"12345678901234567890").decode()
"""Of the examples in RFC 6238, appendix B."""
URI = f"otpauth://totp/Corp:anna?secret={SEED}&issuer=Corp&digits=8&period=60&algorithm=SHA256"


@pytest.mark.parametrize(
    ("at", "code"), [(59, "94287082"), (1111111109, "07081804"), (1234567890, "89005924"), (20000000000, "65353130")]
)
def test_codes_are_those_of_the_standard(at: int, code: str) -> None:
    uri = f"otpauth://totp/x?secret={RFC_SEED}&digits=8"
    found = shown_now({"seed": Secret(uri)}, WallMs(at * 1000 + 999))
    assert ({name: value.reveal() for name, value in found.fields.items()}) == {"code": code}
    assert found.seconds_left == 30 - at % 30
    short = shown_now({"seed": Secret(RFC_SEED)}, WallMs(at * 1000))
    assert short.fields["code"].reveal() == code[2:]


def test_other_hashes_and_periods_are_those_of_the_standard() -> None:
    for name, size, code in (("SHA256", 32, "46119246"), ("sha-512", 64, "90693936")):
        key = base64.b32encode((b"1234567890" * 7)[:size]).decode().rstrip("=")
        uri = f"otpauth://totp/x?secret={key}&digits=8&algorithm={name}"
        assert shown_now({"seed": Secret(uri)}, WallMs(59_000)).fields["code"].reveal() == code
    minute = f"otpauth://totp/x?secret={RFC_SEED}&digits=8&period=60"
    assert shown_now({"seed": Secret(minute)}, WallMs(119_000)) == shown_now({"seed": Secret(minute)}, WallMs(119_500))
    assert shown_now({"seed": Secret(minute)}, WallMs(119_000)).seconds_left == 1


def test_a_seed_is_read_as_people_type_it() -> None:
    assert read_seed("jbsw y3dp-EHPK 3pxp\n").key == b"Hello!\xde\xad\xbe\xef"
    assert read_seed(URI)[1:] == (8, 60, "SHA256")
    for wrong in ("", "A", "JBSW", "1234567890", "otpauth://totp/x?secret=", "otpauth://[/x"):
        with pytest.raises(EntryInvalid, match=r"fields\.seed"):
            read_seed(wrong)


@pytest.mark.integration
@pytest.mark.parametrize("seed", [SEED, SEED.lower(), URI])
async def test_a_seed_is_never_shown_by_any_way(open_vault: Served, seed: str) -> None:
    admin = host(open_vault)
    # Somebody has put the address of the QR code into another field as well.
    entry = await admin.entry(type="totp-seed", fields={"seed": seed, "qr": URI, "username": "anna"}, exclusive=False)
    path = f"{ENTRIES}/{entry['id']}"
    assert (await admin.put(path, fields={"seed": "A" * 16})).json()["version"] == 2
    assert (await admin.post(f"{path}/versions/1/restore")).json()["version"] == 3
    answers = [await admin.reveal(entry), await admin.reveal(entry, version=1), await admin.get(path)]
    answers.append(await admin.get(f"{path}/versions"))
    for answer in answers:
        assert answer.status_code == 200, answer.text
        assert SEED.lower() not in answer.text.lower()
    found = answers[0].json()
    assert found["fields"].keys() == {"username", "code"}
    assert 0 < found["secondsLeft"] <= 60
    assert found["shownSeconds"] == min(30, found["secondsLeft"])
    told = [one["details"]["fields"] for one in await actions(open_vault, "secret.reveal")]
    assert told == [["code", "username"]] * 2
    shown = await run(open_vault, "vault", "reveal", "servers/root", "--reason", "x")
    assert "code: " in shown.stdout
    assert "it holds for" in shown.stderr
    assert SEED.lower() not in shown.output.lower()
