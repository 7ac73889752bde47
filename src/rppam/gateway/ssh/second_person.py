"""Sessions of two persons: with some targets a session begins only once somebody else watches it.

Somebody else is another account whose role lets it (an approver or an administrator). Only what is recorded can be
watched, so shells and commands alone begin there. Who watches may leave again; the session goes on, and so it does when
its user comes back to a shell that was kept.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from rppam.gateway.errors import RouteUnknown, SecondPersonNeeded
from rppam.gateway.ports import Route, Tape
from rppam.gateway.ssh.gate import Gate
from rppam.ledger.model import Word

if TYPE_CHECKING:
    from rppam.gateway.ssh.live import LiveAccess

WAIT_S: Final = 600.0
_LOOK_S: Final = 0.5


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
    await gate.recordings.wait(tape.ident, on=True)
    say(f"this session begins once somebody else watches it: rppam session watch {access.new.id}")
    until = asyncio.get_running_loop().time() + WAIT_S
    while True:
        ident, name = await gate.recordings.second(tape.ident, access.new.user_id)
        if ident:
            break
        if is_over() or access.why:
            raise RouteUnknown("the user left before anybody watched")
        if asyncio.get_running_loop().time() > until:
            raise SecondPersonNeeded(f"nobody came to watch this session within {WAIT_S / 60:g} minutes")
        await asyncio.sleep(_LOOK_S)
    await access.note("access.second", {"watcher": ident, "name": Word(name)})
    say(f"{name} watches this session")
