"""Another member as the one to ask: connected to, and connected to again.

Decides when to try. A member that does not answer costs nobody else anything: each has a task, a time limit and a
back-off of its own, with a cap of one second, and is tried at once when it is heard of or found elsewhere.
"""

import asyncio
import logging
from typing import Final

from rppam.cluster.consensus.messages import Freeing, Invitation, VoteRequest
from rppam.cluster.link.connect import NotReachedError, Pace, dial
from rppam.cluster.link.inbound import InboundPeers
from rppam.cluster.link.local_peer import LocalPeer
from rppam.cluster.link.names import Names
from rppam.cluster.link.outbound import OutboundPeer
from rppam.cluster.link.ports import PeerState
from rppam.cluster.link.rejections import Refused, ms_between
from rppam.kernel.instant import US_PER_S, Instant
from rppam.redis.backoff import Backoff

_log: Final = logging.getLogger("rppam.members")

CONNECT_S: Final = 3.0
BACKOFF_BASE_MS: Final = 50
BACKOFF_CAP_MS: Final = 1_000
_BREATH_S: Final = 0.02
_SILENCE_S: Final = 60
_TOLD_MAX: Final = 16


class Peer:
    """See the module. Runs as one task, :meth:`run`."""

    def __init__(self, name: str, party: LocalPeer, guests: InboundPeers, names: Names, pace: Pace) -> None:
        self.name = name
        self.address = ""
        self.place: tuple[str, int] | None = None
        """Address and port at the other end of the connection that stands, or stood last; ``None`` before any."""
        self._party = party
        self._guests = guests
        self._names = names
        self._pace = pace
        self._call: OutboundPeer | None = None
        self._reason = "not tried yet"
        self._wake = asyncio.Event()
        self._told: dict[str, Instant] = {}
        self._heard_at: Instant | None = None

    @property
    def call(self) -> OutboundPeer | None:
        """The connection that stands, or is being made."""
        return self._call

    @property
    def state(self) -> PeerState:
        """For people."""
        call = self._call if self._call is not None and self._call.is_up else None
        if call is not None:
            self._heard_at = call.channel.heard_at
        heard = [at for at in (self._heard_at, self._guests.heard_at(self.name)) if at is not None]
        return PeerState(
            address=self.address,
            is_connected=call is not None,
            reason="" if call is not None else self._reason,
            heard_ms_ago=ms_between(max(heard), self._party.clock.now()) if heard else None,
            round_trip_us=None if call is None else call.round_trip_us,
            api_url=call.greeting.url if call is not None and call.greeting is not None else "",
        )

    def move(self, address: str) -> None:
        """It is to be found at ``address``. A connection elsewhere stays for as long as it works."""
        if address != self.address:
            self.address = address
            self._wake.set()

    def seen(self) -> None:
        """It made a connection to this node: a good time to try."""
        self._wake.set()

    def send(self, message: VoteRequest | Freeing | Invitation) -> bool:
        """Hand ``message`` to the network; whether there was a connection."""
        return self._call is not None and self._call.send(message)

    def look(self) -> None:
        """Called every quarter of a second."""
        if self._call is not None:
            self._call.look()

    async def run(self) -> None:
        """Connect, again and again, until cancelled."""
        backoff = Backoff(self._party.entropy, base_ms=BACKOFF_BASE_MS, cap_ms=BACKOFF_CAP_MS)
        while True:
            self._wake.clear()
            if not self.address:
                self._reason = (
                    f"no address of {self.name} is known yet: it tells it in Redis, or when it connects; look whether "
                    "it runs"
                )
                await self._wake.wait()
                continue
            try:
                await self._live(backoff)
            except Exception:  # noqa: BLE001 - logged whole; this task must not end, or the member is lost for good
                _log.exception("The connection to member %s failed in a way that nobody foresaw.", self.name)
                self._reason = "a fault of this node, which its log tells"
            finally:
                if self._call is not None:
                    self._call.channel.drop()
            await self._pause(backoff.next_ms() / 1000)

    async def _live(self, backoff: Backoff) -> None:
        """One connection, from the first try to its end."""
        self._call = call = OutboundPeer(self.name, self.address, self._party, self._guests)
        started_at = self._party.clock.now()
        try:
            await dial(
                self.name,
                self.address,
                call.channel,
                self._party.credentials.client,
                self._names,
                self._pace,
                timeout_s=CONNECT_S,
            )
            self._party.refusals.is_over(self.name, Refused.FOREIGN)
            call.greet()
            async with asyncio.timeout(CONNECT_S):
                await call.greeted
        except NotReachedError as error:
            if error.is_foreign:
                self._party.refusals.refuse(self.name, Refused.FOREIGN, str(error))
            self._tell(str(error), is_told=error.is_foreign)
            return
        except TimeoutError:
            self._tell(f"{call.who} took the connection and did not greet in time: look whether it is stuck")
            return
        if call.is_up:
            self._reason = ""
            self.place = call.place or self.place
            self._news(logging.INFO, f"connected to member {call.who}")
            await call.over
            self._heard_at = call.channel.heard_at
            backoff.succeeded(ms_between(started_at, self._party.clock.now()))
        self._tell(call.fault or f"{call.who} hung up: it restarts, or its log says why", is_told=call.is_told)

    def _tell(self, sentence: str, *, is_told: bool = False) -> None:
        """Why there is no connection: always for health, and in the log when it is news."""
        if not is_told:
            self._news(logging.WARNING, sentence)
        self._reason = sentence

    def _news(self, level: int, sentence: str) -> None:
        """The log hears everything once a minute, however often a connection comes and goes."""
        now = self._party.clock.now()
        told_at = self._told.get(sentence)
        if told_at is not None and now - told_at < _SILENCE_S * US_PER_S:
            return
        if len(self._told) >= _TOLD_MAX:
            del self._told[next(iter(self._told))]
        self._told[sentence] = now
        _log.log(level, "%s", sentence)

    async def _pause(self, pause_s: float) -> None:
        """The back-off, which ends early when there is news of the member, but is never nothing."""
        await asyncio.sleep(_BREATH_S)
        try:
            async with asyncio.timeout(pause_s):
                await self._wake.wait()
        except TimeoutError:
            return
