"""Notifications of a request, by webhook and mail: signed, over TLS, sent again, and gone when their act is undone."""

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from rppam.cluster.health.ports import Authority as Leader
from rppam.http.errors import FencedError
from rppam.kernel.system_clock import SystemClock
from rppam.notifications.delivery import Delivery
from rppam.notifications.store import TRIES_MAX, SqlChannels
from rppam.notifications.tables import notification_channels, notifications
from rppam.notifications.wiring import refusing
from tests.requests.people import furnish, hire, person
from tests.requests.test_api import REQUESTS, ask, said
from tests.siem.receivers import http, is_signed
from tests.support.authority import Authority
from tests.support.served import Served

pytestmark = pytest.mark.integration
CHANNELS = "/api/v1/notifications/channels"


@pytest.fixture
async def company(served: Served) -> Served:
    await hire(served.database)
    await furnish(served.database)
    return served


def delivery(node: Served) -> Delivery:
    return Delivery(node.services.get(SqlChannels), SystemClock(), "node1", "boot")


async def channel(node: Served, **body: Any) -> dict[str, Any]:
    answer = await node.http.post(CHANNELS, headers=node.bearer(), json={"name": "c", **body})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def now_due(node: Served) -> None:
    again = update(notifications).where(notifications.c.sent_at.is_(None)).values(next_try_at=0)
    await node.database.write(lambda connection: connection.execute(again).rowcount)


class MailServer:
    """Takes mail over TLS alone, and remembers it: after STARTTLS, or ``implicit`` from the first byte on.

    ``logins``: passwords by user; nobody sends mail without one of them.
    """

    def __init__(
        self, context: ssl.SSLContext, *, implicit: bool = False, logins: Mapping[str, str] | None = None
    ) -> None:
        self._context, self._implicit, self._logins = context, implicit, logins or {}
        self.mails, self.users, self.port = list[str](), list[str](), 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator["MailServer"]:
        context = self._context if self._implicit else None
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        is_secure, user = self._implicit, ""
        writer.write(b"220 test\r\n")
        while line := (await reader.readline()).decode().strip():
            word = line.split()[0].upper()
            if word == "EHLO":
                offers = b"AUTH PLAIN" if self._logins else b"8BITMIME"
                writer.write(b"250-test\r\n250 " + (offers if is_secure else b"STARTTLS") + b"\r\n")
            elif word == "STARTTLS":
                writer.write(b"220 go\r\n")
                await writer.drain()
                await writer.start_tls(self._context)
                is_secure = True
            elif word == "AUTH" and is_secure:
                _, user, password = base64.b64decode(line.split()[2]).decode().split("\0")
                user = user if self._logins.get(user) == password else ""
                writer.write(b"235 welcome\r\n" if user else b"535 not you\r\n")
                self.users += [user] if user else []
            elif self._logins and is_secure and not user and word in {"MAIL", "RCPT", "DATA"}:
                writer.write(b"530 who are you\r\n")
            elif word == "DATA" and is_secure:
                writer.write(b"354 go\r\n")
                self.mails.append((await reader.readuntil(b"\r\n.\r\n")).decode())
                writer.write(b"250 taken\r\n")
            elif word == "QUIT":
                writer.write(b"221 bye\r\n")
                break
            else:
                writer.write(b"250 ok\r\n" if is_secure else b"530 STARTTLS first\r\n")
        writer.close()


