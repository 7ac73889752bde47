"""How much room one process has for requests: for those that are worked on, and for those whose body is awaited.

Decides what is counted apart: a request whose body is still on its way is worked on by nobody, so it takes no place
from those that are; it has places of its own, and of these one address gets only some. So whoever announces bodies that
never come shuts out nobody whose request is there, and no other address either. What it does not decide: how long a
request beyond its bound may go on hoping, and what it is answered.
"""

import asyncio

from rppam.http.bounds import ApiLimits
from rppam.kernel.network import address_group


class RequestSlots:
    """The places of one process, shared by the layers that fill them."""

    def __init__(self, limits: ApiLimits) -> None:
        self._limits = limits
        self.in_flight = 0
        """Requests that are worked on."""
        self.awaited = 0
        """Requests whose body is awaited."""
        self._awaited_of: dict[str, int] = {}

    def await_body(self, address: str) -> str:
        """A request that is worked on begins to wait for its body: its place is free for others until :meth:`go_on`.

        Why it must not wait for long, since too many do already; empty when it may. ``address``: of :meth:`address_of`.
        """
        limits = self._limits
        self.in_flight -= 1
        of_address = self._awaited_of.get(address, 0)
        if of_address >= limits.awaited_of_address:
            return f"{of_address} bodies from this address are being awaited, which is the limit"
        if self.awaited >= limits.awaited:
            return f"{self.awaited} bodies are being awaited, which is the limit"
        self.awaited += 1
        self._awaited_of[address] = of_address + 1
        return ""

    def go_on(self, address: str, too_many: str) -> None:
        """The waiting is over to which :meth:`await_body` said ``too_many``: it is worked on again, also beyond the
        bound."""
        self.in_flight += 1
        if too_many:
            return  # Not counted: else whoever is refused again and again would fill the places of other addresses.
        self.awaited -= 1
        left = self._awaited_of[address] - 1
        if left:
            self._awaited_of[address] = left
        else:
            del self._awaited_of[address]

    @staticmethod
    def address_of(client: tuple[str, int] | None) -> str:
        """What a caller is counted by: the address, IPv6 by the /64."""
        return address_group(client[0] if client else "unknown")


class Place:
    """The place of one request that is worked on. A stream leaves it once it has begun, and its time with it."""

    def __init__(self, room: RequestSlots, late: asyncio.TimerHandle) -> None:
        self._room, self._late = room, late
        self._is_left = False

    def leave(self) -> None:
        """The request is done, or bounded as a stream from now on."""
        if not self._is_left:
            self._is_left = True
            self._late.cancel()
            self._room.in_flight -= 1
