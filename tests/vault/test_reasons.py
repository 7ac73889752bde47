"""``vault.reasonPattern``: what a reason has to be like, wherever one is asked for."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rppam.http.bounds import ApiLimits
from tests.support.served import Served
from tests.vault.people import CHECKOUTS, actions, host

pytestmark = pytest.mark.integration
PATTERN = "^(CHG|INC)[0-9]{4}"


@pytest.fixture
async def strict(tmp_path: Path, limits: ApiLimits) -> AsyncIterator[Served]:
    """A node that takes no reason without a ticket's number."""
    one = Served(tmp_path / "keys", limits, more={"vault": {"revealFactor": "none", "reasonPattern": PATTERN}})
    await one.start()
    yield one
    await one.stop()


async def test_a_reason_without_the_number_of_a_ticket_is_refused_everywhere(strict: Served) -> None:
    admin = host(strict)
    entry = await admin.entry()
    held = await admin.check_out(entry, reason="INC1234: disk is full")
    assert held.status_code == 201, held.text
    force = f"{CHECKOUTS}/{held.json()['id']}/force"
    for reason in ("because", "see CHG1234", "CHG123", "chg1234"):
        for answer in (
            await admin.reveal(entry, reason=reason),
            await admin.check_out(entry, reason=reason),
            await admin.post(force, reason=reason),
        ):
            assert (answer.status_code, answer.json()["code"]) == (400, "RPPAM-8408"), answer.text
            assert PATTERN in answer.json()["detail"], "it says what is asked for"
    assert await actions(strict, "secret.reveal") == []
    shown = await admin.reveal(entry, reason="  CHG1234:\n disk is full ")
    assert shown.status_code == 200, shown.text
    assert (await admin.post(force, reason="CHG1234")).json()["endedWhy"] == "forced"
    assert [one["reason"] for one in await actions(strict, "secret.reveal")] == ["CHG1234: disk is full"]


async def test_where_no_pattern_is_set_any_reason_is_one_but_none(open_vault: Served) -> None:
    admin = host(open_vault)
    entry = await admin.entry(exclusive=False)
    assert (await admin.reveal(entry, reason="because")).status_code == 200
    for reason in (" \n ", "x" * 1_001):
        assert (await admin.reveal(entry, reason=reason)).status_code == 400