async def test_a_webhook_hears_of_each_step_signed_and_once_more_after_a_refusal(company: Served) -> None:
    heard: list[dict[str, Any]] = []
    refuses = True

    async def handle(path: str, headers: dict[str, str], body: bytes) -> tuple[int, object]:
        assert is_signed("s3cret", headers, body)
        assert headers["x-rppam-id"] == json.loads(body)["id"]
        if refuses:
            return 503, {}
        heard.append(json.loads(body))
        return 200, {}

    async with http(handle) as url:
        made = await channel(company, kind="webhook", url=url, secret="s3cret")
        assert "s3cret" not in json.dumps(made)
        asked = await ask(await person(company, "ursula"))
        assert await delivery(company).run(7) == 1
        shown = (await company.http.get(f"{CHANNELS}/{made['id']}", headers=company.bearer())).json()
        assert (shown["waiting"], "503" in shown["problem"]) == (1, True)
        assert await delivery(company).run(7) == 0, "it waits before it is sent again"
        assert "c has 1 waiting" in await refusing(company.services.get(SqlChannels))
        refuses = False
        await now_due(company)
        await (await person(company, "anna")).post(f"{REQUESTS}/{asked['id']}/approve")
        assert await delivery(company).run(7) == 2
        assert await delivery(company).run(7) == 0
        with pytest.raises(FencedError):
            await company.services.get(SqlChannels).sent(Leader(6, "old"), "node2", "x")
    assert await refusing(company.services.get(SqlChannels)) == ""
    assert [one["kind"] for one in heard] == ["request.created", "request.granted"]
    assert heard[0]["title"] == "ursula asks for deploy@web1"
    assert sorted(heard[0]["approvers"]) == ["anna", "bert", "carl", "root"]
    assert "mail_to" not in heard[0]
    assert heard[0]["access"] == "", "nothing is granted yet"
    assert " minutes from its first use, which has to be before 20" in heard[1]["access"]


