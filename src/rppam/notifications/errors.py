"""What can be wrong with notifications (RPPAM-8551 and on)."""

from rppam.http.errors import RequestError
from rppam.kernel.errors import Fault, Retry, RppamError


class NotificationError(RppamError, fault=Fault.CALLER, retry=Retry.NO, level="info"):
    """Base of all errors of notifications."""


class ChannelUnknown(NotificationError, code="RPPAM-8551", status=404):
    """No channel of notifications has this id."""

    fix = "GET /api/v1/notifications/channels lists them."


class ChannelInvalid(NotificationError, code="RPPAM-8552", status=400):
    """The channel of notifications cannot be as it was given."""

    fix = "Correct this field of the channel."


class ChannelTaken(NotificationError, code="RPPAM-8553", status=409):
    """Another channel has this name, or it has changed since the caller has read it."""

    fix = "Give the channel another name, or read it again and change what it is now."


class NotDelivered(
    RequestError, code="RPPAM-8560", fault=Fault.SURROUNDINGS, retry=Retry.YES, status=502, level="warning"
):
    """The receiver of notifications did not take one."""

    fix = "Look at 'detail' for what the receiver said; notifications wait and are sent again."
