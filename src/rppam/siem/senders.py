"""How a batch goes to a target of each kind, and how it is known that it arrived.

A webhook, Sentinel and Splunk answer; with Splunk's acknowledgement the answer comes once the indexer has it. Syslog
has no answer at all (RFC 5424 over RFC 6587 or 5425): what the receiver's host has acknowledged for less than
:data:`UNPROVEN_S` counts as unproven, and is sent again after that connection is lost, marked as sent again. Only Linux
tells what a host has acknowledged; elsewhere what was sent counts.

A target that answers with 413 gets half as much, down to one event, and no more than that from then on.
"""

import asyncio
import contextlib
import hashlib
import hmac
import json
import ssl
import sys
import uuid
from collections import deque
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Final, NamedTuple, Protocol
from urllib.parse import quote, urlencode

from rppam.http.client import Answer, NoAnswerError, ask
from rppam.http.times import iso_utc_ms
from rppam.http.trust import Trust
from rppam.kernel.clock import Clock
from rppam.kernel.instant import US_PER_S, Instant, WallMs
from rppam.kernel.network import connected
from rppam.ledger.events import ACTIONS, Retention
from rppam.siem.bounds import Event, Piece, Taken, bounds_of, fitting, halved, shortened, taken
from rppam.siem.errors import BatchRefused, DeliveryFailed, EventRefused, TargetSlow
from rppam.siem.formats import written
from rppam.siem.model import Target, TargetKind, endpoint_of

if sys.platform == "linux":
    import fcntl
    import termios

TIMEOUT_S: Final = 15.0
UNPROVEN_S: Final = 5
ACK_EVERY_S: Final = 0.5
ACK_WITHIN_S: Final = 60.0
TOKEN_SPARE_S: Final = 60
CERTIFICATE_HINT: Final = "name its authority in options.caPath, and the host in url as its certificate does"
_SD_ID: Final = "rppam@32473"
_FACILITY: Final = 13
"""RFC 5424: log audit."""
_NOTICE: Final = 5
_WARNING: Final = 4


class Sender(Protocol):
    """The way to one target. One batch at a time."""

    async def send(self, batch: Sequence[Event]) -> Taken:
        """Have the target take the batch, or as much from its beginning as goes at one time. Raises
        :class:`DeliveryFailed`."""
        ...

    def proven(self) -> int | None:
        """Index of the last event that has arrived for certain; ``None``: all that were sent. Raises
        :class:`DeliveryFailed` where some that were sent have not, and never will."""
        ...

    async def close(self) -> None:
        """Hang up."""
        ...


def sender_of(target: Target, clock: Clock) -> Sender:
    """The sender for a target. Its secret is open."""
    if target.kind is TargetKind.SYSLOG:
        return SyslogSender(target, clock)
    if target.kind is TargetKind.SPLUNK:
        return SplunkSender(target, clock)
    return SentinelSender(target, clock) if target.kind is TargetKind.SENTINEL else WebhookSender(target, clock)


class _Sent(NamedTuple):
    place: int
    end: int
    """So many bytes were written with it, since the connection began."""


class _Received(NamedTuple):
    """By the receiver's host."""

    place: int
    at: Instant


