"""How a notification goes to a receiver: a signed webhook, or mail over TLS.

A webhook has the headers ``X-RpPam-Id``, ``X-RpPam-Timestamp`` and ``X-RpPam-Signature``: ``sha256=`` and the HMAC of
``TIMESTAMP.BODY``. Mail goes over TLS alone: from the start with ``smtps://``, after STARTTLS with ``smtp://``; a
server that offers neither gets nothing.
"""

import asyncio
import hashlib
import hmac
import json
import smtplib
import ssl
from email.message import EmailMessage
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from rppam.http.client import NoAnswerError, ask
from rppam.http.times import iso_utc
from rppam.http.trust import Trust
from rppam.kernel.clock import Clock
from rppam.kernel.instant import WallMs
from rppam.notifications.errors import NotDelivered
from rppam.notifications.model import Channel, ChannelKind, Notice

TIMEOUT_S: Final = 15.0
_HIDDEN: Final = ("mail_to",)


async def send(channel: Channel, notice: Notice, clock: Clock) -> None:
    """Have the receiver take it. The channel's secret is open. Raises :class:`NotDelivered`."""
    if channel.kind is ChannelKind.WEBHOOK:
        await _post(channel, notice, clock)
        return
    recipients = recipients_of(channel, notice)
    if recipients:
        await asyncio.to_thread(_mail, channel, _message(channel, notice, recipients))


def recipients_of(channel: Channel, notice: Notice) -> list[str]:
    """Whom mail goes to."""
    concerned = notice.body.get("mail_to", ()) if channel.options.to_people else ()
    return list(dict.fromkeys([*channel.options.to, *concerned]))


def document(notice: Notice) -> dict[str, Any]:
    """What a webhook gets."""
    body = {name: value for name, value in notice.body.items() if name not in _HIDDEN}
    return {"id": notice.id, "kind": notice.kind, "time": iso_utc(WallMs(notice.created_at)), **body}


async def _post(channel: Channel, notice: Notice, clock: Clock) -> None:
    assert channel.secret is not None  # a webhook has one
    body = json.dumps(document(notice)).encode()
    stamp = str(clock.wall_ms() // 1000)
    code = hmac.new(channel.secret.reveal().encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    headers = {"X-RpPam-Id": notice.id, "X-RpPam-Timestamp": stamp, "X-RpPam-Signature": f"sha256={code}"}
    try:
        answer = await ask("POST", channel.url, body, headers=headers, timeout_s=TIMEOUT_S, trust=_trust(channel))
    except NoAnswerError as error:
        raise NotDelivered(str(error)) from None
    if not 200 <= answer.status < 300:
        raise NotDelivered(f"it answered with the status {answer.status}")


def _message(channel: Channel, notice: Notice, recipients: list[str]) -> EmailMessage:
    facts = document(notice)
    message = EmailMessage()
    message["From"], message["To"] = channel.options.sender, ", ".join(recipients)
    message["Subject"] = " ".join(str(facts.get("title", notice.kind)).split())[:200]
    message["Message-ID"] = f"<{notice.id}@rppam>"
    lines = [f"{name}: {_plain(value)}" for name, value in facts.items() if name not in {"title", "id"}]
    message.set_content("\n".join([str(facts.get("title", notice.kind)), "", *lines, ""]))
    return message


def _mail(channel: Channel, message: EmailMessage) -> None:
    parts = urlsplit(channel.url)
    host, context = parts.hostname or "", _trust(channel).context("")
    try:
        if parts.scheme == "smtps":
            server: smtplib.SMTP = smtplib.SMTP_SSL(host, parts.port or 465, timeout=TIMEOUT_S, context=context)
        else:
            server = smtplib.SMTP(host, parts.port or 587, timeout=TIMEOUT_S)
        with server:
            if parts.scheme == "smtp":
                server.starttls(context=context)
            if channel.options.username and channel.secret is not None:
                server.login(channel.options.username, channel.secret.reveal())
            server.send_message(message)
    except ssl.SSLCertVerificationError as error:
        why = error.verify_message.rstrip(".")
        raise NotDelivered(f"TLS failed: its certificate is not believed ({why})") from None
    except smtplib.SMTPResponseException as error:
        raise NotDelivered(f"the mail server answered {error.smtp_code}") from None  # its text may repeat what was sent
    except (smtplib.SMTPException, OSError) as error:
        why = str(getattr(error, "strerror", None) or type(error).__name__)
        raise NotDelivered(f"the mail server did not take it: {why}") from None


def _trust(channel: Channel) -> Trust:
    ca = channel.options.ca_path
    return Trust(Path(ca) if ca else None, verifies=channel.options.verify_tls)


def _plain(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
