"""What goes to each kind of target, how it is known to have arrived, and what is said when it has not."""

import asyncio
import json
import re

import pytest

from rppam.kernel.instant import Instant
from rppam.kernel.system_clock import SystemClock
from rppam.siem import senders
from rppam.siem.errors import DeliveryFailed
from rppam.siem.model import Options, TargetKind
from rppam.siem.senders import SentinelSender, SplunkSender, SyslogSender, WebhookSender
from tests.siem.receivers import Syslog, event, http, is_signed, target

pytestmark = pytest.mark.integration


class Later(SystemClock):
    """A clock that can be put on."""

    def __init__(self) -> None:
        super().__init__()
        self.ahead_us = 0

    def now(self) -> Instant:
        return Instant(super().now() + self.ahead_us)


async def test_a_syslog_message_is_that_of_the_rfc_and_proved_by_time_alone() -> None:
    receiver, clock = Syslog(), Later()
    await receiver.start()
    sender = SyslogSender(target(TargetKind.SYSLOG, f"tcp://127.0.0.1:{receiver.port}", None), clock)
    await sender.send([event(0), event(1, outcome="failure")])
    async with asyncio.timeout(10):
        while len(receiver.messages) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    head, _, body = receiver.messages[0].partition(b"\xef\xbb\xbf")
    assert re.fullmatch(
        rb'<109>1 2026-03-01T12:00:00\.123Z node1 rppam - administration \[rppam@32473 id="id-0" index="0"\] ', head
    ), head
    assert json.loads(body)["action"] == "user.create"
    assert receiver.messages[1].startswith(b"<108>1 ")
    assert sender.proven() == -1
    clock.ahead_us = 6_000_000
    assert sender.proven() == 1
    await sender.close()
    await receiver.kill()


async def test_what_was_not_proved_is_marked_when_it_is_sent_again() -> None:
    receiver = Syslog()
    await receiver.start()
    sender = SyslogSender(target(TargetKind.SYSLOG, f"tcp://127.0.0.1:{receiver.port}", None), SystemClock())
    await sender.send([event(0), event(1)])
    async with asyncio.timeout(10):
        while len(receiver.messages) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await receiver.kill()
    with pytest.raises(DeliveryFailed):
        await _many(sender)
    assert sender.proven() == -1
    receiver.messages.clear()
    await receiver.start(receiver.port)
    await sender.send([event(0), event(1), event(99)])
    async with asyncio.timeout(10):
        while len(receiver.messages) < 3:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert [b' again="1"' in one for one in receiver.messages] == [True, True, False]
    await sender.close()
    await receiver.kill()


async def test_a_webhook_is_signed_and_an_answer_that_is_none_is_said() -> None:
    taken: list[object] = []
    answers: list[tuple[int, object]] = [(500, {}), (200, {})]

    async def handle(path: str, headers: dict[str, str], body: bytes) -> tuple[int, object]:
        assert is_signed("s3cret", headers, body)
        assert not is_signed("other", headers, body)
        taken.append(json.loads(body))
        return answers.pop(0)

    async with http(handle) as url:
        sender = WebhookSender(target(TargetKind.WEBHOOK, f"{url}/hook"), SystemClock())
        with pytest.raises(DeliveryFailed, match="status 500"):
            await sender.send([event(0)])
        await sender.send([event(0), event(1)])
    assert [one["index"] for one in taken[-1]] == [0, 1]  # type: ignore[attr-defined]
    assert sender.proven() is None
    with pytest.raises(DeliveryFailed, match="refused"):
        await sender.send([event(2)])


async def test_splunk_is_believed_when_the_indexer_has_acknowledged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(senders, "ACK_EVERY_S", 0.01)
    asked = 0

    async def handle(path: str, headers: dict[str, str], body: bytes) -> tuple[int, object]:
        nonlocal asked
        assert headers["authorization"] == "Splunk s3cret"
        assert headers["x-splunk-request-channel"]
        if path.endswith("/ack"):
            asked += 1
            return 200, {"acks": {"5": asked >= 3}}
        lines = [json.loads(line) for line in body.decode().split("\n")]
        assert [line["event"]["index"] for line in lines] == [0, 1]
        assert lines[0]["time"] == 1_772_366_400.123
        return 200, {"text": "Success", "code": 0, "ackId": 5}

    async with http(handle) as url:
        await SplunkSender(target(TargetKind.SPLUNK, url), SystemClock()).send([event(0), event(1)])
    assert asked == 3


async def test_splunk_without_acknowledgement_says_what_to_turn_on() -> None:
    async def handle(path: str, headers: dict[str, str], body: bytes) -> tuple[int, object]:
        return 200, {"text": "Success", "code": 0}

    async with http(handle) as url:
        with pytest.raises(DeliveryFailed, match="acknowledge"):
            await SplunkSender(target(TargetKind.SPLUNK, url), SystemClock()).send([event(0)])
        without = target(TargetKind.SPLUNK, url, options=Options(acknowledge=False))
        await SplunkSender(without, SystemClock()).send([event(0)])


async def test_sentinel_signs_in_once_and_again_after_a_refusal() -> None:
    seen: list[str] = []
    refuse = False

    async def handle(path: str, headers: dict[str, str], body: bytes) -> tuple[int, object]:
        seen.append(path.partition("?")[0])
        if path == "/token":
            assert b"client_secret=s3cret" in body
            return 200, {"access_token": "tok", "expires_in": 3600}
        assert headers["authorization"] == "Bearer tok"
        assert json.loads(body)[0]["TimeGenerated"] == "2026-03-01T12:00:00.123Z"
        return (401, {}) if refuse else (204, {})

    async with http(handle) as url:
        options = Options(token_url=f"{url}/token", client_id="c", rule_id="dcr-1", stream="Custom-RpPam_CL")
        sender = SentinelSender(target(TargetKind.SENTINEL, url, options=options), SystemClock())
        await sender.send([event(0)])
        await sender.send([event(1)])
        assert seen.count("/token") == 1
        assert seen[-1] == "/dataCollectionRules/dcr-1/streams/Custom-RpPam_CL"
        refuse = True
        with pytest.raises(DeliveryFailed, match="status 401"):
            await sender.send([event(2)])
        refuse = False
        await sender.send([event(2)])
        assert seen.count("/token") == 2


async def test_a_secret_is_in_no_error() -> None:
    async with http(lambda *_: _refusing()) as url:
        with pytest.raises(DeliveryFailed) as caught:
            await WebhookSender(target(TargetKind.WEBHOOK, url), SystemClock()).send([event(0)])
    assert "s3cret" not in str(caught.value)


async def _many(sender: SyslogSender) -> None:
    for index in range(2, 50):
        await sender.send([event(index)])
        await asyncio.sleep(0.01)


async def _refusing() -> tuple[int, object]:
    return 403, {"error": "s3cret"}
