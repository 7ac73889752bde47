"""Sessions of two persons: with some targets a session begins only once somebody else watches it.

Somebody else is another account whose role lets it (an approver or an administrator). Only what is recorded can be
watched, so shells and commands alone begin there. Whoever takes up a shell that was kept (after a lost connection, or
a gateway that died) waits in the same way: whoever went on watching counts at once, and where nobody comes the shell
stays kept as long as any other. Whether a session goes on when who watches leaves is the policy's: ``start`` has it
go on, ``throughout`` ends it after :data:`ALONE_S`. What it does not promise: that who watches looks.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

from rppam.db.errors import DatabaseError
from rppam.gateway.errors import RouteUnknown, SecondPersonNeeded
from rppam.gateway.held_store import Kept
from rppam.gateway.ports import Route, Tape
from rppam.gateway.ssh.gate import Gate
from rppam.kernel.actor import Actor
from rppam.ledger.model import Entity, Word

if TYPE_CHECKING:
    from rppam.gateway.ssh.live import LiveAccess

WAIT_S: Final = 600.0
ALONE_S: Final = 20.0
"""Who watches at a node that dies, or whose own connection is lost, has this long to watch at another."""
THROUGHOUT: Final = "throughout"
log: Final = logging.getLogger("rppam.gateway")
LOOK_S: Final = 1.0
_LOOK_S: Final = 0.5
_WHY: Final = "nobody else watches it any more"


_watched: Final["WeakKeyDictionary[LiveAccess, set[str]]"] = WeakKeyDictionary()
"""The recordings of each session that began, or went on, as somebody watched."""


def needs_second(gate: Gate, route: Route | None) -> bool:
    """Whether sessions with this target begin only while they are watched."""
    return route is not None and gate.policy.two_person_tag in route.tags


async def second_person(
    gate: Gate,
    access: "LiveAccess",
    route: Route | None,
    tape: Tape,
    say: Callable[[str], None],
    is_over: Callable[[], bool],
) -> None:
    """Wait until somebody else watches, where the target wants that.

    Raises :class:`SecondPersonNeeded`, :class:`RouteUnknown` where the user has left meanwhile, ``DatabaseError``.
    """
    if not needs_second(gate, route):
        return
    if not tape.ident:
        raise SecondPersonNeeded("sessions with this target need a second person, and this one cannot be watched")
    try:
        await _awaited(gate, access, tape, say, is_over)
    except BaseException:
        await asyncio.shield(tape.close("not watched"))
        raise
    finally:
        await asyncio.shield(gate.recordings.wait(tape.ident, on=False))


async def _awaited(
    gate: Gate, access: "LiveAccess", tape: Tape, say: Callable[[str], None], is_over: Callable[[], bool]
) -> None:
    about = access.new
    ident, name = await _somebody(
        gate, about.id, tape.ident, about.user_id, say, lambda: is_over() or bool(access.why), "begins"
    )
    to_be_watched(access, tape.ident)
    await access.note("access.second", {"watcher": ident, "name": Word(name)})


def to_be_watched(access: "LiveAccess", recording: str) -> None:
    """Remember that somebody else watches a recording of this session, and has to, where that is to be throughout."""
    _watched.setdefault(access, set()).add(recording)


def watched_again(
    gate: Gate, route: Route, actor: Actor, say: Callable[[str], None], is_over: Callable[[], bool]
) -> Callable[[Kept], Awaitable[None]]:
    """What waits until somebody else watches a kept session before it is taken up, where the target wants that.

    It raises as :func:`second_person`, and the session stays kept.
    """

    async def agree(kept: Kept) -> None:
        if not needs_second(gate, route):
            return
        if not kept.recording:
            said = "sessions with this target need a second person, and this one was not recorded: it cannot be watched"
            raise SecondPersonNeeded(said)
        try:
            ident, name = await _somebody(gate, kept.id, kept.recording, kept.user_id, say, is_over, "goes on")
        finally:
            await asyncio.shield(gate.recordings.wait(kept.recording, on=False))
        target = Entity("access-session", kept.id, kept.target)
        facts = {"watcher": ident, "name": Word(name), "again": True}
        await gate.store.note("access.second", target, actor._replace(session=kept.id), facts)

    return agree


async def _somebody(
    gate: Gate,
    session: str,
    recording: str,
    user_id: str,
    say: Callable[[str], None],
    is_over: Callable[[], bool],
    does: str,
) -> tuple[str, str]:
    """Id and name of who else watches, waited for. Raises as :func:`second_person`."""
    found = await gate.recordings.second(recording, user_id)
    if not found[0]:
        await gate.recordings.wait(recording, on=True)
        say(f"this session {does} once somebody else watches it: rppam session watch {session}")
    until = asyncio.get_running_loop().time() + WAIT_S
    while not found[0]:
        if is_over():
            raise RouteUnknown("the user left before anybody watched")
        if asyncio.get_running_loop().time() > until:
            raise SecondPersonNeeded(f"nobody came to watch this session within {WAIT_S / 60:g} minutes")
        await asyncio.sleep(_LOOK_S)
        found = await gate.recordings.second(recording, user_id)
    say(f"{found[1]} watches this session")
    return found


class Watch:
    """Ends sessions that nobody watches any more, where the policy wants them watched throughout."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._alone: dict[str, float] = {}
        """Since when nobody watches a recording."""

    async def run(self) -> None:
        """Never returns."""
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                await self.look()
            except DatabaseError:
                continue
            except Exception:  # whatever is wrong with one session leaves the others looked after
                log.exception("whether sessions are watched cannot be told now")

    async def look(self) -> None:
        """Do once what :meth:`run` does. Raises ``DatabaseError``."""
        now = asyncio.get_running_loop().time()
        live = self._gate.live if self._gate.policy.two_person == THROUGHOUT else []
        looked_at = [(access, one) for access in live for one in access.recordings & _watched.get(access, set())]
        for recording in self._alone.keys() - {one for _, one in looked_at}:  # over, or another gateway has it
            del self._alone[recording]
        for access, recording in looked_at:
            ident, _ = await self._gate.recordings.second(recording, access.new.user_id)
            if (ident != "") is (recording in self._alone):  # an approver may watch one that waits, and no other
                await self._gate.recordings.wait(recording, on=not ident)
            if ident:
                self._alone.pop(recording, None)
            elif now - self._alone.setdefault(recording, now) > ALONE_S:
                access.kill(_WHY, f"this session is ended: {_WHY}")