class SyslogSender:
    """Syslog over TCP or TLS, with octet counting (RFC 6587, section 3.4.1)."""

    def __init__(self, target: Target, clock: Clock) -> None:
        self._target, self._clock, self._bounds = target, clock, bounds_of(target)
        self._writer: asyncio.StreamWriter | None = None
        self._watching: asyncio.Task[None] | None = None
        self._sent: deque[_Sent] = deque()
        self._received: deque[_Received] = deque()
        self._written = 0
        self._proven = target.cursor - 1
        self._again_up_to = target.reached - 1
        """Events up to here may have been sent before, by this sender or by an earlier one, of any leader."""

    async def send(self, batch: Sequence[Event]) -> Taken:
        """Write the batch. Raises :class:`DeliveryFailed`."""
        pieces = fitting(batch, self._frame, self._bounds)
        try:
            async with asyncio.timeout(TIMEOUT_S):
                writer = self._writer or await self._connect()
                writer.write(b"".join(one.data for one in pieces))
                await writer.drain()
                if self._watching is not None and self._watching.done():
                    raise ConnectionResetError("the target has closed the connection")
        except (OSError, TimeoutError, ValueError) as error:
            await self._lose()
            kind = TargetSlow if isinstance(error, TimeoutError) else DeliveryFailed
            raise kind(_why(error)) from None
        for one in pieces:
            self._written += len(one.data)
            if one.event["index"] is not None:
                self._sent.append(_Sent(one.event["index"], self._written))
        return taken(pieces)

    def proven(self) -> int | None:
        """See :class:`Sender`. Raises :class:`DeliveryFailed` where what was sent last went with its connection:
        nothing new may come for hours that would find that out."""
        if (self._sent or self._received) and self._watching is not None and self._watching.done():
            raise DeliveryFailed("the target has closed the connection before what was sent last counts as arrived")
        now = self._clock.now()
        there = self._written - _on_the_way(self._writer) if self._writer is not None else 0
        while self._sent and self._sent[0].end <= there:
            self._received.append(_Received(self._sent.popleft().place, now))
        while self._received and self._received[0].at <= now - UNPROVEN_S * US_PER_S:
            self._proven = self._received.popleft().place
        return self._proven

    async def close(self) -> None:
        """See :class:`Sender`."""
        await self._lose()

    async def _connect(self) -> asyncio.StreamWriter:
        place = endpoint_of(self._target.url)
        context = _trust(self._target).context("") if place.is_secure else None
        with await connected(place.host, place.port) as plug:
            reader, writer = await asyncio.open_connection(
                sock=plug.dup(), ssl=context, server_hostname=place.host if place.is_secure else None
            )
        self._writer = writer
        # A receiver says nothing: what comes is the end.
        self._watching = asyncio.create_task(_until_end(reader), name="end of a syslog connection")
        return writer

    async def _lose(self) -> None:
        writer, self._writer = self._writer, None
        places = [one.place for one in self._sent] + [one.place for one in self._received]
        self._again_up_to = max([self._again_up_to, *places])
        self._sent.clear()
        self._received.clear()
        self._written = 0
        if self._watching is not None:
            self._watching.cancel()
            self._watching = None
        if writer is not None:
            writer.close()
            try:
                async with asyncio.timeout(1):
                    await writer.wait_closed()
            except TimeoutError:
                writer.transport.abort()  # or each try would leave a connection to a receiver that reads nothing
            except OSError:
                pass

    def _frame(self, event: Event) -> bytes:
        """RFC 5424, section 6; the message in UTF-8 with its mark, and before it its length in octets."""
        severity = _NOTICE if event["outcome"] == "success" else _WARNING
        index = event["index"]
        sd = f'id="{event["id"]}"' + ("" if index is None else f' index="{index}"')
        if index is not None and index <= self._again_up_to:
            sd += ' again="1"'
        time = iso_utc_ms(WallMs(event["time"]))
        node = _printable(event["node"]) or "-"
        action = ACTIONS.get(event["action"])
        kind = (action.retention if action is not None else Retention.ADMINISTRATION).value
        head = f"<{_FACILITY * 8 + severity}>1 {time} {node} rppam - {kind} [{_SD_ID} {sd}] "
        message = head.encode("ascii") + b"\xef\xbb\xbf" + written(event, self._target.format).encode()
        return b"%d %b" % (len(message), message)


