"""How a node hands an administrator's order on to the node that it is for."""

from typing import Final, NamedTuple, Protocol

from rppam.domain.secret import Secret

FORWARDED: Final = "X-RPPAM-Forwarded"
"""The header by which a request says that another node sent it on, which it names."""


class HandedOn(NamedTuple):
    """A request as it goes on."""

    node: str
    """Whom it is for."""
    base: str
    """Where that node's REST API answers, ``https://HOST:PORT``."""
    method: str
    path: str
    """Begins with a slash."""
    body: object
    token: Secret
    """The caller's own: the other node decides by it who asks."""
    request_id: str
    """One id runs through the logs of both nodes."""


class Passed(NamedTuple):
    """The other node's answer."""

    status: int
    body: object
    """``None`` when it is not JSON."""


class Relay(Protocol):
    """The way to the REST API of another node."""

    async def hand_on(self, order: HandedOn) -> Passed:
        """What the node answers. It never hands the order on itself.

        Raises :class:`~rppam.domain.errors.administration.NodeSilent` when no answer comes in time, and
        :class:`~rppam.domain.errors.administration.NotThisNode` when nothing may be sent there.
        """
        ...
