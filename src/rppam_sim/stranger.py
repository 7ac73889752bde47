"""A stranger who may write into the store: made-up records, releases in the holder's place, old records put back.

He has no key, knows no secret of a holder, and sees all that ever stood there. What he may do is bounded to what every
level withstands: he puts back only what everybody who reads has seen overtaken. What is left to whoever can do more,
such as showing each node another record, is told in docs/safety-levels.md.
"""

from random import Random
from typing import TYPE_CHECKING

from rppam.cluster.consensus.record import EPOCH_MAX, NONCE_DIGITS, Record, RecordState, commitment, parse_record
from rppam_sim import troubles

if TYPE_CHECKING:
    from rppam_sim.world import World

NAME, LIFE = "stranger", "5" * 16


def strike(world: "World", chance: Random) -> None:
    """One thing that he does."""
    now = None if world.store.text is None else parse_record(world.store.text)
    kind = chance.random()
    if now is None or world.store.down:
        return
    if kind < 0.4 and now.state is RecordState.HELD:
        forged = now._replace(state=RecordState.RELEASED, seq=now.seq + 1, nonce=_digits(chance))
        troubles.overwrite(world, forged.encode(), f"somebody writes that {now.holder} has released")
        _announce(world)
    elif kind < 0.75:
        _make_up(world, chance, now.epoch)
    else:
        _put_back(world, chance)


def _make_up(world: "World", chance: Random, epoch: int) -> None:
    """A leadership of his own: its release, which reveals a secret that he knows, follows soon."""
    secret = _digits(chance)
    epoch = max(0, min(EPOCH_MAX, epoch + int(chance.random() * 8) - 3))
    held = Record(RecordState.HELD, NAME, LIFE, epoch, int(chance.random() * 5), commitment(secret))
    troubles.overwrite(world, held.encode(), f"somebody writes a record that says '{NAME}' leads at {epoch}")
    released = held._replace(state=RecordState.RELEASED, seq=held.seq + 1, nonce=secret)
    if chance.random() < 0.8:
        span_us = int(chance.random() ** 2 * 1.2 * world.timing.lease_us)
        world.push(world.now + span_us, _release, world, world.storm.number, held, released)


def _release(world: "World", number: int, held: Record, released: Record) -> None:
    if number == world.storm.number and world.store.text == held.encode():
        troubles.overwrite(world, released.encode(), f"somebody writes that '{NAME}' has released")
        _announce(world)


def _put_back(world: "World", chance: Random) -> None:
    """An old record, which nobody who reads takes for news."""
    readers = [
        host.election.status().lease for host in world.hosts if host.election is not None and not host.paused_until
    ]
    if any(watch.record is None for watch in readers) or any(host.paused_until for host in world.hosts):
        return
    newest = min((_place(watch.record) for watch in readers if watch.record is not None), default=(0, 0))
    texts = {text for _, text in world.store.history if text is not None}
    old = [one for one in map(parse_record, sorted(texts)) if one is not None and _place(one) < newest]
    if old:
        record = old[int(chance.random() * len(old))]
        what = f"{record.state} {record.holder} {record.epoch} {record.seq}"
        troubles.overwrite(world, record.encode(), f"somebody puts back '{what}'")
        _announce(world)


def _announce(world: "World") -> None:
    """He says so on the channel of releases, too."""
    for host in world.hosts:
        if host.connection is not None:
            world.network.say_released(host)


def _place(record: Record) -> tuple[int, int]:
    return record.epoch, record.seq


def _digits(chance: Random) -> str:
    return f"{chance.getrandbits(4 * NONCE_DIGITS):0{NONCE_DIGITS}x}"
