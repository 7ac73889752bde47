"""Each kind of message that somebody waits for, really sent: emergencies, ends that come near, and mail by password."""

import json
import ssl
from pathlib import Path
from typing import Any

import pytest

from tests.notifications.test_delivery import CHANNELS, MailServer, channel, delivery, now_due
from tests.requests.people import furnish, hire, person
from tests.requests.test_api import ask, later, policy, sweep
from tests.siem.receivers import http, is_signed
from tests.support.authority import Authority
from tests.support.served import Served

pytestmark = pytest.mark.integration


@pytest.fixture
async def company(served: Served) -> Served:
    await hire(served.database)
    await furnish(served.database)
    return served


async def contact(node: Served, name: str) -> None:
    where = {"managerId": None, "email": f"{name}@corp.example"}
    answer = await node.http.put(f"/api/v1/users/id-{name}/contact", headers=node.bearer(), json=where)
    assert answer.status_code == 200, answer.text


def certified(folder: Path) -> tuple[Authority, ssl.SSLContext]:
    """An authority, and what a mail server of it shows."""
    authority = Authority(folder)
    issued = authority.certify("localhost")
    (folder / "server.pem").write_bytes(issued.pem() + issued.key_pem())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    return authority, context


async def test_an_emergency_and_an_end_that_comes_near_are_told_by_webhook(company: Served) -> None:
    heard: list[dict[str, Any]] = []

    async def handle(path: str, headers: dict[str, str], body: bytes) -> tuple[int, object]:
        assert is_signed("s3cret", headers, body)
        heard.append(json.loads(body))
        return 200, {}

    async def told() -> list[str]:
        heard.clear()
        await delivery(company).run(7)
        return [one["kind"] for one in heard]

    async with http(handle) as url:
        await channel(company, kind="webhook", url=url, secret="s3cret")
        await policy(company, emergencyMinutes=30)
        ursula = await person(company, "ursula")
        made = await ask(ursula, emergency=True, minutes=30, reason="the house burns")
        assert await told() == ["request.emergency"]
        [urgent] = heard
        assert urgent["title"] == "EMERGENCY: ursula has taken deploy@web1"
        assert (urgent["request"], urgent["reason"], urgent["minutes"]) == (made["id"], "the house burns", 30)
        await later(company, 24.5)
        await sweep(company)
        assert await told() == [], "more than five minutes are left"
        for minutes, kinds in ((1, ["grant.ending"]), (3, []), (1, ["grant.ending"]), (0.3, [])):
            await later(company, minutes)
            await sweep(company)
            await sweep(company)
            assert await told() == kinds, minutes
        await later(company, 1)
        await sweep(company)
        assert await told() == ["grant.ended"]
        assert heard[0]["why"] == "its time has passed"


async def test_an_emergency_reaches_by_mail_everybody_who_may_review_it(company: Served, tmp_path: Path) -> None:
    authority, context = certified(tmp_path)
    for name in ("ursula", "uwe", "anna", "root"):
        await contact(company, name)
    async with MailServer(context, implicit=True).running() as server:
        options = {"sender": "pam@corp.example", "caPath": str(authority.path)}
        await channel(company, kind="smtp", url=f"smtps://localhost:{server.port}", options=options)
        made = await ask(await person(company, "ursula"), emergency=True, minutes=30)
        assert await delivery(company).run(7) == 1
        [mail] = server.mails
        [to] = [line for line in mail.splitlines() if line.startswith("To: ")]
        # Who has taken it is told as well, and who neither approves nor administrates is not.
        assert sorted(to.removeprefix("To: ").split(", ")) == [
            f"{who}@corp.example" for who in ("anna", "root", "ursula")
        ]
        assert made["id"] in mail


@pytest.mark.parametrize("scheme", ["smtps", "smtp"])
async def test_mail_is_sent_by_log_in_and_a_wrong_password_is_told_without_it(
    company: Served, tmp_path: Path, scheme: str
) -> None:
    authority, context = certified(tmp_path)
    logins = {"pam": "right"}
    async with MailServer(context, implicit=scheme == "smtps", logins=logins).running() as server:
        options = {"sender": "pam@corp.example", "to": ["desk@corp.example"], "caPath": str(authority.path)}
        url, name = f"{scheme}://localhost:{server.port}", {"username": "pam"}
        made = await channel(company, kind="smtp", url=url, secret="wr0ng", options=options | name)
        await ask(await person(company, "ursula"))
        await delivery(company).run(7)
        assert server.mails == []
        told = await company.http.get(f"{CHANNELS}/{made['id']}", headers=company.bearer())
        assert told.json()["problem"].endswith("the mail server answered 535")
        assert "wr0ng" not in told.text
        body = {"name": "c", "kind": "smtp", "url": url, "secret": "right", "options": options | name}
        changed = await company.http.put(f"{CHANNELS}/{made['id']}", headers=company.bearer(), json=body)
        assert "right" not in changed.text
        await now_due(company)
        await delivery(company).run(7)
        [mail] = server.mails
        assert "ursula asks for deploy@web1" in mail
        assert server.users == ["pam"]


async def test_whose_check_out_was_ended_by_somebody_hears_of_it_by_mail(company: Served, tmp_path: Path) -> None:
    authority, context = certified(tmp_path)
    for name in ("root", "anna"):
        await contact(company, name)
    host = company.bearer()
    fields = {"folder": "servers", "name": "root", "type": "password", "fields": {"password": "x"}}
    entry = (await company.http.post("/api/v1/vault/entries", headers=host, json=fields)).json()["id"]
    root = await person(company, "root")
    wish = {"entryId": entry, "reason": "to look after it", "minutes": 30}
    async with MailServer(context).running() as server:
        options = {"sender": "pam@corp.example", "caPath": str(authority.path)}
        await channel(company, kind="smtp", url=f"smtp://localhost:{server.port}", options=options)
        made = await root.post("/api/v1/vault/checkouts", **wish)
        assert made.status_code == 201, made.text
        path = f"/api/v1/vault/checkouts/{made.json()['id']}/force"
        forced = await company.http.post(path, headers=host, json={"reason": "the night shift needs it"})
        assert forced.status_code == 200, forced.text
        assert await delivery(company).run(7) == 1
        [mail] = server.mails
        assert "To: root@corp.example" in mail
        assert "Subject: admin has ended the check-out of servers/root by root" in mail
        assert "why: the night shift needs it" in mail
        again = await root.post("/api/v1/vault/checkouts", **wish)
        assert again.status_code in {201, 409}, again.text
        assert await delivery(company).run(7) == 0, "nobody is told of what they did themselves"
