"""The licence over REST: what the file says, and why it is not used."""

from pathlib import Path

import pytest

from rppam.http.bounds import ApiLimits
from rppam.kernel.system_clock import SystemClock
from rppam.licence import service as licences
from rppam.licence.model import Tier
from tests.support.served import Served
from tests.vault.people import person

pytestmark = pytest.mark.integration
PLACE = "/api/v1/admin/licence"


async def test_without_a_file_it_is_standard(served: Served) -> None:
    answer = await served.http.get(PLACE, headers=served.bearer())
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert (found["state"], found["tier"], found["maxNodes"]) == ("none", "standard", 1)
    assert (found["customer"], found["expiresAt"], found["problem"], found["warning"]) == (None, None, "", "")
    assert (await served.http.get(PLACE)).status_code == 401
    ursula = await person(served, "ursula")
    assert (await ursula.get(PLACE)).status_code == 403


async def test_what_the_file_says_and_why_another_is_not_used(tmp_path: Path, limits: ApiLimits) -> None:
    private, trusted = licences.new_private_key()
    terms = licences.Terms(customer="ACME", tier=Tier.ENTERPRISE, max_nodes=5, days=20, features=("sso",))
    file = tmp_path / "license.jwt"
    key = licences.parse_private_key(private, "a key")
    file.write_text(licences.issue(terms, key, "L-7", SystemClock().wall_ms()))
    more = {"license": {"path": str(file), "trustedKeys": [trusted.text()]}}
    served = Served(tmp_path / "node", limits, more=more)
    await served.start()
    try:
        found = (await served.http.get(PLACE, headers=served.bearer())).json()
        assert (found["state"], found["customer"], found["maxNodes"], found["id"]) == ("expiring", "ACME", 5, "L-7")
        assert (found["daysLeft"], found["features"], found["maxUsers"]) == (20, ["sso"], None)
        assert "expires in 20 days" in found["warning"]
        file.write_text("forged")
        found = (await served.http.get(PLACE, headers=served.bearer())).json()
        assert (found["state"], found["tier"]) == ("none", "standard")
        assert str(file) in found["problem"]
    finally:
        await served.stop()