class _HttpSender:
    """What the targets that answer have in common."""

    def __init__(self, target: Target, clock: Clock) -> None:
        self._target, self._clock, self._bounds = target, clock, bounds_of(target)
        secret = target.secret
        assert secret is not None  # every target that answers needs one
        self._secret = secret.reveal()

    async def send(self, batch: Sequence[Event]) -> Taken:
        """See :class:`Sender`. Raises also :class:`EventRefused`."""
        pieces = fitting(batch, self._written, self._bounds)
        while True:
            try:
                await self._deliver(pieces)
            except BatchRefused:
                pieces = self._fewer(pieces)
            else:
                return taken(pieces)

    def proven(self) -> int | None:
        """An answer proves what was sent."""
        return None

    async def close(self) -> None:
        """No connection is kept."""

    def _written(self, event: Event) -> bytes:
        return written(event, self._target.format).encode()

    async def _deliver(self, pieces: Sequence[Piece]) -> None:
        """One request. Raises :class:`DeliveryFailed`."""
        raise NotImplementedError

    def _fewer(self, pieces: Sequence[Piece]) -> list[Piece]:
        """What is tried after these were too large. Raises :class:`EventRefused`."""
        size = sum(len(one.data) for one in pieces)
        if len(pieces) > 1:
            self._bounds = self._bounds._replace(batch=size // 2)
            return halved(pieces)
        (one,) = pieces
        if one.whole_bytes:
            raise EventRefused(
                f"it answered with the status 413 to the event {one.event['index']} ({one.event['id']}) alone and "
                f"without its details, which has {size} bytes then"
            )
        self._bounds = self._bounds._replace(event=size - 1)
        return [shortened(one, self._written)]

    async def _post_events(self, url: str, body: bytes, headers: Mapping[str, str]) -> object:
        """As :meth:`_post`. Raises also :class:`BatchRefused`."""
        answer = await self._ask(url, body, headers)
        if answer.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            raise BatchRefused(f"it answered with the status 413 to {len(body)} bytes")
        return _body(answer)

    async def _post(self, url: str, body: bytes, headers: Mapping[str, str]) -> object:
        """The JSON of an answer with 2xx. Raises :class:`DeliveryFailed`."""
        return _body(await self._ask(url, body, headers))

    async def _ask(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        nobody, trust = "nothing listens there", _trust(self._target)
        try:
            return await ask("POST", url, body, headers=headers, timeout_s=TIMEOUT_S, trust=trust, nobody=nobody)
        except NoAnswerError as error:
            kind = TargetSlow if isinstance(error.__cause__, TimeoutError) else DeliveryFailed
            raise kind(str(error)) from None


class WebhookSender(_HttpSender):
    """A JSON array by POST, signed: ``X-RpPam-Signature: sha256=HMAC`` of ``TIMESTAMP.BODY``."""

    async def _deliver(self, pieces: Sequence[Piece]) -> None:
        body = _list(pieces)
        stamp = str(self._clock.wall_ms() // 1000)
        code = hmac.new(self._secret.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
        headers = {"X-RpPam-Timestamp": stamp, "X-RpPam-Signature": f"sha256={code}"}
        await self._post_events(self._target.url, body, headers)


class SplunkSender(_HttpSender):
    """HTTP Event Collector; with ``acknowledge`` a batch counts once the indexer has acknowledged it."""

    def __init__(self, target: Target, clock: Clock) -> None:
        super().__init__(target, clock)
        self._base = target.url.rstrip("/").removesuffix("/services/collector/event")
        self._headers = {"Authorization": f"Splunk {self._secret}"}
        if target.options.acknowledge:
            self._headers["X-Splunk-Request-Channel"] = str(uuid.uuid4())

    def _written(self, event: Event) -> bytes:
        document = written(event, self._target.format)
        return (
            f'{{"time":{event["time"] / 1000:.3f},"host":{json.dumps(event["node"])},"source":"rppam",'
            f'"sourcetype":"rppam:audit","event":{document}}}'
        ).encode()

    async def _deliver(self, pieces: Sequence[Piece]) -> None:
        body = b"\n".join(one.data for one in pieces)
        answer = await self._post_events(f"{self._base}/services/collector/event", body, self._headers)
        if not self._target.options.acknowledge:
            return
        ack = answer.get("ackId") if isinstance(answer, dict) else None
        if not isinstance(ack, int):
            raise DeliveryFailed("expected an ackId: turn on indexer acknowledgement there, or acknowledge off here")
        try:
            async with asyncio.timeout(ACK_WITHIN_S):
                while not await self._is_acknowledged(ack):  # noqa: ASYNC110 - the indexer is asked
                    await asyncio.sleep(ACK_EVERY_S)
        except TimeoutError:
            raise TargetSlow(f"the indexer has not acknowledged it within {ACK_WITHIN_S:.0f} s") from None

    async def _is_acknowledged(self, ack: int) -> bool:
        body = json.dumps({"acks": [ack]}).encode()
        answer = await self._post(f"{self._base}/services/collector/ack", body, self._headers)
        acks = answer.get("acks") if isinstance(answer, dict) else None
        return isinstance(acks, dict) and acks.get(str(ack)) is True


class SentinelSender(_HttpSender):
    """Microsoft Sentinel: the Logs Ingestion API, with a token of its own by client credentials."""

    def __init__(self, target: Target, clock: Clock) -> None:
        super().__init__(target, clock)
        self._token, self._until = "", Instant(0)
        options = target.options
        rule, stream = quote(options.rule_id, safe=""), quote(options.stream, safe="")
        self._url = f"{target.url.rstrip('/')}/dataCollectionRules/{rule}/streams/{stream}?api-version=2023-01-01"

    def _written(self, event: Event) -> bytes:
        document = written(event, self._target.format)
        return f'{{"TimeGenerated":{json.dumps(iso_utc_ms(WallMs(event["time"])))},"Event":{document}}}'.encode()

    async def _deliver(self, pieces: Sequence[Piece]) -> None:
        if self._clock.now() >= self._until:
            await self._sign_in()
        try:
            await self._post_events(self._url, _list(pieces), {"Authorization": f"Bearer {self._token}"})
        except BatchRefused:
            raise
        except DeliveryFailed:
            self._until = Instant(0)  # a token that was taken back is not kept
            raise

    async def _sign_in(self) -> None:
        form = {
            "grant_type": "client_credentials",
            "client_id": self._target.options.client_id,
            "client_secret": self._secret,
            "scope": "https://monitor.azure.com//.default",
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = await self._post(self._target.options.token_url, urlencode(form).encode(), headers)
        token = answer.get("access_token") if isinstance(answer, dict) else None
        life_s = answer.get("expires_in") if isinstance(answer, dict) else None
        if not isinstance(token, str) or not isinstance(life_s, int):
            raise DeliveryFailed("the token endpoint answered without a token")
        self._token = token
        self._until = Instant(self._clock.now() + max(0, life_s - TOKEN_SPARE_S) * US_PER_S)


def _body(answer: Answer) -> object:
    if not 200 <= answer.status < 300:
        raise DeliveryFailed(f"it answered with the status {answer.status}")
    return answer.body


def _list(pieces: Sequence[Piece]) -> bytes:
    return b"[" + b",".join(one.data for one in pieces) + b"]"


def _trust(target: Target) -> Trust:
    ca = target.options.ca_path
    return Trust(Path(ca) if ca else None, verifies=target.options.verify_tls, hint=CERTIFICATE_HINT)


def _on_the_way(writer: asyncio.StreamWriter) -> int:
    """Bytes that the other host has not acknowledged, as far as this one tells. Encrypted ones are a few more."""
    waiting = writer.transport.get_write_buffer_size()
    if sys.platform == "linux":
        try:
            told = fcntl.ioctl(writer.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(4))
        except (OSError, ValueError):
            return sys.maxsize  # it is closed, and nothing of it is certain any more
        waiting += int.from_bytes(told, sys.byteorder)
    return waiting


async def _until_end(reader: asyncio.StreamReader) -> None:
    with contextlib.suppress(OSError):
        while await reader.read(4096):
            pass


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        why = error.verify_message.rstrip(".")
        return f"TLS failed: its certificate is not believed ({why}); {CERTIFICATE_HINT}"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason or error}"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused: nothing listens there"
    if isinstance(error, TimeoutError):
        return f"it took nothing within {TIMEOUT_S:g} s"
    return str(getattr(error, "strerror", None) or error)


def _printable(name: str) -> str:
    return "".join(one for one in name if "!" <= one <= "~")
