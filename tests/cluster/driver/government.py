"""Whole nodes of a cluster on one virtual clock: their heartbeats travel with the store's answers."""

from pathlib import Path
from typing import Any

from rppam.cluster.admin.errors import OrdersUnwritable
from rppam.cluster.admin.service import NodeAdministration
from rppam.cluster.consensus.admission import Admission, AdmissionState
from rppam.cluster.consensus.effects import Disconnected, Exchange
from rppam.cluster.consensus.election import Election
from rppam.cluster.consensus.exchange import exchange
from rppam.cluster.consensus.failure_detector import FailureDetector
from rppam.cluster.consensus.heartbeat import Heartbeat, Role
from rppam.cluster.consensus.lease import Identity
from rppam.cluster.consensus.node import Exchanged, KeepOrders, NodeCore, NodeEffect, Unregister
from rppam.cluster.consensus.operator_state import NO_ORDERS, OperatorState
from rppam.cluster.consensus.record import parse_record
from rppam.cluster.consensus.rules import VoteRules
from rppam.cluster.consensus.vote import Voter
from rppam.cluster.driver.operator_state import OperatorStateFile, OperatorStateKeeper
from rppam.cluster.link.local_peer import PeerState
from rppam.kernel.instant import US_PER_MS, Instant, WallMs
from rppam_sim.host import SeededEntropy
from tests.cluster.consensus.parliament import HOP_US, TIMING, Parliament, Seat

WALL_MS = 1_795_000_000_000


class MemoryOrders(OperatorStateFile):
    """A file of orders in memory; ``broken`` makes the disk refuse."""

    def __init__(self) -> None:
        super().__init__(Path())
        self.kept = NO_ORDERS
        self.broken = ""

    def load(self) -> OperatorState:
        return self.kept

    def save(self, orders: OperatorState) -> None:
        if self.broken:
            raise OrdersUnwritable(self.broken)
        self.kept = orders


class Government(Parliament):
    """All nodes."""

    def __init__(self, *names: str, **more: Any) -> None:
        self.orders = {name: MemoryOrders() for name in names}
        self.registered = set(names)
        self.beats = 0
        super().__init__(*names, **more)

    # ---- the clock of every administration --------------------------------------------------------------------------

    def wall_ms(self) -> WallMs:
        return WallMs(WALL_MS + self.now // US_PER_MS)

    # ---- what is asked ----------------------------------------------------------------------------------------------

    def core(self, name: str) -> NodeCore:
        found = self.seats[name].member
        assert isinstance(found, NodeCore)
        return found

    def administration(self, name: str) -> NodeAdministration:
        seat, house = self.seats[name], self

        class Now:
            def now(self) -> Instant:
                return Instant(house.now)

            def wall_ms(self) -> WallMs:
                return house.wall_ms()

        keeper = OperatorStateKeeper(self.orders[name])

        def feed(effects: list[NodeEffect]) -> None:
            for effect in effects:
                if isinstance(effect, KeepOrders):
                    keeper.keep(effect.orders)
            house._perform(seat, effects)

        async def sleep(seconds: float) -> None:
            house.run(max(1, int(1000 * seconds)))

        return NodeAdministration(self.core(name), feed, Now(), keeper, lambda: self.peers(name), sleep)

    def peers(self, name: str) -> dict[str, PeerState]:
        return {
            other: PeerState("", seat.member is not None and (name, other) not in self.cut, "", None, None)
            for other, seat in self.seats.items()
            if other != name
        }

    # ---- the world --------------------------------------------------------------------------------------------------

    def start(self, name: str) -> None:
        super().start(name)
        seat = self.seats[name]
        boot_id, now = seat.status.me.boot_id, Instant(self.now)
        voter = Voter(Identity(name, boot_id, TIMING), seat.disk, VoteRules(TIMING), now)
        orders = self.orders.setdefault(name, MemoryOrders()).load()
        election = Election(
            Identity(name, boot_id, TIMING),
            SeededEntropy(boot_id),
            now=now,
            voter=voter,
            electable=not orders.maintenance,
            paused=orders.pause.is_on,
        )
        core = NodeCore(
            election,
            FailureDetector(name, TIMING),
            Admission(name, boot_id, TIMING, lambda _others: None),
            now=now,
            orders=orders,
        )
        core.admission.standing = AdmissionState.ADMITTED
        seat.member = core
        self._poll_later(seat)

    def store_away(self) -> None:
        super().store_away()
        for seat in self.seats.values():
            if seat.member is not None and seat.status.lease.connection is not None:
                self.tell(seat.name, Disconnected(seat.status.lease.connection))

    def _one(self, seat: Seat, effect: Any) -> None:
        match effect:
            case KeepOrders(orders):
                if not self.orders[seat.name].broken:
                    self.orders[seat.name].save(orders)
            case Unregister(nodes):
                self.registered.difference_update(nodes)
            case _ if type(effect).__name__ != "MemberChanged":
                super()._one(seat, effect)

    def _serve(self, seat: Seat, life: int, effect: Exchange) -> None:
        if not self.store_up:
            return
        swap = effect.swap
        expected = swap.expected.encode() if swap else None
        done = exchange(self.text, expected, swap.proposed.encode() if swap else None, effect.mark.encode(), "0" * 13)
        self.text = done.stands
        record = parse_record(done.stands)
        assert record is not None
        beats = tuple((name, self._beat(name)) for name in sorted(self.registered))
        answer = Exchanged(effect.request, done.granted, done.was_absent, record, None, beats, self.wall_ms())
        self._later(HOP_US, self._answered, seat, life, answer)

    def _answered(self, seat: Seat, life: int, answer: Exchanged) -> None:
        if seat.life == life and seat.member is not None:
            self._perform(seat, self.core(seat.name).step(answer, Instant(self.now)))

    def _beat(self, name: str) -> Heartbeat | None:
        if self.seats[name].member is None:
            return None
        core = self.core(name)
        self.beats += 1
        pause = core.orders.pause
        membership = core.status().known_membership
        is_witness = membership is not None and name in membership.body.witnesses
        return Heartbeat(
            name,
            core.boot_id,
            self.beats,
            Role.WITNESS if is_witness else Role.STANDBY,
            0,
            "1.0.0",
            name,
            f"http://{name}:7101",
            self.wall_ms(),
            0,
            0,
            member_address=f"{name}:5201",
            maintenance=core.orders.maintenance,
            pause_stamp=pause.stamp,
            paused=pause.is_on,
            paused_by=pause.by,
        )