async def test_who_answers_nothing_holds_up_no_other_and_is_left_when_leadership_ends(
    company: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rppam.notifications.delivery.ROUND_S", 0.1)
    heard, asked, left = list[str](), asyncio.Event(), asyncio.Event()

    async def silent(path: str, headers: dict[str, str], body: bytes) -> tuple[int, object]:
        asked.set()
        await left.wait()
        return 200, {}

    async def handle(path: str, headers: dict[str, str], body: bytes) -> tuple[int, object]:
        heard.append(json.loads(body)["id"])
        return 200, {}

    async with http(silent) as nobody, http(handle) as url:
        await channel(company, name="hook", kind="webhook", url=nobody, secret="s3cret")
        await channel(company, name="mail", kind="webhook", url=url, secret="s3cret")
        ursula, sending = await person(company, "ursula"), delivery(company)
        first = await ask(ursula)
        assert await sending.run(7) == 2
        await asyncio.wait_for(asked.wait(), 5)
        await ursula.post(f"{REQUESTS}/{first['id']}/cancel")
        await ask(ursula)
        for _ in range(3):
            await sending.run(7)
        assert len(heard) == len(set(heard)) >= 2, "what came meanwhile was sent, and once"
        await sending.close()
        assert not [one for one in asyncio.all_tasks() if one.get_name().startswith("notifications of")]
        left.set()


async def test_a_channel_whose_secret_does_not_open_is_told_and_others_get_theirs_once(company: Served) -> None:
    heard = list[str]()

    async def handle(path: str, headers: dict[str, str], body: bytes) -> tuple[int, object]:
        await asyncio.sleep(0.2)
        heard.append(json.loads(body)["id"])
        return 200, {}

    async with http(handle) as url:
        made = await channel(company, name="torn", kind="webhook", url=url, secret="s3cret")
        await channel(company, name="well", kind="webhook", url=url, secret="s3cret")
        torn = update(notification_channels).where(notification_channels.c.id == made["id"]).values(secret="torn")
        await company.database.write(lambda connection: connection.execute(torn).rowcount)
        await ask(await person(company, "ursula"))
        sending = delivery(company)
        for _ in range(2):
            await sending.run(7)
    assert len(heard) == 1
    assert "torn has 1 waiting (" in await refusing(company.services.get(SqlChannels))


async def test_what_was_given_up_is_told_as_such_and_sent_once_the_channel_is_saved(
    company: Served, caplog: pytest.LogCaptureFixture
) -> None:
    heard = list[str]()

    async def handle(path: str, headers: dict[str, str], body: bytes) -> tuple[int, object]:
        heard.append(json.loads(body)["id"])
        return 200, {}

    channels, sending = company.services.get(SqlChannels), delivery(company)
    body = {"name": "c", "kind": "webhook", "url": "http://127.0.0.1:1/", "secret": "s3cret"}
    made = await channel(company, **body)
    await ask(await person(company, "ursula"))
    last = update(notifications).values(tries=TRIES_MAX - 1, next_try_at=0)
    await company.database.write(lambda connection: connection.execute(last).rowcount)
    assert await sending.run(7) == 1
    warning = await refusing(channels)
    assert "given up after three days, and nobody got them: 1 of c (" in warning
    assert "sent again" not in warning
    assert "a notification is given up" in caplog.text
    path = f"{CHANNELS}/{made['id']}"
    shown = (await company.http.get(path, headers=company.bearer())).json()
    assert (shown["waiting"], shown["givenUp"], shown["problem"] != "") == (0, 1, True)
    assert await sending.run(7) == 0
    async with http(handle) as url:
        off = {**body, "url": url, "enabled": False}
        assert (await company.http.put(path, headers=company.bearer(), json=off)).status_code == 200
        assert await sending.run(7) == 0, "nothing goes to a channel that is off"
        assert (await company.http.put(path, headers=company.bearer(), json={**body, "url": url})).status_code == 200
        assert await sending.run(7) == 1
    assert len(heard) == 1
    assert await refusing(channels) == ""


async def test_mail_goes_over_tls_to_those_concerned_and_to_no_server_that_is_not_believed(
    company: Served, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    issued = authority.certify("localhost")
    (tmp_path / "server.pem").write_bytes(issued.pem() + issued.key_pem())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")
    where = {"managerId": None, "email": "anna@corp.example"}
    await company.http.put("/api/v1/users/id-anna/contact", headers=company.bearer(), json=where)
    async with MailServer(context).running() as server:
        options = {"sender": "pam@corp.example", "to": ["desk@corp.example"], "caPath": str(authority.path)}
        url = f"smtp://localhost:{server.port}"
        made = await channel(company, kind="smtp", url=url, options=options)
        await ask(await person(company, "ursula"), reason="INC-1: disk\nSubject: forged")
        assert await delivery(company).run(7) == 1
        [mail] = server.mails
        assert "To: desk@corp.example, anna@corp.example" in mail
        assert "Subject: ursula asks for deploy@web1" in mail
        assert mail.index("forged") > mail.index("\r\n\r\n"), "in the text, not in the head"
        body = {"name": "c", "kind": "smtp", "url": url, "options": {**options, "caPath": ""}}
        await company.http.put(f"{CHANNELS}/{made['id']}", headers=company.bearer(), json=body)
        failed = await company.http.post(f"{CHANNELS}/{made['id']}/test", headers=company.bearer())
        assert said(failed) == (502, "RPPAM-8560")
        assert "certificate is not believed" in failed.json()["detail"]
        assert len(server.mails) == 1


async def test_what_was_undone_is_told_to_nobody(company: Served) -> None:
    await channel(company, kind="webhook", url="http://127.0.0.1:1/", secret="s3cret")
    ursula = await person(company, "ursula")
    refused = await ursula.post(REQUESTS, accountId="none", reason="x")
    assert refused.status_code == 404
    assert await company.services.get(SqlChannels).outbox() == {}


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "ftp://x"},
        {"secret": None},
        {"kind": "smtp", "url": "smtp://x"},
        {"kind": "smtp", "url": "smtp://x", "options": {"sender": "a@b"}},
        {"kind": "smtp", "url": "smtp://x", "secret": None, "options": {"sender": "a@b", "username": "u"}},
        {"url": "https://u:p@x/"},
        {"options": {"to": ["a@b\nBcc: c@d"]}},
    ],
)
async def test_a_channel_that_cannot_work_is_refused(served: Served, wrong: dict[str, Any]) -> None:
    body = {"name": "c", "kind": "webhook", "url": "https://x.example/", "secret": "s3cret", **wrong}
    answer = await served.http.post(CHANNELS, headers=served.bearer(), json=body)
    assert answer.status_code == 400, answer.text
    denied = await served.http.post(CHANNELS, headers=served.bearer("pam_approver"), json=body)
    assert denied.status_code == 403
