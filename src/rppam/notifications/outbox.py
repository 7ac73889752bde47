"""The outbox: a notification is one row more in the transaction of what it tells of.

So what was undone is never told, and what was done always is.

What it does not promise: that somebody has read it, nor that a receiver gets it once: after a leader died it may come
again, with the same id.
"""

import json
import uuid
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, insert, select

from rppam.db.engine import now_ms
from rppam.notifications.tables import notification_channels, notifications


def notify(connection: Connection, kind: str, body: Mapping[str, Any]) -> int:
    """Put a notification into the outbox for every enabled channel; for how many. ``body`` holds no secret."""
    wanted = select(notification_channels.c.id).where(notification_channels.c.enabled)
    channels = list(connection.execute(wanted).scalars())
    if not channels:
        return 0
    now, text = now_ms(connection), json.dumps(body)
    new = {"kind": kind, "body": text, "created_at": now, "next_try_at": now, "tries": 0, "problem": ""}
    rows = [{**new, "id": str(uuid.uuid4()), "channel_id": channel} for channel in channels]
    connection.execute(insert(notifications), rows)
    return len(channels)
